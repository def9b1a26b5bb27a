//! The JSON of a page, written by hand: a page is most of what this function writes, and what stands around the values is
//! always the same. A test holds it to what `serde_json` makes of the types.

use std::borrow::Cow;

use serde::Serialize;
use uuid::Uuid;

use crate::{
    error::Error,
    sessions::{
        ChatSession, Page, Text, TextLimit, TextLimits,
        fit::{self, ELLIPSIS, Length},
    },
    timestamp::PgTimestamp,
};

/// What a session's JSON has beyond what PostgreSQL sends of it, in bytes: keys, quotes, UUIDs and times as text.
const SESSION_FRAME_BYTES: usize = 300;

/// What a page has around its sessions, in bytes.
const PAGE_FRAME_BYTES: usize = 64;

/// The page in JSON that takes `max` bytes at most as a string in the answer, its longest texts cut to a common length if it
/// takes more.
///
/// # Errors
///
/// [`Error::Internal`] if a column is not of the contract's type.
pub fn json(page: &Page, max: usize) -> Result<String, Error> {
    let size = page.size() + page.len() * SESSION_FRAME_BYTES + PAGE_FRAME_BYTES;
    // Nearly every page is so small that it fits whatever its texts are made of.
    let length = if size <= max / fit::MAX_SIZE_OF_BYTE {
        Length::MAX
    } else {
        longest(|| page.sessions(), page.total, page.texts, max)?
    };
    written(page.sessions(), page.total, Json::new(size.min(max), page.texts, length))
}

/// The length to which texts are cut for the page to take `max` bytes of the answer at most.
fn longest<'a, S: Iterator<Item = Result<ChatSession<'a>, Error>>>(
    sessions: impl Fn() -> S,
    total: i64,
    limits: TextLimits,
    max: usize,
) -> Result<Length, Error> {
    // An empty text and `null` take four bytes of the answer each, which is what the quotes around any text take.
    let frame = sessions().map(|session| session.map(|session| session.without_texts()));
    let frame = size_in_answer(&written(frame, total, Json::new(0, limits, Length::MAX))?);
    let bytes = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    fit::length(sessions, limits, bytes(max) - bytes(frame))
}

/// What the body takes as a string in the answer, in bytes: each of its quotes and backslashes takes two.
pub fn size_in_answer(body: &str) -> usize {
    body.len() + body.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count()
}

fn written<'a>(
    sessions: impl Iterator<Item = Result<ChatSession<'a>, Error>>,
    total: i64,
    mut json: Json,
) -> Result<String, Error> {
    json.raw(r#"{"sessions":["#);
    for (index, session) in sessions.enumerate() {
        json.raw(if index == 0 { "" } else { "," });
        json.session(&session?);
    }
    json.raw(r#"],"total":"#);
    json.value(&total);
    json.raw("}");
    String::from_utf8(json.bytes).map_err(|error| Error::Internal(error.to_string()))
}

struct Json {
    bytes: Vec<u8>,
    limits: TextLimits,
    /// To which texts are cut.
    length: Length,
}

impl Json {
    fn new(capacity: usize, limits: TextLimits, length: Length) -> Self {
        Self { bytes: Vec::with_capacity(capacity), limits, length }
    }

    fn session(&mut self, session: &ChatSession) {
        let length = |limit: TextLimit| self.length.max(limit.uncut_chars);
        let (message, other) = (length(self.limits.message), length(self.limits.other));
        self.raw(r#"{"id":"#);
        self.uuid(session.id);
        self.raw(r#","widget_id":"#);
        self.uuid(session.widget_id);
        self.raw(r#","widget_name":"#);
        self.text(session.widget_name, other);
        self.raw(r#","visitor_id":"#);
        self.text(Some(session.visitor_id), other);
        self.raw(r#","visitor_name":"#);
        self.text(session.visitor_name, other);
        self.raw(r#","visitor_email":"#);
        self.text(session.visitor_email, other);
        self.raw(r#","status":"#);
        self.text(session.status, other);
        self.raw(r#","last_message":"#);
        self.text(session.last_message, message);
        self.raw(r#","last_message_at":"#);
        self.time(session.last_message_at);
        self.raw(r#","message_count":"#);
        self.value(&session.message_count);
        self.raw(r#","page_url":"#);
        self.text(session.page_url, other);
        self.raw(r#","created_at":"#);
        self.time(session.created_at);
        self.raw("}");
    }

    fn raw(&mut self, json: &str) {
        self.bytes.extend_from_slice(json.as_bytes());
    }

    /// A text that needs no escapes is copied whole, which nearly all are.
    fn text(&mut self, text: Option<Text>, length: Length) {
        let Some(text) = text.map(|text| text.first(length)) else { return self.raw("null") };
        match String::from_utf8_lossy(text.bytes()) {
            Cow::Borrowed(text) if is_plain(text) => self.quoted(text),
            text => self.value(&text),
        }
        if text.is_cut() {
            self.bytes.pop();
            self.raw(ELLIPSIS.encode_utf8(&mut [0; 4]));
            self.raw("\"");
        }
    }

    fn uuid(&mut self, uuid: Uuid) {
        self.quoted(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    }

    fn time(&mut self, time: Option<PgTimestamp>) {
        match time.and_then(PgTimestamp::rfc_3339) {
            Some(time) => self.quoted(&time),
            None => self.raw("null"),
        }
    }

    fn quoted(&mut self, text: &str) {
        self.bytes.push(b'"');
        self.raw(text);
        self.bytes.push(b'"');
    }

    fn value(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.bytes, value).expect("memory takes it, and texts and numbers are JSON");
    }
}

/// Looks at every byte and does not leave early, so that the compiler takes many at once.
fn is_plain(text: &str) -> bool {
    let escape = |byte| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
    text.bytes().fold(0, |found, byte| found | escape(byte)) == 0
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, proptest};

    use super::{ChatSession, Json, Length, PgTimestamp, TextLimits, Uuid, longest, size_in_answer, written};
    use crate::sessions::{Text, TextLimit};

    /// A text of each kind, and what an answer has of it: a session's message and its URL.
    type Texts = (String, String);

    const fn limits(message: usize, other: usize) -> TextLimits {
        let (message, other) = (
            TextLimit { bytes: usize::MAX, uncut_chars: message },
            TextLimit { bytes: usize::MAX, uncut_chars: other },
        );
        TextLimits { message, other }
    }

    fn plain() -> ChatSession<'static> {
        let time = |text| PgTimestamp::parse(text);
        ChatSession {
            id: Uuid::from_u128(0xe5f6_a7b8_c9d0_1e2f_3a4b_5678_90cd_ef12),
            widget_id: Uuid::max(),
            widget_name: Some("Support Widget".into()),
            visitor_id: "".into(),
            visitor_name: Some("Zoë 😀 \u{7f}\u{2028}".into()),
            visitor_email: Some("john@example.com".into()),
            status: Some("active".into()),
            last_message: Some("Thanks, that helps!".into()),
            last_message_at: time("2024-01-15T10:45:00.120Z"),
            message_count: i64::MAX,
            page_url: Some("https://example.com/?a=b&c='d'".into()),
            created_at: time("0000-01-01"),
        }
    }

    #[test]
    fn a_session_is_written_as_serde_would() {
        let nothing =
            ChatSession { last_message_at: None, message_count: 0, created_at: None, ..plain().without_texts() };
        let texts = ["\"", "\\", "\n", "\u{0}", "\u{1f}", "a \"quote\" in a long text, and then a tab:\t"];
        let escaped =
            texts.map(|text| ChatSession { visitor_id: text.into(), last_message: Some(text.into()), ..nothing });
        for session in [plain(), nothing].iter().chain(&escaped) {
            let mut json = Json::new(0, limits(0, 0), Length::MAX);
            json.session(session);
            assert_eq!(String::from_utf8(json.bytes).unwrap(), serde_json::to_string(session).unwrap());
        }
    }

    #[test]
    fn each_byte_that_is_not_utf_8_becomes_a_replacement_character() {
        let limit = TextLimit { bytes: 100, uncut_chars: 0 };
        let session = ChatSession { page_url: Some(Text::read(b"caf\xE9 \xFF", limit)), ..plain() };
        let body = body(&[session], limits(0, 0), Length::MAX);
        assert!(body.contains("\"page_url\":\"caf\u{FFFD} \u{FFFD}\""), "{body}");
    }

    #[test]
    fn what_is_never_cut_fits_into_an_answer_at_any_limit() {
        for limit in [1, 50, 100, 1_000] {
            let limits = TextLimits::of(limit);
            let long = |limit: TextLimit| "\u{1}".repeat(limit.uncut_chars + 1);
            let (message, other) = (long(limits.message), long(limits.other));
            let other: Text = other.as_str().into();
            let session = ChatSession {
                widget_name: Some(other),
                visitor_id: other,
                visitor_name: Some(other),
                visitor_email: Some(other),
                status: Some(other),
                last_message: Some(message.as_str().into()),
                page_url: Some(other),
                ..plain()
            };
            let sessions = vec![session; usize::try_from(limit).unwrap()];
            assert!(size_in_answer(&body(&sessions, limits, 0)) < 6_000_000, "limit {limit}");
        }
    }

    fn sessions(texts: &[Texts]) -> Vec<ChatSession<'_>> {
        let texts = texts.iter().map(|(message, url)| (Some(message.as_str().into()), Some(url.as_str().into())));
        texts.map(|(last_message, page_url)| ChatSession { last_message, page_url, ..plain() }).collect()
    }

    fn body(sessions: &[ChatSession], limits: TextLimits, length: Length) -> String {
        written(sessions.iter().copied().map(Ok), 1, Json::new(0, limits, length)).unwrap()
    }

    fn texts_of(body: &str) -> Vec<Texts> {
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let text = |text: &serde_json::Value| text.as_str().unwrap().to_owned();
        let sessions = body["sessions"].as_array().unwrap().iter();
        sessions.map(|session| (text(&session["last_message"]), text(&session["page_url"]))).collect()
    }

    /// Of characters of each size. Some are so long that the first look has several steps.
    fn texts() -> impl Strategy<Value = Vec<Texts>> {
        let chars = proptest::collection::vec("[a-z]|[\"\\\\\n\u{1}é…😀]", 0..12);
        let text = (chars, prop_oneof![3 => 1..3_usize, 1 => 1..400_usize])
            .prop_map(|(chars, times)| chars.concat().repeat(times));
        proptest::collection::vec((text.clone(), text), 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_longest_texts_are_cut_to_the_length_at_which_the_page_fits(
            texts in texts(), message in 0..40_usize, other in 0..40_usize, share in 0..=110_usize
        ) {
            let (limits, sessions) = (limits(message, other), sessions(&texts));
            let whole = body(&sessions, limits, Length::MAX);
            // Between what is never cut and the whole page, and a little beyond.
            let least = size_in_answer(&body(&sessions, limits, 0));
            let max = least + size_in_answer(&whole).saturating_sub(least) * share / 100;

            let length = longest(|| sessions.iter().copied().map(Ok), 1, limits, max).unwrap();
            let cut = body(&sessions, limits, length);
            prop_assert!(size_in_answer(&cut) <= max);
            if size_in_answer(&whole) <= max {
                prop_assert_eq!(&cut, &whole);
            } else {
                prop_assert!(size_in_answer(&body(&sessions, limits, length + 1)) > max, "one character more fits");
            }
            let expected = |text: &str, limit: TextLimit| {
                let kept = length.max(limit.uncut_chars);
                let is_cut = text.chars().count() > kept;
                text.chars().take(kept).chain(is_cut.then_some('…')).collect::<String>()
            };
            let expected: Vec<_> = texts
                .iter()
                .map(|(message, url)| (expected(message, limits.message), expected(url, limits.other)))
                .collect();
            prop_assert_eq!(texts_of(&cut), expected);
        }
    }
}
