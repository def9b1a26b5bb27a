//! Which form of a statement a connection is sent: the kept one if the database has all of `migrations/kept`.
//!
//! The check of a connection tells. If the set is dropped, or hidden, after it, the statement is sent again in the other
//! form.

use futures_util::TryStreamExt;
use tokio_postgres::{Error as PgError, error::SqlState};

use super::connector::Connection;
use crate::sessions::{Form, Row, Rows, Statement};

impl Connection {
    /// Runs a statement in the form that fits, in one round trip, or in two if the kept form has just ceased to.
    ///
    /// # Errors
    ///
    /// As PostgreSQL has them.
    pub(super) async fn rows(&self, statement: &Statement<'_>) -> Result<Vec<Row>, PgError> {
        let form = self.features.form();
        match self.run(statement, form).await {
            Err(error) if form == Form::Kept && lacks_kept(&error) => self.features.lacks_counts(),
            // The check that was sent with the statement has found that row level security filters the counts.
            Ok(_) if form == Form::Kept && self.features.form() == Form::Computed => {}
            outcome => return outcome,
        }
        self.run(statement, Form::Computed).await
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

/// Whether the statement names what is not there, or what the role may not read.
fn lacks_kept(error: &PgError) -> bool {
    let lacking = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INSUFFICIENT_PRIVILEGE];
    error.code().is_some_and(|code| lacking.contains(code))
}
