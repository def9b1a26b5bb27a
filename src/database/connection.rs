//! One connection: opens it, checks it, executes statements on it, cancels them.

use std::{
    borrow::Cow,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use futures_util::{FutureExt, TryStreamExt};
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{
    Client, Error as PgError, NoTls, Row, Statement as Prepared,
    config::Host,
    error::SqlState,
    types::{ToSql, Type},
};

use super::{
    ALIVE_TIMEOUT, AuthTokenGenerator, CHECK_INTERVAL, CONNECT_TIMEOUT, ConnectionSettings, SettingsSource,
    cancel::{cancel, process_id},
    error::{classify, is_lost, log_text, may_still_be_running},
    schema::{CheckError, Features, Schema, rows_hidden},
    statements::{Planning, Sending, StatementNames, Statements},
};
use crate::{
    clock::{Deadline, FreezeProofInstant},
    error::Error,
};

/// In the host name of an RDS Proxy, which pins a client that names statements to one connection of the server.
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html>
const RDS_PROXY: &str = ".proxy-";

/// A statement's parameters, each with the type that the statement declares for it.
pub type Parameters<'a> = Vec<(&'a (dyn ToSql + Sync), Type)>;

/// A statement in two variants with the same parameters and the same columns. Composing one takes 5 µs, so only the one
/// that is sent is composed.
pub struct Statement<'a> {
    compose: Box<dyn Fn(bool) -> String + Send + Sync + 'a>,
    /// The values of `$1`, `$2`, …
    pub parameters: Parameters<'a>,
    has_one_plan: bool,
}

impl<'a> Statement<'a> {
    /// `compose` returns the preferred variant for `true`, otherwise the fallback.
    pub fn new(parameters: Parameters<'a>, compose: impl Fn(bool) -> String + Send + Sync + 'a) -> Self {
        Self { compose: Box::new(compose), parameters, has_one_plan: false }
    }

    /// Declares whether one plan of the preferred variant is right for any values, so that it need not be planned again.
    #[must_use]
    pub fn with_one_plan(self, has_one_plan: bool) -> Self {
        Self { has_one_plan, ..self }
    }

    /// The variant that reads the [`Schema`]'s preferred relations.
    #[must_use]
    pub fn preferred(&self) -> String {
        (self.compose)(true)
    }

    /// The variant that does not read them.
    #[must_use]
    pub fn fallback(&self) -> String {
        (self.compose)(false)
    }
}

/// The pool's manager.
///
/// deadpool-postgres has one too, but its only error is PostgreSQL's: it could not report that Secrets Manager returned no
/// credentials.
pub struct Connector {
    pub(super) settings: SettingsSource,
    /// The next connection's settings, after PostgreSQL has rejected the current ones.
    refreshed: Mutex<Option<Arc<ConnectionSettings>>>,
    token_generator: Option<AuthTokenGenerator>,
    pub(super) schema: &'static Schema,
    names: StatementNames,
}

/// A connection of the pool.
pub struct Connection {
    client: ClientWrapper,
    task: AbortOnDrop,
    settings: Arc<ConnectionSettings>,
    schema: &'static Schema,
    /// Whether a statement is running, or was when its future was dropped.
    is_busy: bool,
    /// The result of the last check.
    features: Features,
    statements: Statements,
    /// When the last check was sent.
    checked_at: FreezeProofInstant,
}

pub enum OpenError {
    CredentialsRejected {
        settings: Arc<ConnectionSettings>,
        cause: String,
    },
    /// The connection was lost before its first check had passed.
    ConnectionLost(String),
    /// Another attempt would not help.
    Final(Error),
}

pub enum ExecuteError {
    /// The connection had been lost before the statement was sent.
    Dead,
    RowSecurityEnabled,
    RowsHidden(String),
    Lost(PgError),
    /// PostgreSQL rejected the statement.
    Rejected(PgError),
    /// PostgreSQL rejected the check that was sent before the statement.
    CheckRejected(PgError),
    TimedOut,
}

impl ExecuteError {
    /// Whether the server may be running the statement.
    pub(super) fn may_still_be_running(&self) -> bool {
        match self {
            Self::Lost(error) => may_still_be_running(error),
            Self::Rejected(_) => false,
            // The statement was sent together with the check that failed.
            Self::Dead | Self::RowSecurityEnabled | Self::RowsHidden(_) | Self::CheckRejected(_) | Self::TimedOut => {
                true
            }
        }
    }
}

impl Connector {
    pub(super) fn new(
        settings: SettingsSource,
        token_generator: Option<AuthTokenGenerator>,
        schema: &'static Schema,
        names: StatementNames,
    ) -> Self {
        Self { settings, refreshed: Mutex::default(), token_generator, schema, names }
    }

    /// Makes the next connection use settings other than the rejected ones; returns `false` if there are none.
    pub(super) async fn refresh(&self, rejected: &ConnectionSettings) -> Result<bool, Error> {
        let refreshed = self.settings.refreshed_after_rejection(rejected).await?;
        let is_refreshed = refreshed.is_some();
        *self.refreshed.lock().unwrap_or_else(PoisonError::into_inner) = refreshed;
        Ok(is_refreshed)
    }

    async fn open(&self, settings: Arc<ConnectionSettings>) -> Result<Connection, OpenError> {
        let config = match &self.token_generator {
            Some(generator) => Cow::Owned(generator.sign(&settings).await.map_err(OpenError::Final)?),
            None => Cow::Borrowed(&settings.config),
        };
        let connected = match &settings.tls {
            Some(tls) => config.connect(tls.connector()).await.map(|(client, task)| (client, spawn(task))),
            None => config.connect(NoTls).await.map(|(client, task)| (client, spawn(task))),
        };
        let (client, task) = connected.map_err(|error| {
            let cause = no_connection(&error);
            match error.code() {
                Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                    OpenError::CredentialsRejected { settings: Arc::clone(&settings), cause }
                }
                // `pg_terminate_backend` or a shutdown ended the connection while it was being opened.
                Some(&SqlState::ADMIN_SHUTDOWN) => OpenError::ConnectionLost(cause),
                _ => OpenError::Final(Error::Unavailable(cause)),
            }
        })?;
        let mut connection = Connection {
            // The wrapper aborts its task when it is dropped. Ours outlives it, so that it can send Terminate.
            client: ClientWrapper::new(client, tokio::spawn(async {})),
            task: AbortOnDrop(Some(task)),
            settings,
            schema: self.schema,
            is_busy: false,
            features: Features::default(),
            statements: Statements::default(),
            checked_at: FreezeProofInstant::now(),
        };
        connection.features = connection.first_check().await?;
        connection.statements = Statements::new(match self.names {
            StatementNames::Auto => connection.is_direct(),
            StatementNames::Named => true,
            StatementNames::Unnamed => false,
        });
        Ok(connection)
    }
}

/// Drives the connection's socket until the connection ends. Its errors are dropped, because a lost connection's queries
/// fail too.
fn spawn(connection: impl Future<Output = Result<(), PgError>> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move { drop(connection.await) })
}

fn no_connection(error: &PgError) -> String {
    format!("no connection: {}", log_text(error))
}

impl Manager for Connector {
    type Type = Connection;
    type Error = OpenError;

    async fn create(&self) -> Result<Connection, OpenError> {
        let refreshed = self.refreshed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let settings = match refreshed {
            Some(settings) => settings,
            None => self.settings.current().await.map_err(OpenError::Final)?,
        };
        Box::pin(self.open(settings)).await
    }

    /// Replaces a connection that is known to be closed. Others are checked together with the next statement, see
    /// [`Connection::execute`].
    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<OpenError> {
        if connection.is_closed() { Err(RecycleError::message("closed")) } else { Ok(()) }
    }
}

impl Connection {
    /// Executes the text of a statement that suits the schema, in one round trip, or in two if the preferred relations have
    /// been dropped or hidden since the last check. Each has `query_timeout`, once the connection is known to be alive.
    ///
    /// # Errors
    ///
    /// The connection must be discarded after every error except [`ExecuteError::Rejected`].
    pub(super) async fn execute<R: Extend<Row>>(
        &mut self,
        statement: &Statement<'_>,
        new_rows: impl Fn() -> R,
        query_timeout: Duration,
        deadline: Deadline,
    ) -> Result<R, ExecuteError> {
        self.is_busy = true;
        let rows = self.execute_variant(statement, new_rows, query_timeout, deadline).await;
        self.is_busy = false;
        rows
    }

    async fn execute_variant<R: Extend<Row>>(
        &mut self,
        statement: &Statement<'_>,
        new_rows: impl Fn() -> R,
        query_timeout: Duration,
        deadline: Deadline,
    ) -> Result<R, ExecuteError> {
        let is_preferred = self.features.has_preferred;
        let rows = self.run(statement, is_preferred, &new_rows, query_timeout, deadline).await?;
        if is_preferred && rows.as_ref().is_err_and(lacks_relation) {
            self.features.has_preferred = false;
        }
        if !is_preferred || self.features.has_preferred {
            return rows.map_err(|error| self.execute_error(error));
        }
        let rows = self.run(statement, false, &new_rows, query_timeout, deadline).await?;
        rows.map_err(|error| self.execute_error(error))
    }

    /// Runs one variant of a statement, and again without a name if its named statement is not valid any more.
    async fn run<R: Extend<Row>>(
        &mut self,
        statement: &Statement<'_>,
        is_preferred: bool,
        new_rows: impl Fn() -> R,
        query_timeout: Duration,
        deadline: Deadline,
    ) -> Result<Result<R, PgError>, ExecuteError> {
        let text = if is_preferred { statement.preferred() } else { statement.fallback() };
        let planning = if is_preferred && statement.has_one_plan { Planning::Once } else { Planning::Always };
        let mut sending = self.statements.send(&text, planning);
        loop {
            let reading = self.read(&sending, &text, &statement.parameters, &new_rows);
            let rows = if self.checked_at.elapsed() < CHECK_INTERVAL {
                timeout(deadline.remaining().min(query_timeout), reading).await.map_err(|_| ExecuteError::TimedOut)?
            } else {
                let started = FreezeProofInstant::now();
                let (features, rows) = self.checked(reading, query_timeout, deadline).await?;
                if features.process_id != self.features.process_id {
                    self.statements.stop_naming();
                }
                (self.features, self.checked_at) = (features, started);
                rows
            };
            match rows {
                Err(error) if sending.is_named() && self.statements.is_invalidated(&error) => {
                    sending = self.statements.send(&text, planning);
                }
                Err(error) => return Ok(Err(error)),
                Ok((rows, named)) => {
                    if let Some(named) = named {
                        self.statements.keep(&text, named);
                    }
                    return Ok(Ok(rows));
                }
            }
        }
    }

    /// Whether this connection leads to one process of the server for its life. The server then sent the process's id when
    /// the connection was opened; poolers send one of their own.
    fn is_direct(&self) -> bool {
        let is_proxy = |host: &Host| matches!(host, Host::Tcp(name) if name.contains(RDS_PROXY));
        process_id(self) == Some(self.features.process_id) && !self.settings.config.get_hosts().iter().any(is_proxy)
    }

    /// Checks the connection while it runs `rows`. The liveness query, the check and the statement are sent in one packet
    /// and cost one round trip. No row is used before the check has passed.
    async fn checked<R>(
        &self,
        rows: impl Future<Output = R>,
        query_timeout: Duration,
        deadline: Deadline,
    ) -> Result<(Features, R), ExecuteError> {
        let check = self.schema.check_again(self, self.features);
        let mut checked = Box::pin(async { tokio::try_join!(biased; check, rows.map(Ok)) });
        let outcome = tokio::select! {
            biased;
            is_alive = self.is_alive(deadline) => {
                if !is_alive {
                    return Err(ExecuteError::Dead);
                }
                timeout(deadline.remaining().min(query_timeout), checked).await.map_err(|_| ExecuteError::TimedOut)?
            }
            outcome = &mut checked => outcome,
        };
        outcome.map_err(|error| match error {
            CheckError::Postgres(error) if self.is_lost(&error) => ExecuteError::Lost(error),
            CheckError::Postgres(error) => ExecuteError::CheckRejected(error),
            CheckError::RowSecurityEnabled => ExecuteError::RowSecurityEnabled,
            CheckError::RowsHidden(tables) => ExecuteError::RowsHidden(tables),
        })
    }

    /// Whether a connection that was idle is still alive. `is_closed` is not enough: after a freeze the FIN is still unread
    /// in the socket buffer.
    async fn is_alive(&self, deadline: Deadline) -> bool {
        matches!(timeout(deadline.remaining().min(ALIVE_TIMEOUT), self.check_connection()).await, Ok(Ok(())))
    }

    /// Sends Parse, Bind, Describe, Execute and Sync together. A statement that is being named is prepared first, which takes
    /// a round trip: in one packet, a cancelled statement would be followed by the other one. Rows are collected as they
    /// arrive: the connection buffers few of them, however large they are.
    async fn read<R: Extend<Row>>(
        &self,
        sending: &Sending,
        text: &str,
        parameters: &Parameters<'_>,
        new_rows: impl Fn() -> R,
    ) -> Result<(R, Option<Prepared>), PgError> {
        let settings = async {
            match sending.settings {
                Some(settings) => self.batch_execute(settings).await,
                None => Ok(()),
            }
        };
        let rows = async {
            let prepared = if sending.prepare {
                let types: Vec<_> = parameters.iter().map(|(_, r#type)| r#type.clone()).collect();
                Some(self.prepare_typed(text, &types).await?)
            } else {
                None
            };
            let stream = match prepared.as_ref().or(sending.named.as_ref()) {
                Some(named) => self.query_raw(named, parameters.iter().map(|(value, _)| *value)).await?,
                None => self.query_typed_raw(text, parameters.iter().cloned()).await?,
            };
            let collected = stream.try_fold(new_rows(), async |mut rows, row| {
                rows.extend([row]);
                Ok(rows)
            });
            Ok((collected.await?, prepared))
        };
        let ((), rows) = tokio::try_join!(biased; settings, rows)?;
        Ok(rows)
    }

    fn is_lost(&self, error: &PgError) -> bool {
        is_lost(error) || self.is_closed()
    }

    fn execute_error(&self, error: PgError) -> ExecuteError {
        if self.is_lost(&error) { ExecuteError::Lost(error) } else { ExecuteError::Rejected(error) }
    }

    /// Checks a new connection. If this is dropped or the connection is lost, the query of the check is cancelled.
    async fn first_check(&self) -> Result<Features, OpenError> {
        let mut cancel = CancelOnDrop(Some(self));
        let checked = self.schema.check(self).await;
        if !matches!(&checked, Err(CheckError::Postgres(error)) if may_still_be_running(error)) {
            cancel.0 = None;
        }
        checked.map_err(|error| match error {
            CheckError::Postgres(error) if self.is_lost(&error) => OpenError::ConnectionLost(no_connection(&error)),
            CheckError::Postgres(error) => OpenError::Final(classify(&error)),
            CheckError::RowSecurityEnabled => {
                OpenError::Final(Error::Unavailable("row level security was enabled".into()))
            }
            CheckError::RowsHidden(tables) => OpenError::Final(rows_hidden(&tables, self.schema)),
        })
    }

    /// Sends a cancel request for this connection over a separate one. The task ends once the server has processed it. A
    /// caller that cannot wait detaches the task instead of aborting it: an aborted cancel leaves the query running.
    pub(super) fn cancel(&self) -> JoinHandle<()> {
        let (token, settings) = (self.cancel_token(), Arc::clone(&self.settings));
        tokio::spawn(async move {
            let _ = timeout(CONNECT_TIMEOUT, cancel(token, &settings.config, settings.tls.as_ref())).await;
        })
    }

    /// Cancels a statement that may be running, then ends the session with PostgreSQL's Terminate message.
    pub(super) async fn close(mut self) {
        if self.is_busy {
            let _ = self.cancel().await;
        }
        let task = self.task.0.take();
        // The task sends Terminate once its client is gone.
        drop(self);
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

/// Ends a connection's task, and closes its socket, together with the connection.
struct AbortOnDrop(Option<JoinHandle<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

struct CancelOnDrop<'a>(Option<&'a Connection>);

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            drop(connection.cancel());
        }
    }
}

/// Whether the statement names a relation that does not exist or that the role may not read.
fn lacks_relation(error: &PgError) -> bool {
    let codes = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INSUFFICIENT_PRIVILEGE];
    error.code().is_some_and(|code| codes.contains(code))
}
