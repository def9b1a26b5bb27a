//! Instants as PostgreSQL counts them: read from ISO 8601, written as RFC 3339.

mod sql;

use std::fmt;

use jiff::{
    SignedDuration,
    civil::{DateTime, Time, date},
    fmt::temporal::{DateTimePrinter, Pieces},
};
/// PostgreSQL reads and writes offsets from UTC below this many seconds, and so do we.
const OFFSET_LIMIT_SECONDS: i32 = 16 * 60 * 60;

/// A `timestamptz`: microseconds since 2000-01-01T00:00:00Z, with `i64::MIN` and `i64::MAX` for the infinities.
///
/// Kept as PostgreSQL has it because jiff's own `Timestamp` ends on 9999-12-30, a day before what people write for
/// "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first instant that PostgreSQL can have at or after an ISO 8601 date or date-time of the years 0000 to 9999.
    ///
    /// A date means its midnight, a time without an offset is in UTC, and what is finer than a microsecond is rounded
    /// up, so that "at or after" stays exact. Not ISO 8601, and none: a time zone's name, white space around it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let pieces = text.starts_with(|first: char| first.is_ascii_digit()).then(|| Pieces::parse(text))?.ok()?;
        let offset = pieces.offset().map_or(0, |offset| offset.to_numeric_offset().seconds());
        if pieces.time_zone_annotation().is_some() || offset.abs() >= OFFSET_LIMIT_SECONDS || offset % 60 != 0 {
            return None;
        }
        let local = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
        let nanoseconds = local.duration_since(epoch()).as_nanos() - i128::from(offset) * 1_000_000_000;
        let microseconds = -(-nanoseconds).div_euclid(1000);
        i64::try_from(microseconds).ok().map(Self)
    }

    /// RFC 3339 in UTC with `Z`, with a fraction only when there is one and without trailing zeros.
    ///
    /// None for what it cannot write, an infinity or a year outside 0000 to 9999: one odd row must not take the whole list
    /// away.
    #[must_use]
    pub fn rfc_3339(self) -> Option<String> {
        let utc = epoch().checked_add(SignedDuration::from_micros(self.0)).ok()?;
        if !(0..=9999).contains(&utc.year()) {
            return None;
        }
        let mut text = String::with_capacity("2024-01-15T10:30:00.123456Z".len());
        // A page has two hundred of these: written straight into the text, not through `fmt`.
        DateTimePrinter::new().print_datetime(&utc, &mut text).ok()?;
        text.push('Z');
        Some(text)
    }
}

fn epoch() -> DateTime {
    date(2000, 1, 1).at(0, 0, 0, 0)
}

/// RFC 3339, or words where it has none.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rfc_3339().as_deref().unwrap_or("not in RFC 3339"))
    }
}

#[cfg(test)]
impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rfc_3339().serialize(serializer)
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "null"] })
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    fn read(text: &str) -> Option<String> {
        Timestamp::parse(text).map(|timestamp| timestamp.to_string())
    }

    #[test]
    fn every_form_of_an_instant_is_the_same_instant() {
        for text in [
            "2024-01-15T10:30:00Z",
            "2024-01-15t10:30:00z",
            "2024-01-15 10:30:00",
            "2024-01-15 10:30:00+00",
            "2024-01-15T10:30",
            "20240115T103000Z",
            "2024-01-15T10:30:00,000Z",
            "2024-01-15T16:00:00+05:30",
            "2024-01-15T05:30:00-0500",
            "2024-01-16T02:29:00+15:59",
        ] {
            assert_eq!(read(text).as_deref(), Some("2024-01-15T10:30:00Z"), "{text}");
        }
        assert_eq!(read("2024-01-15"), read("2024-01-15T00:00:00Z"));
    }

    #[test]
    fn a_fraction_is_rounded_up_and_written_without_trailing_zeros() {
        for (text, expected) in [
            ("2024-01-17T00:00:00.5Z", "2024-01-17T00:00:00.5Z"),
            ("2024-01-17T00:00:00.120000Z", "2024-01-17T00:00:00.12Z"),
            ("2024-01-17T00:00:00.1199991Z", "2024-01-17T00:00:00.12Z"),
            ("1999-12-31T23:59:59.999999001Z", "2000-01-01T00:00:00Z"),
            ("1999-12-31T23:59:59.9999980Z", "1999-12-31T23:59:59.999998Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn the_first_and_the_last_year_are_whole() {
        assert_eq!(read("0000-01-01").as_deref(), Some("0000-01-01T00:00:00Z"));
        assert_eq!(read("9999-12-31T23:59:59.999999Z").as_deref(), Some("9999-12-31T23:59:59.999999Z"));
        assert!(Timestamp::parse("9999-12-31T23:59:59-15:59") > Timestamp::parse("9999-12-31T23:59:59Z"));
        assert!(Timestamp::parse("0000-01-01T00:00:00+15:59") < Timestamp::parse("0000-01-01"));
    }

    #[test]
    fn what_is_no_iso_8601_date_or_date_time_is_none() {
        for text in [
            "2024-01",
            "2024",
            "1705314600",
            "today",
            "-infinity",
            "Jan 15 2024",
            "15/01/2024",
            "2024-02-30",
            "2024-1-5",
            "2024-W03-1",
            "2024-01-15T",
            "2024-01-15T25:00:00Z",
            "2024-01-15T10:30:00Z junk",
            " 2024-01-16",
            "2024-01-16 ",
            "2024-01-15T10:30:00 America/New_York",
            "2024-01-15T10:30:00[UTC]",
            "2024-01-15T10:30:00+16:00",
            "2024-01-15T10:30:00+00:00:30",
            "+002024-01-15",
            "-000001-01-01",
            "99999-01-01",
            "2024-01-15Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
