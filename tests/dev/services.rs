//! `cargo dev services`: what the function needs, for a function that somebody else starts: `sam local`, `cargo lambda`.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    stack::{self, Input, Services},
    steps::Steps,
    support::target_folder,
};

#[derive(clap::Args)]
#[group(skip)]
pub struct Options {
    /// Listen on this address: 0.0.0.0 or the container bridge's own for functions in containers
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// What the function calls this machine: host.docker.internal from a container
    #[arg(long, value_name = "NAME", default_value = "127.0.0.1")]
    host: String,
    /// Write the variables here as JSON for `sam local --env-vars` [default: env.json in the build folder's dev/]
    #[arg(long, value_name = "FILE")]
    env_vars: Option<PathBuf>,
    #[command(flatten)]
    stack: stack::Options,
}

/// Serves until the process is told to end.
pub async fn services(options: Options) -> Result<()> {
    let file = match options.env_vars {
        Some(file) => file,
        None => target_folder()?.join("dev/env.json"),
    };
    let input = Input::read(options.stack)?;
    let services = Services::start(&input, options.bind, &options.host, Steps::Output).await?;
    let variables: BTreeMap<_, _> = services.variables().iter().cloned().collect();
    let document = json!({ "Parameters": variables });
    fs::write(&file, format!("{document:#}\n")).with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nvariables, also in {}:\n", file.display());
    for (name, value) in services.variables() {
        println!("export {name}={value}");
    }
    println!("\nready {}", services.secrets_url());
    println!("Ctrl-C ends it.");
    std::future::pending().await
}
