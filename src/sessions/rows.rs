//! Collects the rows of a page as they arrive. Whenever they take more memory than two responses, their texts are cut to
//! what fits into one. A large row is copied out of its receive buffers, which are up to twice as large as their content.

use std::{error::Error, ops::Range};

use tokio_postgres::types::{FromSql, Type, WrongType};

use super::{
    fit::{self, Length},
    text::{MAX_RESPONSE_BYTES, RawText, SUBSTITUTE, Text, TextLimit, TextLimits},
};

/// The columns that are texts.
const TEXT_COLUMNS: [usize; 7] = [2, 3, 4, 5, 6, 7, 10];
const LAST_MESSAGE: usize = 7;

/// The number of characters that are kept beyond the length that fits.
const SPARE: Length = 8;

/// The size above which a row is copied, in bytes. The 1,000 rows of the largest page take less than 5 MB up to this size.
const COPIED_BYTES: usize = 4_096;

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
    fn cut(&mut self) {
        let limits = self.limits;
        let texts = || self.collected.iter().flat_map(|row| row.texts(limits));
        let length = fit::length(texts, i64::try_from(MAX_RESPONSE_BYTES).unwrap_or(i64::MAX));
        // At a greater length, a text can be complete and needs no ellipsis, which leaves room for more of the others.
        let length = length.saturating_add(SPARE);
        for row in &mut self.collected {
            row.cut(|column, text| first(column, text, limits, length));
        }
        self.size = self.collected.iter().map(Row::size).sum();
    }
}

impl Extend<tokio_postgres::Row> for Rows {
    fn extend<T: IntoIterator<Item = tokio_postgres::Row>>(&mut self, rows: T) {
        for row in rows {
            let row = Row::from(row);
            self.size += row.size();
            self.collected.push(row);
            if self.size > 2 * MAX_RESPONSE_BYTES {
                self.cut();
            }
        }
    }
}

fn limit(column: usize, limits: TextLimits) -> Option<TextLimit> {
    match column {
        LAST_MESSAGE => Some(limits.message),
        _ if TEXT_COLUMNS.contains(&column) => Some(limits.other),
        _ => None,
    }
}

fn first(column: usize, text: &[u8], limits: TextLimits, length: Length) -> Option<&[u8]> {
    let limit = limit(column, limits)?;
    Some(Text::read(text, limit).first(length.max(limit.uncut_chars)).bytes())
}

/// A row of a page.
#[derive(Debug)]
pub struct Row(Storage);

#[derive(Debug)]
enum Storage {
    Received(tokio_postgres::Row),
    Copied { columns: Vec<Column>, values: Box<[u8]> },
}

#[derive(Debug)]
struct Column {
    r#type: Type,
    /// The position of its value, unless it is NULL.
    range: Option<Range<usize>>,
    is_cut: bool,
}

impl Row {
    /// Its texts. One that is not of a text's type is left out: reading the page reports it.
    fn texts(&self, limits: TextLimits) -> impl Iterator<Item = (Text<'_>, TextLimit)> {
        TEXT_COLUMNS.into_iter().filter_map(move |column| {
            let (text, limit) = (self.try_get::<Option<RawText>>(column).ok()??, limit(column, limits)?);
            Some((Text::read(text.0, limit).or_cut(self.is_cut(column)), limit))
        })
    }

    /// The size of its data, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.0 {
            Storage::Received(row) => row.raw_size_bytes(),
            Storage::Copied { values, .. } => values.len(),
        }
    }

    /// Whether the text in a column was cut.
    #[must_use]
    pub fn is_cut(&self, index: usize) -> bool {
        matches!(&self.0, Storage::Copied { columns, .. } if columns.get(index).is_some_and(|column| column.is_cut))
    }

    /// Replaces each value by the part of it that `cut` returns for its column, if any.
    fn cut(&mut self, cut: impl for<'a> Fn(usize, &'a [u8]) -> Option<&'a [u8]>) {
        let Storage::Copied { columns, values } = &self.0 else { return };
        let mut kept = Vec::with_capacity(values.len());
        let columns = columns.iter().enumerate().map(|(index, column)| {
            let whole = column.range.clone().map(|range| &values[range]);
            let part = whole.map(|whole| cut(index, whole).unwrap_or(whole));
            let from = kept.len();
            kept.extend_from_slice(part.unwrap_or_default());
            Column {
                r#type: column.r#type.clone(),
                range: part.map(|_| from..kept.len()),
                is_cut: column.is_cut || part.map(<[u8]>::len) != whole.map(<[u8]>::len),
            }
        });
        let columns = columns.collect();
        *self = Self(Storage::Copied { columns, values: kept.into() });
    }

    /// Reads the value in a column.
    ///
    /// # Errors
    ///
    /// If there is no such column, or it is not of this type.
    pub fn try_get<'a, T: FromSql<'a>>(&'a self, index: usize) -> Result<T, Box<dyn Error + Sync + Send>> {
        match &self.0 {
            Storage::Received(row) => Ok(row.try_get(index)?),
            Storage::Copied { columns, values } => {
                let Column { r#type, range, .. } = columns.get(index).ok_or("there is no such column")?;
                if !T::accepts(r#type) {
                    return Err(Box::new(WrongType::new::<T>(r#type.clone())));
                }
                T::from_sql_nullable(r#type, range.clone().map(|range| &values[range]))
            }
        }
    }
}

impl From<tokio_postgres::Row> for Row {
    fn from(row: tokio_postgres::Row) -> Self {
        if row.raw_size_bytes() <= COPIED_BYTES {
            return Self(Storage::Received(row));
        }
        let mut values = Vec::with_capacity(row.raw_size_bytes());
        let columns = row.columns().iter().enumerate().map(|(index, column)| {
            let value = row.get::<_, Option<Value>>(index);
            let from = values.len();
            let range = value.map(|value| {
                values.extend_from_slice(value.0);
                from..values.len()
            });
            Column { r#type: column.type_().clone(), range, is_cut: false }
        });
        let columns = columns.collect();
        Self(Storage::Copied { columns, values: values.into() })
    }
}

/// A value of any type, as it was sent.
struct Value<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Value<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
