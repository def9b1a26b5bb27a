//! Opens connections.

use std::{borrow::Cow, ops::Deref, sync::Arc};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Error as PgError, NoTls, error::SqlState};

use super::{
    AuthTokenGenerator, CONNECT_TIMEOUT, ConnectionSettings, SettingsSource,
    cancel::cancel,
    check::{CheckError, SchemaFeatures},
    failure::{describe, is_lost},
};
use crate::{clock::FreezeProofInstant, error::Error};

/// The pool's manager.
///
/// deadpool-postgres has one too, but it can fail with PostgreSQL's errors alone: that Secrets Manager did not give the
/// credentials for a new connection could not be told.
pub struct Connector {
    pub(super) logins: SettingsSource,
    signer: Option<AuthTokenGenerator>,
}

/// A connection of the pool.
pub struct Connection {
    client: ClientWrapper,
    login: Arc<ConnectionSettings>,
    /// When the last check was sent.
    pub(super) checked_at: FreezeProofInstant,
    pub(super) features: SchemaFeatures,
}

impl Connector {
    pub fn new(logins: SettingsSource, signer: Option<AuthTokenGenerator>) -> Self {
        Self { logins, signer }
    }

    async fn connect(&self, login: Arc<ConnectionSettings>) -> Result<Connection, ConnectError> {
        let config = match &self.signer {
            Some(signer) => Cow::Owned(signer.sign(&login).await.map_err(ConnectError::Other)?),
            None => Cow::Borrowed(&login.config),
        };
        let (client, task) = if let Some(tls) = &login.tls {
            let (client, connection) = config.connect(tls.connector()).await?;
            (client, run(connection))
        } else {
            let (client, connection) = config.connect(NoTls).await?;
            (client, run(connection))
        };
        let client = ClientWrapper::new(client, task);
        let connection =
            Connection { client, login, checked_at: FreezeProofInstant::now(), features: SchemaFeatures::default() };
        match connection.first_check().await {
            Ok(()) => Ok(connection),
            Err(CheckError::Postgres(error)) if is_lost(&error) || connection.is_closed() => {
                Err(ConnectError::Lost(error))
            }
            Err(error) => Err(ConnectError::Other(error.into_error())),
        }
    }
}

/// Drives the connection's socket. It ends with the connection, and its errors reach the query that meets them.
fn run(connection: impl Future<Output = Result<(), PgError>> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move { drop(connection.await) })
}

impl Manager for Connector {
    type Type = Connection;
    type Error = Error;

    /// Opens a connection with the current login, and if PostgreSQL refuses that, with the one that has taken its place:
    /// that is how a rotated password comes in. One that is lost before it is open is opened again, once.
    async fn create(&self) -> Result<Connection, Error> {
        let login = self.logins.current().await?;
        let outcome = Box::pin(self.connect(login.clone())).await;
        let again = match &outcome {
            Err(error) if error.is_refused_login() => self.logins.refreshed_after_rejection(&login).await?,
            Err(error) if error.is_lost() => Some(login),
            _ => None,
        };
        let outcome = if let Some(login) = again { Box::pin(self.connect(login)).await } else { outcome };
        outcome.map_err(ConnectError::into_error)
    }

    /// The check goes out with the next statement, see `attempt::run`; this is for a connection that is known to be
    /// closed.
    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Error> {
        if connection.is_closed() { Err(RecycleError::message("closed")) } else { Ok(()) }
    }
}

impl Connection {
    /// Asks the server, over a connection of its own, to end what this connection is running. The task ends once the
    /// server has dealt with it; whoever cannot wait for that leaves it to end by itself, for a cancel that is given up
    /// half-way leaves a query behind. Whether the server had anything to end, or was reached, is not told.
    pub(super) fn cancel(&self) -> JoinHandle<()> {
        let (token, login) = (self.cancel_token(), Arc::clone(&self.login));
        tokio::spawn(async move {
            let _ = timeout(CONNECT_TIMEOUT, cancel(token, &login.config, login.tls.as_ref())).await;
        })
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

enum ConnectError {
    /// There was no token, or the check failed.
    Other(Error),
    Refused(PgError),
    /// There was a connection, and it was lost during its first check.
    Lost(PgError),
}

impl ConnectError {
    fn is_refused_login(&self) -> bool {
        matches!(self.code(), Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION))
    }

    /// Who was ended by `pg_terminate_backend` or a shutdown is told so, if that was before the connection was there.
    fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_)) || self.code() == Some(&SqlState::ADMIN_SHUTDOWN)
    }

    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Other(_) => None,
            Self::Refused(error) | Self::Lost(error) => error.code(),
        }
    }

    fn into_error(self) -> Error {
        match self {
            Self::Other(error) => error,
            Self::Refused(error) | Self::Lost(error) => {
                Error::Unavailable(format!("no connection: {}", describe(&error)))
            }
        }
    }
}

impl From<PgError> for ConnectError {
    fn from(error: PgError) -> Self {
        Self::Refused(error)
    }
}
