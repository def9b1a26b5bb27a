//! The texts of a session: the limits for reading them, and their characters.

use std::{error::Error, iter};

use tokio_postgres::types::{FromSql, Type};

/// The largest response that Lambda accepts from a function, in bytes; instead of a larger one the caller would get API
/// Gateway's error. <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const MAX_RESPONSE_BYTES: usize = 6_291_556;

/// The most that is read of all last messages of a page together, in bytes. Each is cut to its share.
pub const MESSAGES_BYTES: usize = 16_000_000;

/// The same for each of the other six texts: at most 34 MB are read for a page.
pub const OTHER_TEXTS_BYTES: usize = 3_000_000;

/// The number of characters of all last messages of a page that are never cut: 4,000 of each at `limit` 100.
const UNCUT_MESSAGES_CHARS: usize = 400_000;

/// The same for each of the other six texts: 500 at `limit` 100. All seven together take at most 4.9 MB of a response.
const UNCUT_OTHER_TEXTS_CHARS: usize = 50_000;

/// Sent by the usual statement instead of a text that is too long. A text that is equal to it only causes its page to be
/// read again.
pub(super) const SUBSTITUTE: &str = "\u{1a}";

/// The limits of a page's texts, which depend on the page's `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLimits {
    /// For `last_message`.
    pub message: TextLimit,
    /// For each of the other texts.
    pub other: TextLimit,
}

/// The limits of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLimit {
    /// The most that is read, in bytes.
    pub bytes: usize,
    /// The number of characters that are never cut.
    pub uncut_chars: usize,
}

impl TextLimits {
    /// The limits of a page with at most `limit` sessions.
    #[must_use]
    pub fn of(limit: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        let share = |bytes: usize, chars: usize| TextLimit {
            // A text cannot be longer than its response.
            bytes: (bytes / limit).min(MAX_RESPONSE_BYTES),
            uncut_chars: chars / limit,
        };
        Self {
            message: share(MESSAGES_BYTES, UNCUT_MESSAGES_CHARS),
            other: share(OTHER_TEXTS_BYTES, UNCUT_OTHER_TEXTS_CHARS),
        }
    }
}

/// A text as PostgreSQL sent it. Its bytes need not be UTF-8: an `SQL_ASCII` database accepts any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    bytes: &'a [u8],
    is_cut: bool,
}

impl<'a> Text<'a> {
    /// Reads a text. PostgreSQL sends one byte more than the limit if the text is longer; the result then ends with the last
    /// whole character within the limit.
    #[must_use]
    pub fn read(bytes: &'a [u8], limit: TextLimit) -> Self {
        let is_continuation = |at: &usize| bytes[*at] & 0xC0 == 0x80;
        let end = (limit.bytes.saturating_sub(3)..=limit.bytes).rev().take_while(|_| bytes.len() > limit.bytes);
        match end.clone().find(|at| !is_continuation(at)).or(end.last()) {
            Some(end) => Self { bytes: &bytes[..end], is_cut: true },
            None => Self { bytes, is_cut: false },
        }
    }

    /// Marks the text as cut if `is_cut`.
    #[must_use]
    pub(super) fn or_cut(self, is_cut: bool) -> Self {
        Self { is_cut: self.is_cut || is_cut, ..self }
    }

    /// Its bytes, up to the cut.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the text was cut, so that the response must mark it.
    #[must_use]
    pub fn is_cut(self) -> bool {
        self.is_cut
    }

    /// Its characters. Invalid bytes become U+FFFD, as in [`String::from_utf8_lossy`].
    pub fn chars(self) -> impl Iterator<Item = char> + 'a {
        self.starts_and_chars().map(|(_, char)| char)
    }

    /// The first `max` of its characters.
    #[must_use]
    pub fn first(self, max: usize) -> Self {
        // No text has more characters than bytes.
        if self.bytes.len() <= max {
            return self;
        }
        match self.starts_and_chars().nth(max) {
            Some((start, _)) => Self { bytes: &self.bytes[..start], is_cut: true },
            None => self,
        }
    }

    /// The characters, each with the position of its first byte.
    fn starts_and_chars(self) -> impl Iterator<Item = (usize, char)> + 'a {
        let mut start = 0;
        self.bytes.utf8_chunks().flat_map(move |chunk| {
            let (valid_at, invalid_at) = (start, start + chunk.valid().len());
            start = invalid_at + chunk.invalid().len();
            let invalid = iter::once((invalid_at, char::REPLACEMENT_CHARACTER)).take(chunk.invalid().len().min(1));
            chunk.valid().char_indices().map(move |(at, char)| (valid_at + at, char)).chain(invalid)
        })
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), is_cut: false }
    }
}

/// The bytes of a text, which the statement sends as `text` or as `bytea`.
#[derive(Clone, Copy)]
pub(super) struct RawText<'a>(pub &'a [u8]);

impl<'a> FromSql<'a> for RawText<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(r#type: &Type) -> bool {
        <&str as FromSql>::accepts(r#type) || *r#type == Type::BYTEA
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Text<'_> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        str::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        str::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, proptest};

    use super::{Text, TextLimit, TextLimits};

    /// Characters of every length in UTF-8, and invalid bytes.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let pieces: [&[u8]; 8] =
            [b"a", b"\"", b"\x01", "é".as_bytes(), "…".as_bytes(), "😀".as_bytes(), b"\xFF", b"\xE2\x82"];
        proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..20).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn characters_are_those_of_from_utf8_lossy(bytes in bytes()) {
            let text = Text { bytes: &bytes, is_cut: false };
            prop_assert_eq!(text.chars().collect::<String>(), String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn first_keeps_the_first_characters(bytes in bytes(), max in 0..40_usize) {
            let (text, all) = (Text { bytes: &bytes, is_cut: false }, String::from_utf8_lossy(&bytes));
            let first = text.first(max);
            prop_assert_eq!(first.chars().collect::<String>(), all.chars().take(max).collect::<String>());
            prop_assert_eq!(first.is_cut, all.chars().count() > max);
        }

        #[test]
        fn a_text_over_the_limit_ends_with_a_whole_character(text in "[aé…😀]{0,12}", max in 0..20_usize) {
            let read = Text::read(text.as_bytes(), TextLimit { bytes: max, uncut_chars: 0 });
            let end = text.floor_char_boundary(max);
            prop_assert_eq!((read.bytes, read.is_cut), (&text.as_bytes()[..end], text.len() > max));
        }
    }

    #[test]
    fn every_character_that_is_never_cut_is_read() {
        for limit in [1, 2, 20, 50, 99, 100, 1_000] {
            let limits = TextLimits::of(limit);
            for limit in [limits.message, limits.other] {
                // A character has at most four bytes.
                assert!(limit.bytes >= 4 * limit.uncut_chars, "{limit:?}");
            }
        }
        let TextLimits { message, other } = TextLimits::of(100);
        assert_eq!((message.bytes, message.uncut_chars), (160_000, 4_000));
        assert_eq!((other.bytes, other.uncut_chars), (30_000, 500));
    }
}
