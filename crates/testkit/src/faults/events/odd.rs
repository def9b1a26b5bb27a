//! Unexpected values and texts.

use fastrand::Rng;
use serde_json::Value;

/// Unexpected values of every type; a [`Value`] cannot hold some of them.
const ODD: [&str; 24] = [
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1.5",
    "1e999",
    "-0",
    "18446744073709551616",
    "9007199254740993",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\r\\nx: y\"",
    "\"é\"",
    "\"%00%zz\"",
    "\" \"",
    "[]",
    "{}",
    "[null]",
    "[[1]]",
    "{\"\": {}}",
    "{\"a\": 1, \"a\": 2}",
    "\"-1\"",
];

const TEXTS: [&str; 28] = [
    "",
    " ",
    "\"",
    "\u{0}",
    "\r\n",
    "\u{7f}",
    "a b",
    "a\"b",
    "//",
    "/../..",
    "?",
    "#",
    "%",
    "%zz",
    "http://",
    "[::1",
    "::",
    "user@host:99999",
    "é",
    "😀",
    "POST ",
    "get",
    "CONNECT",
    "Bearer",
    "Bearer  ",
    "====",
    "e30",
    "e30=",
];

/// Returns any of the values, or a deep or long one.
pub fn json(random: &mut Rng) -> String {
    match random.u32(..40) {
        0 => format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)),
        1 => format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000)),
        2 => format!("\"{}\"", "x".repeat(100_000)),
        3 => "9".repeat(5_000),
        _ => choice(&ODD, random).to_owned(),
    }
}

/// Returns one of the values; `null` for those that a [`Value`] cannot hold.
pub fn value(random: &mut Rng) -> Value {
    serde_json::from_str(choice(&ODD, random)).unwrap_or_default()
}

pub fn text(random: &mut Rng) -> &'static str {
    choice(&TEXTS, random)
}

fn choice(list: &[&'static str], random: &mut Rng) -> &'static str {
    list[random.usize(..list.len())]
}
