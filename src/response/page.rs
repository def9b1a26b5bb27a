//! The JSON of a page, written by hand: a page is most of what this function writes, and what stands around the values is
//! always the same. A test holds it to what `serde_json` makes of the types.

use serde::Serialize;
use uuid::Uuid;

use crate::{
    error::Error,
    sessions::{ChatSession, Page},
    timestamp::Timestamp,
};

/// What a session's JSON has beyond what PostgreSQL sends of it, in bytes: keys, quotes, UUIDs and times as text.
const SESSION_FRAME_BYTES: usize = 300;

/// What a page has around its sessions, in bytes.
const PAGE_FRAME_BYTES: usize = 64;

/// The page in JSON.
///
/// # Errors
///
/// [`Error::Internal`] if a column is not of the contract's type.
pub fn json(page: &Page) -> Result<String, Error> {
    let mut json = Json(Vec::with_capacity(page.size() + page.len() * SESSION_FRAME_BYTES + PAGE_FRAME_BYTES));
    json.raw(r#"{"sessions":["#);
    for (index, session) in page.sessions().enumerate() {
        json.raw(if index == 0 { "" } else { "," });
        json.session(&session?);
    }
    json.raw(r#"],"total":"#);
    json.value(&page.total);
    json.raw("}");
    String::from_utf8(json.0).map_err(|error| Error::Internal(error.to_string()))
}

struct Json(Vec<u8>);

impl Json {
    fn session(&mut self, session: &ChatSession) {
        self.raw(r#"{"id":"#);
        self.uuid(session.id);
        self.raw(r#","widget_id":"#);
        self.uuid(session.widget_id);
        self.raw(r#","widget_name":"#);
        self.text(session.widget_name);
        self.raw(r#","visitor_id":"#);
        self.text(Some(session.visitor_id));
        self.raw(r#","visitor_name":"#);
        self.text(session.visitor_name);
        self.raw(r#","visitor_email":"#);
        self.text(session.visitor_email);
        self.raw(r#","status":"#);
        self.text(session.status);
        self.raw(r#","last_message":"#);
        self.text(session.last_message);
        self.raw(r#","last_message_at":"#);
        self.time(session.last_message_at);
        self.raw(r#","message_count":"#);
        self.value(&session.message_count);
        self.raw(r#","page_url":"#);
        self.text(session.page_url);
        self.raw(r#","created_at":"#);
        self.time(session.created_at);
        self.raw("}");
    }

    fn raw(&mut self, json: &str) {
        self.0.extend_from_slice(json.as_bytes());
    }

    /// A text that needs no escapes is copied whole, which nearly all are.
    fn text(&mut self, text: Option<&str>) {
        match text {
            Some(text) if is_plain(text) => self.quoted(text),
            text => self.value(&text),
        }
    }

    fn uuid(&mut self, uuid: Uuid) {
        self.quoted(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    }

    fn time(&mut self, time: Option<Timestamp>) {
        match time.and_then(Timestamp::rfc_3339) {
            Some(time) => self.quoted(&time),
            None => self.raw("null"),
        }
    }

    fn quoted(&mut self, text: &str) {
        self.0.push(b'"');
        self.raw(text);
        self.0.push(b'"');
    }

    fn value(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.0, value).expect("memory takes it, and texts and numbers are JSON");
    }
}

/// Looks at every byte and does not leave early, so that the compiler takes many at once.
fn is_plain(text: &str) -> bool {
    let escape = |byte| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
    text.bytes().fold(0, |found, byte| found | escape(byte)) == 0
}

#[cfg(test)]
mod tests {
    use super::{ChatSession, Json, Timestamp, Uuid};

    #[test]
    fn a_session_is_written_as_serde_would() {
        let time = |text| Timestamp::parse(text);
        let plain = ChatSession {
            id: Uuid::from_u128(0xe5f6_a7b8_c9d0_1e2f_3a4b_5678_90cd_ef12),
            widget_id: Uuid::max(),
            widget_name: Some("Support Widget"),
            visitor_id: "",
            visitor_name: Some("Zoë 😀 \u{7f}\u{2028}"),
            visitor_email: Some("john@example.com"),
            status: Some("active"),
            last_message: Some("Thanks, that helps!"),
            last_message_at: time("2024-01-15T10:45:00.120Z"),
            message_count: i64::MAX,
            page_url: Some("https://example.com/?a=b&c='d'"),
            created_at: time("0000-01-01"),
        };
        let nothing = ChatSession {
            widget_name: None,
            visitor_name: None,
            visitor_email: None,
            status: None,
            last_message: None,
            last_message_at: None,
            message_count: 0,
            page_url: None,
            created_at: None,
            ..plain
        };
        let texts = ["\"", "\\", "\n", "\u{0}", "\u{1f}", "a \"quote\" in a long text, and then a tab:\t"];
        let escaped = texts.map(|text| ChatSession { visitor_id: text, last_message: Some(text), ..nothing });
        for session in [plain, nothing].iter().chain(&escaped) {
            let mut json = Json(Vec::new());
            json.session(session);
            assert_eq!(String::from_utf8(json.0).unwrap(), serde_json::to_string(session).unwrap());
        }
    }
}
