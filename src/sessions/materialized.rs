//! The materialized counts: their tables, and an account's total from them.
//!
//! `docs/materialized-counts.md` describes the tables. The total of an account whose sessions are not counted yet is
//! NULL; then the page is read again without the counts.

use jiff::civil::Date;

use crate::database::Schema;

/// The tables that statements read. The materialized counts are optional.
pub const SCHEMA: Schema = Schema {
    tables: &["chat_widgets", "chat_sessions", "chat_messages"],
    preferred_tables: &["chat_session_counts", "chat_session_counted", "chat_session_totals"],
    preferred_column: ("chat_sessions", "message_count"),
    role_script: "docs/role.sql",
};

/// The filters of a request, as far as the materialized counts have them.
pub(super) struct CountFilters {
    /// Conditions on the key of the counts, each with a leading ` AND `.
    pub key: String,
    pub has_widget: bool,
    /// `from_date`, if its year is supported: 1 to 9999.
    pub from: Option<FromDate>,
}

pub(super) struct FromDate {
    pub parameter: String,
    /// The first day, in UTC, that begins at or after it.
    pub first_whole_day: Date,
    pub is_midnight: bool,
}

const IS_COUNTED: &str = "EXISTS (SELECT FROM chat_session_counted
                          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)";

/// The SQL for the number of all sessions that match, or NULL. It reads one snapshot, in which a count that is being folded
/// is either still a row of its own or in the total.
pub(super) fn total(filters: &CountFilters) -> String {
    let sum = |rows: &str| sum(rows, filters);
    let counted = if filters.has_widget {
        sum("chat_session_counts WHERE user_id = $1")
    } else {
        // The totals of the account over all widgets, and what is not folded into them yet.
        let totals = sum("chat_session_totals WHERE user_id = $1");
        let counts = sum("chat_session_counts WHERE user_id = $1 AND slot >= 0");
        format!("{totals}\n           + {counts}")
    };
    let rest = before_first_whole_day(filters).map(|rest| format!("\n           + {rest}")).unwrap_or_default();
    format!("CASE WHEN {IS_COUNTED}\n            THEN ({counted}{rest})::bigint END")
}

/// The SQL for the sum over one table's months, from the first whole day on if there is a date.
fn sum(rows: &str, filters: &CountFilters) -> String {
    let key = &filters.key;
    let Some(from) = &filters.from else {
        return format!("(SELECT coalesce(sum(n), 0) FROM {rows}{key})");
    };
    let (date, month, day) = (from.first_whole_day, from.first_whole_day.first_of_month(), from.first_whole_day.day());
    format!(
        "(SELECT coalesce(sum(CASE WHEN month > '{date}' THEN n
                                  ELSE (SELECT sum(day) FROM unnest(days[{day}:]) day) END), 0)
              FROM {rows}{key} AND month >= '{month}')"
    )
}

/// The SQL for the number of sessions between the date and the first whole day after it.
fn before_first_whole_day(filters: &CountFilters) -> Option<String> {
    let from = filters.from.as_ref().filter(|from| !from.is_midnight)?;
    let (parameter, date) = (&from.parameter, from.first_whole_day);
    let range = format!("user_id = $1 AND created_at >= {parameter} AND created_at < '{date}T00:00Z'");
    Some(if filters.key.is_empty() {
        format!("(SELECT count(*) FROM chat_sessions WHERE {range})")
    } else {
        // OFFSET 0 makes PostgreSQL search by date. Otherwise it could read a whole widget.
        format!(
            "(SELECT count(*) FROM (SELECT widget_id, status FROM chat_sessions
                                     WHERE {range} OFFSET 0) part WHERE true{})",
            filters.key
        )
    })
}
