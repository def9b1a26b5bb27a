//! A session as callers see it, and the columns of a row.

use tokio_postgres::types::FromSql;
use uuid::Uuid;

use super::{
    row::Row,
    text::{RawText, Text, TextLimits},
};
use crate::{error::Error, timestamp::PgTimestamp};

/// The columns of a page's row that are texts or counts. The total follows the columns of [`ChatSession`].
pub const TEXT_COLUMNS: [usize; 7] = [2, 3, 4, 5, 6, 7, 10];
pub const COUNT_COLUMNS: [usize; 2] = [9, TOTAL_COLUMN];
pub const TOTAL_COLUMN: usize = 12;

/// A session as callers see it, in the contract's order of keys. It borrows its texts from the [`Page`](super::Page).
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

    /// Reads columns by position: looking one up by its name takes longer than reading it.
    /// `the_columns_stand_in_the_contracts_order` tests the positions.
    pub(super) fn read(row: &'a Row, limits: TextLimits) -> Result<Self, Error> {
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

pub fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Error> {
    row.try_get(index).map_err(|error| Error::Internal(format!("column {index}: {error}")))
}
