//! One try to run a statement, and what becomes of its connection.

use std::{pin::pin, time::Duration};

use deadpool::managed::Object;
use tokio::time::{error::Elapsed, timeout};
use tokio_postgres::Error as PgError;

use super::{
    ALIVE_LIMIT, CANCEL_LIMIT, HEARD_OF,
    connector::Connector,
    failure::{describe, is_lost, may_run_on, refusal},
};
use crate::{
    clock::{Deadline, Moment},
    error::Error,
    sessions::{Row, Statement},
};

/// What came of it.
pub enum Attempt {
    Rows(Vec<Row>),
    /// The connection had died before the statement was sent.
    Dead,
    /// The connection was lost on the way, and why.
    Lost(String),
}

impl Attempt {
    /// Runs the statement, which may take `limit` from when the connection is known to be alive.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], or what PostgreSQL's refusal means.
    pub async fn make(
        mut connection: Object<Connector>,
        statement: &Statement<'_>,
        limit: Duration,
        by: Deadline,
    ) -> Result<Self, Error> {
        let Some(outcome) = run(&connection, statement, limit, by).await else {
            // The server may have got the statement all the same.
            abandon(connection, true).await;
            return Ok(Self::Dead);
        };
        match outcome {
            Ok(Ok(rows)) => {
                connection.heard_of = Moment::now();
                Ok(Self::Rows(rows))
            }
            Ok(Err(error)) if is_lost(&error) || connection.is_closed() => {
                abandon(connection, may_run_on(&error)).await;
                Ok(Self::Lost(describe(&error)))
            }
            Ok(Err(error)) => Err(refusal(&error)),
            Err(_) => {
                abandon(connection, true).await;
                Err(Error::Timeout(format!("cancelled after {limit:?} at most")))
            }
        }
    }
}

/// Runs the statement; gives nothing if the connection turns out to be dead.
async fn run(
    connection: &Object<Connector>,
    statement: &Statement<'_>,
    limit: Duration,
    by: Deadline,
) -> Option<Result<Result<Vec<Row>, PgError>, Elapsed>> {
    let mut query = pin!(connection.rows(statement));
    tokio::select! {
        // The question whether the connection is alive goes first and in the same packet: it costs no round trip.
        biased;
        alive = is_alive(connection, by) => if !alive { return None },
        outcome = &mut query => return Some(Ok(outcome)),
    }
    Some(timeout(by.left(limit), query).await)
}

/// Whether a connection that was idle is still alive. That it is not closed says little: after a freeze the end of the
/// connection is in the socket, and nobody has read it yet.
pub async fn is_alive(connection: &Object<Connector>, by: Deadline) -> bool {
    connection.heard_of.age() < HEARD_OF
        || matches!(timeout(by.left(ALIVE_LIMIT), connection.check_connection()).await, Ok(Ok(())))
}

/// Takes the connection out of the pool, and ends what it may be running. Neither is enough alone: without the cancel the
/// server works on, and in the pool the next request would wait for the rest of this one's answer.
async fn abandon(connection: Object<Connector>, is_running: bool) {
    if is_running {
        let _ = timeout(CANCEL_LIMIT, connection.cancel()).await;
    }
    drop(Object::take(connection));
}
