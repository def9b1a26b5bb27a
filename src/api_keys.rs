//! The secret with the key ring, or the shards among which the keys are divided by the first digits of their hashes.

pub mod editable;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{
    auth::{KeyRing, TokenHash},
    error::Error,
    secret::{Client, Lifetime, Secret},
};

/// The part of a secret's id that is replaced by the first hex digits of a token's hash.
const SHARD: &str = "{shard}";

/// The numbers of shards: one and two hex digits.
pub const SHARDS: [usize; 2] = [16, 256];

/// The number of shards of an id with [`SHARD`], if no other is given.
const DEFAULT_SHARDS: usize = 256;

/// The id of the secret with the keys, or of each of its shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardedId {
    template: String,
    /// One secret if 0.
    digits: usize,
}

impl ShardedId {
    /// The name or ARN of a secret, which may contain `{shard}`, and the number of shards.
    ///
    /// # Errors
    ///
    /// The rule that the id breaks, to be read after its name.
    pub fn new(id: &str, shards: Option<usize>) -> Result<Self, &'static str> {
        let count = id.matches(SHARD).count();
        // No secret has such a name, so it must be a mistyped `{shard}`.
        if id.replace(SHARD, "").contains(['{', '}']) {
            return Err("must have no braces except those of {shard}");
        }
        match (count, shards) {
            (0, None) => Ok(Self { template: id.to_owned(), digits: 0 }),
            (0, Some(_)) => Err("must contain {shard} if a number of shards is set"),
            (1, _) => {
                let digits = if shards.unwrap_or(DEFAULT_SHARDS) == SHARDS[0] { 1 } else { 2 };
                Ok(Self { template: id.to_owned(), digits })
            }
            _ => Err("must contain {shard} only once"),
        }
    }

    /// The number of secrets.
    #[must_use]
    pub fn count(&self) -> usize {
        16_usize.pow(u32::try_from(self.digits).unwrap_or_default())
    }

    /// The secret of a token, from 0.
    #[must_use]
    pub fn shard_of(&self, hash: &TokenHash) -> usize {
        hash.first_digits(self.digits)
    }

    /// The id of a secret.
    #[must_use]
    pub fn id(&self, shard: usize) -> String {
        self.template.replace(SHARD, &format!("{shard:0digits$x}", digits = self.digits))
    }
}

/// The accepted tokens. With shards, each is fetched when it is first needed, and then cached like the only secret.
#[derive(Debug)]
pub struct ApiKeys {
    id: ShardedId,
    secrets: Vec<Secret<KeyRing>>,
    last_used: AtomicUsize,
}

impl ApiKeys {
    /// Nothing is fetched yet.
    #[must_use]
    pub fn new(client: &Client, id: ShardedId, lifetime: Lifetime) -> Self {
        let secret = |shard| Secret::new(client.clone(), id.id(shard), lifetime, KeyRing::parse);
        Self { secrets: (0..id.count()).map(secret).collect(), id, last_used: AtomicUsize::new(0) }
    }

    /// The secret that has the key of a token, if any has it.
    #[must_use]
    pub fn secret_of(&self, hash: &TokenHash) -> &Secret<KeyRing> {
        let shard = self.id.shard_of(hash);
        self.last_used.store(shard, Ordering::Relaxed);
        &self.secrets[shard]
    }

    /// Fetches the secret. Of shards none is fetched, because the one that the first request needs is not known; but the
    /// connection to Secrets Manager is open by then, if the database's credentials are a secret too.
    ///
    /// # Errors
    ///
    /// As [`Secret::current`].
    pub async fn warm_up(&self) -> Result<(), Error> {
        match self.secrets.as_slice() {
            [secret] => secret.current().await.map(drop),
            _ => Ok(()),
        }
    }

    /// Whether the secret that was used last could not be refreshed.
    pub(crate) fn is_stale(&self) -> bool {
        self.secrets[self.last_used.load(Ordering::Relaxed)].is_stale()
    }
}
