//! The commit of this checkout.

use std::process::Command;

use testkit::repository;

/// Returns its short hash, with a note if there are uncommitted changes.
pub fn commit() -> String {
    let commit = output_of("git", &["rev-parse", "--short", "HEAD"]);
    let changed = !output_of("git", &["status", "--porcelain"]).is_empty();
    if changed { format!("{commit} and changes") } else { commit }
}

/// Returns the standard output of a program; nothing if it is not installed.
pub fn output_of(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(repository());
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}
