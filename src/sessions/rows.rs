//! Collects the rows of a page as they arrive, and cuts their texts as soon as the rows no longer fit into a response, so
//! that rows never take more memory than two responses, whatever is read.

use super::{
    chat_session::{ChatSession, TEXT_COLUMNS},
    fit::{self, Length},
    row::Row,
    text::{MAX_ANSWER_BYTES, RawText, SUBSTITUTE, Text, TextLimit, TextLimits},
};
use crate::error::Error;

/// Where a row has its last message.
const LAST_MESSAGE: usize = 7;

/// How many characters more are kept than fit.
const SPARE: Length = 8;

/// The rows of a page.
#[derive(Debug)]
pub struct Rows {
    taken: Vec<Row>,
    size: usize,
    limits: TextLimits,
}

impl Rows {
    /// No rows yet, of a page with these limits.
    #[must_use]
    pub fn new(limits: TextLimits) -> Self {
        Self { taken: Vec::new(), size: 0, limits }
    }

    /// Whether one of these columns of integers is NULL in a row.
    pub(super) fn has_null(&self, columns: &[usize]) -> bool {
        let mut values = self.taken.iter().flat_map(|row| columns.iter().map(|column| row.try_get(*column)));
        values.any(|value: Result<Option<i64>, _>| matches!(value, Ok(None)))
    }

    /// Whether a text was too long to be sent.
    pub(super) fn lacks_texts(&self) -> bool {
        let is_substitute = |text: Option<RawText>| text.is_some_and(|text| text.0 == SUBSTITUTE.as_bytes());
        let mut texts = self.taken.iter().flat_map(|row| TEXT_COLUMNS.iter().flat_map(|column| row.try_get(*column)));
        texts.any(is_substitute)
    }

    /// All of them.
    #[must_use]
    pub fn into_vec(self) -> Vec<Row> {
        self.taken
    }

    /// Cuts the texts to the length at which those that are here fit into an answer: with more rows, none will be longer.
    fn cut(&mut self) -> Result<(), Error> {
        let limits = self.limits;
        let sessions = || self.taken.iter().map(|row| ChatSession::read(row, limits));
        let length = fit::length(sessions, limits, i64::try_from(MAX_ANSWER_BYTES).unwrap_or(i64::MAX))?;
        // A text that ends needs no mark any more, which leaves room for a little more of the others.
        let length = length.saturating_add(SPARE);
        for row in &mut self.taken {
            row.cut(|column, text| first(column, text, limits, length));
        }
        self.size = self.taken.iter().map(Row::size).sum();
        Ok(())
    }
}

impl Extend<tokio_postgres::Row> for Rows {
    fn extend<T: IntoIterator<Item = tokio_postgres::Row>>(&mut self, rows: T) {
        for row in rows {
            let row = Row::from(row);
            self.size += row.size();
            self.taken.push(row);
            if self.size > 2 * MAX_ANSWER_BYTES {
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
