//! PostgreSQL's timestamps: read from ISO 8601, written as RFC 3339.

use std::{
    error::Error,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::BytesMut;
use jiff::{
    SignedDuration,
    civil::{Date, DateTime, Time, date},
    fmt::temporal::Pieces,
};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// The limit of an offset from UTC, as in PostgreSQL.
const OFFSET_LIMIT_SECONDS: i32 = 16 * 60 * 60;

/// The length of an offset in hours and minutes. jiff also accepts seconds.
const MAX_OFFSET_BYTES: usize = "+00:00".len();

/// The lengths of a time with seconds, including the character before it.
const SHORT_CLOCK_BYTES: usize = "T000000".len();
const LONG_CLOCK_BYTES: usize = "T00:00:00".len();

/// A `timestamptz`: microseconds since 2000-01-01T00:00:00Z, with `i64::MIN` and `i64::MAX` for the infinities.
///
/// jiff's `Timestamp` ends on 9999-12-30, a day before the date that people write for "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PgTimestamp(i64);

impl PgTimestamp {
    /// Reads an ISO 8601 calendar date or date-time of the years 0000 to 9999.
    ///
    /// A date means its midnight, a time without an offset is in UTC, and second 60 is the next second. A fraction is
    /// rounded up to a microsecond, so that "at or after" stays exact. `None` for other forms: the name of a time zone,
    /// surrounding white space, a week or day of the year, 24:00, an offset with seconds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_at(text.find(['T', 't', ' ']).unwrap_or(text.len()));
        let (clock, offset) = time.split_at(time.find(['Z', 'z', '+', '-']).unwrap_or(time.len()));
        let (clock, fraction) = clock.split_once(['.', ',']).map_or((clock, None), |(clock, f)| (clock, Some(f)));
        let has_seconds = matches!(clock.len(), SHORT_CLOCK_BYTES | LONG_CLOCK_BYTES);
        let is_date = date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && !date.starts_with('-');
        if !is_date || text.contains('[') || offset.len() > MAX_OFFSET_BYTES || fraction.is_some() && !has_seconds {
            return None;
        }
        // Without the fraction, because jiff accepts at most nine digits.
        let whole = [date, clock, offset].concat();
        let pieces = Pieces::parse(&whole).ok()?;
        let offset = pieces.offset().map_or(0, |offset| offset.to_numeric_offset().seconds());
        if offset.abs() >= OFFSET_LIMIT_SECONDS {
            return None;
        }
        let local = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
        // jiff reads second 60 as 59.
        let leap = i64::from(has_seconds && clock.ends_with("60"));
        let seconds = local.duration_since(epoch()).as_secs() + leap - i64::from(offset);
        Some(Self(seconds * 1_000_000 + fraction.map_or(Some(0), microseconds)?))
    }

    /// RFC 3339 in UTC with `Z`, and with a fraction only if it is not zero, without trailing zeros.
    ///
    /// `None` for an infinity or a year outside 0000 to 9999, which RFC 3339 cannot express: one such row must not fail the
    /// whole page.
    #[must_use]
    pub fn rfc_3339(self) -> Option<String> {
        let utc = epoch().checked_add(SignedDuration::from_micros(self.0)).ok()?;
        (0..=9999).contains(&utc.year()).then(|| format!("{utc}Z"))
    }

    /// The first day, in UTC, that begins at or after this instant, and whether it begins at this instant.
    ///
    /// `None` outside the years 1 to 9999, which both PostgreSQL and jiff can write as a date.
    pub(crate) fn first_whole_day(self) -> Option<(Date, bool)> {
        const DAY: i64 = 86_400_000_000;
        let is_midnight = self.0.rem_euclid(DAY) == 0;
        let days = self.0.div_euclid(DAY) + i64::from(!is_midnight);
        let day = epoch().checked_add(SignedDuration::from_hours(24 * days)).ok()?.date();
        (1..=9999).contains(&day.year()).then_some((day, is_midnight))
    }
}

/// The digits of a fraction in microseconds, rounded up.
fn microseconds(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (kept, finer) = digits.split_at(digits.len().min(6));
    let finer = finer.bytes().any(|digit| digit != b'0');
    format!("{kept:0<6}").parse().ok().map(|kept: i64| kept + i64::from(finer))
}

/// From 1970-01-01 to 2000-01-01.
const UNIX_EPOCH_TO_EPOCH: Duration = Duration::from_hours(24 * 10_957);

impl From<SystemTime> for PgTimestamp {
    /// Times before the year 2000 become its first instant.
    fn from(time: SystemTime) -> Self {
        let since_unix_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = since_unix_epoch.saturating_sub(UNIX_EPOCH_TO_EPOCH).as_micros();
        Self(micros.try_into().unwrap_or(i64::MAX))
    }
}

fn epoch() -> DateTime {
    date(2000, 1, 1).at(0, 0, 0, 0)
}

impl fmt::Display for PgTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rfc_3339().as_deref().unwrap_or("not in RFC 3339"))
    }
}

impl<'a> FromSql<'a> for PgTimestamp {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        i64::from_sql(&Type::INT8, raw).map(Self)
    }

    accepts!(TIMESTAMPTZ);
}

impl ToSql for PgTimestamp {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.to_sql(&Type::INT8, out)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

#[cfg(test)]
impl schemars::JsonSchema for PgTimestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PgTimestamp".into()
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
    use super::PgTimestamp;

    fn read(text: &str) -> Option<String> {
        PgTimestamp::parse(text).map(|timestamp| timestamp.to_string())
    }

    #[test]
    fn all_forms_of_an_instant_are_equal() {
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
            ("1999-12-31T23:59:59.999999999999Z", "2000-01-01T00:00:00Z"),
            ("2024-01-17T00:00:00.120000000000000000000000000000Z", "2024-01-17T00:00:00.12Z"),
            ("2024-01-17T00:00:00.120000000000000000000000000001Z", "2024-01-17T00:00:00.120001Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn second_60_is_the_next_second() {
        for (text, expected) in [
            ("2024-01-15T23:59:60Z", "2024-01-16T00:00:00Z"),
            ("20240115T235960", "2024-01-16T00:00:00Z"),
            ("2024-01-15T10:30:60", "2024-01-15T10:31:00Z"),
            ("2024-01-15T23:59:60+05:30", "2024-01-15T18:30:00Z"),
            ("2024-01-15T23:59:60.5Z", "2024-01-16T00:00:00.5Z"),
            ("2024-01-15T23:59:60.9999999-01", "2024-01-16T01:00:01Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(read("2024-01-15T10:60"), None);
        assert_eq!(read("2024-01-15T1060"), None);
    }

    #[test]
    fn the_years_0000_and_9999_are_complete() {
        assert_eq!(read("0000-01-01").as_deref(), Some("0000-01-01T00:00:00Z"));
        assert_eq!(read("9999-12-31T23:59:59.999999Z").as_deref(), Some("9999-12-31T23:59:59.999999Z"));
        assert!(PgTimestamp::parse("9999-12-31T23:59:59-15:59") > PgTimestamp::parse("9999-12-31T23:59:59Z"));
        assert!(PgTimestamp::parse("0000-01-01T00:00:00+15:59") < PgTimestamp::parse("0000-01-01"));
    }

    #[test]
    fn other_forms_are_rejected() {
        for text in [
            "2024-01",
            "2024",
            "1705314600",
            "today",
            "infinity",
            "-infinity",
            "Jan 15 2024",
            "15/01/2024",
            "2024-02-30",
            "2024-1-5",
            "2024-W03-1",
            "2024W031",
            "2024-015",
            "2024015",
            "2024-0115",
            "202401-15",
            "2024-01-15T24:00",
            "2024-01-15T24:00:00Z",
            "2024-01-15T10:30:61Z",
            "2024-01-15T10:3000",
            "2024-01-15T10:30:00.",
            "2024-01-15T10:30:00.Z",
            "2024-01-15T10:30:00.5.5Z",
            "2024-01-15T10:30:00.-5",
            "2024-01-15T10:30.5Z",
            "2024-01-15T10.5",
            "2024-01-15.5",
            "2024-01-15 +05:30",
            "2024-01-15T+05:30",
            "2024-01-15T10:30:00 +05:30",
            "2024-01-15T10:30:00 Z",
            "2024-01-15T10:30:00ZZ",
            "2024-01-15TT10:30:00",
            "2024-01-15  10:30:00",
            "2024-01-15T10:30:00[u-ca=iso8601]",
            "2024-01-15[u-ca=iso8601]",
            "2024-01-15T10:30:00+5",
            "2024-01-15T10:30:00+05:3",
            "2024-01-15T10:30:00+05:60",
            "2024-01-15T10:30:00+05:30:00",
            "2024-01-15T10:30:00+053000",
            "",
            "T10:30:00Z",
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
