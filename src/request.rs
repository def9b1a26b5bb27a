//! The body as a [`ListRequest`]: every rule of the contract's request table, and nothing else.

mod fields;
mod integer;

use serde_json::value::RawValue;
use uuid::Uuid;

use self::{
    fields::{Field, Fields},
    integer::integer,
};
use crate::{error::Error, timestamp::PgTimestamp};

/// The largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 65_536;

/// A form feed, which Rust's ASCII white space includes, is not among it.
const JSON_WHITE_SPACE: &[u8] = b" \t\n\r";

/// The `limit` of a request that gives none.
pub const DEFAULT_LIMIT: i64 = 50;

/// Which sessions are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListRequest {
    /// The length of the page; 0 asks for the total alone.
    pub limit: i64,
    /// How many sessions come before the page.
    pub offset: i64,
    /// Sessions of this widget only.
    pub widget_id: Option<Uuid>,
    /// Sessions in this state only.
    pub status: Option<Status>,
    /// Sessions created at or after this instant only.
    pub from_date: Option<PgTimestamp>,
}

/// The state of a session, as far as callers can filter by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `active`
    Active,
    /// `closed`
    Closed,
}

impl Status {
    /// The value in JSON and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Closed => "closed",
        }
    }
}

impl ListRequest {
    /// Reads a body. `limit_max` is the largest `limit` that is served.
    ///
    /// # Errors
    ///
    /// [`Error::PayloadTooLarge`], or [`Error::Validation`] with the rule of every field that breaks one.
    pub fn parse(body: &[u8], limit_max: i64) -> Result<Self, Error> {
        if body.len() > MAX_BODY_BYTES {
            return Err(Error::PayloadTooLarge);
        }
        let is_empty = body.iter().all(|byte| JSON_WHITE_SPACE.contains(byte));
        let fields = if is_empty { Fields::default() } else { Fields::parse(body).map_err(Error::Validation)? };
        let mut broken = Broken(Vec::new());
        let request = Self {
            limit: broken.number("limit", fields.limit, DEFAULT_LIMIT, limit_max),
            offset: broken.number("offset", fields.offset, 0, i64::MAX),
            widget_id: broken.filter("widget_id", fields.widget_id, uuid, "a UUID"),
            status: broken.filter("status", fields.status, status, "\"active\" or \"closed\""),
            from_date: broken.filter(
                "from_date",
                fields.from_date,
                PgTimestamp::parse,
                "an ISO 8601 date or date-time",
            ),
        };
        if broken.0.is_empty() { Ok(request) } else { Err(Error::Validation(broken.0.join("; "))) }
    }
}

/// The rules that a body breaks.
struct Broken(Vec<String>);

impl Broken {
    fn number(&mut self, name: &str, field: Field<'_>, default: i64, max: i64) -> i64 {
        let Some(json) = self.once(name, field) else { return default };
        let value = integer(json.get()).filter(|value| (0..=max).contains(value));
        value.unwrap_or_else(|| {
            self.0.push(format!("{name} must be an integer from 0 to {max}"));
            default
        })
    }

    /// A filter's value; `""` means that it was not given.
    fn filter<T>(&mut self, name: &str, field: Field<'_>, parse: fn(&str) -> Option<T>, rule: &str) -> Option<T> {
        let text = serde_json::from_str::<String>(self.once(name, field)?.get());
        if text.as_ref().is_ok_and(String::is_empty) {
            return None;
        }
        let value = text.ok().and_then(|text| parse(&text));
        if value.is_none() {
            self.0.push(format!("{name} must be {rule}"));
        }
        value
    }

    fn once<'a>(&mut self, name: &str, field: Field<'a>) -> Option<&'a RawValue> {
        if field.times > 1 {
            self.0.push(format!("{name} must be given once"));
        }
        field.json
    }
}

fn status(text: &str) -> Option<Status> {
    [Status::Active, Status::Closed].into_iter().find(|status| status.as_str() == text)
}

/// A UUID as 32 digits, with hyphens in the usual places or none, either in braces. PostgreSQL reads these too.
fn uuid(text: &str) -> Option<Uuid> {
    let digits = text.strip_prefix('{').map_or(Some(text), |rest| rest.strip_suffix('}'))?;
    // Other lengths are what else the crate reads: braces again, and a URN.
    Uuid::try_parse(digits).ok().filter(|_| matches!(digits.len(), 32 | 36))
}
