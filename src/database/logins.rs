//! Where each new connection takes its login from.

use std::sync::Arc;

use super::{ConnectionSettings, REJECTED_CREDENTIALS_INTERVAL};
use crate::{
    error::Error,
    secret::{Client, Lifetime, Secret},
};

/// The label of the version that a rotation is about to make current.
const PENDING: &str = "AWSPENDING";

/// The login, or the secret that it is read from.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in the process")]
pub enum SettingsSource {
    /// `DATABASE_URL`: the same one always.
    Fixed(Arc<ConnectionSettings>),
    /// `DATABASE_SECRET_ID`
    Secret {
        /// The version that is current.
        current: Secret<ConnectionSettings>,
        /// The version that a rotation is about to make current.
        pending: Secret<ConnectionSettings>,
    },
}

impl SettingsSource {
    /// The source that reads the secret with this name or ARN. Nothing is fetched yet; `parse` is as [`Secret::new`] takes it.
    pub fn from_secret(
        client: Client,
        id: String,
        lifetime: Lifetime,
        parse: impl Fn(&str) -> Result<ConnectionSettings, String> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::Secret {
            pending: Secret::new(client.clone(), id.clone(), lifetime, parse.clone()).with_label(PENDING),
            current: Secret::new(client, id, lifetime, parse),
        }
    }

    /// The login for a new connection.
    ///
    /// # Errors
    ///
    /// As [`Secret::current`].
    pub async fn current(&self) -> Result<Arc<ConnectionSettings>, Error> {
        match self {
            Self::Fixed(login) => Ok(login.clone()),
            Self::Secret { current, .. } => current.current().await,
        }
    }

    /// The login that has taken the place of one that PostgreSQL has refused, if there is one: the current one, or while
    /// that is still the refused one, the one that a rotation is about to make current. A [rotation of a single
    /// user][single] gives PostgreSQL the new password first and makes it current seconds later, or much later if it is
    /// interrupted in between.
    ///
    /// [single]: https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotation-strategy.html
    ///
    /// # Errors
    ///
    /// As [`Secret::newest`].
    pub async fn refreshed_after_rejection(
        &self,
        refused: &ConnectionSettings,
    ) -> Result<Option<Arc<ConnectionSettings>>, Error> {
        match self {
            Self::Fixed(_) => Ok(None),
            Self::Secret { current, pending } => {
                let other = |login: &Arc<ConnectionSettings>| login.config != refused.config;
                let newest = Some(current.newest(REJECTED_CREDENTIALS_INTERVAL).await?).filter(other);
                if newest.is_some() {
                    return Ok(newest);
                }
                // Most of the time there is none, and PostgreSQL's refusal says more than its absence does.
                Ok(pending.newest(REJECTED_CREDENTIALS_INTERVAL).await.ok().filter(other))
            }
        }
    }

    /// As [`Secret::is_stale`].
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Secret { current, .. } => current.is_stale(),
        }
    }
}
