//! Runs the function's binary in its own Lambda environment: clean variables, a Runtime API, one event at a time, or as many
//! as `AWS_LAMBDA_MAX_CONCURRENCY` says.

use std::{
    collections::VecDeque,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use axum::body::Bytes;
use futures_util::future::join_all;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Command,
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
};

use crate::lock;
use crate::{
    Headers, Outcome, RuntimeApi, random_id, secrecy,
    terminal::{self, LogFormat},
};

pub const NAME: &str = "list-chat-sessions";
pub const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:list-chat-sessions";

/// Lambda's timeout for the initialization.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for the last lines of a process that has ended.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);

/// Requests that may wait for their line in the log; some events never get one.
const METHODS_MAX: usize = 16;

pub struct FunctionOptions {
    pub binary: PathBuf,
    /// Arguments of an interpreter; ours takes none.
    pub arguments: Vec<PathBuf>,
    /// The function's variables. It inherits none of ours, so it cannot reach an AWS account.
    pub env: Vec<(String, String)>,
    /// Timeout of an event, after which the process is ended.
    pub timeout: Duration,
    /// Format of the log on standard error; `None` to hide it.
    pub forward_log: Option<LogFormat>,
    /// Log lines that are stored; when exceeded, the older half is removed.
    pub log_max: usize,
}

impl FunctionOptions {
    /// Sets the usual options: API Gateway's 29 seconds, and a log that is stored but not shown.
    pub fn new(binary: impl Into<PathBuf>, env: &[(&str, &str)]) -> Self {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self {
            binary: binary.into(),
            arguments: Vec::new(),
            env,
            timeout: Duration::from_secs(29),
            forward_log: None,
            log_max: usize::MAX,
        }
    }
}

/// The time between Lambda's notice and the end of a process with an internal extension.
/// <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-shutdown>
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// The function. Its process is started again after it has ended, as in Lambda; dropping this ends it.
pub struct Function {
    options: FunctionOptions,
    /// One for each event that may run at a time.
    turns: Semaphore,
    environment: tokio::sync::Mutex<Option<Arc<Environment>>>,
    /// The id of the running process; 0 if there is none.
    pid: AtomicU32,
    log: Arc<Mutex<Vec<String>>>,
    /// Ids and methods of the last requests, for the lines of the log that are shown.
    methods: Arc<Mutex<VecDeque<(String, String)>>>,
}

impl Drop for Function {
    /// Searches the whole log for secrets.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            secrecy::assert_silent("the log", &self.log().join("\n"));
        }
    }
}

/// One process and its Runtime API. Every process has a new one, so that no response of an old process reaches it.
struct Environment {
    pid: Pid,
    api: RuntimeApi,
    /// How the process ended, once it has.
    ended: watch::Receiver<Option<ExitStatus>>,
    /// Waits for the end of the process, and for the tasks that read its output. Dropping it ends the process.
    _process: JoinSet<()>,
}

impl Environment {
    fn is_alive(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// Returns the process's exit status once all its output is in the log.
    async fn ended(&self) -> Option<ExitStatus> {
        self.ended.clone().wait_for(Option::is_some).await.ok().and_then(|status| *status)
    }

    /// Sends a signal; the process may have ended already.
    fn signal(&self, signal: Signal) {
        let _ = kill(self.pid, signal);
    }
}

impl Function {
    /// Starts the binary and returns after its first poll for an event. Fails, with the log, if it ends or does not
    /// poll for ten seconds.
    pub async fn start(options: FunctionOptions) -> Result<Self> {
        options.env.iter().for_each(|(_, value)| secrecy::keep_url(value));
        let concurrency = options.env.iter().find(|(name, _)| name == "AWS_LAMBDA_MAX_CONCURRENCY");
        let function = Self {
            turns: Semaphore::new(concurrency.map_or(Ok(1), |(_, number)| number.parse())?),
            options,
            environment: None.into(),
            pid: 0.into(),
            log: Arc::default(),
            methods: Arc::default(),
        };
        function.environment().await?;
        Ok(function)
    }

    /// Sends an event, as JSON text, to the function; callers wait while as many events run as may run at a time. Fails if the process cannot be started
    /// again. Failures of the event, including the end of the process and a timeout, are an [`Outcome::Error`].
    pub async fn invoke(&self, event: impl Into<Bytes>) -> Result<Outcome> {
        self.invoke_with(event, Headers::new()).await
    }

    /// The same with other headers from the Runtime API.
    pub async fn invoke_with(&self, event: impl Into<Bytes>, headers: Headers) -> Result<Outcome> {
        let _turn = self.turns.acquire().await?;
        let environment = self.environment().await?;
        let (id, event) = (random_id(), event.into());
        self.note_method(&id, &event);
        let failure = |kind: &str, text: String| Outcome::Error(json!({ "errorType": kind, "errorMessage": text }));
        let outcome = tokio::select! {
            outcome = environment.api.invoke_as(id, event, headers, self.options.timeout) => match outcome {
                Ok(outcome) => outcome,
                Err(error) => {
                    environment.signal(Signal::SIGKILL);
                    environment.ended().await;
                    failure("Sandbox.Timedout", error.to_string())
                }
            },
            status = environment.ended() => {
                let status = status.context("the process was not waited for")?;
                failure("Runtime.ExitError", format!("Runtime exited with error: {status}"))
            }
        };
        let text = match &outcome {
            // A page contains personal data, for an authenticated caller.
            Outcome::Response(response) if response["statusCode"] == 200 => String::new(),
            Outcome::Response(value) | Outcome::Error(value) => value.to_string(),
        };
        secrecy::assert_silent("a response", &text);
        Ok(outcome)
    }

    /// Ends the process and returns when all its output is in the log. The next event starts a new process.
    pub async fn end(&self) {
        if let Some(environment) = self.environment.lock().await.take() {
            environment.signal(Signal::SIGKILL);
            environment.ended().await;
        }
    }

    /// Ends the process as Lambda does: with a notice if it has an extension. Returns its exit status, which is a success
    /// only if it ended itself in time. The next event starts a new process.
    pub async fn shut_down(&self) -> Result<ExitStatus> {
        let environment = self.environment.lock().await.take().context("no process runs")?;
        if environment.api.has_extension() {
            environment.signal(Signal::SIGTERM);
            if let Ok(status) = tokio::time::timeout(SHUTDOWN_TIMEOUT, environment.ended()).await {
                return status.context("the process was not waited for");
            }
        }
        environment.signal(Signal::SIGKILL);
        environment.ended().await.context("the process was not waited for")
    }

    /// Returns the running environment, or a new one.
    async fn environment(&self) -> Result<Arc<Environment>> {
        let mut environment = self.environment.lock().await;
        if let Some(environment) = environment.as_ref().filter(|environment| environment.is_alive()) {
            return Ok(Arc::clone(environment));
        }
        *environment = None;
        Ok(Arc::clone(environment.insert(Arc::new(self.initialize().await?))))
    }

    /// Shows a line of the gateway next to the function's log; in tests, their harness captures it.
    #[expect(clippy::print_stderr, reason = "only tests do not forward the log")]
    pub fn report(&self, line: &Value) {
        match self.options.forward_log {
            Some(format) => terminal::log(format, &line.to_string(), None),
            None => eprintln!("{line}"),
        }
    }

    pub fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// Returns the lines of standard output and standard error so far.
    pub fn log(&self) -> Vec<String> {
        lock(&self.log).clone()
    }

    async fn initialize(&self) -> Result<Environment> {
        let api = RuntimeApi::start().await?;
        let mut process = Command::new(&self.options.binary)
            .args(&self.options.arguments)
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", api.address()),
                ("AWS_LAMBDA_FUNCTION_NAME", NAME),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/list-chat-sessions"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
                ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_DEFAULT_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "local"),
                ("AWS_SECRET_ACCESS_KEY", "local"),
                ("TZ", ":UTC"),
            ])
            .envs(self.options.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.options.binary.display()))?;
        let pid = process.id().context("the process has just been started")?;
        self.pid.store(pid, Ordering::Relaxed);
        let readers: Vec<_> =
            [self.collect(process.stdout.take()), self.collect(process.stderr.take())].into_iter().flatten().collect();
        let (sender, ended) = watch::channel(None);
        let wait = async move {
            let status = process.wait().await.ok();
            read_to_end(readers).await;
            sender.send_replace(status);
        };
        let pid = Pid::from_raw(pid.try_into()?);
        let environment = Environment { pid, api, ended, _process: JoinSet::from_iter([wait]) };
        let reason = tokio::select! {
            () = environment.api.initialized() => return Ok(environment),
            status = environment.ended() => status.map_or_else(String::new, |status| format!("ended with {status}")),
            () = tokio::time::sleep(INIT_TIMEOUT) => format!("did not poll for an event in {INIT_TIMEOUT:?}"),
        };
        environment.signal(Signal::SIGKILL);
        environment.ended().await;
        let log = match self.options.forward_log {
            Some(_) => String::new(),
            None => format!("; its log:\n{}", self.log().join("\n")),
        };
        bail!("the function {reason} during init{log}");
    }

    /// Stores the method of an event's request for its line in the log.
    fn note_method(&self, id: &str, event: &[u8]) {
        if self.options.forward_log != Some(LogFormat::Short) {
            return;
        }
        let event: Value = serde_json::from_slice(event).unwrap_or_default();
        if let Some(method) = event["requestContext"]["http"]["method"].as_str().or(event["httpMethod"].as_str()) {
            let mut methods = lock(&self.methods);
            methods.truncate(METHODS_MAX - 1);
            methods.push_front((id.to_owned(), method.to_owned()));
        }
    }

    fn collect(&self, stream: Option<impl AsyncRead + Unpin + Send + 'static>) -> Option<JoinHandle<()>> {
        let stream = stream?;
        let (log, methods) = (Arc::clone(&self.log), Arc::clone(&self.methods));
        let (forward, max) = (self.options.forward_log, self.options.log_max);
        Some(tokio::spawn(async move {
            let mut lines = BufReader::new(stream).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some(format) = forward {
                    let methods = lock(&methods);
                    let method = methods.iter().find(|(id, _)| line.contains(id)).map(|(_, method)| method.as_str());
                    terminal::log(format, &line, method);
                }
                let mut log = lock(&log);
                if log.len() >= max {
                    log.drain(..max.div_ceil(2));
                }
                log.push(line);
            }
        }))
    }
}

/// Waits for the readers of an ended process; not for long, because a child of it may still hold the pipe.
async fn read_to_end(readers: Vec<JoinHandle<()>>) {
    drop(tokio::time::timeout(LAST_LINES_TIMEOUT, join_all(readers)).await);
}
