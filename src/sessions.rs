//! The one query: a page of an account's sessions and the total of all that match.

mod statement;

use serde::Serialize;
use tokio_postgres::{Row, types::FromSql};
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
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

    /// The sessions, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if a column is not of the contract's type.
    pub fn sessions(&self) -> Result<Vec<ChatSession<'_>>, Error> {
        self.rows.iter().map(ChatSession::try_from).collect()
    }
}

impl<'a> TryFrom<&'a Row> for ChatSession<'a> {
    type Error = Error;

    fn try_from(row: &'a Row) -> Result<Self, Error> {
        Ok(Self {
            id: column(row, "id")?,
            widget_id: column(row, "widget_id")?,
            widget_name: column(row, "widget_name")?,
            visitor_id: column(row, "visitor_id")?,
            visitor_name: column(row, "visitor_name")?,
            visitor_email: column(row, "visitor_email")?,
            status: column(row, "status")?,
            last_message: column(row, "last_message")?,
            last_message_at: column(row, "last_message_at")?,
            message_count: column(row, "message_count")?,
            page_url: column(row, "page_url")?,
            created_at: column(row, "created_at")?,
        })
    }
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, Error> {
    row.try_get(name).map_err(|error| Error::Internal(format!("column {name}: {error}")))
}
