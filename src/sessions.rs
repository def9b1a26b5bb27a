//! The one query: a page of an account's sessions and the total of all that match.

mod statement;

use std::fmt;

use tokio_postgres::{Row, row::RowIndex, types::FromSql};
use uuid::Uuid;

pub(crate) use self::statement::probe;
use self::statement::total_query;
pub use self::statement::{DEEP_OFFSET, Form, Parameters, Statement, page_query};

use crate::{
    auth::Authenticated, clock::Deadline, database::Database, error::Error, request::ListRequest, timestamp::Timestamp,
};

/// A page of sessions, as it came from PostgreSQL.
#[derive(Debug)]
pub struct Page {
    rows: Vec<Row>,
    /// The number of all sessions that match the filters.
    pub total: i64,
}

/// A session as callers see it, in the contract's order of keys. It borrows its texts from the [`Page`].
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(serde::Serialize, schemars::JsonSchema))]
#[expect(missing_docs, reason = "the contract defines the fields")]
pub struct ChatSession<'a> {
    pub id: Uuid,
    pub widget_id: Uuid,
    pub widget_name: Option<&'a str>,
    pub visitor_id: &'a str,
    pub visitor_name: Option<&'a str>,
    pub visitor_email: Option<&'a str>,
    pub status: Option<&'a str>,
    pub last_message: Option<&'a str>,
    pub last_message_at: Option<Timestamp>,
    pub message_count: i64,
    pub page_url: Option<&'a str>,
    pub created_at: Option<Timestamp>,
}

/// Lists the sessions of the caller's account that match the request.
///
/// One round trip, except for an empty page past the first: its total has to be asked for by itself.
///
/// # Errors
///
/// As [`Database::query`].
pub async fn list(
    database: &Database,
    caller: &Authenticated,
    request: &ListRequest,
    deadline: Deadline,
) -> Result<Page, Error> {
    if request.limit > 0 {
        let rows = database.query(&page_query(caller, request), deadline).await?;
        match rows.first() {
            Some(row) => return Ok(Page { total: column(row, "total")?, rows }),
            None if request.offset == 0 => return Ok(Page { rows, total: 0 }),
            None => {}
        }
    }
    let rows = database.query(&total_query(caller, request), deadline).await?;
    let row = rows.first().ok_or_else(|| Error::Internal("count(*) returned no row".into()))?;
    Ok(Page { total: column(row, "total")?, rows: Vec::new() })
}

impl Page {
    /// The number of sessions on the page.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the page has no sessions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The sessions, newest first; instead of one an error if a column is not of the contract's type.
    pub fn sessions(&self) -> impl Iterator<Item = Result<ChatSession<'_>, Error>> {
        self.rows.iter().map(ChatSession::try_from)
    }

    /// How much PostgreSQL has sent, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.rows.iter().map(Row::raw_size_bytes).sum()
    }
}

impl<'a> TryFrom<&'a Row> for ChatSession<'a> {
    type Error = Error;

    /// By position: to look a column up by its name takes longer than to read it. A test holds the statements to the order.
    fn try_from(row: &'a Row) -> Result<Self, Error> {
        Ok(Self {
            id: column(row, 0)?,
            widget_id: column(row, 1)?,
            widget_name: column(row, 2)?,
            visitor_id: column(row, 3)?,
            visitor_name: column(row, 4)?,
            visitor_email: column(row, 5)?,
            status: column(row, 6)?,
            last_message: column(row, 7)?,
            last_message_at: column(row, 8)?,
            message_count: column(row, 9)?,
            page_url: column(row, 10)?,
            created_at: column(row, 11)?,
        })
    }
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, index: impl RowIndex + fmt::Display) -> Result<T, Error> {
    row.try_get(&index).map_err(|error| Error::Internal(format!("column {index}: {error}")))
}
