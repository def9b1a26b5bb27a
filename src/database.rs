//! PostgreSQL: pooled connections that are reused across invocations, one loop that decides every retry, and a timeout
//! for everything that can hang. This module knows no tables: callers pass a [`Schema`] and statements.
//!
//! | what | at most | constant |
//! | --- | --- | --- |
//! | connecting to one address of the host | 1.4 s | [`ADDRESS_TIMEOUT`] |
//! | opening a connection, schema check included | 3 s | [`CONNECT_TIMEOUT`] |
//! | checking that an idle connection is alive | 0.5 s | [`ALIVE_TIMEOUT`] |
//! | data that the server does not acknowledge | 5 s | [`UNACKNOWLEDGED_TIMEOUT`] |
//! | a statement | `QUERY_TIMEOUT_MS` | the caller's |
//! | cancelling a statement | 0.2 s | [`CANCEL_TIMEOUT`] |
//! | closing all connections | 0.15 s | [`CLOSE_TIMEOUT`] |
//! | all of that for one query | what the caller's deadline leaves | |
//!
//! [`RETRIES`] bounds what one query may cost: [`MAX_CONNECTIONS`] connections opened, and [`MAX_EXECUTIONS`] executions
//! of its statement.

mod cancel;
mod connection;
mod credentials;
mod error;
mod iam;
mod schema;
mod statements;
mod tls;

use std::{fmt, time::Duration};

use deadpool::{
    Runtime,
    managed::{Object, Pool, PoolError, Timeouts},
};
use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_postgres::Row;

use self::connection::{Connector, ExecuteError, OpenError};
pub use self::{
    connection::{Connection, Parameters, Statement},
    credentials::{AddressDefaults, ConnectionSettings, SettingsSource},
    iam::{AuthTokenGenerator, TOKEN_LIFETIME},
    schema::Schema,
    statements::{MAX_TEXTS, PLAN_MAX_AGE, PLAN_ONCE, StatementNames},
    tls::{AuthMethod, Tls, TlsPolicy},
};
use crate::{
    clock::{Deadline, RESPONSE_RESERVE},
    error::Error,
};

/// The timeout for opening a connection, from name resolution to the end of its first schema check.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The timeout for connecting to one address of the host. With less, one lost packet, which is retransmitted after a second,
/// would fail the address; with more, [`CONNECT_TIMEOUT`] would leave no time for a second address.
pub const ADDRESS_TIMEOUT: Duration = Duration::from_millis(1_400);

/// The time that sent data may stay unacknowledged before the kernel closes the connection.
pub const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(5);

/// The timeout for the check that an idle connection is alive. After it, the connection is replaced.
pub const ALIVE_TIMEOUT: Duration = Duration::from_millis(500);

/// The time that a connection is used without a check.
///
/// With more, connections that were lost while the environment was frozen would cost more retries, and rows that row level
/// security has started to hide would be missing for longer. With less, more requests would pay for a check: 0.15 ms of
/// PostgreSQL's processor time, and 20 µs for a packet and a wake-up.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The time that a request waits for the cancellation of a query that timed out or whose connection was lost.
pub const CANCEL_TIMEOUT: Duration = Duration::from_millis(200);

/// The minimum time between two fetches of the secret because PostgreSQL rejected its credentials.
///
/// During a password rotation PostgreSQL has the new password before Secrets Manager calls it current, and a request that
/// is rejected then must not wait long. Only the operator can cause these fetches, not a caller.
pub const REJECTED_CREDENTIALS_INTERVAL: Duration = Duration::from_secs(1);

/// The time for closing all connections when the environment ends, with the cancellation of their queries.
pub const CLOSE_TIMEOUT: Duration = Duration::from_millis(150);

/// The time between a response, cancellation included, and the end of the invocation.
const RESPONSE_MARGIN: Duration = Duration::from_millis(300);

const _: () = {
    assert!(2 * ADDRESS_TIMEOUT.as_millis() < CONNECT_TIMEOUT.as_millis(), "a second address has time");
    let margin = CANCEL_TIMEOUT.as_millis() + RESPONSE_MARGIN.as_millis();
    assert!(margin <= RESPONSE_RESERVE.as_millis(), "a query that times out is cancelled before the response is due");
};

/// The number of times that one query is retried, by the failure of the attempt before.
pub const RETRIES: Retries =
    Retries { idle_connection_dead: 1, connection_lost: 1, lost_while_connecting: 2, credentials_rejected: 2 };

/// The most connections that one query opens.
pub const MAX_CONNECTIONS: u32 = 1 + RETRIES.total();

/// The most times that one query executes its statement. A statement that was sent together with a failed check counts,
/// because the server may have received it.
pub const MAX_EXECUTIONS: u32 = 1 + RETRIES.idle_connection_dead + RETRIES.connection_lost;

/// The number of retries for each reason.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// The connection turned out to be dead, or row level security was enabled, since it was last used.
    pub idle_connection_dead: u32,
    /// The connection was lost while it ran the statement.
    pub connection_lost: u32,
    /// The connection was lost before it was open: a server or pooler that restarts.
    pub lost_while_connecting: u32,
    /// PostgreSQL rejected the credentials, and the secret has others: a password rotation.
    pub credentials_rejected: u32,
}

impl Retries {
    /// The sum of all retries.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.idle_connection_dead + self.connection_lost + self.lost_while_connecting + self.credentials_rejected
    }
}

enum AttemptError {
    Open(OpenError),
    IdleConnectionDead,
    ConnectionLost(String),
    /// Another attempt would not help.
    Final(Error),
}

/// A pool of connections to one database.
pub struct Database {
    pool: Pool<Connector>,
    query_timeout: Duration,
}

impl Database {
    /// Creates the pool; nothing is connected yet. A `token_generator` replaces the settings' password. `schema` is checked
    /// on every connection.
    ///
    /// # Panics
    ///
    /// Never: timeouts need a runtime, and there is one.
    #[must_use]
    pub fn new(
        settings: SettingsSource,
        token_generator: Option<AuthTokenGenerator>,
        schema: &'static Schema,
        names: StatementNames,
        query_timeout: Duration,
        pool_size: usize,
    ) -> Self {
        // Waiting for a connection ends at the request's deadline.
        let timeouts = Timeouts { wait: None, create: Some(CONNECT_TIMEOUT), recycle: Some(ALIVE_TIMEOUT) };
        let pool = Pool::builder(Connector::new(settings, token_generator, schema, names))
            .max_size(pool_size)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a runtime for the timeouts is given");
        Self { pool, query_timeout }
    }

    /// Runs one read-only statement in one round trip and collects its rows as they arrive. Adds to `resent` how often the
    /// statement was sent again because the connection was lost while it ran. A statement that times out, or may still be
    /// running on a lost connection, is cancelled on the server.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if there is no connection or [`RETRIES`] are used up, [`Error::Misconfigured`] if row level
    /// security may hide rows, [`Error::Timeout`], [`Error::Query`] if PostgreSQL rejected the statement, or
    /// [`Error::InvalidText`] if it could not convert a text. Those of [`crate::secret::Secret::current`] if credentials
    /// are needed.
    pub async fn query<R: Extend<Row>>(
        &self,
        statement: &Statement<'_>,
        new_rows: impl Fn() -> R,
        deadline: Deadline,
        resent: &mut u32,
    ) -> Result<R, Error> {
        let mut left = RETRIES;
        loop {
            let error = match self.attempt(statement, &new_rows, deadline).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            let (left, error) = match error {
                AttemptError::Final(error) | AttemptError::Open(OpenError::Final(error)) => return Err(error),
                AttemptError::IdleConnectionDead => {
                    (&mut left.idle_connection_dead, "the connection was lost twice while it was idle".into())
                }
                AttemptError::ConnectionLost(cause) => {
                    if left.connection_lost > 0 {
                        *resent += 1;
                    }
                    (&mut left.connection_lost, cause)
                }
                AttemptError::Open(OpenError::ConnectionLost(cause)) => (&mut left.lost_while_connecting, cause),
                AttemptError::Open(OpenError::CredentialsRejected { settings, cause }) => {
                    let connector = self.pool.manager();
                    if left.credentials_rejected > 0 && !deadline.timeout(connector.refresh(&settings)).await? {
                        return Err(Error::Unavailable(cause));
                    }
                    (&mut left.credentials_rejected, cause)
                }
            };
            *left = left.checked_sub(1).ok_or(Error::Unavailable(error))?;
        }
    }

    /// Opens the connection before a request needs it, or replaces a lost one, and runs a statement that reads no account's
    /// rows: PostgreSQL then loads the catalogue entries that a page needs, which costs a connection's first page some
    /// milliseconds. Adds to `resent` as [`Database::query`] does.
    ///
    /// # Errors
    ///
    /// As [`Database::query`].
    pub async fn warm_up(&self, statement: &Statement<'_>, resent: &mut u32) -> Result<(), Error> {
        let deadline = Deadline::within(ALIVE_TIMEOUT + CONNECT_TIMEOUT);
        self.query(statement, Vec::new, deadline, resent).await.map(drop)
    }

    /// Whether new connections use credentials that could not be refreshed.
    #[must_use]
    pub fn has_stale_credentials(&self) -> bool {
        self.pool.manager().settings.is_stale()
    }

    /// Closes all connections that no query uses, each with PostgreSQL's Terminate message, and cancels what their dropped
    /// queries may still be running. Returns after [`CLOSE_TIMEOUT`] at the latest.
    pub async fn close(&self) {
        let connections = self.pool.retain(|_, _| false).removed;
        let _ = timeout(CLOSE_TIMEOUT, join_all(connections.into_iter().map(Connection::close))).await;
    }

    async fn attempt<R: Extend<Row>>(
        &self,
        statement: &Statement<'_>,
        new_rows: impl Fn() -> R,
        deadline: Deadline,
    ) -> Result<R, AttemptError> {
        let mut connection = self.connection(deadline).await.map_err(AttemptError::Open)?;
        let error = match connection.execute(statement, new_rows, self.query_timeout, deadline).await {
            Ok(rows) => return Ok(rows),
            Err(error) => error,
        };
        // After a rejected statement, the connection is still usable.
        if !matches!(error, ExecuteError::Rejected(_)) {
            discard(connection, error.may_still_be_running()).await;
        }
        Err(match error {
            ExecuteError::Dead | ExecuteError::RowSecurityEnabled => AttemptError::IdleConnectionDead,
            ExecuteError::Lost(error) => AttemptError::ConnectionLost(error::log_text(&error)),
            ExecuteError::Rejected(error) | ExecuteError::CheckRejected(error) => {
                AttemptError::Final(error::classify(&error))
            }
            ExecuteError::RowsHidden(tables) => {
                AttemptError::Final(schema::rows_hidden(&tables, self.pool.manager().schema))
            }
            ExecuteError::TimedOut => {
                AttemptError::Final(Error::Timeout(format!("cancelled after {:?} at most", self.query_timeout)))
            }
        })
    }

    async fn connection(&self, deadline: Deadline) -> Result<Object<Connector>, OpenError> {
        let unavailable = |cause: String| OpenError::Final(Error::Unavailable(cause));
        match timeout(deadline.remaining(), self.pool.get()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(PoolError::Timeout(step))) => Err(unavailable(format!("no connection: timed out ({step:?})"))),
            Ok(Err(_)) => Err(unavailable("no connection: the pool is closed".into())),
            Err(_) => Err(unavailable("no connection before the deadline".into())),
        }
    }
}

/// Removes the connection from the pool and cancels what it may be running. Without the cancel request, the server would
/// keep working; in the pool, the connection would make the next request wait for the rest of this response.
async fn discard(connection: Object<Connector>, is_running: bool) {
    if is_running {
        let _ = timeout(CANCEL_TIMEOUT, connection.cancel()).await;
    }
    drop(Object::take(connection));
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("query_timeout", &self.query_timeout).finish_non_exhaustive()
    }
}
