//! Builds the function's binary, and others to compare it with.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;
use testkit::{function::NAME, repository};
use tokio::process::Command;

/// Builds the function's binary and returns its path. Cargo's messages go to standard error.
pub async fn build(release: bool) -> Result<PathBuf> {
    let [function] = build_all([NAME], release).await?;
    Ok(function)
}

/// Builds binaries of the root package and returns their paths.
pub async fn build_all<const N: usize>(names: [&str; N], release: bool) -> Result<[PathBuf; N]> {
    let mut cargo = cargo(repository());
    cargo.args(["--package", NAME]).args(names.iter().flat_map(|name| ["--bin", name]));
    if release {
        cargo.arg("--release");
    } else {
        cargo.arg("--quiet");
        // Built together with this program, the binary has the same features of every dependency as the tests, so that
        // nothing is compiled twice.
        cargo.args(["--package", "dev", "--bin", "dev"]);
    }
    compile(cargo, names).await
}

/// Builds this program optimised and returns its path.
pub async fn build_driver() -> Result<PathBuf> {
    let mut cargo = cargo(repository());
    cargo.args(["--profile", "driver", "--package", "dev", "--bin", "dev"]);
    compile_one(cargo, "dev").await
}

/// Builds the binary of another package optimised, into its own build folder, and returns its path.
pub async fn build_package(package: &Path, target: &Path, name: &str) -> Result<PathBuf> {
    let mut cargo = cargo(package);
    cargo.args(["--bin", name, "--release", "--locked", "--target-dir"]).arg(target);
    compile_one(cargo, name).await
}

fn cargo(package: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--message-format=json-render-diagnostics"]).current_dir(package);
    cargo
}

async fn compile_one(cargo: Command, name: &str) -> Result<PathBuf> {
    let [path] = compile(cargo, [name]).await?;
    Ok(path)
}

async fn compile<const N: usize>(mut cargo: Command, names: [&str; N]) -> Result<[PathBuf; N]> {
    // Cargo runs in the package's folder, for its `.cargo/config.toml`, but a relative build folder refers to ours.
    if let Some(target) = env::var_os("CARGO_TARGET_DIR") {
        cargo.env("CARGO_TARGET_DIR", env::current_dir()?.join(target));
    }
    // `cargo run` describes this program in the environment. Build scripts that read those variables would run again in
    // every build.
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    cargo.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let cargo = cargo.spawn().context("cargo cannot be started")?;
    let mut group = Group(cargo.id());
    let output = cargo.wait_with_output().await?;
    group.0 = None;
    ensure!(output.status.success(), "{} does not compile", names.join(" or "));
    let mut paths = names.map(|_| PathBuf::new());
    for line in output.stdout.split(|byte| *byte == b'\n') {
        let message: Value = serde_json::from_slice(line).unwrap_or_default();
        let index = names.iter().position(|name| message["target"]["name"] == *name);
        if let (Some(index), Some(path)) = (index, message["executable"].as_str()) {
            paths[index] = path.into();
        }
    }
    ensure!(paths.iter().all(|path| path.is_absolute()), "cargo does not report the path of the binary");
    Ok(paths)
}

/// The process group of cargo and its compilers, which is ended if the build is dropped before it is done.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0.and_then(|leader| i32::try_from(leader).ok()) {
            // They may have ended already.
            let _ = killpg(Pid::from_raw(leader), Signal::SIGTERM);
        }
    }
}
