//! An answer as people read it.

/// The lines that are shown.
const LINES_MAX: usize = 36;

/// The last lines, which are shown even of a long answer.
const TAIL: usize = 4;

/// A body; if it is JSON, indented, its members in the order in which they came; in the middle of a long one, lines are left out.
pub fn shown(body: &str) -> String {
    if serde_json::from_str::<serde::de::IgnoredAny>(body).is_err() {
        return body.to_owned();
    }
    let text = indented(body);
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= LINES_MAX {
        return text;
    }
    let (head, tail) = (&lines[..LINES_MAX - TAIL], &lines[lines.len() - TAIL..]);
    let more = lines.len() - LINES_MAX;
    format!("{}\n… {more} more lines …\n{}", head.join("\n"), tail.join("\n"))
}

/// Works on the text because `serde_json::Value` would sort the members.
fn indented(json: &str) -> String {
    let mut text = String::new();
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for c in json.chars() {
        if quoted {
            text.push(c);
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        if matches!(c, '}' | ']') {
            depth -= 1;
            // An empty list or object stays on its line.
            if text.trim_end().ends_with(['{', '[']) {
                text.truncate(text.trim_end().len());
            } else {
                new_line(&mut text, depth);
            }
        }
        match c {
            c if c.is_whitespace() => continue,
            ':' => text.push_str(": "),
            c => text.push(c),
        }
        match c {
            '{' | '[' => {
                depth += 1;
                new_line(&mut text, depth);
            }
            ',' => new_line(&mut text, depth),
            _ => quoted = c == '"',
        }
    }
    text
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.push_str(&"  ".repeat(depth));
}
