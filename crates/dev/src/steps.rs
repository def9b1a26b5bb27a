//! What is done, line by line, with the time that it took.

use std::time::Instant;

use testkit::terminal;

/// Where the lines go.
#[derive(Clone, Copy)]
pub enum Steps {
    /// Standard output.
    Output,
    /// Standard error, where standard output is for the result alone.
    Error,
}

impl Steps {
    /// Prints a step that began at `begin` and is done now.
    pub fn done(self, begin: Instant, name: &str, what: &str) {
        self.say(&format!("{:6.2} s  {name:<10} {what}", begin.elapsed().as_secs_f64()));
    }

    pub fn say(self, line: &str) {
        match self {
            Self::Output => terminal::out(line),
            Self::Error => terminal::err(line),
        }
    }
}
