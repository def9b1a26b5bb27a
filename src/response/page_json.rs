//! The JSON of a page, written by hand: serde takes 19 µs more for a page of 50 and 59 µs more for a page of 100, which is
//! 3.7 % of that request (`cargo bench --bench parts`).

use std::borrow::Cow;

use serde::Serialize;
use uuid::Uuid;

use crate::{
    sessions::{ChatSession, Text, fit::ELLIPSIS},
    timestamp::PgTimestamp,
};

/// `capacity` is the expected size, in bytes.
pub(super) fn page_json(sessions: &[ChatSession<'_>], total: i64, capacity: usize) -> String {
    let mut json = Json(Vec::with_capacity(capacity));
    json.raw(r#"{"sessions":["#);
    for (index, session) in sessions.iter().enumerate() {
        json.raw(if index == 0 { "" } else { "," });
        json.session(session);
    }
    json.raw(r#"],"total":"#);
    json.value(&total);
    json.raw("}");
    String::from_utf8(json.0).expect("only texts are written")
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

    /// U+FFFD replaces bytes that are not UTF-8, and a text that was cut ends with `…`. Nearly all texts need no escapes and
    /// are copied.
    fn text(&mut self, text: Option<Text>) {
        let Some(text) = text else { return self.raw("null") };
        match str::from_utf8(text.bytes()).map_or_else(|_| String::from_utf8_lossy(text.bytes()), Cow::Borrowed) {
            Cow::Borrowed(text) if is_plain(text) => self.quoted(text),
            text => self.value(&text),
        }
        if text.is_cut() {
            self.0.pop();
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
        self.0.push(b'"');
        self.raw(text);
        self.0.push(b'"');
    }

    fn value(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.0, value).expect("texts and numbers are JSON");
    }
}

/// Checks every byte without an early exit, which the compiler vectorizes.
fn is_plain(text: &str) -> bool {
    let escape = |byte| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
    text.bytes().fold(0, |found, byte| found | escape(byte)) == 0
}
