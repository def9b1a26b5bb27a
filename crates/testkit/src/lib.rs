//! Tools that the tests and `cargo dev` share: PostgreSQL servers, stand-ins for AWS, and the function's process.

pub mod account;
pub mod app;
pub mod certificates;
pub mod chaos;
pub mod client;
mod connections;
pub mod contract;
pub mod database;
pub mod edge_function;
pub mod environment;
pub mod faults;
pub mod function;
pub mod gateway;
pub mod keys;
pub mod migrations;
pub mod openapi;
pub mod plan;
pub mod pooler;
pub mod postgres;
pub mod process;
pub mod product_database;
pub mod rds;
pub mod request;
pub mod role;
pub mod runtime_api;
pub mod secrecy;
pub mod secrets;
pub mod seed;
pub mod sign_in;
pub mod terminal;
pub mod upstream_stub;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};

pub use self::{
    app::{ACCOUNT, API_KEYS, NEIGHBOUR, NEIGHBOURS_TOKEN, NEIGHBOURS_WIDGET, TOKEN, TestApp, WIDGET, ring},
    certificates::{Authority, Certificate},
    chaos::{Chaos, DeadAddress, NetworkFault, Phase},
    connections::{assert_nothing_runs, end_connections, processes, running, wait_for_running},
    database::Database,
    edge_function::EdgeFunction,
    faults::{FaultReport, Harness},
    function::{Function, FunctionOptions},
    gateway::{Arrival, Gateway, Upstream},
    pooler::Pooler,
    postgres::{Server, ServerOptions},
    rds::Rds,
    runtime_api::{Headers, Outcome, RuntimeApi},
    secrets::{Secrets, SecretsFault, WireFault, random_id},
    sign_in::{JwksFault, SignIn, SigningKey},
    upstream_stub::{Received, UpstreamStub},
};

/// Locks a mutex, even if another test's thread panicked while holding it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Finds a program on PATH or in one of more folders.
pub fn find_program(name: &str, more: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(more.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this package is in crates/")
}

/// Returns the folder of this program's profile, for example `target/debug`. Cargo puts binaries into it, and tests and
/// benches into `deps` below it.
fn profile_folder() -> Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let folder = executable.parent().filter(|folder| !folder.ends_with("deps"));
    let folder = folder.or_else(|| executable.ancestors().nth(2));
    folder.map(PathBuf::from).with_context(|| format!("{} is not in a build folder", executable.display()))
}

/// Returns the build folder, `target/` by default.
pub fn target_folder() -> Result<PathBuf> {
    let mut folder = profile_folder()?;
    folder.pop();
    Ok(folder)
}

/// Returns the binary of `sync-keys` that cargo built with the tests, or the one that `SYNC_KEYS_BINARY` names.
pub fn sync_keys_binary() -> PathBuf {
    std::env::var_os("SYNC_KEYS_BINARY")
        .map_or_else(|| profile_folder().expect("tests run from a build folder").join("sync-keys"), PathBuf::from)
}

/// Returns the function's binary that tests run: the one that cargo built with them, or the one that `FUNCTION_BINARY`
/// names, for example an optimised one.
pub fn binary() -> PathBuf {
    std::env::var_os("FUNCTION_BINARY")
        .map_or_else(|| profile_folder().expect("tests run from a build folder").join(function::NAME), PathBuf::from)
}
