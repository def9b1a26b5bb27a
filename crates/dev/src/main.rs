//! `cargo dev`: runs the function on this machine, with the services that it needs. `cargo dev --help` lists the
//! commands.

mod bench;
mod build;
mod commit;
mod edge_function;
mod invoke;
mod keys;
mod local;
mod measure;
mod parity;
mod plan;
mod pretty_json;
mod rehearse;
mod seed;
mod services;
mod soak;
mod steps;
mod token;
mod up;

use std::{io::ErrorKind, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use testkit::terminal;
use tokio::signal::unix::{SignalKind, signal};

/// Runs list-chat-sessions on this machine: PostgreSQL, Secrets Manager, Lambda and API Gateway around the real binary.
#[derive(Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: up::UpOptions,
}

/// The exit codes of shells for a command that Ctrl-C has ended, and for one that a closed pipe has ended.
const INTERRUPTED: u8 = 130;
const BROKEN_PIPE: u8 = 141;

#[derive(Subcommand)]
enum Command {
    /// Serve the function over HTTP until Ctrl-C (the default)
    Up(up::UpOptions),
    /// Start only the database and the secrets, for a function that `sam local` or `cargo lambda` starts
    Services(services::ServicesOptions),
    /// Run one event through the function; its response goes to standard output, everything else to standard error
    Invoke {
        /// The event, a JSON file; `events/` has some of each kind
        file: PathBuf,
        #[command(flatten)]
        options: local::ServiceOptions,
        #[command(flatten)]
        run: local::RunOptions,
    },
    /// Fill a database with realistic accounts, sessions and messages
    Seed(seed::SeedOptions),
    /// Inject faults repeatedly and count lost requests
    Soak(soak::SoakOptions),
    /// Measure the function against other implementations, and write a table and plots
    Bench(bench::BenchOptions),
    /// Compute environments, connections, processors and dollars for a load
    ///
    /// The figures come from processor times that `--measure` measures, and from docs/prices.toml. Prints a table in
    /// Markdown.
    Plan(plan::PlanOptions),
    /// Compare a new endpoint with the old one before clients move
    ///
    /// Sends every documented form of a request, with the account's own widgets, to the old endpoint, the new one, and the
    /// old one again. What the two old responses disagree about is noise. Times are compared as instants, and a missing
    /// key is `null`. Every other difference is a departure that docs/contract.md lists, or unexplained.
    ///
    /// The table has a line for each request: `same` in meaning, `departs` as documented, `DIFFERS`, or `undecided` because
    /// the old endpoint failed twice. Nothing is retried: a failure of the new endpoint is a difference. A response may take
    /// 31 seconds and have 32 MiB. Texts of the account and tokens are neither printed nor written, only their lengths and
    /// salted hashes.
    ///
    /// Only reads are sent, but the edge function writes `api_keys.last_used_at`. Use a key of an account with many
    /// sessions, which both endpoints know.
    #[command(after_long_help = parity::EXIT_CODES)]
    Parity(parity::ParityOptions),
    /// Serve a stand-in for the edge function that this project replaces, over a database, to try `parity`
    EdgeFunction(edge_function::EdgeFunctionOptions),
    /// Rehearse docs/moving.md on this machine: every step of the move, while callers call
    Rehearse(rehearse::RehearseOptions),
    /// Add, list, revoke and import the keys of a key ring in Secrets Manager
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Print a new token and its entry for the key ring
    NewToken(token::TokenOptions),
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
    // These run until they are stopped; the others have not finished then.
    let is_finished = matches!(command, Command::Up(_) | Command::Services(_) | Command::EdgeFunction(_));
    let unfinished = |code| ExitCode::from(if is_finished { 0 } else { code });
    let result = runtime.block_on(async {
        // Everything that was started is stopped when `run` is dropped.
        tokio::select! {
            biased;
            result = run(command) => result,
            result = interrupted() => result.map(|()| unfinished(INTERRUPTED)),
            error = terminal::failed() => match error.kind() {
                ErrorKind::BrokenPipe => Ok(unfinished(BROKEN_PIPE)),
                _ => Err(anyhow::Error::new(error).context("cannot print")),
            },
        }
    });
    // A thread may still wait for initdb, which ends with this process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result.unwrap_or_else(|error| fail(&error))
}

fn fail(error: &anyhow::Error) -> ExitCode {
    terminal::err(format_args!("error: {error:#}"));
    ExitCode::FAILURE
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let result = match command {
        Command::Parity(options) => return parity::parity(options).await,
        Command::EdgeFunction(options) => edge_function::edge_function(options).await,
        Command::Rehearse(options) => rehearse::rehearse(options).await,
        Command::Up(options) => up::up(options).await,
        Command::Services(options) => services::services(options).await,
        Command::Invoke { file, options, run } => invoke::invoke(&file, options, run).await,
        Command::Seed(options) => seed::seed(options).await,
        Command::Soak(options) => soak::soak(options).await,
        Command::Bench(options) => bench::bench(options).await,
        Command::Plan(options) => plan::plan(options).await,
        Command::Keys(command) => keys::keys(command).await,
        Command::NewToken(options) => token::new(&options),
        Command::HashToken => token::hash(),
    };
    result.map(|()| ExitCode::SUCCESS)
}

/// Returns on Ctrl-C, `kill`, or when the terminal closes.
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
