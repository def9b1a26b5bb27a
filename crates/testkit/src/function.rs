//! Runs the function's binary in its own Lambda environment: clean variables, a Runtime API, one event at a time.

use std::{
    collections::VecDeque,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use axum::body::Bytes;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
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

/// The function. Its process is started again after it has ended, as in Lambda; dropping this ends it.
pub struct Function {
    options: FunctionOptions,
    environment: tokio::sync::Mutex<Option<Environment>>,
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
    process: Child,
    api: RuntimeApi,
    /// Tasks that read the process's output to its end.
    readers: Vec<JoinHandle<()>>,
}

impl Environment {
    fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }
}

impl Function {
    /// Starts the binary and returns after its first poll for an event. Fails, with the log, if it ends or does not
    /// poll for ten seconds.
    pub async fn start(options: FunctionOptions) -> Result<Self> {
        options.env.iter().for_each(|(_, value)| secrecy::keep_url(value));
        let function =
            Self { options, environment: None.into(), pid: 0.into(), log: Arc::default(), methods: Arc::default() };
        *function.environment.lock().await = Some(function.initialize().await?);
        Ok(function)
    }

    /// Sends an event, as JSON text, to the function; concurrent callers wait. Fails if the process cannot be started
    /// again. Failures of the event, including the end of the process and a timeout, are an [`Outcome::Error`].
    pub async fn invoke(&self, event: impl Into<Bytes>) -> Result<Outcome> {
        self.invoke_with(event, Headers::new()).await
    }

    /// The same with other headers from the Runtime API.
    pub async fn invoke_with(&self, event: impl Into<Bytes>, headers: Headers) -> Result<Outcome> {
        let mut slot = self.environment.lock().await;
        if !slot.as_mut().is_some_and(Environment::is_alive) {
            *slot = None;
            *slot = Some(self.initialize().await?);
        }
        let Environment { process, api, .. } = slot.as_mut().context("no environment")?;
        let (id, event) = (random_id(), event.into());
        self.note_method(&id, &event);
        let failure = |kind: &str, text: String| Outcome::Error(json!({ "errorType": kind, "errorMessage": text }));
        let outcome = tokio::select! {
            outcome = api.invoke_as(id, event, headers, self.options.timeout) => match outcome {
                Ok(outcome) => outcome,
                Err(error) => {
                    process.kill().await?;
                    failure("Sandbox.Timedout", error.to_string())
                }
            },
            status = process.wait() => failure("Runtime.ExitError", format!("Runtime exited with error: {}", status?)),
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
        if let Some(mut environment) = self.environment.lock().await.take() {
            // It may have ended already.
            drop(environment.process.kill().await);
            read_to_end(environment.readers).await;
        }
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
        self.pid.store(process.id().unwrap_or_default(), Ordering::Relaxed);
        let readers: Vec<_> =
            [self.collect(process.stdout.take()), self.collect(process.stderr.take())].into_iter().flatten().collect();
        let reason = tokio::select! {
            () = api.initialized() => return Ok(Environment { process, api, readers }),
            status = process.wait() => format!("ended with {}", status?),
            () = tokio::time::sleep(INIT_TIMEOUT) => format!("did not poll for an event in {INIT_TIMEOUT:?}"),
        };
        drop(process.kill().await);
        read_to_end(readers).await;
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
