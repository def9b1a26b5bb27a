//! Output of `cargo dev`. `println!` panics when its reader has closed the pipe (`cargo dev | head -3`); here a closed
//! pipe ends the program through [`failed`].

use std::{
    fmt::Display,
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;
use tokio::sync::Notify;

static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);
static FAILED: Notify = Notify::const_new();

pub fn out(line: impl Display) {
    note(writeln!(io::stdout().lock(), "{line}"));
}

pub fn err(line: impl Display) {
    note(writeln!(io::stderr().lock(), "{line}"));
}

fn note(written: io::Result<()>) {
    if let Err(error) = written {
        FAILURE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        FAILED.notify_one();
    }
}

/// Returns the error when a line could not be printed; [`io::ErrorKind::BrokenPipe`] if the pipe was closed.
pub async fn failed() -> io::Error {
    loop {
        FAILED.notified().await;
        if let Some(error) = FAILURE.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return error;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One short line for people.
    Short,
    Json,
}

/// Prints a line of the function's log on standard error. `method` is the request's, which the line does not contain.
pub fn log(format: LogFormat, line: &str, method: Option<&str>) {
    match format {
        LogFormat::Short => err(short(line, method)),
        LogFormat::Json => err(line),
    }
}

/// The fields of a log line that the short form shows: of the function (`src/log`), or of the gateway, which has a
/// path.
#[derive(Deserialize)]
struct Line {
    timestamp: jiff::Timestamp,
    level: String,
    message: String,
    status: Option<u16>,
    method: Option<String>,
    path: Option<String>,
    rows: Option<u64>,
    cause: Option<String>,
    #[serde(rename = "Outcome")]
    outcome: Option<String>,
    #[serde(rename = "Duration")]
    milliseconds: Option<f64>,
    #[serde(rename = "Retries", default)]
    retries: u32,
    #[serde(rename = "ColdStart", default)]
    cold_start: u32,
    #[serde(rename = "SecretStale", default)]
    secret_stale: u32,
}

/// Formats a log line for people: time of day (UTC), method, status, rows, milliseconds and anything unusual. A line
/// that is not JSON stays as it is, without its control characters.
pub fn short(line: &str, method: Option<&str>) -> String {
    let text = match serde_json::from_str::<Line>(line) {
        Ok(line) => line.short(method),
        Err(_) => line.to_owned(),
    };
    // The terminal would execute escape sequences in a log.
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim_end().to_owned()
}

impl Line {
    fn short(&self, method: Option<&str>) -> String {
        let time = self.timestamp.strftime("%H:%M:%SZ");
        let cause = self.cause.as_ref().map_or(String::new(), |cause| format!(": {cause}"));
        let Some(status) = self.status else {
            return format!("{time}  {:<7} {}{cause}", self.level, self.message);
        };
        let method = self.method.as_deref().or(method).unwrap_or_default();
        if let Some(path) = &self.path {
            return format!("{time}  {method:<7} {status}  {path}: {}{cause}", self.message);
        }
        let rows = match self.rows {
            Some(1) => "1 row ".to_owned(),
            Some(rows) => format!("{rows} rows"),
            None => String::new(),
        };
        let duration = self.milliseconds.map_or(String::new(), |duration| format!("{duration:.1} ms"));
        let mut notes = Vec::new();
        if self.cold_start > 0 {
            notes.push("cold start".to_owned());
        }
        match self.retries {
            0 => {}
            1 => notes.push("1 retry".to_owned()),
            retries => notes.push(format!("{retries} retries")),
        }
        if self.secret_stale > 0 {
            notes.push("old secret".to_owned());
        }
        if let Some(outcome) = self.outcome.as_deref().filter(|outcome| *outcome != "ok") {
            notes.push(format!("{outcome}{cause}"));
        }
        format!("{time}  {method:<7} {status}  {rows:>9}  {duration:>10}  {}", notes.join(", "))
    }
}

/// Columns of [`wrapped`] lines, which fit the narrowest common terminal.
pub const WIDTH: usize = 80;

/// Wraps text into lines of at most [`WIDTH`] columns with an indent; between words, unless a word is longer than a
/// line.
pub fn wrapped(text: &str, indent: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(WIDTH - indent) {
            let piece: String = piece.iter().collect();
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + piece.chars().count() <= WIDTH => {
                    line.push(' ');
                    line.push_str(&piece);
                }
                _ => lines.push(format!("{:indent$}{piece}", "")),
            }
        }
    }
    lines.join("\n")
}
