//! `cargo dev`: the function on this machine, with everything around it. `cargo dev --help` lists what it does.

#[path = "dev/answer.rs"]
mod answer;
#[path = "dev/bench/mod.rs"]
mod bench;
#[path = "dev/build.rs"]
mod build;
#[path = "dev/invoke.rs"]
mod invoke;
#[path = "dev/seed.rs"]
mod seed;
#[path = "dev/services.rs"]
mod services;
#[path = "dev/soak.rs"]
mod soak;
#[path = "dev/stack.rs"]
mod stack;
#[path = "dev/steps.rs"]
mod steps;
mod support;
#[path = "dev/token.rs"]
mod token;
#[path = "dev/up.rs"]
mod up;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Runs list-chat-sessions on this machine: PostgreSQL, Secrets Manager, Lambda and API Gateway around the real binary.
#[derive(Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: up::Options,
}

/// What a shell says of a command that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

#[derive(Subcommand)]
enum Command {
    /// Serve the function over HTTP until Ctrl-C (what `cargo dev` alone does)
    Up(up::Options),
    /// Start the database and the secrets alone, for `sam local` and `cargo lambda`
    Services(services::Options),
    /// Run one event through the function and print its response
    Invoke {
        /// The event, a JSON file
        file: PathBuf,
        #[command(flatten)]
        options: stack::Options,
    },
    /// Fill a database with realistic accounts, sessions and messages
    Seed(seed::Options),
    /// Cause every fault as often as it takes to trust the figures, and print what it cost
    Soak(soak::Options),
    /// Measure the function against others that do the same, and write the table and the plots
    Bench(bench::Options),
    /// Print a new token and its entry for the key ring
    NewToken(token::Options),
    /// Print the hash of the token on standard input
    HashToken,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Standard output may be closed already.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let command = arguments.command.unwrap_or(Command::Up(arguments.up));
    // To be interrupted is how `up` ends, and all others do not get to their end.
    let interruption =
        ExitCode::from(if matches!(command, Command::Up(_) | Command::Services(_)) { 0 } else { INTERRUPTED });
    let result = runtime.block_on(async {
        tokio::select! {
            result = run(command) => result.map(|()| ExitCode::SUCCESS),
            // Everything that was started goes as `run` is dropped.
            result = interrupted() => result.map(|()| interruption),
        }
    });
    // A thread may still be waiting for initdb: what it starts ends with this process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result.unwrap_or_else(|error| fail(&error))
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up(options) => up::up(options).await,
        Command::Services(options) => services::services(options).await,
        Command::Invoke { file, options } => invoke::invoke(&file, options).await,
        Command::Seed(options) => seed::seed(options).await,
        Command::Soak(options) => soak::soak(options).await,
        Command::Bench(options) => bench::bench(options).await,
        Command::NewToken(options) => token::new(&options),
        Command::HashToken => token::hash(),
    }
}

/// Returns when somebody asks us to end: Ctrl-C, `kill`, or a terminal that closes.
async fn interrupted() -> anyhow::Result<()> {
    let mut signals =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    tokio::select! {
        _ = signals.0.recv() => (),
        _ = signals.1.recv() => (),
        _ = signals.2.recv() => (),
    }
    Ok(())
}
