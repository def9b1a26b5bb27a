//! Lists a page of an account's sessions, with the total of all that match.

pub(crate) mod fit;
mod materialized;
mod rows;
mod statement;
mod text;

use std::time::{Duration, SystemTime};

use tokio_postgres::types::FromSql;
use uuid::Uuid;

use self::text::RawText;
pub use self::{
    materialized::SCHEMA,
    rows::{Row, Rows},
    statement::{DEEP_OFFSET, Reading, Texts, page as page_statement, total as total_statement},
    text::{MAX_RESPONSE_BYTES, Text, TextLimit, TextLimits},
};
use crate::{
    auth::Authenticated,
    clock::Deadline,
    database::{Database, Statement},
    error::Error,
    request::ListRequest,
    timestamp::PgTimestamp,
};

/// The columns that are counts. The total follows the columns of [`ChatSession`].
const COUNT_COLUMNS: [usize; 2] = [9, TOTAL_COLUMN];
const TOTAL_COLUMN: usize = 12;

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

/// A session as callers see it, in the contract's order of keys. It borrows its texts from the [`Page`].
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(missing_docs, reason = "the contract defines the fields")]
pub struct ChatSession<'a> {
    pub id: Uuid,
    pub widget_id: Uuid,
    pub widget_name: Option<Text<'a>>,
    pub visitor_id: Text<'a>,
    pub visitor_name: Option<Text<'a>>,
    pub visitor_email: Option<Text<'a>>,
    pub status: Option<Text<'a>>,
    pub last_message: Option<Text<'a>>,
    pub last_message_at: Option<PgTimestamp>,
    pub message_count: i64,
    pub page_url: Option<Text<'a>>,
    pub created_at: Option<PgTimestamp>,
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

/// Opens the connection before a request needs it, with a page for no account. Adds to `resent` as [`Database::query`] does.
///
/// # Errors
///
/// As [`Database::query`].
pub async fn warm_up(database: &Database, resent: &mut u32) -> Result<(), Error> {
    database.warm_up(&statement::warm_up(), resent).await
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

impl<'a> ChatSession<'a> {
    /// The session without any text.
    #[must_use]
    pub fn without_texts(&self) -> Self {
        Self {
            widget_name: None,
            visitor_id: "".into(),
            visitor_name: None,
            visitor_email: None,
            status: None,
            last_message: None,
            page_url: None,
            ..*self
        }
    }

    /// Its texts with their limits.
    pub(crate) fn texts(&self, limits: TextLimits) -> impl Iterator<Item = (Text<'a>, TextLimit)> {
        let Self { widget_name, visitor_id, visitor_name, visitor_email, status, last_message, page_url, .. } = *self;
        let others = [widget_name, Some(visitor_id), visitor_name, visitor_email, status, page_url];
        let others = others.into_iter().flatten().map(move |text| (text, limits.other));
        others.chain(last_message.map(|text| (text, limits.message)))
    }

    /// Reads columns by position: looking one up by its name takes longer than reading it.
    /// `the_columns_stand_in_the_contracts_order` tests the positions.
    fn read(row: &'a Row, limits: TextLimits) -> Result<Self, Error> {
        let text = |index: usize, limit| {
            let text = column::<Option<RawText>>(row, index)?;
            Ok::<_, Error>(text.map(|text| Text::read(text.0, limit).or_cut(row.is_cut(index))))
        };
        let TextLimits { message, other } = limits;
        Ok(Self {
            id: column(row, 0)?,
            widget_id: column(row, 1)?,
            widget_name: text(2, other)?,
            visitor_id: Text::read(column::<RawText>(row, 3)?.0, other).or_cut(row.is_cut(3)),
            visitor_name: text(4, other)?,
            visitor_email: text(5, other)?,
            status: text(6, other)?,
            last_message: text(7, message)?,
            last_message_at: column(row, 8)?,
            message_count: column(row, 9)?,
            page_url: text(10, other)?,
            created_at: column(row, 11)?,
        })
    }
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Error> {
    row.try_get(index).map_err(|error| Error::Internal(format!("column {index}: {error}")))
}
