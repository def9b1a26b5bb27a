//! Tests `cargo dev rehearse` as a process: the whole afternoon, and afternoons that end early.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use testkit::{binary, role, sync_keys_binary};

/// The steps, in the order of docs/moving.md.
const STEPS: [&str; 13] = [
    "product", "indexes", "role", "doctor", "deploy", "keys", "parity", "all", "others", "new key", "revoked", "back",
    "total",
];

fn rehearse(function: &Path, sync_keys: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev"));
    command.arg("rehearse").arg("--binary").arg(function).arg("--sync-keys-binary").arg(sync_keys);
    command.stdin(Stdio::null()).output().unwrap()
}

/// Returns what the terminal shows, which has no secrets.
fn shown(output: &Output) -> String {
    let shown = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    for secret in ["mgp_", "@example.com", "Bearer", "postgres://", role::PASSWORD] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    shown
}

/// Returns the names of the steps that were printed.
fn names(output: &Output) -> Vec<String> {
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().filter_map(|line| Some(line.split_once(" s  ")?.1.split("  ").next()?.trim().to_owned())).collect()
}

#[test]
fn the_whole_afternoon_succeeds_and_each_step_prints_one_line_of_80_columns() {
    let output = rehearse(&binary(), &sync_keys_binary());
    let shown = shown(&output);
    assert_eq!((output.status.code(), names(&output)), (Some(0), STEPS.map(ToOwned::to_owned).to_vec()), "{shown}");
    assert_eq!(shown.lines().count(), STEPS.len(), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    for part in ["doctor     nothing found", " 0 differs, 0 undecided", "gets 200 after", "gets 401 after"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn the_first_step_that_fails_ends_the_rehearsal_with_its_name_and_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    // Wrong variables, as of a deployment with mistakes.
    let with = |name: &str, variables: &str, program: &Path| {
        let file = folder.path().join(name);
        fs::write(&file, format!("#!/bin/sh\n{variables} exec '{}'\n", program.display())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    };
    let stale = with("stale", "API_KEYS_MAX_AGE_SECONDS=60", &binary());
    let short = with("short", "LIMIT_MAX=10", &binary());
    let user = with(
        "user",
        r#"DATABASE_URL="postgres://list_chat_sessions:${DATABASE_URL#*sync_keys:}""#,
        &sync_keys_binary(),
    );
    for (function, sync_keys, step, cause) in [
        (&short, &sync_keys_binary(), "deploy", "LIMIT_MAX must be a whole number from 100 to 1000"),
        (&binary(), &user, "keys", "Run docs/sync-keys-role.sql"),
        (&stale, &sync_keys_binary(), "revoked", "after 3.0 s a call with the key still gets 200, not 401"),
    ] {
        let output = rehearse(function, sync_keys);
        let shown = shown(&output);
        assert_eq!(output.status.code(), Some(1), "{shown}");
        let error = shown.split_once(&format!("error: step \"{step}\": ")).map(|(_, error)| error);
        assert!(error.is_some_and(|error| error.contains(cause)), "{shown}");
        let done = STEPS.iter().take_while(|name| **name != step);
        assert!(names(&output).iter().eq(done), "{shown}");
    }
}
