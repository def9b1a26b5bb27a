//! The SQL, composed for the filters that are present.
//!
//! One text for all filters (`$4 IS NULL OR …`) is a thousand times slower as soon as PostgreSQL plans it without the
//! values. `limit`, `offset` and `status` are validated and part of the text, so that PostgreSQL plans for their values.
//! `snapshots/` has every text that can be composed; each can be pasted into psql, with values for `$1`, `$2`, `$3`.

use std::fmt::Write;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{
    materialized::{self, CountFilters, FromDate},
    text::TextLimits,
};
use crate::{
    auth::Authenticated,
    database::{Parameters, Statement},
    request::{DEFAULT_LIMIT, ListRequest},
};

/// From this offset on, the ids of a page are read first, only from the index, and then its rows. This is slower by half for
/// the first page and five times faster at offset 100,000.
pub const DEEP_OFFSET: i64 = 1_000;

/// The variant of the statement for a page or a total.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Whether the materialized counts may be used where they are installed.
    pub counts: bool,
    /// Whether the total may use them too. Counting the few sessions since a recent `from_date` is cheaper.
    pub counted_total: bool,
    /// The form of the sessions' texts.
    pub texts: Texts,
}

/// The form in which PostgreSQL sends the texts of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts {
    /// Unchanged. One that is longer than [`super::TextLimit::bytes`] is replaced by [`super::text::SUBSTITUTE`].
    Usual,
    /// As bytes: a text that is longer than the limit is cut to one byte more. A character may end in the middle, so this
    /// is `bytea`; an `SQL_ASCII` database sends the stored bytes, which need not be UTF-8.
    Bounded,
}

impl Default for Reading {
    fn default() -> Self {
        Self { counts: true, counted_total: true, texts: Texts::Usual }
    }
}

/// The statement for a page with its total.
#[must_use]
pub fn page<'a>(caller: &'a Authenticated, request: &'a ListRequest, reading: Reading) -> Statement<'a> {
    statement(vec![(caller.user_id(), Type::UUID)], request, reading, page_text)
        .with_one_plan(has_one_plan(request, reading))
}

/// Whether one plan of the page with the materialized counts is right for every account and widget: an index has its
/// sessions in the order of the page, and nothing is counted. A date is different: the best index depends on its age.
fn has_one_plan(request: &ListRequest, reading: Reading) -> bool {
    reading.counts && request.from_date.is_none() && request.offset < DEEP_OFFSET
}

/// The statement for only the total.
#[must_use]
pub fn total<'a>(caller: &'a Authenticated, request: &'a ListRequest, reading: Reading) -> Statement<'a> {
    statement(vec![(caller.user_id(), Type::UUID)], request, reading, total_text)
}

/// The statement for a page for no account: it reads everything that a page needs and returns no rows.
pub(super) fn warm_up() -> Statement<'static> {
    static NO_ACCOUNT: Uuid = Uuid::nil();
    static FIRST_PAGE: ListRequest =
        ListRequest { limit: DEFAULT_LIMIT, offset: 0, widget_id: None, status: None, from_date: None };
    let reading = Reading::default();
    statement(vec![(&NO_ACCOUNT, Type::UUID)], &FIRST_PAGE, reading, page_text)
        .with_one_plan(has_one_plan(&FIRST_PAGE, reading))
}

/// The source of a statement's counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// The materialized counts; NULL for sessions that are not counted yet.
    Materialized,
    /// The product's tables.
    Computed,
}

/// The filters of a request as SQL conditions.
struct Filters {
    /// On `chat_sessions`, each with a leading ` AND `.
    sessions: String,
    counts: CountFilters,
    /// Names the filters in the statement's first line.
    label: String,
}

impl Filters {
    /// Composes the conditions and adds their values to `parameters`.
    fn new<'a>(request: &'a ListRequest, parameters: &mut Parameters<'a>) -> Self {
        let (mut key, mut label) = (String::new(), String::new());
        if let Some(widget_id) = &request.widget_id {
            parameters.push((widget_id, Type::UUID));
            let _ = write!(key, " AND widget_id = ${}", parameters.len());
            label.push_str(", widget_id");
        }
        if let Some(status) = request.status {
            let _ = write!(key, " AND status = '{}'", status.as_str());
            label.push_str(", status");
        }
        let (mut sessions, mut from) = (key.clone(), None);
        if let Some(from_date) = &request.from_date {
            parameters.push((from_date, Type::TIMESTAMPTZ));
            let parameter = format!("${}", parameters.len());
            let _ = write!(sessions, " AND created_at >= {parameter}");
            label.push_str(", from_date");
            from = from_date.first_whole_day().map(|(first_whole_day, is_midnight)| FromDate {
                parameter,
                first_whole_day,
                is_midnight,
            });
        }
        Self { sessions, label, counts: CountFilters { key, has_widget: request.widget_id.is_some(), from } }
    }
}

struct Parts<'a> {
    request: &'a ListRequest,
    filters: &'a Filters,
    variant: Variant,
    texts: Texts,
    /// The expression for the total.
    total: &'a str,
}

fn statement<'a>(
    mut parameters: Parameters<'a>,
    request: &'a ListRequest,
    reading: Reading,
    text: fn(&Parts) -> String,
) -> Statement<'a> {
    let filters = Filters::new(request, &mut parameters);
    let is_total_counted = reading.counted_total && (request.from_date.is_none() || filters.counts.from.is_some());
    Statement::new(parameters, move |is_preferred| {
        let variant = if is_preferred && reading.counts { Variant::Materialized } else { Variant::Computed };
        let computed = || format!("(SELECT count(*) FROM chat_sessions WHERE user_id = $1{})", filters.sessions);
        let (name, total) = match variant {
            Variant::Computed => ("computed", computed()),
            Variant::Materialized if is_total_counted => ("materialized", materialized::total(&filters.counts)),
            Variant::Materialized => ("materialized, computed total", computed()),
        };
        let parts = Parts { request, filters: &filters, variant, texts: reading.texts, total: &total };
        format!("-- list-chat-sessions: {name}, {}", text(&parts))
    })
}

fn page_text(parts: &Parts) -> String {
    let Parts { request: ListRequest { limit, offset, .. }, filters, variant, texts, total } = parts;
    let place = match *offset {
        0 => "first page",
        ..DEEP_OFFSET => "page",
        _ => "deep page",
    };
    let (columns, rows) = (columns(*limit, *variant, *texts), rows(*limit, *offset, &filters.sessions));
    format!("{place}{}\n{columns},\n       {total} AS total\n{rows}", filters.label)
}

fn total_text(parts: &Parts) -> String {
    format!("total{}\nSELECT {} AS total", parts.filters.label, parts.total)
}

/// The columns of a session, in the contract's order.
fn columns(limit: i64, variant: Variant, texts: Texts) -> String {
    let TextLimits { message, other } = TextLimits::of(limit);
    let text = |column| bounded(column, other.bytes, texts);
    let (last_message, message_count) = match variant {
        Variant::Materialized => (bounded("s.last_message", message.bytes, texts), "s.message_count::bigint"),
        Variant::Computed => (
            format!(
                "(SELECT {} FROM chat_messages m WHERE m.session_id = s.id
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1)",
                bounded("m.content", message.bytes, texts)
            ),
            "(SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id)",
        ),
    };
    let (widget_name, visitor_id, visitor_name) = (text("w.name"), text("s.visitor_id"), text("s.visitor_name"));
    let (visitor_email, status, page_url) = (text("s.visitor_email"), text("s.status"), text("s.page_url"));
    format!(
        "SELECT s.id, s.widget_id,
       (SELECT {widget_name} FROM chat_widgets w WHERE w.id = s.widget_id) AS widget_name,
       {visitor_id} AS visitor_id,
       {visitor_name} AS visitor_name,
       {visitor_email} AS visitor_email,
       {status} AS status,
       {last_message} AS last_message,
       s.last_message_at,
       {message_count} AS message_count,
       {page_url} AS page_url,
       s.created_at"
    )
}

/// A column's text. If it is longer than `bytes`, one byte more than that is sent, or a substitute.
fn bounded(column: &str, bytes: usize, texts: Texts) -> String {
    match texts {
        Texts::Usual => format!(r"CASE WHEN octet_length({column}) > {bytes} THEN E'\x1A' ELSE {column} END"),
        Texts::Bounded => {
            let sent = bytes + 1;
            let encoding = "CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END::name";
            format!(
                "CASE WHEN octet_length({column}) > {bytes} \
                 THEN substr(convert_to(left({column}, {sent}), {encoding}), 1, {sent}) \
                 ELSE convert_to({column}, {encoding}) END"
            )
        }
    }
}

/// The sessions of a page. The limit is inside the sub-select, so that nothing is computed for rows that are skipped.
fn rows(limit: i64, offset: i64, filters: &str) -> String {
    let page = format!(
        "WHERE user_id = $1{filters}
      ORDER BY last_message_at DESC, id DESC LIMIT {limit} OFFSET {offset}"
    );
    match offset {
        // Nothing is skipped, and a sub-select would only cost planning.
        0 => format!("FROM chat_sessions s {page}"),
        ..DEEP_OFFSET => format!(
            "FROM (SELECT * FROM chat_sessions {page}) s
ORDER BY s.last_message_at DESC, s.id DESC"
        ),
        _ => format!(
            "FROM (SELECT c.* FROM (SELECT id FROM chat_sessions {page}) page
      JOIN chat_sessions c USING (id)
      ORDER BY c.last_message_at DESC, c.id DESC) s
ORDER BY s.last_message_at DESC, s.id DESC"
        ),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_binary_snapshot;
    use serde_json::{Value, json};

    use super::{DEEP_OFFSET, ListRequest, Parts, Reading, Texts, Type, Uuid, page_text, statement, total_text};

    const ACCOUNT: Uuid = Uuid::nil();

    type Compose = fn(&Parts) -> String;

    /// Every combination of filters. The dates are midnight, another time, and one for which sessions are counted.
    fn requests() -> Vec<(Value, Reading)> {
        let widget_id = [None, Some("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa")];
        let dates = [
            (None, true),
            (Some("2024-01-15"), true),
            (Some("2024-01-15T10:30:00Z"), true),
            (Some("2024-01-15"), false),
        ];
        let mut requests = Vec::new();
        for (from_date, counted_total) in dates {
            for status in [None, Some("active")] {
                for widget_id in widget_id {
                    let request = json!({ "widget_id": widget_id, "status": status, "from_date": from_date });
                    requests.push((request, Reading { counted_total, ..Reading::default() }));
                }
            }
        }
        requests.push((json!({}), Reading { texts: Texts::Bounded, ..Reading::default() }));
        requests
    }

    /// The preferred and the fallback texts of the requests, each without repetitions.
    fn texts(offset: i64, text: Compose) -> [String; 2] {
        let mut texts = [Vec::new(), Vec::new()];
        for (request, reading) in requests() {
            let mut request = ListRequest::parse(request.to_string().as_bytes(), 100).unwrap();
            request.offset = offset;
            let statement = statement(vec![(&ACCOUNT, Type::UUID)], &request, reading, text);
            for (texts, text) in texts.iter_mut().zip([statement.preferred(), statement.fallback()]) {
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
        }
        texts.map(|texts| texts.join(";\n\n") + ";\n")
    }

    #[test]
    fn every_statement_is_as_in_its_snapshot() {
        let places: [(_, _, Compose); 4] = [
            ("first_page", 0, page_text),
            ("page", 100, page_text),
            ("deep_page", DEEP_OFFSET, page_text),
            ("total", 100, total_text),
        ];
        let settings = {
            let mut settings = insta::Settings::clone_current();
            settings.set_prepend_module_to_snapshot(false);
            settings
        };
        for (name, offset, text) in places {
            let [preferred, fallback] = texts(offset, text);
            settings.bind(|| {
                assert_binary_snapshot!(&format!("materialized_{name}.sql"), preferred.into_bytes());
                assert_binary_snapshot!(&format!("computed_{name}.sql"), fallback.into_bytes());
            });
        }
    }
}
