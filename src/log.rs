//! The log: every line is one JSON object on standard output.
//!
//! `timestamp` and `level` are top-level fields, where Lambda looks for them: it treats a line without them as INFO, so
//! a filter for WARN would drop errors.

use std::{
    fmt::Display,
    io::{self, Write},
};

use jiff::Timestamp;
use serde::Serialize;

/// The severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Normal, or the caller's own mistake.
    Info,
    /// The function works, but not for long unless the cause ends.
    Warn,
    /// A failure that the caller did not cause.
    Error,
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: Timestamp,
    level: Level,
    message: &'a str,
    cause: String,
}

pub(crate) fn line(level: Level, message: &str, cause: &dyn Display) {
    write(&Line { timestamp: Timestamp::now(), level, message, cause: cause.to_string() });
}

/// Logs why the function cannot start.
pub fn fatal(message: &str, cause: &dyn Display) {
    line(Level::Error, message, cause);
}

/// Logs every panic, with its place only: the message may quote the data that the code was processing.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        line(Level::Error, "panic", &place);
    }));
}

/// Writes the line in one system call, so that lines never mix; `println!` makes two of a long one.
pub(crate) fn write(line: &impl Serialize) {
    if let Ok(mut line) = serde_json::to_vec(line) {
        line.push(b'\n');
        // Nobody can be told that the log is closed.
        let _ = io::stdout().write_all(&line);
    }
}
