//! The optional migrations that keep the counts, where there are any.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tokio_postgres::Client;

use crate::support::{database, migrations};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/kept")
}

/// Says why there are none.
pub fn is_available() -> Result<(), String> {
    if folder().is_dir() { Ok(()) } else { Err("there is no migrations/kept".to_owned()) }
}

/// Installs them in a database and fills them in: the files with a number, in order, one statement at a time as psql does.
pub async fn install(client: &Client) -> Result<()> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder())?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        for statement in migrations::statements(&fs::read_to_string(&path)?) {
            let applied = client.batch_execute(statement).await.map_err(|error| database::explain(&error, statement));
            applied.with_context(|| format!("migrations/kept/{name}"))?;
        }
    }
    Ok(())
}
