//! The request's body, read as a [`ListRequest`] by the rules of the contract's request table.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{error::Error, timestamp::PgTimestamp};

/// The largest body that is accepted, in bytes.
pub const MAX_BODY_BYTES: usize = 65_536;

/// Unlike Rust's ASCII white space, without the form feed.
const JSON_WHITE_SPACE: &[u8] = b" \t\n\r";

/// The `limit` of a request without one.
pub(crate) const DEFAULT_LIMIT: i64 = 50;

/// The sessions that the caller requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListRequest {
    /// The maximum length of the page; 0 requests only the total.
    pub limit: i64,
    /// The number of sessions before the page.
    pub offset: i64,
    /// Only sessions of this widget.
    pub widget_id: Option<Uuid>,
    /// Only sessions with this status.
    pub status: Option<Status>,
    /// Only sessions that were created at or after this instant.
    pub from_date: Option<PgTimestamp>,
}

/// The values of a session's status that callers can filter by.
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
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// [`Error::PayloadTooLarge`], or [`Error::Validation`] with the rule of every invalid field.
    pub fn parse(body: &[u8], limit_max: i64) -> Result<Self, Error> {
        let fields = Fields::of(body)?;
        let mut violations = Vec::new();
        let request = Self {
            limit: number(&mut violations, "limit", fields.limit, DEFAULT_LIMIT, limit_max),
            offset: number(&mut violations, "offset", fields.offset, 0, i64::MAX),
            widget_id: filter(&mut violations, "widget_id", fields.widget_id, uuid, "a UUID"),
            status: filter(&mut violations, "status", fields.status, status, "\"active\" or \"closed\""),
            from_date: filter(
                &mut violations,
                "from_date",
                fields.from_date,
                PgTimestamp::parse,
                "an ISO 8601 date or date-time",
            ),
        };
        if violations.is_empty() { Ok(request) } else { Err(Error::Validation(violations.join("; "))) }
    }
}

fn number(violations: &mut Vec<String>, name: &str, field: Field<'_>, default: i64, max: i64) -> i64 {
    let Some(json) = once(violations, name, field) else { return default };
    let value = integer(json.get()).filter(|value| (0..=max).contains(value));
    value.unwrap_or_else(|| {
        violations.push(format!("{name} must be an integer from 0 to {max}"));
        default
    })
}

/// A filter's value; `""` is the same as no value.
fn filter<T>(
    violations: &mut Vec<String>,
    name: &str,
    field: Field<'_>,
    parse: fn(&str) -> Option<T>,
    rule: &str,
) -> Option<T> {
    let text = serde_json::from_str::<String>(once(violations, name, field)?.get());
    if text.as_ref().is_ok_and(String::is_empty) {
        return None;
    }
    let value = text.ok().and_then(|text| parse(&text));
    if value.is_none() {
        violations.push(format!("{name} must be {rule}"));
    }
    value
}

fn once<'a>(violations: &mut Vec<String>, name: &str, field: Field<'a>) -> Option<&'a RawValue> {
    if field.times > 1 {
        violations.push(format!("{name} must be given once"));
    }
    field.json
}

fn status(text: &str) -> Option<Status> {
    [Status::Active, Status::Closed].into_iter().find(|status| status.as_str() == text)
}

/// A UUID in a form that PostgreSQL accepts too: 32 digits with the usual hyphens or without any, both also in braces.
fn uuid(text: &str) -> Option<Uuid> {
    let digits = text.strip_prefix('{').map_or(Some(text), |rest| rest.strip_suffix('}'))?;
    // The crate also accepts braces and a URN, which have other lengths.
    Uuid::try_parse(digits).ok().filter(|_| matches!(digits.len(), 32 | 36))
}

/// The known fields of the body's JSON object, not yet parsed. Unknown fields are skipped, however deep they are.
#[derive(Default)]
struct Fields<'a> {
    limit: Field<'a>,
    offset: Field<'a>,
    widget_id: Field<'a>,
    status: Field<'a>,
    from_date: Field<'a>,
}

/// How many times a field is given, and its last value unless that is `null`.
#[derive(Clone, Copy, Default)]
struct Field<'a> {
    times: u32,
    json: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Error> {
        if body.len() > MAX_BODY_BYTES {
            return Err(Error::PayloadTooLarge);
        }
        let is_empty = body.iter().all(|byte| JSON_WHITE_SPACE.contains(byte));
        if is_empty { Ok(Self::default()) } else { Self::parse(body).map_err(Error::Validation) }
    }

    fn parse(body: &'a [u8]) -> Result<Self, String> {
        // Checked first, because the JSON parser does not validate strings that it skips.
        let body = str::from_utf8(body).map_err(|_| "the body must be a JSON object in UTF-8")?;
        serde_json::from_str(body).map_err(|error| {
            if error.is_data() {
                "the body must be a JSON object".to_owned()
            } else {
                format!("the body must be a JSON object: broken at line {} column {}", error.line(), error.column())
            }
        })
    }

    fn get_mut(&mut self, name: &RawValue) -> Option<&mut Field<'a>> {
        // JSON allows names that are not valid Unicode, such as `"\ud800"`: those are unknown fields.
        let name: String = serde_json::from_str(name.get()).ok()?;
        match name.as_str() {
            "limit" => Some(&mut self.limit),
            "offset" => Some(&mut self.offset),
            "widget_id" => Some(&mut self.widget_id),
            "status" => Some(&mut self.status),
            "from_date" => Some(&mut self.from_date),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut fields = Fields::default();
        // Read as a raw value, because the parser accepts control characters in decoded keys but not in raw values.
        while let Some(name) = map.next_key::<&RawValue>()? {
            match fields.get_mut(name) {
                Some(field) => *field = Field { times: field.times + 1, json: map.next_value()? },
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

/// The integer value of a JSON number: `20`, `20.0` and `2e1` are equal. `None` for a fraction, for a value beyond 64
/// bits, and for JSON of another type.
///
/// Parsed from the digits, because JSON libraries read the last two forms as floating-point numbers, which makes
/// `9223372036854775807.0` a different integer.
fn integer(json: &str) -> Option<i64> {
    let (sign, number) = json.split_at(usize::from(json.starts_with('-')));
    if !number.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // The value is `significant` followed by `zeros` zeros. With an exponent beyond 64 bits it never fits, because no body
    // has enough digits to compensate.
    let exponent: i64 = exponent.parse().ok()?;
    let scale = i64::try_from(whole.len()).ok()?.checked_sub(i64::try_from(significant.len()).ok()?)?;
    let zeros = usize::try_from(exponent.checked_add(scale)?).ok()?;
    let longest = i64::MIN.to_string().len();
    let significant = significant.trim_start_matches('0');
    if significant.len().checked_add(zeros)? > longest {
        return None;
    }
    format!("{sign}{significant}{:0<zeros$}", "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn all_forms_of_a_number_are_equal() {
        for number in ["20", "20.0", "2e1", "2E+1", "200e-1", "0.2e2", "0.0020e4", "20.000", "2000000e-5"] {
            assert_eq!(integer(number), Some(20), "{number}");
        }
        for zero in ["0", "-0", "0.0", "-0.0e7", "0e99999999999999999999", "0e-99999999999999999999"] {
            assert_eq!(integer(zero), Some(0), "{zero}");
        }
        assert_eq!(integer("-1"), Some(-1));
    }

    #[test]
    fn the_ends_of_the_range_are_exact() {
        for number in
            ["9223372036854775807", "9223372036854775807.0", "92233720368547758070e-1", "922337203685477580.7e1"]
        {
            assert_eq!(integer(number), Some(i64::MAX), "{number}");
        }
        for number in
            ["9223372036854775808", "9223372036854775807.5", "1e19", "1e999999999999999999999", "18446744073709551616"]
        {
            assert_eq!(integer(number), None, "{number}");
        }
    }

    #[test]
    fn other_json_is_rejected() {
        for json in ["1.5", "1e-1", "0.1e-99999999999999999999", "\"2\"", "true", "[2]", "{}", "null", ""] {
            assert_eq!(integer(json), None, "{json}");
        }
    }
}
