//! Composes a request's filters as SQL conditions.

use std::fmt::Write;

use jiff::civil::Date;
use tokio_postgres::types::Type;

use crate::{database::Parameters, request::ListRequest};

pub struct Filters {
    /// On `chat_sessions`, each with a leading ` AND `.
    pub sessions: String,
    /// The conditions among them on the key of the materialized counts.
    pub key: String,
    pub has_widget: bool,
    /// `from_date`, if the materialized counts support its year: 1 to 9999.
    pub from: Option<FromDate>,
    /// Names the filters in the statement's first line.
    pub label: String,
}

pub struct FromDate {
    pub parameter: String,
    /// The first day, in UTC, that begins at or after it.
    pub first_whole_day: Date,
    pub is_midnight: bool,
}

impl Filters {
    /// Composes the conditions and adds their values to `parameters`.
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
