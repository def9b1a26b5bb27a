//! The commit of this checkout.

use std::process::Command;

use testkit::repository;

/// Its short hash, and whether there are changes that it does not hold.
pub fn commit() -> String {
    let commit = said("git", &["rev-parse", "--short", "HEAD"]);
    let changed = !said("git", &["status", "--porcelain"]).is_empty();
    if changed { format!("{commit} and changes") } else { commit }
}

/// What a program says of itself; nothing if it is not here.
pub fn said(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(repository());
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}
