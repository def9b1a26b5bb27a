//! A response as people read it.

use serde_json::{Deserializer, Serializer};

/// The lines that are shown.
const LINES_MAX: usize = 36;

/// The last lines, which are shown even of a long answer.
const TAIL: usize = 4;

/// A body; if it is JSON, indented, its members in the order in which they came; in the middle of a long one, lines are left out.
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

/// Passes the members on as they come, because `serde_json::Value` would sort them.
fn indented(json: &str) -> Option<String> {
    let mut text = Vec::new();
    let (mut from, mut to) = (Deserializer::from_str(json), Serializer::pretty(&mut text));
    serde_transcode::transcode(&mut from, &mut to).and_then(|()| from.end()).ok()?;
    String::from_utf8(text).ok()
}
