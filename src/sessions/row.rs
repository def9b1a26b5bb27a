//! A row of a page. A large row is copied out of its receive buffers, which are up to twice as large as their content.

use std::{error::Error, ops::Range};

use tokio_postgres::types::{FromSql, Type, WrongType};

/// The size above which a row is copied, in bytes. The 1,000 rows of the largest page take less than 5 MB up to this size.
const COPIED_BYTES: usize = 4_096;

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
    pub(super) fn cut(&mut self, cut: impl for<'a> Fn(usize, &'a [u8]) -> Option<&'a [u8]>) {
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
