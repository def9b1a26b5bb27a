//! Opens connections, and tells whether one is still alive.

use std::{ops::Deref, sync::OnceLock};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Error as PgError, NoTls, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    describe,
    login::{Login, Logins},
    tls,
};
use crate::error::Error;

/// The pool's manager.
///
/// deadpool-postgres has one too, but it can fail with PostgreSQL's errors alone: that Secrets Manager did not give the
/// credentials for a new connection could not be told.
pub struct Connector {
    pub(super) logins: Logins,
    ca_pem: Option<String>,
    // Made for the first connection that is encrypted: a hundred certificates are not parsed for nothing.
    tls: OnceLock<MakeRustlsConnect>,
}

/// A connection of the pool.
pub struct Connection {
    client: ClientWrapper,
    tls: Option<MakeRustlsConnect>,
}

impl Connector {
    pub fn new(logins: Logins, ca_pem: Option<String>) -> Self {
        Self { logins, ca_pem, tls: OnceLock::new() }
    }

    async fn connect(&self, login: &Login) -> Result<Connection, ConnectError> {
        let (client, task, tls) = if login.encrypted {
            let tls = self.tls().map_err(ConnectError::Tls)?;
            let (client, connection) = login.config.connect(tls.clone()).await?;
            (client, run(connection), Some(tls))
        } else {
            let (client, connection) = login.config.connect(NoTls).await?;
            (client, run(connection), None)
        };
        Ok(Connection { client: ClientWrapper::new(client, task), tls })
    }

    fn tls(&self) -> Result<MakeRustlsConnect, String> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let tls = tls::connector(self.ca_pem.as_deref())?;
        Ok(self.tls.get_or_init(|| tls).clone())
    }
}

/// Drives the connection's socket. It ends with the connection, and its errors reach the query that meets them.
fn run(connection: impl Future<Output = Result<(), PgError>> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move { drop(connection.await) })
}

impl Manager for Connector {
    type Type = Connection;
    type Error = Error;

    /// Opens a connection with the current credentials, and with the newest if PostgreSQL refuses those: that is how a
    /// rotated password comes in.
    async fn create(&self) -> Result<Connection, Error> {
        let login = self.logins.current().await?;
        let outcome = match (Box::pin(self.connect(&login)).await, &self.logins) {
            (Err(error), Logins::Secret(secret)) if error.is_refused_login() => {
                Box::pin(self.connect(&*secret.newest().await?)).await
            }
            (outcome, _) => outcome,
        };
        outcome.map_err(ConnectError::into_error)
    }

    /// Waits for the server to answer a Sync. Whether the connection is closed is not enough to ask: after a freeze the
    /// end of the connection is in the socket, and nobody has read it yet.
    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Error> {
        connection.check_connection().await.map_err(|error| RecycleError::message(describe(&error)))
    }
}

impl Connection {
    /// Asks the server, over a connection of its own, to end what this connection is running.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached. Whether it had anything to end is not told.
    pub async fn cancel(&self) -> Result<(), PgError> {
        match &self.tls {
            Some(tls) => self.cancel_token().cancel_query(tls.clone()).await,
            None => self.cancel_token().cancel_query(NoTls).await,
        }
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

enum ConnectError {
    Tls(String),
    PostgreSql(PgError),
}

impl ConnectError {
    fn is_refused_login(&self) -> bool {
        let Self::PostgreSql(error) = self else { return false };
        matches!(error.code(), Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION))
    }

    fn into_error(self) -> Error {
        match self {
            Self::Tls(cause) => Error::Internal(cause),
            Self::PostgreSql(error) => Error::Unavailable(format!("no connection: {}", describe(&error))),
        }
    }
}

impl From<PgError> for ConnectError {
    fn from(error: PgError) -> Self {
        Self::PostgreSql(error)
    }
}
