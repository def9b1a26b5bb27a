//! `cargo dev seed`: fills a database with realistic rows.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::{Context, Result};
use testkit::{
    database, keys, migrations,
    seed::{self, Volume},
    target_folder,
    terminal::out,
};

use crate::{local::shell_word, steps::Steps};

#[derive(clap::Args)]
#[group(skip)]
pub struct SeedOptions {
    /// Number of accounts
    #[arg(long, value_name = "A", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    accounts: u32,
    /// Number of sessions of all accounts together; the n-th account has an n-th of the first one's
    #[arg(long, value_name = "S", default_value_t = 10_000)]
    sessions: u64,
    /// Average number of messages in a session
    #[arg(long, value_name = "M", default_value_t = 8)]
    messages: u32,
    /// Fill this database on this machine; it is migrated first
    #[arg(long, value_name = "URL")]
    database_url: String,
    /// Write the key ring to this file, in the form of the secret [default: target/dev/seeded-keys.json]
    #[arg(long, value_name = "FILE.json")]
    keys: Option<PathBuf>,
}

pub async fn seed(options: SeedOptions) -> Result<()> {
    let begin = Instant::now();
    let mut client = database::connect(&options.database_url).await?;
    migrations::apply(&mut client).await?;
    let volume = Volume { accounts: options.accounts, sessions: options.sessions, messages: options.messages };
    let seeded = seed::fill(&mut client, volume).await?;
    let what = format!("{} accounts, {} sessions, {} messages", volume.accounts, volume.sessions, seeded.messages);
    Steps::Output.done(begin, "seeded", &what);

    let file = options.keys.map_or_else(|| anyhow::Ok(target_folder()?.join("dev/seeded-keys.json")), Ok)?;
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&file, keys::json(&seeded.key_ring)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    let (token, sessions) = seeded.largest;
    out(format_args!("keys  {}", file.display()));
    out(format_args!("TOKEN={token}  # the largest account: {sessions} sessions"));
    let url = shell_word(&options.database_url);
    out(format_args!("cargo dev up --database-url {url} --keys '{}'", file.display()));
    Ok(())
}
