//! `cargo dev keys`: the keys of a key ring in Secrets Manager, or of all its shards.

mod import;
mod preview;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::Timestamp;
use list_chat_sessions::{
    api_keys::{
        ShardedId,
        editable::{EditableRing, Entry, Source},
    },
    auth::TokenHash,
    aws,
    secret::{self, Client, SecretVersion, WritableSecret},
};
use testkit::{
    keys,
    terminal::{err, out},
};
use tokio::task::{JoinSet, spawn_blocking};
use uuid::Uuid;

use self::preview::Row;
use crate::token;

/// The fewest digits of a hash that select a key.
const MIN_PREFIX_DIGITS: usize = 8;

/// The digits of a hash in the compact form, and of a whole one.
const COMPACT_DIGITS: usize = 40;
const HASH_DIGITS: usize = 64;

/// Secrets that are read at the same time.
const READ_CONCURRENCY: usize = 16;

/// What a secret costs a month: <https://aws.amazon.com/secrets-manager/pricing/>.
const SECRET_CENTS: usize = 40;

#[derive(clap::Subcommand)]
pub enum KeysCommand {
    /// Make a token, add its key, and print the token once
    New {
        #[command(flatten)]
        secret: SecretOptions,
        /// Account of the token
        #[arg(long, value_name = "UUID")]
        account: Uuid,
        /// Name of the key
        #[arg(long)]
        name: Option<String>,
        /// Time after which the key is not accepted, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<Timestamp>,
        #[command(flatten)]
        write: WriteOptions,
    },
    /// Print a table of the keys, with the beginnings of their hashes
    List {
        #[command(flatten)]
        secret: SecretOptions,
    },
    /// Revoke a key; a synchronised one becomes a hand-made entry, which takes precedence over the table
    Revoke {
        #[command(flatten)]
        secret: SecretOptions,
        /// Beginning of the key's hash, at least 8 hex digits
        #[arg(value_name = "HASH-PREFIX", required_unless_present = "token_stdin")]
        prefix: Option<String>,
        /// Read the key's token from standard input instead
        #[arg(long, conflicts_with = "prefix")]
        token_stdin: bool,
        #[command(flatten)]
        write: WriteOptions,
    },
    /// Add the active keys of an export of the table `api_keys`, and remove the revoked ones
    Import {
        #[command(flatten)]
        secret: SecretOptions,
        /// Rows with `key_hash`, `user_id`, `name`, `is_active` and optionally `expires_at`: CSV with a header, or a JSON array
        file: PathBuf,
        #[command(flatten)]
        write: WriteOptions,
    },
    /// Create the secret, or all its shards, without keys; those that exist stay as they are
    Init {
        #[command(flatten)]
        secret: SecretOptions,
        /// KMS key of the secrets [default: the account's]
        #[arg(long, value_name = "ID")]
        kms_key: Option<String>,
        #[command(flatten)]
        write: WriteOptions,
    },
}

#[derive(clap::Args)]
#[group(skip)]
pub struct SecretOptions {
    /// Name or ARN of the secret, which may contain {shard}, as in `API_KEYS_SECRET_ID`
    #[arg(long, value_name = "ID")]
    secret_id: String,
    /// Number of shards, if the id contains {shard} [default: 256]
    #[arg(long, value_parser = ["16", "256"])]
    shards: Option<String>,
}

#[derive(clap::Args)]
#[group(skip)]
pub struct WriteOptions {
    /// Show what would change, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Write without asking
    #[arg(long)]
    yes: bool,
}

pub async fn keys(command: KeysCommand) -> Result<()> {
    match command {
        KeysCommand::New { secret, account, name, expires_at, write } => {
            let token = token::random()?;
            let mut entry = Entry::new(&keys::hash(&token), account, name.as_deref(), Source::Manual);
            if let Some(time) = expires_at {
                ensure!(time > Timestamp::now(), "--expires-at is in the past");
                entry = entry.expiring(&time.to_string());
            }
            let secrets = Secrets::open(&secret).await?;
            let mut ring = secrets.read(secrets.shard_of(entry.key_hash())?).await?;
            ring.edited.entries.push(entry);
            if write_all(vec![ring], &write).await? {
                out(token);
            }
            Ok(())
        }
        KeysCommand::List { secret } => list(&Secrets::open(&secret).await?).await,
        KeysCommand::Revoke { secret, prefix, token_stdin, write } => {
            let prefix = match prefix {
                Some(prefix) if !token_stdin => prefix,
                _ => keys::hash(&token::read()?),
            };
            let secrets = Secrets::open(&secret).await?;
            let ring = revoke(&secrets, &prefix).await?;
            write_all(vec![ring], &write).await.map(drop)
        }
        KeysCommand::Import { secret, file, write } => {
            let keys = import::read(&file)?;
            let secrets = Secrets::open(&secret).await?;
            let mut by_shard: BTreeMap<usize, Vec<import::Key>> = BTreeMap::new();
            for key in keys {
                by_shard.entry(secrets.shard_of(&key.hash)?).or_default().push(key);
            }
            let mut rings = secrets.read_all(by_shard.keys().copied().collect()).await?;
            for ring in &mut rings {
                import::apply(&mut ring.edited, &by_shard[&ring.shard]);
            }
            write_all(rings, &write).await.map(drop)
        }
        KeysCommand::Init { secret, kms_key, write } => {
            init(&Secrets::open(&secret).await?, kms_key.as_deref(), &write).await
        }
    }
}

/// The secrets of a key ring.
struct Secrets {
    client: Client,
    id: ShardedId,
}

/// The key ring of a secret, as it was read and as it is to be.
struct Ring {
    shard: usize,
    secret: WritableSecret,
    version: SecretVersion,
    read: EditableRing,
    edited: EditableRing,
}

impl Secrets {
    async fn open(options: &SecretOptions) -> Result<Self> {
        let shards = options.shards.as_deref().map(str::parse).transpose()?;
        let id = ShardedId::new(&options.secret_id, shards).map_err(|rule| anyhow!("--secret-id {rule}"))?;
        let aws = aws::load().await;
        ensure!(aws.region().is_some(), "set AWS_REGION to the region of the secret");
        Ok(Self { client: secret::client(&aws), id })
    }

    fn shard_of(&self, hash: &str) -> Result<usize> {
        let hash = TokenHash::from_hex(hash).context("a hash has 64 lower-case hex digits")?;
        Ok(self.id.shard_of(&hash))
    }

    async fn read(&self, shard: usize) -> Result<Ring> {
        read(WritableSecret::new(self.client.clone(), self.id.id(shard)), shard).await
    }

    /// Reads these shards; returns them in their order.
    async fn read_all(&self, shards: BTreeSet<usize>) -> Result<Vec<Ring>> {
        let mut shards = shards.into_iter();
        let mut next = || {
            let shard = shards.next()?;
            Some(read(WritableSecret::new(self.client.clone(), self.id.id(shard)), shard))
        };
        let mut reading: JoinSet<_> = (0..READ_CONCURRENCY).map_while(|_| next()).collect();
        let mut rings = Vec::new();
        while let Some(ring) = reading.join_next().await {
            rings.push(ring??);
            next().map(|read| reading.spawn(read));
        }
        rings.sort_by_key(|ring| ring.shard);
        Ok(rings)
    }
}

async fn read(secret: WritableSecret, shard: usize) -> Result<Ring> {
    let version = secret.read().await?;
    let read = EditableRing::parse(&version.text)
        .map_err(|problem| anyhow!("secret {}: {problem}. Repair it by hand first", secret.id()))?;
    Ok(Ring { shard, secret, version, edited: read.clone(), read })
}

async fn list(secrets: &Secrets) -> Result<()> {
    let rings = secrets.read_all((0..secrets.id.count()).collect()).await?;
    let (now, mut rows, mut misplaced) = (Timestamp::now(), Vec::new(), 0);
    for ring in &rings {
        let found = preview::rows(&ring.read, now);
        misplaced += found.iter().filter(|row| secrets.shard_of(&row.padded_hash()).ok() != Some(ring.shard)).count();
        rows.extend(found);
    }
    out(Row::HEADER);
    rows.iter().for_each(out);
    err(format_args!("{} keys in {} secrets", rows.len(), rings.len()));
    if misplaced > 0 {
        err(format_args!("{misplaced} keys are in the wrong shard, where they are never found: move them by hand"));
    }
    Ok(())
}

/// Revokes the only key whose hash begins like this.
async fn revoke(secrets: &Secrets, prefix: &str) -> Result<Ring> {
    let is_hex = prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    ensure!(
        is_hex && (MIN_PREFIX_DIGITS..=HASH_DIGITS).contains(&prefix.len()),
        "a hash's beginning has {MIN_PREFIX_DIGITS} to {HASH_DIGITS} lower-case hex digits; \
         give a token with --token-stdin"
    );
    let mut ring = secrets.read(secrets.shard_of(&format!("{prefix:0<HASH_DIGITS$}"))?).await?;
    let compact_prefix = &prefix[..prefix.len().min(COMPACT_DIGITS)];
    let is_entry = |entry: &Entry| entry.key_hash().starts_with(prefix);
    let hashes: BTreeSet<_> = ring.read.entries.iter().filter(|entry| is_entry(entry)).map(Entry::key_hash).collect();
    let compact: Vec<_> =
        ring.read.compact.iter().filter(|key| keys::hex(&key.hash).starts_with(compact_prefix)).cloned().collect();
    let found = hashes.len()
        + compact.iter().filter(|key| !hashes.iter().any(|hash| hash.starts_with(&keys::hex(&key.hash)))).count();
    match found {
        0 => bail!("secret {} has no such key", ring.secret.id()),
        1 => {}
        more => bail!("{more} keys begin with these digits: give more of them"),
    }
    for entry in ring.edited.entries.iter_mut().filter(|entry| is_entry(entry)) {
        *entry = entry.clone().active(false).by_hand();
    }
    if let (true, Some(key)) = (hashes.is_empty(), compact.first()) {
        // An entry needs the whole hash.
        ensure!(
            prefix.len() == HASH_DIGITS,
            "the key is synchronised and in the compact form: revoke it in the product, or give its token with --token-stdin"
        );
        ring.edited.entries.push(Entry::new(prefix, key.user_id, None, Source::Manual).active(false));
    }
    ring.edited.compact.retain(|key| !compact.contains(key));
    Ok(ring)
}

async fn init(secrets: &Secrets, kms_key: Option<&str>, options: &WriteOptions) -> Result<()> {
    let count = secrets.id.count();
    ensure!(
        !secrets.id.id(0).starts_with("arn:"),
        "--secret-id must be a name here: an ARN is given by Secrets Manager"
    );
    let cents = count * SECRET_CENTS;
    err(format_args!(
        "{count} secrets from {} to {}, which cost about {}.{:02} USD a month",
        secrets.id.id(0),
        secrets.id.id(count - 1),
        cents / 100,
        cents % 100
    ));
    if !confirmed(options, &format!("Create those that do not exist among {count} secrets?")).await? {
        return Ok(());
    }
    let text = EditableRing::empty().to_text().map_err(|problem| anyhow!(problem))?;
    let mut created = 0;
    for shard in 0..count {
        let secret = WritableSecret::new(secrets.client.clone(), secrets.id.id(shard));
        created += usize::from(secret.create(&text, kms_key).await?);
    }
    err(format_args!("{created} secrets created, {} exist already", count - created));
    Ok(())
}

/// Shows the changes, asks, and writes them; returns whether it has.
async fn write_all(rings: Vec<Ring>, options: &WriteOptions) -> Result<bool> {
    let mut changes = Vec::new();
    let mut lines = preview::Lines::default();
    for ring in rings {
        let invalid = |problem| anyhow!("secret {}: {problem}", ring.secret.id());
        let text = ring.edited.to_text().map_err(invalid)?;
        let written = EditableRing::parse(&text).map_err(invalid)?;
        if written == ring.read {
            continue;
        }
        lines.add(ring.secret.id(), (&ring.read, &written), (ring.version.text.len(), text.len()));
        changes.push((ring, text));
    }
    lines.print();
    if changes.is_empty() {
        err("nothing to write");
        return Ok(false);
    }
    let count = changes.len();
    if !confirmed(options, &format!("Write {count} secrets?")).await? {
        return Ok(false);
    }
    for (written, (ring, text)) in changes.into_iter().enumerate() {
        let progress = || format!("{written} of {count} secrets are written");
        let change = ring.secret.replace(&ring.version, &text).await.with_context(progress)?;
        ensure!(
            change == secret::Change::Made,
            "secret {}: it was changed in the meantime, and keeps that change; {}. Try again",
            ring.secret.id(),
            progress()
        );
    }
    err(format_args!("{count} secrets written"));
    Ok(true)
}

/// Asks on the terminal, unless an option is the answer.
async fn confirmed(options: &WriteOptions, question: &str) -> Result<bool> {
    if options.dry_run {
        err("nothing is written, because of --dry-run");
        return Ok(false);
    }
    if options.yes {
        return Ok(true);
    }
    ensure!(
        io::stdin().is_terminal(),
        "nobody can be asked, because standard input is not a terminal: give --yes or --dry-run"
    );
    let question = question.to_owned();
    let answer = spawn_blocking(move || {
        let mut answer = String::new();
        write!(io::stderr(), "{question} [y/N] ")?;
        io::stdin().read_line(&mut answer)?;
        io::Result::Ok(answer)
    });
    let is_yes = matches!(answer.await??.trim(), "y" | "Y" | "yes");
    if !is_yes {
        err("nothing is written");
    }
    Ok(is_yes)
}
