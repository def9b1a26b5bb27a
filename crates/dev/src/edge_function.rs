//! `cargo dev edge-function`: serves the stand-in for the old endpoint.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use testkit::{EdgeFunction, database, edge_function::add_keys, terminal::out};

#[derive(clap::Args)]
#[group(skip)]
pub struct EdgeFunctionOptions {
    /// Serve on this port of 127.0.0.1; 0 for any free port
    #[arg(long, value_name = "N", default_value_t = 9001)]
    port: u16,
    /// Use this database on this machine, as its superuser
    #[arg(long, value_name = "URL")]
    database_url: String,
    /// Add the keys of this key ring to the table `api_keys`, which is created if the database has none
    #[arg(long, value_name = "FILE.json")]
    keys: Option<PathBuf>,
}

/// Serves until the process is stopped.
pub async fn edge_function(options: EdgeFunctionOptions) -> Result<()> {
    let admin = database::connect(&options.database_url).await?;
    if let Some(path) = &options.keys {
        let ring = fs::read_to_string(path).with_context(|| format!("--keys: cannot read {}", path.display()))?;
        add_keys(&admin, &ring).await.context("--keys")?;
    }
    let server = EdgeFunction::start(options.port, &options.database_url).await?;
    out(format_args!("ready {}", server.url()));
    std::future::pending().await
}
