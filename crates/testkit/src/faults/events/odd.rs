//! Values and texts that are rarely what is expected.

use fastrand::Rng;
use serde_json::Value;

/// Values of every type that are rarely what is expected; some are not to be had as a [`Value`].
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

/// What hosts, paths, queries, methods, headers and bodies are that are not what they should be.
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

/// Any of them, or one that is deep or long.
pub fn json(random: &mut Rng) -> String {
    match random.u32(..40) {
        0 => format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)),
        1 => format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000)),
        2 => format!("\"{}\"", "x".repeat(100_000)),
        3 => "9".repeat(5_000),
        _ => choice(&ODD, random).to_owned(),
    }
}

/// One of them, or `null` for what no [`Value`] can hold.
pub fn value(random: &mut Rng) -> Value {
    serde_json::from_str(choice(&ODD, random)).unwrap_or_default()
}

pub fn text(random: &mut Rng) -> &'static str {
    choice(&TEXTS, random)
}

fn choice(list: &[&'static str], random: &mut Rng) -> &'static str {
    list[random.usize(..list.len())]
}
