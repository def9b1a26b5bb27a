//! The log: one JSON line per request, and one for each thing that went wrong beside a request.
//!
//! `timestamp` and `level` stand at top level, where Lambda looks for them: a line without them counts as INFO, and a
//! filter for WARN would drop its errors.

mod metrics;
mod record;
mod unknown_tokens;

use std::fmt::Display;

use jiff::Timestamp;
use serde::Serialize;

pub use self::{record::Record, unknown_tokens::UnknownTokens};
use crate::error::Error;

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// As it should be, or the caller's own fault.
    Info,
    /// Still serving, and not for ever.
    Warn,
    /// Our fault.
    Error,
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: Timestamp,
    level: Level,
    message: &'a str,
    cause: String,
}

fn line(level: Level, message: &str, cause: &dyn Display) {
    write(&Line { timestamp: Timestamp::now(), level, message, cause: cause.to_string() });
}

/// Says what failed while the function can go on: an `ERROR` if it takes a person to mend it, or else a `WARN`.
pub fn degraded(message: &str, error: &Error) {
    line(
        if matches!(error, Error::Internal(_) | Error::Misconfigured(_)) { Level::Error } else { Level::Warn },
        message,
        error,
    );
}

/// Says why the function cannot start.
pub fn fatal(message: &str, cause: &dyn Display) {
    line(Level::Error, message, cause);
}

/// Makes a panic a line of the log. It names the place only: the message may quote what the code was working on.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        line(Level::Error, "panic", &place);
    }));
}

/// One write for the whole line, so that lines never mix.
#[expect(clippy::print_stdout, reason = "this is the log")]
fn write(line: &impl Serialize) {
    if let Ok(line) = serde_json::to_string(line) {
        println!("{line}");
    }
}
