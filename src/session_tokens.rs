//! Accepts session tokens of the product's sign-in, if the operator configures them.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    auth::{Authenticated, Rejection, SessionToken, SessionTokenKeys, SessionTokenRules},
    clock::Deadline,
    error::Error,
    jwks::JwksUrl,
    log::{self, Level},
    secret::{Client, Lifetime, Secret},
};

/// The source of the keys that verify session tokens.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// `JWT_SECRET_ID`: the secret for HS256.
    Secret(String),
    /// `JWKS_URL`: the public keys for RS256 and ES256.
    Jwks(JwksUrl),
}

/// The keys, cached like the key ring, and the rules for the claims.
#[derive(Debug)]
pub struct SessionTokens {
    keys: Secret<SessionTokenKeys>,
    rules: SessionTokenRules,
}

impl SessionTokens {
    /// Nothing is fetched yet.
    #[must_use]
    pub fn new(client: Client, source: KeySource, rules: SessionTokenRules, lifetime: Lifetime) -> Self {
        let keys = match source {
            KeySource::Secret(id) => Secret::new(client, id, lifetime, SessionTokenKeys::from_secret),
            KeySource::Jwks(url) => Secret::from_jwks_url(url, lifetime, |jwks| {
                let keys = SessionTokenKeys::from_jwks(jwks)?;
                if keys.is_empty() {
                    log::line(
                        Level::Warn,
                        "every session token is rejected",
                        &"JWKS_URL has no key for RS256 or ES256",
                    );
                }
                Ok(keys)
            }),
        };
        Self { keys, rules }
    }

    /// Fetches the keys, unless there are good ones.
    ///
    /// # Errors
    ///
    /// As [`Secret::current`].
    pub async fn warm_up(&self) -> Result<(), Error> {
        self.keys.current().await.map(drop)
    }

    /// The account of a token. A token with an unknown key may have a new one, so the keys are fetched again, at most once
    /// per `interval`.
    pub(crate) async fn authenticate(
        &self,
        token: &SessionToken<'_>,
        interval: Duration,
        deadline: Deadline,
    ) -> Result<Authenticated, Error> {
        let mut keys = deadline.timeout(self.keys.current()).await?;
        let mut outcome = keys.authenticate(token, &self.rules, Timestamp::now());
        if outcome.as_ref().is_err_and(|rejection| *rejection == Rejection::UnknownKey) {
            keys = deadline.timeout(self.keys.newest(interval)).await?;
            outcome = keys.authenticate(token, &self.rules, Timestamp::now());
        }
        outcome.map_err(|_| Error::Unauthorized)
    }

    /// Whether the keys that are in use could not be refreshed.
    pub(crate) fn are_stale(&self) -> bool {
        self.keys.is_stale()
    }
}
