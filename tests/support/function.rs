//! The function's real binary in a Lambda environment of its own: clean variables, a Runtime API, one event at a time.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use axum::body::Bytes;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
};

use super::{
    runtime_api::{Headers, Outcome, RuntimeApi},
    secrecy,
};

pub const NAME: &str = "list-chat-sessions";
pub const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:list-chat-sessions";

/// Lambda's own limit for the initialization.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

pub struct FunctionOptions {
    /// The binary, which somebody else has built.
    pub binary: PathBuf,
    /// What is said to it: nothing to ours, the script to an interpreter.
    pub arguments: Vec<PathBuf>,
    /// The function's own variables. Nothing of our own environment reaches it, so no AWS account can either.
    pub env: Vec<(String, String)>,
    /// The longest that one event may take; the process is ended after it.
    pub timeout: Duration,
    /// Whether its log goes to standard error as well.
    pub forward_log: bool,
    /// How many lines of its log are kept at most; of more, the older half goes.
    pub log_max: usize,
}

impl FunctionOptions {
    /// The usual: API Gateway's 29 seconds, and a log that is only kept.
    pub fn new(binary: impl Into<PathBuf>, env: &[(&str, &str)]) -> Self {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self {
            binary: binary.into(),
            arguments: Vec::new(),
            env,
            timeout: Duration::from_secs(29),
            forward_log: false,
            log_max: usize::MAX,
        }
    }
}

/// The function. Its process is started again when it has died, as Lambda does; dropping this ends it.
pub struct Function {
    options: FunctionOptions,
    environment: tokio::sync::Mutex<Option<Environment>>,
    /// The process that runs now; 0 for none.
    pid: AtomicU32,
    log: Arc<Mutex<Vec<String>>>,
}

impl Drop for Function {
    /// Whoever starts a function has its whole log searched for secrets.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            secrecy::assert_silent("the log", &self.log().join("\n"));
        }
    }
}

/// One process and its Runtime API, which a new process never shares: no answer of the old one can reach it.
struct Environment {
    process: Child,
    api: RuntimeApi,
}

impl Environment {
    fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }
}

impl Function {
    /// Starts the binary and returns once it has asked for its first event.
    ///
    /// # Errors
    ///
    /// When it ends or says nothing for ten seconds before that; its log is part of the error.
    pub async fn start(options: FunctionOptions) -> Result<Self> {
        options.env.iter().for_each(|(_, value)| secrecy::keep_url(value));
        let function = Self { options, environment: None.into(), pid: 0.into(), log: Arc::default() };
        *function.environment.lock().await = Some(function.initialize().await?);
        Ok(function)
    }

    /// Hands an event, as JSON text, to the function. Others wait until it is done.
    ///
    /// # Errors
    ///
    /// When the process cannot be started again. What goes wrong within an event is an [`Outcome::Error`], the death of
    /// the process and the end of its time included.
    pub async fn invoke(&self, event: impl Into<Bytes>) -> Result<Outcome> {
        self.invoke_with(event, Headers::new()).await
    }

    /// The same with other headers from the Runtime API.
    ///
    /// # Errors
    ///
    /// As [`Function::invoke`].
    pub async fn invoke_with(&self, event: impl Into<Bytes>, headers: Headers) -> Result<Outcome> {
        let mut slot = self.environment.lock().await;
        if !slot.as_mut().is_some_and(Environment::is_alive) {
            *slot = None;
            *slot = Some(self.initialize().await?);
        }
        let Environment { process, api } = slot.as_mut().context("there is one now")?;
        let failure = |kind: &str, text: String| Outcome::Error(json!({ "errorType": kind, "errorMessage": text }));
        let outcome = tokio::select! {
            outcome = api.invoke_with(event, headers, self.options.timeout) => match outcome {
                Ok(outcome) => outcome,
                Err(error) => {
                    process.kill().await?;
                    failure("Sandbox.Timedout", error.to_string())
                }
            },
            status = process.wait() => failure("Runtime.ExitError", format!("Runtime exited with error: {}", status?)),
        };
        let told = match &outcome {
            // A page is for the caller, who has shown whose it is.
            Outcome::Response(answer) if answer["statusCode"] == 200 => String::new(),
            Outcome::Response(answer) | Outcome::Error(answer) => answer.to_string(),
        };
        secrecy::assert_silent("an answer", &told);
        Ok(outcome)
    }

    /// The process that runs now.
    pub fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// The lines it has written so far, to standard output and standard error.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        self.collect(process.stdout.take());
        self.collect(process.stderr.take());
        let reason = tokio::select! {
            () = api.initialized() => return Ok(Environment { process, api }),
            status = process.wait() => format!("ended with {}", status?),
            () = tokio::time::sleep(INIT_TIMEOUT) => format!("did not ask for an event in {INIT_TIMEOUT:?}"),
        };
        // Its last words may still be on their way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let said =
            if self.options.forward_log { String::new() } else { format!("; its log:\n{}", self.log().join("\n")) };
        bail!("the function {reason} during init{said}");
    }

    /// Keeps what the function writes, line by line, until it ends.
    fn collect(&self, stream: Option<impl AsyncRead + Unpin + Send + 'static>) {
        let Some(stream) = stream else { return };
        let (log, forward, max) = (Arc::clone(&self.log), self.options.forward_log, self.options.log_max);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if forward {
                    eprintln!("{line}");
                }
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                if log.len() >= max {
                    log.drain(..max.div_ceil(2));
                }
                log.push(line);
            }
        });
    }
}
