//! Prints each finished step with the time that it took.

use std::time::Instant;

use testkit::terminal;

#[derive(Clone, Copy)]
pub enum Steps {
    Output,
    /// Standard error, where only the result goes to standard output.
    Error,
}

impl Steps {
    /// Prints a step that began at `begin` and has just finished.
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
