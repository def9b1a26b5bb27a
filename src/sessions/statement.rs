//! The query's text, composed for the filters that are present, and its parameters.

use std::{error::Error, fmt::Write};

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::{
    auth::Authenticated,
    request::{ListRequest, Status},
};

const PAGE: &str = include_str!("sql/page.sql");
const DEEP_PAGE: &str = include_str!("sql/deep_page.sql");
const TOTAL: &str = include_str!("sql/total.sql");

/// From this offset on the page's ids are found first and its rows after that: slower by half at the first page, five
/// times faster at offset 100,000.
pub const DEEP_OFFSET: i64 = 1_000;

/// A statement's parameters, each with the type that the statement takes it as.
pub type Parameters<'a> = Vec<(&'a (dyn ToSql + Sync), Type)>;

/// The statement for a page with its total, and its parameters.
///
/// Composed for the filters that are present: one text for all of them (`$4 IS NULL OR …`) is a thousand times slower
/// as soon as PostgreSQL plans it without the values.
#[must_use]
pub fn page_query<'a>(caller: &'a Authenticated, request: &'a ListRequest) -> (String, Parameters<'a>) {
    let mut parameters: Parameters =
        vec![(caller.user_id(), Type::UUID), (&request.limit, Type::INT8), (&request.offset, Type::INT8)];
    let filters = filters(request, &mut parameters);
    let text = if request.offset < DEEP_OFFSET { PAGE } else { DEEP_PAGE };
    (text.replace("/* filters */", &filters), parameters)
}

/// The statement for the total alone, and its parameters.
pub(super) fn total_query<'a>(caller: &'a Authenticated, request: &'a ListRequest) -> (String, Parameters<'a>) {
    let mut parameters: Parameters = vec![(caller.user_id(), Type::UUID)];
    let filters = filters(request, &mut parameters);
    (TOTAL.replace("/* filters */", &filters), parameters)
}

fn filters<'a>(request: &'a ListRequest, parameters: &mut Parameters<'a>) -> String {
    let mut sql = String::new();
    let mut filter = |condition: &str, value: &'a (dyn ToSql + Sync), r#type| {
        parameters.push((value, r#type));
        let _ = write!(sql, "AND {condition} ${} ", parameters.len());
    };
    if let Some(widget_id) = &request.widget_id {
        filter("widget_id =", widget_id, Type::UUID);
    }
    if let Some(status) = &request.status {
        filter("status =", status, Type::TEXT);
    }
    if let Some(from_date) = &request.from_date {
        filter("created_at >=", from_date, Type::TIMESTAMPTZ);
    }
    sql
}

impl ToSql for Status {
    fn to_sql(&self, r#type: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.as_str().to_sql(r#type, out)
    }

    accepts!(TEXT);
    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::{DEEP_PAGE, PAGE};

    #[test]
    fn both_pages_select_the_same_columns() {
        let columns = |statement: &'static str| {
            let from = statement.find("\nFROM (SELECT").expect("the page is made from a sub-select");
            &statement[statement.find("SELECT").expect("it is a query")..from]
        };
        assert_eq!(columns(PAGE), columns(DEEP_PAGE));
    }
}
