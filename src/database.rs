//! PostgreSQL: one pooled connection that is reused across invocations, and a limit for everything that can hang.

mod cancel;
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
use tokio_postgres::Row;

pub use self::{
    connector::Connection,
    iam::{Signer, TOKEN_LIFETIME},
    login::Login,
    logins::Logins,
    policy::{Auth, Policy},
    tls::Tls,
};
use self::{
    connector::Connector,
    failure::{describe, is_lost, refusal},
};
use crate::{clock::Deadline, error::Error, sessions::Statement};

/// Connections of one environment. Lambda gives it one event at a time, so a second one would only idle.
pub const POOL_SIZE: usize = 1;

/// How long opening a connection may take, from name resolution to the answer that warms it up.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// How long an idle connection has to show that it is alive before it is replaced.
pub const RECYCLE_LIMIT: Duration = Duration::from_millis(500);

/// How long a request waits until a query that ran out of time, or whose connection was lost, is cancelled.
pub const CANCEL_LIMIT: Duration = Duration::from_millis(200);

/// The least time between two fetches of the secret because PostgreSQL has refused its login.
///
/// While a password is rotated there is a moment at which PostgreSQL has the new one and Secrets Manager still calls the
/// old one current; who is refused then must not have to wait for long. Only the operator can cause these fetches, not a
/// caller, and there is no more than one for each attempt to connect.
pub const REFUSED_LOGIN_INTERVAL: Duration = Duration::from_secs(1);

/// The database that the sessions are in.
pub struct Database {
    pool: Pool<Connector>,
    query_limit: Duration,
    resent: AtomicU32,
}

impl Database {
    /// The database that `logins` lead to, with their passwords or with what `signer` makes instead. A statement may take
    /// `query_limit`. Nothing is connected yet.
    ///
    /// # Panics
    ///
    /// Never: limits need a runtime, and there is one.
    #[must_use]
    pub fn new(logins: Logins, signer: Option<Signer>, query_limit: Duration) -> Self {
        let limits = Timeouts { wait: Some(CONNECT_LIMIT), create: Some(CONNECT_LIMIT), recycle: Some(RECYCLE_LIMIT) };
        let pool = Pool::builder(Connector::new(logins, signer))
            .max_size(POOL_SIZE)
            .timeouts(limits)
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a runtime for the limits is given");
        Self { pool, query_limit, resent: AtomicU32::new(0) }
    }

    /// Opens the connection before the first request needs it.
    ///
    /// # Errors
    ///
    /// As [`Database::query`], but for the query.
    pub async fn warm_up(&self) -> Result<(), Error> {
        self.connection(Deadline::within(CONNECT_LIMIT)).await.map(drop)
    }

    /// Runs one read-only statement in one round trip. A connection that turns out to be lost is replaced, and the
    /// statement sent again, once. A statement that runs out of time, or whose connection was lost on the way, is
    /// cancelled on the server.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if there is no connection or it was lost twice, [`Error::Timeout`], or [`Error::Query`]
    /// if PostgreSQL refused the statement. Those of [`crate::secret::Secret::current`] if credentials are needed.
    pub async fn query(&self, statement: &Statement<'_>, by: Deadline) -> Result<Vec<Row>, Error> {
        match self.attempt(statement, by).await? {
            Attempt::Rows(rows) => Ok(rows),
            Attempt::Lost(_) => {
                self.resent.fetch_add(1, Ordering::Relaxed);
                match self.attempt(statement, by).await? {
                    Attempt::Rows(rows) => Ok(rows),
                    Attempt::Lost(cause) => Err(Error::Unavailable(cause)),
                }
            }
        }
    }

    /// How many statements have been sent a second time since the environment started.
    pub fn resent(&self) -> u32 {
        self.resent.load(Ordering::Relaxed)
    }

    /// Whether new connections use credentials that could not be refreshed.
    pub fn has_stale_login(&self) -> bool {
        self.pool.manager().logins.is_stale()
    }

    async fn attempt(&self, statement: &Statement<'_>, by: Deadline) -> Result<Attempt, Error> {
        let connection = self.connection(by).await?;
        let limit = by.left(self.query_limit);
        let outcome = timeout(limit, connection.rows(statement)).await;
        match outcome {
            Ok(Ok(rows)) => Ok(Attempt::Rows(rows)),
            Ok(Err(error)) if is_lost(&error) || connection.is_closed() => {
                // A server that says why it ends a session ends its query with it. One that says nothing may not know
                // that the connection is lost, and a query that waits looks after it only when it has something to say.
                if error.as_db_error().is_none() {
                    let _ = timeout(CANCEL_LIMIT, connection.cancel()).await;
                }
                drop(Object::take(connection));
                Ok(Attempt::Lost(describe(&error)))
            }
            Ok(Err(error)) => Err(refusal(&error)),
            Err(_) => {
                // Neither is enough alone: without the cancel the server works on, and without taking the connection
                // out of the pool the next request waits for the rest of this one's answer.
                let _ = timeout(CANCEL_LIMIT, connection.cancel()).await;
                drop(Object::take(connection));
                Err(Error::Timeout(format!("cancelled after {limit:?}")))
            }
        }
    }

    async fn connection(&self, by: Deadline) -> Result<Object<Connector>, Error> {
        // deadpool limits waiting, recycling and connecting one by one; the deadline is for all of them.
        match timeout(by.left(RECYCLE_LIMIT + CONNECT_LIMIT), self.pool.get()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(error)) => Err(Error::Unavailable(format!("no connection: {error}"))),
            Err(_) => Err(Error::Unavailable("no connection before the deadline".into())),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("query_limit", &self.query_limit).finish_non_exhaustive()
    }
}

enum Attempt {
    Rows(Vec<Row>),
    Lost(String),
}
