//! What the tests and `cargo dev` share: a PostgreSQL, the stand-ins for the parts of AWS around the function, and the
//! function's own process among them.

// Several targets compile this module, and each of them uses a part of it.
#![allow(dead_code, unused_imports)]

pub mod certificates;
pub mod chaos;
pub mod client;
pub mod database;
pub mod faults;
pub mod function;
pub mod gateway;
pub mod keys;
pub mod measure;
pub mod migrations;
pub mod openapi;
pub mod pooler;
pub mod postgres;
pub mod product_database;
pub mod rds;
pub mod request;
pub mod role;
pub mod runtime_api;
pub mod secrecy;
pub mod secrets;
pub mod seed;
pub mod terminal;

use std::path::PathBuf;

/// The build folder (`target/`), wherever cargo was told to put it: every executable lies two folders below it, in
/// `<profile>/deps` or `<profile>/examples`.
pub fn target_folder() -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let target = executable.ancestors().nth(3).map(PathBuf::from);
    target.ok_or_else(|| anyhow::anyhow!("{} does not lie in a build folder", executable.display()))
}
