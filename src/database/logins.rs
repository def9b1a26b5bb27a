//! Where each new connection takes its login from.

use std::sync::Arc;

use super::{Login, REFUSED_LOGIN_INTERVAL};
use crate::{error::Error, secret::Secret};

/// The login, or the secret that it is read from.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in the process")]
pub enum Logins {
    /// `DATABASE_URL`: the same one always.
    Fixed(Arc<Login>),
    /// `DATABASE_SECRET_ID`: the current one.
    Secret(Secret<Login>),
}

impl Logins {
    /// The login for a new connection.
    ///
    /// # Errors
    ///
    /// As [`Secret::current`].
    pub async fn current(&self) -> Result<Arc<Login>, Error> {
        match self {
            Self::Fixed(login) => Ok(login.clone()),
            Self::Secret(secret) => secret.current().await,
        }
    }

    /// The login that has taken the place of one that PostgreSQL has refused, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Secret::newest`].
    pub async fn instead_of(&self, refused: &Login) -> Result<Option<Arc<Login>>, Error> {
        match self {
            Self::Fixed(_) => Ok(None),
            Self::Secret(secret) => {
                let newest = secret.newest(REFUSED_LOGIN_INTERVAL).await?;
                Ok(Some(newest).filter(|newest| newest.config != refused.config))
            }
        }
    }

    /// As [`Secret::is_stale`].
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Secret(secret) => secret.is_stale(),
        }
    }
}
