//! `cargo dev invoke`: sends one event through the function.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::terminal::out;

use crate::{
    local::{Input, LocalFunction, RunOptions, ServiceOptions},
    steps::Steps,
};

/// Prints the function's response on standard output, everything else on standard error.
pub async fn invoke(file: &Path, options: ServiceOptions, run: RunOptions) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str::<Value>(&text).with_context(|| format!("{} is not JSON", file.display()))?;
    let local = LocalFunction::start(Input::read(options)?, run, Steps::Error).await?;
    let outcome = local.function.invoke(text).await?;
    // Shows the log before the response.
    local.function.end().await;
    out(format_args!("{:#}", outcome.response()?));
    Ok(())
}
