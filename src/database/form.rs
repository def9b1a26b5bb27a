//! Which form of a statement a connection is sent: the kept one if the database has all of `migrations/kept`.
//!
//! It is known of each connection before its first request, and it may turn out to be another: if the set is dropped, the
//! statement that misses it is sent in the other form at once. A set that is installed is noticed by the next connection.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::TryStreamExt;
use tokio_postgres::{Error as PgError, error::SqlState};

use super::{
    connector::Connection,
    failure::{is_lost, may_run_on},
};
use crate::sessions::{Form, Row, Rows, Statement, probe};

/// Whether the kept form would find what it reads. To try it would tell as well, and write an error into the server's log
/// with every connection where there is no such set.
const HAS_KEPT: &str = "-- list-chat-sessions: what is kept
SELECT coalesce(bool_and(has_table_privilege(kept, 'SELECT')), false) AND count(kept) = 2
       AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('chat_sessions') AND attname = 'message_count'
                    AND NOT attisdropped)
FROM (VALUES (to_regclass('chat_session_counts')), (to_regclass('chat_session_counted'))) tables (kept)";

/// What is known of a connection.
#[derive(Default)]
pub struct Known {
    lacks_kept: AtomicBool,
}

impl Known {
    fn form(&self) -> Form {
        if self.lacks_kept.load(Ordering::Relaxed) { Form::Computed } else { Form::Kept }
    }
}

impl Connection {
    /// Learns the form, and runs the query for nobody, which has PostgreSQL read what it needs to know of the tables: the
    /// first query of a connection takes some milliseconds longer than the second. If it fails, the first request will say
    /// why.
    ///
    /// # Errors
    ///
    /// If the connection is lost.
    pub(super) async fn warm_up(&self) -> Result<(), PgError> {
        let mut unfinished = Unfinished(Some(self));
        let outcome = async {
            let has_kept = self.query_typed(HAS_KEPT, &[]).await?.first().is_some_and(|row| row.get(0));
            self.form.lacks_kept.store(!has_kept, Ordering::Relaxed);
            self.rows(&probe()).await
        }
        .await;
        let lost = outcome.err().filter(|error| is_lost(error) || self.is_closed());
        if !lost.as_ref().is_some_and(may_run_on) {
            unfinished.0 = None;
        }
        lost.map_or(Ok(()), Err)
    }

    /// Runs a statement in the form that fits, in one round trip, or in two if the kept form has just ceased to.
    ///
    /// # Errors
    ///
    /// As PostgreSQL has them.
    pub(super) async fn rows(&self, statement: &Statement<'_>) -> Result<Vec<Row>, PgError> {
        let form = self.form.form();
        match self.run(statement, form).await {
            Err(error) if form == Form::Kept && lacks_kept(&error) => {
                self.form.lacks_kept.store(true, Ordering::Relaxed);
                self.run(statement, Form::Computed).await
            }
            outcome => outcome,
        }
    }

    /// Parse, Bind, Describe, Execute and Sync together; nothing is named, so any pooler may stand between.
    /// A page that lacks a text is read again, as one that has a part of each.
    async fn run(&self, statement: &Statement<'_>, form: Form) -> Result<Vec<Row>, PgError> {
        let outcome = self.received(&statement.text(form), statement).await;
        if !Statement::lacks_texts(&outcome) {
            return outcome;
        }
        drop(outcome);
        self.received(&statement.bounded_text(form), statement).await
    }

    /// Each row is taken as it arrives, so that of large ones no more than a few are in the connection's buffers.
    async fn received(&self, text: &str, statement: &Statement<'_>) -> Result<Vec<Row>, PgError> {
        let rows = self.query_typed_raw(text, statement.parameters.iter().cloned()).await?;
        let taken = rows.map_ok(Row::from).try_fold(Rows::new(statement.texts), async |rows, row| Ok(rows.with(row)));
        Ok(taken.await?.into_vec())
    }
}

/// Opening a connection that is given up, or lost, leaves no query behind that waits for a lock.
struct Unfinished<'a>(Option<&'a Connection>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            drop(connection.cancel());
        }
    }
}

/// Whether the statement names what is not there, or what the role may not read.
fn lacks_kept(error: &PgError) -> bool {
    let lacking = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INSUFFICIENT_PRIVILEGE];
    error.code().is_some_and(|code| lacking.contains(code))
}
