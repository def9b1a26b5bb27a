//! `cargo dev services`: starts the services for a function that `sam local` or `cargo lambda` starts.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use anyhow::{Context, Result};
use serde_json::json;
use testkit::{target_folder, terminal::out};

use crate::{
    local::{self, Input, Services, shell_word},
    steps::Steps,
};

#[derive(clap::Args)]
#[group(skip)]
pub struct ServicesOptions {
    /// Listen on this address; use 0.0.0.0, or the address of the container bridge, for a function in a container
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// Host name by which the function reaches this machine; use host.docker.internal in a container
    #[arg(long, value_name = "NAME", default_value = "127.0.0.1")]
    host: String,
    /// Write the function's variables to this file, for `sam local --env-vars` [default: target/dev/env.json]
    #[arg(long, value_name = "FILE")]
    env_vars: Option<PathBuf>,
    #[command(flatten)]
    local: local::ServiceOptions,
}

/// Serves until the process is stopped.
pub async fn services(options: ServicesOptions) -> Result<()> {
    let file = match options.env_vars {
        Some(file) => file,
        None => target_folder()?.join("dev/env.json"),
    };
    let input = Input::read(options.local)?;
    let services = Services::start(&input, options.bind, &options.host, Steps::Output).await?;
    let variables: BTreeMap<_, _> = services.variables().iter().cloned().collect();
    let document = json!({ "Parameters": variables });
    fs::write(&file, format!("{document:#}\n")).with_context(|| format!("cannot write {}", file.display()))?;
    out(format_args!("\nvariables, also in {}:\n", file.display()));
    for (name, value) in services.variables() {
        let value = if name == "DATABASE_URL" { shell_word(value) } else { value.clone() };
        out(format_args!("export {name}={value}"));
    }
    if let Some(psql) = services.psql() {
        out(format_args!("\n{psql}"));
    }
    out(format_args!("\nready {}", services.secrets_url()));
    out("Ctrl-C stops and removes everything.");
    std::future::pending().await
}
