//! One try to run a statement, and what becomes of its connection.

use std::time::Duration;

use deadpool::managed::Object;
use tokio::time::{error::Elapsed, timeout};

use super::{
    ALIVE_TIMEOUT, CANCEL_TIMEOUT, CHECK_INTERVAL,
    check::CheckError,
    connector::Connector,
    failure::{describe, is_lost, may_run_on, refusal},
};
use crate::{
    clock::{Deadline, FreezeProofInstant},
    error::Error,
    sessions::{Row, Statement},
};

/// What came of it.
pub enum Attempt {
    Rows(Vec<Row>),
    /// The connection was dead, or out of date, before the statement was sent.
    Dead,
    /// The connection was lost on the way, and why.
    Lost(String),
}

impl Attempt {
    /// Runs the statement, which may take `limit` from when the connection is known to be alive.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], what PostgreSQL's refusal means, or [`Error::Misconfigured`] if row level security may hide rows.
    pub async fn make(
        mut connection: Object<Connector>,
        statement: &Statement<'_>,
        limit: Duration,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let started = FreezeProofInstant::now();
        let is_due = connection.checked_at.elapsed() >= CHECK_INTERVAL;
        let Some(outcome) = run(&connection, statement, is_due, limit, deadline).await else {
            // The server may have got the statement all the same.
            abandon(connection, true).await;
            return Ok(Self::Dead);
        };
        match outcome {
            Ok(Ok(rows)) => {
                if is_due {
                    connection.checked_at = started;
                }
                Ok(Self::Rows(rows))
            }
            Ok(Err(CheckError::Postgres(error))) if is_lost(&error) || connection.is_closed() => {
                abandon(connection, may_run_on(&error)).await;
                Ok(Self::Lost(describe(&error)))
            }
            Ok(Err(CheckError::Postgres(error))) => {
                // If it was the check that was rejected, the statement behind it may be running.
                if is_due {
                    abandon(connection, true).await;
                }
                Err(refusal(&error))
            }
            Ok(Err(CheckError::RowSecurityEnabled)) => {
                abandon(connection, true).await;
                Ok(Self::Dead)
            }
            Ok(Err(error @ CheckError::RowsHidden(_))) => {
                abandon(connection, true).await;
                Err(error.into_error())
            }
            Err(_) => {
                abandon(connection, true).await;
                Err(Error::Timeout(format!("cancelled after {limit:?} at most")))
            }
        }
    }
}

/// Runs the statement, with a check if that is due; gives nothing if the connection turns out to be dead.
async fn run(
    connection: &Object<Connector>,
    statement: &Statement<'_>,
    is_due: bool,
    limit: Duration,
    deadline: Deadline,
) -> Option<Result<Result<Vec<Row>, CheckError>, Elapsed>> {
    let rows = async { connection.rows(statement).await.map_err(CheckError::Postgres) };
    if !is_due {
        return Some(timeout(deadline.remaining().min(limit), rows).await);
    }
    // Everything goes out in one packet and costs one round trip: the question whether the connection is alive, the check,
    // the statement. No row is used before the check has passed.
    let mut checked = Box::pin(async { tokio::try_join!(biased; connection.check(), rows).map(|((), rows)| rows) });
    tokio::select! {
        biased;
        alive = is_alive(connection, deadline) => if !alive { return None },
        outcome = &mut checked => return Some(Ok(outcome)),
    }
    Some(timeout(deadline.remaining().min(limit), checked).await)
}

/// Whether a connection that was idle is still alive. That it is not closed says little: after a freeze the end of the
/// connection is in the socket, and nobody has read it yet.
async fn is_alive(connection: &Object<Connector>, deadline: Deadline) -> bool {
    matches!(timeout(deadline.remaining().min(ALIVE_TIMEOUT), connection.check_connection()).await, Ok(Ok(())))
}

/// Takes the connection out of the pool, and ends what it may be running. Neither is enough alone: without the cancel the
/// server works on, and in the pool the next request would wait for the rest of this one's answer.
async fn abandon(connection: Object<Connector>, is_running: bool) {
    if is_running {
        let _ = timeout(CANCEL_TIMEOUT, connection.cancel()).await;
    }
    drop(Object::take(connection));
}
