//! PostgreSQL: one pooled connection that is reused across invocations, and a limit for everything that can hang.

mod attempt;
mod cancel;
mod check;
mod connector;
mod failure;
mod form;
mod iam;
mod login;
mod logins;
mod policy;
mod tls;

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use deadpool::{
    Runtime,
    managed::{Object, Pool, PoolError, Timeouts},
};
use tokio::time::timeout;

use self::{attempt::Attempt, connector::Connector};
pub use self::{
    connector::Connection,
    iam::{AuthTokenGenerator, TOKEN_LIFETIME},
    login::{AddressDefaults, ConnectionSettings},
    logins::SettingsSource,
    policy::{AuthMethod, TlsPolicy},
    tls::Tls,
};
use crate::{
    clock::Deadline,
    error::Error,
    sessions::{Row, Statement, probe},
};

/// Connections of one environment. Lambda gives it one event at a time, so a second one would only idle.
pub const POOL_SIZE: usize = 1;

/// How long opening a connection may take, from name resolution to the end of its first check.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one address of the host may take to accept a connection, so that there is time for a second address if the first
/// does not respond. A lost packet is sent again after a second, which has to fit in.
pub const ADDRESS_TIMEOUT: Duration = Duration::from_millis(1_400);

/// How long a connection that was idle has to show that it is alive before it is replaced.
pub const ALIVE_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a connection is used without a check.
///
/// Longer, and a connection that was lost while the environment was frozen is used and costs a retry, and rows that row
/// level security has come to hide are missing for as long. Shorter, and more requests pay for a check: 0.15 ms of
/// PostgreSQL's processor time, and 20 µs for a packet and a waking.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a request waits until a query that ran out of time, or whose connection was lost, is cancelled.
pub const CANCEL_TIMEOUT: Duration = Duration::from_millis(200);

/// The least time between two fetches of the secret because PostgreSQL has refused its login.
///
/// While a password is rotated, PostgreSQL has the new one before Secrets Manager calls it current, and a request that is
/// rejected then must not wait long. Only the operator can cause these fetches, not a caller. Each attempt to connect makes
/// two at most: of the current version, and of the one that a rotation has made.
pub const REJECTED_CREDENTIALS_INTERVAL: Duration = Duration::from_secs(1);

/// The database that the sessions are in.
pub struct Database {
    pool: Pool<Connector>,
    query_timeout: Duration,
    resent: AtomicU32,
}

impl Database {
    /// The database that `logins` lead to, with their passwords or with what `signer` makes instead. A statement may take
    /// `query_timeout`. Nothing is connected yet.
    ///
    /// # Panics
    ///
    /// Never: limits need a runtime, and there is one.
    #[must_use]
    pub fn new(logins: SettingsSource, signer: Option<AuthTokenGenerator>, query_timeout: Duration) -> Self {
        let limits =
            Timeouts { wait: Some(CONNECT_TIMEOUT), create: Some(CONNECT_TIMEOUT), recycle: Some(ALIVE_TIMEOUT) };
        let pool = Pool::builder(Connector::new(logins, signer))
            .max_size(POOL_SIZE)
            .timeouts(limits)
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a runtime for the limits is given");
        Self { pool, query_timeout, resent: AtomicU32::new(0) }
    }

    /// Opens the connection before a request needs it, or replaces one that has died, and runs the query for no account:
    /// PostgreSQL then reads what it needs to know of the tables, which costs a connection's first query some milliseconds.
    ///
    /// # Errors
    ///
    /// As [`Database::query`].
    pub async fn warm_up(&self) -> Result<(), Error> {
        self.query(&probe(), Deadline::within(ALIVE_TIMEOUT + CONNECT_TIMEOUT)).await.map(drop)
    }

    /// Runs one read-only statement in one round trip. A connection that has died while it was idle is replaced; one that
    /// is lost on the way too, and the statement sent again, once. A statement that runs out of time, or whose connection
    /// was lost on the way, is cancelled on the server.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if there is no connection or it was lost twice, [`Error::Misconfigured`] if row level security
    /// may hide rows, [`Error::Timeout`], or [`Error::Query`] if PostgreSQL rejected the statement. Those of
    /// [`crate::secret::Secret::current`] if credentials are needed.
    pub async fn query(&self, statement: &Statement<'_>, deadline: Deadline) -> Result<Vec<Row>, Error> {
        let mut attempt = self.attempt(statement, deadline).await?;
        if let Attempt::Dead = attempt {
            attempt = self.attempt(statement, deadline).await?;
        }
        if let Attempt::Lost(_) = attempt {
            self.resent.fetch_add(1, Ordering::Relaxed);
            attempt = self.attempt(statement, deadline).await?;
        }
        match attempt {
            Attempt::Rows(rows) => Ok(rows),
            Attempt::Lost(cause) => Err(Error::Unavailable(cause)),
            Attempt::Dead => Err(Error::Unavailable("the connection has died twice".into())),
        }
    }

    /// How many statements have been sent a second time since the environment started.
    pub fn resent(&self) -> u32 {
        self.resent.load(Ordering::Relaxed)
    }

    /// Whether new connections use credentials that could not be refreshed.
    pub fn has_stale_credentials(&self) -> bool {
        self.pool.manager().logins.is_stale()
    }

    async fn attempt(&self, statement: &Statement<'_>, deadline: Deadline) -> Result<Attempt, Error> {
        Attempt::make(self.connection(deadline).await?, statement, self.query_timeout, deadline).await
    }

    async fn connection(&self, deadline: Deadline) -> Result<Object<Connector>, Error> {
        // deadpool limits waiting, recycling and connecting one by one; the deadline is for all of them.
        match timeout(deadline.remaining().min(ALIVE_TIMEOUT + CONNECT_TIMEOUT), self.pool.get()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(error)) => Err(Error::Unavailable(format!("no connection: {error}"))),
            Err(_) => Err(Error::Unavailable("no connection before the deadline".into())),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("query_timeout", &self.query_timeout).finish_non_exhaustive()
    }
}
