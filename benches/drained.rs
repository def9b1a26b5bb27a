//! Sends the function's log into a pipe that is read, as in Lambda, while it is measured.

use std::{
    env, io,
    process::{Command, Stdio, exit},
};

/// The argument of the process that measures.
const MEASURE: &str = "measure";

/// Runs `measure` in a child process whose standard output is a pipe that this process reads and discards. The report
/// goes to standard error.
pub fn run(measure: fn()) {
    if env::args().nth(1).as_deref() == Some(MEASURE) {
        return measure();
    }
    let program = env::current_exe().expect("this program");
    let mut process = Command::new(program).arg(MEASURE).stdout(Stdio::piped()).spawn().expect("this program runs");
    let mut log = process.stdout.take().expect("a pipe");
    io::copy(&mut log, &mut io::sink()).expect("its output");
    let status = process.wait().expect("its end");
    exit(status.code().unwrap_or(1));
}
