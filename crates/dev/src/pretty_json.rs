//! Formats responses for people.

use serde_json::{Deserializer, Serializer};

/// Lines that are shown at most.
const LINES_MAX: usize = 36;

/// Last lines, which are shown even of a long response.
const TAIL: usize = 4;

/// Indents a body if it is JSON, with its members in their order; omits lines in the middle of a long one.
pub fn shown(body: &str) -> String {
    let Some(text) = indented(body) else { return body.to_owned() };
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= LINES_MAX {
        return text;
    }
    let (head, tail) = (&lines[..LINES_MAX - TAIL], &lines[lines.len() - TAIL..]);
    let more = lines.len() - LINES_MAX;
    format!("{}\n… {more} more lines …\n{}", head.join("\n"), tail.join("\n"))
}

/// Transcodes the text, because `serde_json::Value` would sort the members.
fn indented(json: &str) -> Option<String> {
    let mut text = Vec::new();
    let (mut from, mut to) = (Deserializer::from_str(json), Serializer::pretty(&mut text));
    serde_transcode::transcode(&mut from, &mut to).and_then(|()| from.end()).ok()?;
    String::from_utf8(text).ok()
}
