//! The query's text, composed for the filters that are present, and its parameters.

use std::{error::Error, fmt::Write};

use bytes::BytesMut;
use tokio_postgres::{
    Error as PgError,
    error::SqlState,
    types::{IsNull, ToSql, Type, accepts, to_sql_checked},
};
use uuid::Uuid;

use super::{
    Row,
    text::{RawText, SUBSTITUTE, TextLimits},
};
use crate::{
    auth::Authenticated,
    request::{ListRequest, Status},
};

/// A page at offset 0, at others, and at deep ones, which all say `/* columns */`.
const FIRST_PAGE: &str = include_str!("sql/first_page.sql");
const PAGE: &str = include_str!("sql/page.sql");
const DEEP_PAGE: &str = include_str!("sql/deep_page.sql");
const COLUMNS: &str = include_str!("sql/columns.sql");
const TOTAL: &str = include_str!("sql/total.sql");

/// Where each of them says `/* total */`.
const COMPUTED_TOTAL: &str = include_str!("sql/total/computed.sql");
const KEPT_TOTAL: &str = include_str!("sql/total/kept.sql");
const KEPT_TOTAL_FROM: &str = include_str!("sql/total/kept_from.sql");

/// Where the last two say `/* kept rows */`. An account has its sums over all widgets, and what is not folded into them yet.
const ACCOUNT_ROWS: &str = include_str!("sql/total/account_rows.sql");
const WIDGET_ROWS: &str = include_str!("sql/total/widget_rows.sql");

/// Where a page's row has its texts.
pub(super) const TEXT_COLUMNS: [usize; 7] = [2, 3, 4, 5, 6, 7, 10];

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
    /// What may be read of each text.
    pub texts: TextLimits,
    /// The same for both forms.
    pub parameters: Parameters<'a>,
}

/// The statement for a page with its total.
#[must_use]
pub fn page_query<'a>(caller: &'a Authenticated, request: &'a ListRequest) -> Statement<'a> {
    let frame = match request.offset {
        0 => FIRST_PAGE,
        ..DEEP_OFFSET => PAGE,
        _ => DEEP_PAGE,
    };
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
    let texts = TextLimits::of(1);
    Statement { frame: FIRST_PAGE, filters, key_filters, kept_rows: ACCOUNT_ROWS, dates: None, texts, parameters }
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
        let texts = TextLimits::of(request.limit);
        Self { frame, filters, key_filters, kept_rows, dates, texts, parameters }
    }

    /// The text in one of the forms. What is between `/* kept:` and `:kept */` belongs to the kept form.
    ///
    /// A text of a session that is longer than [`super::TextLimit::bytes`] is not sent: one control character replaces it,
    /// and the page is read again as [`Statement::bounded_text`]. An ordinary page is then sent without a conversion.
    #[must_use]
    pub fn text(&self, form: Form) -> String {
        self.compose(form, |column, bytes| {
            format!(r"CASE WHEN octet_length({column}) > {bytes} THEN E'\x1A' ELSE {column} END")
        })
    }

    /// The text in one of the forms, with each text of a session as bytes: all of one that may be read whole, of any other
    /// one byte more than may be. A character may end in the middle, so this is `bytea`; in an `SQL_ASCII` database the bytes
    /// are sent as they are stored, which `text` is not where they are not UTF-8.
    #[must_use]
    pub fn bounded_text(&self, form: Form) -> String {
        self.compose(form, |column, bytes| {
            let sent = bytes + 1;
            let encoding = "CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name";
            format!(
                "CASE WHEN octet_length({column}) > {bytes} \
                 THEN substr(convert_to(left({column}, {sent}), {encoding}), 1, {sent}) \
                 ELSE convert_to({column}, {encoding}) END"
            )
        })
    }

    /// Whether what came of [`Statement::text`] lacks a text, because it was too long or was not UTF-8.
    #[must_use]
    pub fn lacks_texts(outcome: &Result<Vec<Row>, PgError>) -> bool {
        let is_substitute = |text: Option<RawText>| text.is_some_and(|text| text.0 == SUBSTITUTE.as_bytes());
        match outcome {
            Ok(rows) => rows.iter().any(|row| {
                let mut texts = TEXT_COLUMNS.iter().filter_map(|column| row.try_get(*column).ok());
                texts.any(is_substitute)
            }),
            Err(error) => error.code() == Some(&SqlState::CHARACTER_NOT_IN_REPERTOIRE),
        }
    }

    /// `/* text … */` and `/* message … */` name a column whose text is to be bounded.
    fn compose(&self, form: Form, bound: impl Fn(&str, usize) -> String) -> String {
        let text = self.frame.replace("/* columns */", COLUMNS.trim_end());
        let text = match (form, &self.dates) {
            (Form::Computed, _) => text.replace("/* total */", COMPUTED_TOTAL.trim_end()),
            (Form::Kept, None) => text.replace("/* total */", KEPT_TOTAL.trim_end()),
            (Form::Kept, Some((from, day))) => {
                let total = KEPT_TOTAL_FROM.replace("/* from */", from).replace("/* first day */", day);
                text.replace("/* total */", total.trim_end())
            }
        };
        let text = match form {
            Form::Computed => text,
            Form::Kept => {
                let text = text.replace("/* kept: ", "").replace(" :kept */", "");
                text.replace("/* kept rows */", self.kept_rows.trim_end())
            }
        };
        let text = text.replace("/* filters */", &self.filters).replace("/* key filters */", &self.key_filters);
        let text = bound_texts(&text, "/* text ", |column| bound(column, self.texts.other.bytes));
        bound_texts(&text, "/* message ", |column| bound(column, self.texts.message.bytes))
    }
}

/// The statement with an expression in the place of each directive, which names a column.
fn bound_texts(statement: &str, directive: &str, bound: impl Fn(&str) -> String) -> String {
    let mut parts = statement.split(directive);
    let mut bounded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (column, rest) = part.split_once(" */").expect("a directive ends");
        bounded.push_str(&bound(column));
        bounded.push_str(rest);
    }
    bounded
}

impl ToSql for Status {
    fn to_sql(&self, r#type: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.as_str().to_sql(r#type, out)
    }

    accepts!(TEXT);
    to_sql_checked!();
}
