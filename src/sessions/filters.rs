//! The conditions of a request in SQL.

use std::fmt::Write;

use jiff::civil::Date;
use tokio_postgres::types::Type;

use crate::{database::Parameters, request::ListRequest};

/// The conditions of a request.
pub struct Filters {
    /// On `chat_sessions`, each with a leading ` AND `.
    pub sessions: String,
    /// Those of them that are part of the key of the materialized counts.
    pub key: String,
    pub has_widget: bool,
    /// `from_date`, if the materialized counts can tell what is before it.
    pub from: Option<FromDate>,
    /// For the first line of the statement.
    pub label: String,
}

pub struct FromDate {
    pub parameter: String,
    /// The first day, in UTC, that begins at or after it.
    pub first_whole_day: Date,
    pub is_midnight: bool,
}

impl Filters {
    /// Adds the values to the parameters.
    pub fn new<'a>(request: &'a ListRequest, parameters: &mut Parameters<'a>) -> Self {
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
        Self { sessions, key, has_widget: request.widget_id.is_some(), from, label }
    }
}
