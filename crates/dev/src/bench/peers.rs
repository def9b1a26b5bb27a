//! The other implementations, installed or built below `target/dev/bench/peers` and reused by later runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use testkit::{find_program, process, repository, target_folder};
use tokio::process::Command;

use crate::build::build_package;

/// A program to start, and the size of its package.
pub struct Program {
    pub binary: PathBuf,
    pub arguments: Vec<PathBuf>,
    pub variables: Vec<(String, String)>,
    /// Unpacked, in bytes.
    pub size: u64,
}

impl Program {
    pub fn binary(binary: PathBuf) -> Result<Self> {
        let size = process::size(&binary)?;
        Ok(Self { binary, arguments: Vec::new(), variables: Vec::new(), size })
    }
}

/// The SQL that both interpreters read: snapshots of the function's statements.
const SQL: [&str; 3] = ["first_page", "page", "deep_page"];

fn source(path: &str) -> PathBuf {
    repository().join(path)
}

/// Creates a peer's folder with these files of crates/dev/bench/peers, and the SQL in its subfolder `within`.
fn prepare(name: &str, from: &str, files: &[&str], within: &str) -> Result<PathBuf> {
    let folder = target_folder()?.join("dev/bench/peers").join(name);
    fs::create_dir_all(folder.join(within))?;
    for file in files {
        fs::copy(source("crates/dev/bench/peers").join(from).join(file), folder.join(file))?;
    }
    for name in SQL {
        let snapshot = source("src/sessions/snapshots").join(format!("computed_{name}.snap.sql"));
        fs::copy(snapshot, folder.join(within).join(format!("{name}.sql")))?;
    }
    Ok(folder)
}

/// Installs the Node function with its `node_modules`.
pub async fn node() -> Result<Program> {
    let folder = prepare("node", "node", &["package.json", "package-lock.json", "index.mjs"], "")?;
    install(&folder, "package-lock.json", &[("npm", &["ci", "--omit=dev", "--no-audit", "--no-fund"])]).await?;
    let size = process::size(&folder)?;
    Ok(Program { binary: find("node")?, arguments: vec![folder.join("index.mjs")], variables: Vec::new(), size })
}

/// Bundles the Node function into one file with esbuild.
pub async fn bundle() -> Result<Program> {
    let folder = prepare("bundle", "node", &["package.json", "package-lock.json", "index.mjs"], "bundle")?;
    install(&folder, "package-lock.json", &[("npm", &["ci", "--no-audit", "--no-fund"])]).await?;
    run(&folder, "npm", &["run", "--silent", "bundle"]).await?;
    let folder = folder.join("bundle");
    let size = process::size(&folder)?;
    Ok(Program { binary: find("node")?, arguments: vec![folder.join("index.cjs")], variables: Vec::new(), size })
}

/// Installs the Python function with its packages next to it, compiled to bytecode, as they are deployed.
pub async fn python() -> Result<Program> {
    let folder = prepare("python", "python", &["requirements.txt", "index.py"], "package")?;
    let pip = [
        "install",
        "--quiet",
        "--no-deps",
        "--disable-pip-version-check",
        "--target=package",
        "-r",
        "requirements.txt",
    ];
    install(&folder, "requirements.txt", &[("python3", &["-m", "venv", "venv"]), ("venv/bin/pip", &pip)]).await?;
    let package = folder.join("package");
    fs::copy(folder.join("index.py"), package.join("index.py"))?;
    let size = process::size(&package)?;
    let variables = vec![("PYTHONPATH".to_owned(), package.display().to_string())];
    Ok(Program { binary: folder.join("venv/bin/python"), arguments: vec![package.join("index.py")], variables, size })
}

/// Builds the function that does nothing.
pub async fn empty() -> Result<Program> {
    let target = target_folder()?.join("dev/bench/peers/empty");
    Program::binary(build_package(&source("crates/dev/bench/peers/empty"), &target, "empty").await?)
}

/// Runs the commands unless they have already run for this list of packages.
async fn install(folder: &Path, list: &str, commands: &[(&str, &[&str])]) -> Result<()> {
    let (list, done) = (fs::read(folder.join(list))?, folder.join("installed"));
    if fs::read(&done).is_ok_and(|done| done == list) {
        return Ok(());
    }
    for (program, arguments) in commands {
        run(folder, program, arguments).await?;
    }
    Ok(fs::write(done, list)?)
}

async fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    // A program in the folder, or one on PATH.
    let path = if program.contains('/') { folder.join(program) } else { PathBuf::from(program) };
    let mut command = Command::new(path);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.with_context(|| format!("{program} cannot be started: install it"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message on standard error");
        bail!("{program} {}: {line}", arguments.first().unwrap_or(&""));
    }
    Ok(())
}

/// Finds a program on PATH, because a function's environment has no PATH.
pub fn find(program: &str) -> Result<PathBuf> {
    find_program(program, &[]).with_context(|| format!("{program} is not on PATH: install it"))
}
