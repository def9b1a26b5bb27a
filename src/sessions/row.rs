//! A row of a page. One that is large is copied out of the buffers that it came in: they are up to twice as large as what is
//! in them, and with 34 MB of rows that is more memory than the function is to have.

use std::{error::Error, ops::Range};

use tokio_postgres::types::{FromSql, Type, WrongType};

/// A larger row is copied, in bytes.
const COPIED_BYTES: usize = 16_384;

/// A row of a page.
#[derive(Debug)]
pub struct Row(Form);

#[derive(Debug)]
enum Form {
    Received(tokio_postgres::Row),
    Copied { columns: Vec<(Type, Option<Range<usize>>)>, values: Box<[u8]> },
}

impl Row {
    /// How much of it PostgreSQL has sent, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.0 {
            Form::Received(row) => row.raw_size_bytes(),
            Form::Copied { values, .. } => values.len(),
        }
    }

    /// The value in a column.
    ///
    /// # Errors
    ///
    /// If there is no such column, or it is not of this type.
    pub fn try_get<'a, T: FromSql<'a>>(&'a self, index: usize) -> Result<T, Box<dyn Error + Sync + Send>> {
        match &self.0 {
            Form::Received(row) => Ok(row.try_get(index)?),
            Form::Copied { columns, values } => {
                let (r#type, range) = columns.get(index).ok_or("there is no such column")?;
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
            return Self(Form::Received(row));
        }
        let mut values = Vec::with_capacity(row.raw_size_bytes());
        let columns = row.columns().iter().enumerate().map(|(index, column)| {
            let value = row.get::<_, Option<Value>>(index);
            let from = values.len();
            let range = value.map(|value| {
                values.extend_from_slice(value.0);
                from..values.len()
            });
            (column.type_().clone(), range)
        });
        let columns = columns.collect();
        Self(Form::Copied { columns, values: values.into() })
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
