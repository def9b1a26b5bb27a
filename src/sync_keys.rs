//! Copies the keys of the product's table `api_keys` into the key ring: one run for each event.
//!
//! ```text
//! 1 read      the ring, of every shard that may differ
//! 2 read      the table, after the ring
//! 3 compare   the keys of both; hand-made entries of the ring take precedence
//! 4 write     only a ring that differs, and only if its version is still the one that was read; otherwise from 1 again
//! ```
//!
//! A ring is written only by a run that has read the table after that ring. So a run that is delayed cannot bring a revoked
//! key back: the ring that a later run has written is not the one that it read.

mod comparison;
mod table;

use std::{collections::BTreeSet, time::Duration};

use aws_config::SdkConfig;
use futures_util::{FutureExt, StreamExt, stream};
use jiff::Timestamp;
use lambda_http::Context;
use serde::Serialize;
use tokio::sync::Mutex;

use self::{
    comparison::{Comparison, fingerprint},
    table::{Table, TableKey},
};
use crate::{
    api_keys::{ShardedId, editable::EditableRing},
    app,
    clock::{Deadline, FreezeProofInstant},
    config::Config,
    database::Database,
    error::Error,
    log::{self, Level},
    secret::{self, Change, SecretVersion, WritableSecret},
};

/// The number of times that a ring is compared in one run, because it was changed while the run compared it.
const ROUNDS: usize = 4;

/// The time after which the ring of a shard is read even if its keys in the table have not changed, to repair what was changed
/// by hand. With one secret, every run reads it: 43,200 calls a month are 0.22 USD. For 256 secrets that would be 55 USD.
const SHARD_REREAD_INTERVAL: Duration = Duration::from_hours(1);

/// Rings that are read at the same time.
const READ_CONCURRENCY: usize = 8;

/// The label of the first secret's current version if the last run found none of the synchronised keys in the table.
const KEYS_MISSING_LABEL: &str = "SYNC_KEYS_MISSING";

/// The rings, the database, and what the last run of this process has seen.
#[derive(Debug)]
pub struct SyncKeys {
    id: ShardedId,
    secrets: Vec<WritableSecret>,
    database: Database,
    /// For each secret.
    seen: Mutex<Vec<Option<Seen>>>,
}

/// A ring that was equal to the table.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: FreezeProofInstant,
    fingerprint: u64,
    has_keys: bool,
}

/// A ring that was read.
struct Read {
    /// The number of its secret.
    shard: usize,
    version: SecretVersion,
    ring: EditableRing,
}

/// The response to an event: numbers only.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Summary {
    /// The table's rows.
    rows: usize,
    /// The active keys that the table has and that the rings that were compared should have.
    keys: usize,
    added: usize,
    removed: usize,
    changed: usize,
    /// New versions of secrets.
    written: usize,
    /// Rows with an invalid hash or account, or that contradict each other.
    wrong_rows: usize,
    /// Hand-made entries that contradict the table.
    contradictions: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: Timestamp,
    level: Level,
    message: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(flatten)]
    summary: Summary,
}

impl SyncKeys {
    /// Prepares the clients; nothing is read yet.
    #[must_use]
    pub fn new(config: &Config, aws: &SdkConfig) -> Self {
        let client = secret::client(aws);
        let database = app::database(config, &client, aws, &table::SCHEMA);
        let id = &config.api_keys_secret_id;
        let secrets: Vec<_> = (0..id.count()).map(|shard| WritableSecret::new(client.clone(), id.id(shard))).collect();
        let seen = Mutex::new(vec![None; secrets.len()]);
        Self { id: id.clone(), secrets, database, seen }
    }

    /// Runs once, whatever the event is, and logs the outcome.
    ///
    /// # Errors
    ///
    /// If a ring could not be compared or written; rings that were written before stay written.
    pub async fn process(&self, context: &Context) -> Result<Vec<u8>, Error> {
        let mut summary = Summary::default();
        let deadline = Deadline::of_invocation(Some(context.deadline()));
        let outcome = Box::pin(self.run(deadline, &mut summary)).await;
        let is_odd = summary.wrong_rows + summary.contradictions > 0;
        let (level, message) = match &outcome {
            Err(_) => (Level::Error, "the key ring was not synchronised"),
            Ok(()) if is_odd => (Level::Warn, "the key ring was synchronised without some keys"),
            Ok(()) => (Level::Info, "the key ring was synchronised"),
        };
        let cause = match &outcome {
            Err(error) => Some(error.to_string()),
            Ok(()) => is_odd.then(|| summary.remark()),
        };
        let request_id = &context.request_id;
        log::write(&Line { timestamp: Timestamp::now(), level, message, request_id, cause, summary });
        outcome?;
        serde_json::to_vec(&summary).map_err(|error| Error::Internal(error.to_string()))
    }

    async fn run(&self, deadline: Deadline, summary: &mut Summary) -> Result<(), Error> {
        let mut seen = self.seen.lock().await;
        let mut shards = self.due(&seen);
        if shards.len() < self.secrets.len() {
            let table = Table::read(&self.database, deadline).await?;
            summary.count_table(&table);
            let now = Timestamp::now().as_microsecond();
            let differs = |shard: &usize| {
                let current = fingerprint(self.keys_of(*shard, &table), now);
                seen[*shard].is_none_or(|seen| seen.fingerprint != current)
            };
            shards.extend((0..self.secrets.len()).filter(differs));
            if shards.is_empty() {
                return Ok(());
            }
        }
        let mut failure = None;
        for _ in 0..ROUNDS {
            // The first secret has the label.
            shards.insert(0);
            let mut rings = Vec::new();
            for outcome in deadline.timeout(self.read_all(&shards).map(Ok)).await? {
                match outcome {
                    Ok(ring) => rings.push(ring),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            let table = Table::read(&self.database, deadline).await?;
            let now = Timestamp::now().as_microsecond();
            let comparisons: Vec<_> =
                rings.iter().map(|read| Comparison::new(&read.ring, self.keys_of(read.shard, &table), now)).collect();
            summary.count(&table, &comparisons);
            // A ring that was not read, and is known to be equal to the table, keeps its keys. One that could not be read is not.
            let keeps_keys = |shard: usize| {
                let is_read = rings.iter().any(|read| read.shard == shard);
                let is_equal = |seen: Seen| seen.fingerprint == fingerprint(self.keys_of(shard, &table), now);
                !is_read && seen[shard].is_some_and(|seen| seen.has_keys && is_equal(seen))
            };
            let are_missing = are_missing(&comparisons) && !(0..self.secrets.len()).any(keeps_keys);
            let first = rings.iter().find(|read| read.shard == 0);
            if are_missing {
                self.allow_removal(first, &comparisons).await?;
            }
            shards = BTreeSet::new();
            // The first secret last: with its new version, the label is gone.
            for (read, comparison) in rings.iter().zip(&comparisons).rev() {
                if deadline.remaining().is_zero() {
                    let problem = format!("out of time after {} new versions; the next run continues", summary.written);
                    failure = failure.or(Some(Error::Unavailable(problem)));
                    break;
                }
                let outcome = self.write(read, comparison, deadline, summary).await;
                seen[read.shard] = None;
                match outcome {
                    Ok(Change::Made) => {
                        let fingerprint = fingerprint(self.keys_of(read.shard, &table), now);
                        let has_keys = !comparison.wanted.is_empty();
                        seen[read.shard] = Some(Seen { at: FreezeProofInstant::now(), fingerprint, has_keys });
                    }
                    Ok(Change::Conflict) => {
                        shards.insert(read.shard);
                    }
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            if let Some(first) = first.filter(|first| first.version.has_label(KEYS_MISSING_LABEL)) {
                self.secrets[0].remove_label(&first.version, KEYS_MISSING_LABEL).await?;
            }
            if shards.is_empty() {
                return failure.map_or(Ok(()), Err);
            }
        }
        let problem =
            format!("the key ring was changed {ROUNDS} times while this run compared it; the next run tries again");
        Err(failure.unwrap_or(Error::Unavailable(problem)))
    }

    /// The secrets that must be read, whatever the table has.
    fn due(&self, seen: &[Option<Seen>]) -> BTreeSet<usize> {
        let is_single = self.secrets.len() == 1;
        let is_due =
            |seen: &Option<Seen>| is_single || seen.is_none_or(|seen| seen.at.elapsed() >= SHARD_REREAD_INTERVAL);
        seen.iter().enumerate().filter(|(_, seen)| is_due(seen)).map(|(shard, _)| shard).collect()
    }

    async fn read_all(&self, shards: &BTreeSet<usize>) -> Vec<Result<Read, Error>> {
        stream::iter(shards.iter().copied()).map(|shard| self.read(shard)).buffered(READ_CONCURRENCY).collect().await
    }

    async fn read(&self, shard: usize) -> Result<Read, Error> {
        let secret = &self.secrets[shard];
        let version = secret.read().await?;
        let ring = EditableRing::parse(&version.text).map_err(|problem| {
            Error::Misconfigured(format!(
                "secret {}: the key ring is invalid and stays as it is: {problem}. Repair it by hand",
                secret.id()
            ))
        })?;
        Ok(Read { shard, version, ring })
    }

    /// The keys of the table that belong into a shard. Shards are by the first digits of the hash, so they are neighbours.
    fn keys_of<'a>(&self, shard: usize, table: &'a Table) -> &'a [TableKey] {
        let position = |shard| table.keys.partition_point(|key| self.id.shard_of(&key.hash) < shard);
        &table.keys[position(shard)..position(shard + 1)]
    }

    /// Allows a run to remove all synchronised keys if the run before has found all of them missing too.
    async fn allow_removal(&self, first: Option<&Read>, comparisons: &[Comparison<'_>]) -> Result<(), Error> {
        let count: usize = comparisons.iter().map(|comparison| comparison.synchronised).sum();
        let missing =
            format!("api_keys has none of the {count} synchronised keys: is it empty, or of another database?");
        let Some(first) = first else {
            return Err(Error::Misconfigured(format!("{missing} The first secret cannot be read, so they stay")));
        };
        if first.version.has_label(KEYS_MISSING_LABEL) {
            return Ok(());
        }
        self.secrets[0].attach_label(&first.version, KEYS_MISSING_LABEL).await?;
        Err(Error::Misconfigured(format!("{missing} They stay in the key ring for now; the next run removes them")))
    }

    /// Writes the ring if it differs from the table.
    async fn write(
        &self,
        read: &Read,
        comparison: &Comparison<'_>,
        deadline: Deadline,
        summary: &mut Summary,
    ) -> Result<Change, Error> {
        if !comparison.differs() {
            return Ok(Change::Made);
        }
        let secret = &self.secrets[read.shard];
        let text = comparison.new_text(&read.ring).map_err(|problem| {
            Error::Misconfigured(format!("secret {}: the key ring stays as it is: {problem}", secret.id()))
        })?;
        let change = deadline.timeout(secret.replace(&read.version, &text)).await?;
        summary.written += usize::from(change == Change::Made);
        Ok(change)
    }
}

/// Whether the table has none of the synchronised keys.
fn are_missing(comparisons: &[Comparison<'_>]) -> bool {
    let (synchronised, known) = comparisons
        .iter()
        .fold((0, 0), |(synchronised, known), one| (synchronised + one.synchronised, known + one.known));
    synchronised > 0 && known == 0
}

impl Summary {
    fn count_table(&mut self, table: &Table) {
        (self.rows, self.wrong_rows) = (table.rows, table.wrong_rows);
    }

    fn count(&mut self, table: &Table, comparisons: &[Comparison<'_>]) {
        self.count_table(table);
        let sum = |number: fn(&Comparison<'_>) -> usize| comparisons.iter().map(number).sum();
        self.keys = sum(|one| one.wanted.len());
        self.added = sum(|one| one.added);
        self.removed = sum(|one| one.removed);
        self.changed = sum(|one| one.changed);
        self.contradictions = sum(|one| one.contradictions);
    }

    fn remark(&self) -> String {
        let mut remarks = Vec::new();
        if self.wrong_rows > 0 {
            remarks.push(format!(
                "{} rows of api_keys have a key_hash that is not 64 lower-case hex digits, no user_id, or the key_hash of \
                 another row that says otherwise: correct them",
                self.wrong_rows
            ));
        }
        if self.contradictions > 0 {
            remarks.push(format!(
                "{} hand-made entries of the key ring contradict api_keys and take precedence: remove them if the table is \
                 right",
                self.contradictions
            ));
        }
        remarks.join("; ")
    }
}
