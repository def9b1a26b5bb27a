//! The optional migrations that keep the counts, where there are any.

use std::path::Path;

use anyhow::{Result, bail};
use tokio_postgres::Client;

/// Says why there are none.
pub fn is_available() -> Result<(), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/kept");
    if folder.is_dir() { Ok(()) } else { Err("there is no migrations/kept".to_owned()) }
}

/// Installs them in a database and fills them in.
pub async fn install(_client: &mut Client) -> Result<()> {
    bail!("migrations/kept is there, and nobody has said here how it is installed")
}
