//! Collects the rows of a page as they arrive. Whenever they take more memory than two responses, their texts are cut to
//! what fits into one.

use super::{
    chat_session::{ChatSession, TEXT_COLUMNS},
    fit::{self, Length},
    row::Row,
    text::{MAX_RESPONSE_BYTES, RawText, SUBSTITUTE, Text, TextLimit, TextLimits},
};
use crate::error::Error;

const LAST_MESSAGE: usize = 7;

/// The number of characters that are kept beyond the length that fits.
const SPARE: Length = 8;

/// The rows of a page.
#[derive(Debug)]
pub struct Rows {
    collected: Vec<Row>,
    size: usize,
    limits: TextLimits,
}

impl Rows {
    /// Starts a page with these limits.
    #[must_use]
    pub fn new(limits: TextLimits) -> Self {
        Self { collected: Vec::new(), size: 0, limits }
    }

    /// Whether one of these integer columns is NULL in any row.
    pub(super) fn has_null(&self, columns: &[usize]) -> bool {
        let mut values = self.collected.iter().flat_map(|row| columns.iter().map(|column| row.try_get(*column)));
        values.any(|value: Result<Option<i64>, _>| matches!(value, Ok(None)))
    }

    /// Whether a text was too long to be sent.
    pub(super) fn lacks_texts(&self) -> bool {
        let is_substitute = |text: Option<RawText>| text.is_some_and(|text| text.0 == SUBSTITUTE.as_bytes());
        let mut texts =
            self.collected.iter().flat_map(|row| TEXT_COLUMNS.iter().flat_map(|column| row.try_get(*column)));
        texts.any(is_substitute)
    }

    /// The collected rows.
    #[must_use]
    pub fn into_vec(self) -> Vec<Row> {
        self.collected
    }

    /// Cuts the texts to the length at which the rows so far fit into a response. More rows can only make it shorter.
    fn cut(&mut self) -> Result<(), Error> {
        let limits = self.limits;
        let sessions = || self.collected.iter().map(|row| ChatSession::read(row, limits));
        let length = fit::length(sessions, limits, i64::try_from(MAX_RESPONSE_BYTES).unwrap_or(i64::MAX))?;
        // At a greater length, a text can be complete and needs no ellipsis, which leaves room for more of the others.
        let length = length.saturating_add(SPARE);
        for row in &mut self.collected {
            row.cut(|column, text| first(column, text, limits, length));
        }
        self.size = self.collected.iter().map(Row::size).sum();
        Ok(())
    }
}

impl Extend<tokio_postgres::Row> for Rows {
    fn extend<T: IntoIterator<Item = tokio_postgres::Row>>(&mut self, rows: T) {
        for row in rows {
            let row = Row::from(row);
            self.size += row.size();
            self.collected.push(row);
            if self.size > 2 * MAX_RESPONSE_BYTES {
                // An error means that a column is not of the contract's type, which reading the page reports.
                drop(self.cut());
            }
        }
    }
}

fn first(column: usize, text: &[u8], limits: TextLimits, length: Length) -> Option<&[u8]> {
    let limit: TextLimit = match column {
        LAST_MESSAGE => limits.message,
        _ if TEXT_COLUMNS.contains(&column) => limits.other,
        _ => return None,
    };
    Some(Text::read(text, limit).first(length.max(limit.uncut_chars)).bytes())
}
