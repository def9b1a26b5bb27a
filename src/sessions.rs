//! Lists a page of an account's sessions, with the total of all that match.

mod chat_session;
mod filters;
pub(crate) mod fit;
mod materialized;
mod row;
mod rows;
mod statement;
mod text;

use std::time::{Duration, SystemTime};

use self::chat_session::{COUNT_COLUMNS, TOTAL_COLUMN, column};
pub use self::{
    chat_session::ChatSession,
    materialized::SCHEMA,
    row::Row,
    rows::Rows,
    statement::{DEEP_OFFSET, Reading, Texts, page as page_statement, total as total_statement},
    text::{MAX_RESPONSE_BYTES, Text, TextLimit, TextLimits},
};
use crate::{
    auth::Authenticated,
    clock::Deadline,
    database::{ALIVE_TIMEOUT, CONNECT_TIMEOUT, Database, Statement},
    error::Error,
    request::ListRequest,
    timestamp::PgTimestamp,
};

/// Up to this age of `from_date`, the total counts sessions and does not use the materialized counts: those are for whole
/// days, so nearly all sessions would be counted anyway.
const RECENT: Duration = Duration::from_hours(25);

/// A page of sessions, as PostgreSQL returned it.
#[derive(Debug)]
pub struct Page {
    rows: Vec<Row>,
    /// The limits of its texts.
    pub texts: TextLimits,
    /// The number of all sessions that match the filters.
    pub total: i64,
}

/// Lists the sessions of the caller's account that match the request. Adds to `resent` as [`Database::query`] does.
///
/// Takes one round trip, and one more for each of: an empty page past the first, whose total needs its own statement;
/// sessions that are not in the materialized counts yet; a text that is too long or not UTF-8.
///
/// # Errors
///
/// As [`Database::query`].
pub async fn list(
    database: &Database,
    caller: &Authenticated,
    request: &ListRequest,
    deadline: Deadline,
    resent: &mut u32,
) -> Result<Page, Error> {
    let texts = TextLimits::of(request.limit);
    let is_recent =
        request.from_date.is_some_and(|from_date| from_date > PgTimestamp::from(SystemTime::now() - RECENT));
    let mut reading = Reading { counted_total: !is_recent, ..Reading::default() };
    let mut read = async |statement: Compose, counts: &[usize]| loop {
        let rows = database.query(&statement(caller, request, reading), || Rows::new(texts), deadline, resent).await;
        match rows {
            Ok(rows) if reading.counts && rows.has_null(counts) => reading.counts = false,
            Ok(rows) if reading.texts == Texts::Usual && rows.lacks_texts() => reading.texts = Texts::Bounded,
            Err(Error::InvalidText(_)) if reading.texts == Texts::Usual => reading.texts = Texts::Bounded,
            rows => return Ok::<_, Error>(rows?.into_vec()),
        }
    };
    if request.limit > 0 {
        let rows = read(page_statement, &COUNT_COLUMNS).await?;
        match rows.first() {
            Some(row) => return Ok(Page { total: column(row, TOTAL_COLUMN)?, texts, rows }),
            None if request.offset == 0 => return Ok(Page { rows, texts, total: 0 }),
            None => {}
        }
    }
    let rows = read(total_statement, &[0]).await?;
    let row = rows.first().ok_or_else(|| Error::Internal("count(*) returned no row".into()))?;
    Ok(Page { total: column(row, 0)?, texts, rows: Vec::new() })
}

type Compose = for<'a> fn(&'a Authenticated, &'a ListRequest, Reading) -> Statement<'a>;

/// Opens the connection before a request needs it, or replaces a lost one, and reads a page for no account: PostgreSQL then
/// loads the catalogue entries that a page needs, which costs a connection's first page some milliseconds. Adds to `resent`
/// as [`Database::query`] does.
///
/// # Errors
///
/// As [`Database::query`].
pub async fn warm_up(database: &Database, resent: &mut u32) -> Result<(), Error> {
    let deadline = Deadline::within(ALIVE_TIMEOUT + CONNECT_TIMEOUT);
    database.query(&statement::warm_up(), Vec::new, deadline, resent).await.map(drop)
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

    /// The sessions, newest first. An item is an error if a column does not have the contract's type.
    pub fn sessions(&self) -> impl Iterator<Item = Result<ChatSession<'_>, Error>> {
        self.rows.iter().map(|row| ChatSession::read(row, self.texts))
    }

    /// The size of the rows' data, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.rows.iter().map(Row::size).sum()
    }
}
