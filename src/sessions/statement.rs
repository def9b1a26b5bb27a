//! The query's text, composed for the filters that are present, and its parameters.

use std::{error::Error, fmt::Write};

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};
use uuid::Uuid;

use crate::{
    auth::Authenticated,
    request::{ListRequest, Status},
};

const PAGE: &str = include_str!("sql/page.sql");
const DEEP_PAGE: &str = include_str!("sql/deep_page.sql");
const TOTAL: &str = include_str!("sql/total.sql");

/// Where each of them says `/* total */`.
const COMPUTED_TOTAL: &str = include_str!("sql/total/computed.sql");
const KEPT_TOTAL: &str = include_str!("sql/total/kept.sql");
const KEPT_TOTAL_FROM: &str = include_str!("sql/total/kept_from.sql");

/// Where the last two say `/* kept rows */`. An account has its sums over all widgets, and what is not folded into them yet.
const ACCOUNT_ROWS: &str = include_str!("sql/total/account_rows.sql");
const WIDGET_ROWS: &str = include_str!("sql/total/widget_rows.sql");

/// From this offset on the page's ids are found first and its rows after that: slower by half at the first page, five
/// times faster at offset 100,000.
pub const DEEP_OFFSET: i64 = 1_000;

/// Where a statement takes what it can take from either place. Both forms have the same parameters and the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// From what `migrations/kept` keeps, and computed where nothing is kept for a session or for the account.
    Kept,
    /// From the product's own tables and columns alone.
    Computed,
}

/// A statement's parameters, each with the type that the statement takes it as.
pub type Parameters<'a> = Vec<(&'a (dyn ToSql + Sync), Type)>;

/// A statement in both its forms, and its parameters.
///
/// Composed for the filters that are present: one text for all of them (`$4 IS NULL OR …`) is a thousand times slower
/// as soon as PostgreSQL plans it without the values.
pub struct Statement<'a> {
    frame: &'static str,
    /// For the sessions' own table.
    filters: String,
    /// For the kept counts: those of them that are a part of their key.
    key_filters: String,
    /// The kept counts that these are for.
    kept_rows: &'static str,
    /// `from_date` and the first day that begins at or after it, in SQL.
    dates: Option<(String, String)>,
    /// The same for both forms.
    pub parameters: Parameters<'a>,
}

/// The statement for a page with its total.
#[must_use]
pub fn page_query<'a>(caller: &'a Authenticated, request: &'a ListRequest) -> Statement<'a> {
    let frame = if request.offset < DEEP_OFFSET { PAGE } else { DEEP_PAGE };
    let parameters: Parameters =
        vec![(caller.user_id(), Type::UUID), (&request.limit, Type::INT8), (&request.offset, Type::INT8)];
    Statement::new(frame, parameters, request)
}

/// The statement for the total alone.
pub(super) fn total_query<'a>(caller: &'a Authenticated, request: &'a ListRequest) -> Statement<'a> {
    Statement::new(TOTAL, vec![(caller.user_id(), Type::UUID)], request)
}

/// The statement for a page of nobody's: it asks for all that a page needs, and gets nothing.
pub(crate) fn probe() -> Statement<'static> {
    static NOBODY: Uuid = Uuid::nil();
    let (filters, key_filters) = (String::new(), String::new());
    let parameters: Parameters = vec![(&NOBODY, Type::UUID), (&1_i64, Type::INT8), (&0_i64, Type::INT8)];
    Statement { frame: PAGE, filters, key_filters, kept_rows: ACCOUNT_ROWS, dates: None, parameters }
}

impl<'a> Statement<'a> {
    fn new(frame: &'static str, mut parameters: Parameters<'a>, request: &'a ListRequest) -> Self {
        let mut filters = String::new();
        let mut filter = |condition: &str, value: &'a (dyn ToSql + Sync), r#type| {
            parameters.push((value, r#type));
            let _ = write!(filters, "AND {condition} ${} ", parameters.len());
            filters.clone()
        };
        let mut key_filters = String::new();
        let mut kept_rows = ACCOUNT_ROWS;
        if let Some(widget_id) = &request.widget_id {
            kept_rows = WIDGET_ROWS;
            key_filters = filter("widget_id =", widget_id, Type::UUID);
        }
        if let Some(status) = &request.status {
            key_filters = filter("status =", status, Type::TEXT);
        }
        let mut dates = None;
        if let Some(from_date) = &request.from_date {
            filter("created_at >=", from_date, Type::TIMESTAMPTZ);
            // Midnight is the beginning of its own day.
            let from = format!("${}", parameters.len());
            let day = format!("date_trunc('day', {from} AT TIME ZONE 'UTC' + interval '86399.999999 s')");
            dates = Some((from, day));
        }
        Self { frame, filters, key_filters, kept_rows, dates, parameters }
    }

    /// The text in one of the forms. What is between `/* kept:` and `:kept */` belongs to the kept form.
    #[must_use]
    pub fn text(&self, form: Form) -> String {
        let text = match (form, &self.dates) {
            (Form::Computed, _) => self.frame.replace("/* total */", COMPUTED_TOTAL.trim_end()),
            (Form::Kept, None) => self.frame.replace("/* total */", KEPT_TOTAL.trim_end()),
            (Form::Kept, Some((from, day))) => {
                let total = KEPT_TOTAL_FROM.replace("/* from */", from).replace("/* first day */", day);
                self.frame.replace("/* total */", total.trim_end())
            }
        };
        let text = match form {
            Form::Computed => text,
            Form::Kept => {
                let text = text.replace("/* kept: ", "").replace(" :kept */", "");
                text.replace("/* kept rows */", self.kept_rows.trim_end())
            }
        };
        text.replace("/* filters */", &self.filters).replace("/* key filters */", &self.key_filters)
    }
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
