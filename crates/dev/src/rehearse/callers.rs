//! The callers and visitors of the product during the move: one host name, and requests that must not fail.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use axum::{body::Bytes, http::Request};
use testkit::{client, database, request::PATH};
use tokio::{task::JoinSet, time::sleep};
use uuid::Uuid;

/// Pause between two calls of a caller, and between two messages of the visitor.
const PAUSE: Duration = Duration::from_millis(100);

/// The number of callers, which call independently.
const CALLERS: usize = 2;

/// Calls that show who answers after a change.
const CALLS_SEEN: usize = 10;

/// Timeout for these calls.
const CALLS_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Old,
    New,
}

impl Endpoint {
    pub fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }
}

/// A call that has ended, or a message that the visitor has written.
struct Event {
    begin: Instant,
    duration: Duration,
    /// The endpoint that answered a call, or nothing for a message; otherwise what failed.
    outcome: Result<Option<Endpoint>, String>,
}

/// What callers and the visitor have seen since a point in time.
#[derive(Default)]
pub struct Seen {
    pub calls: usize,
    pub messages: usize,
    pub slowest: Duration,
}

/// Callers that list sessions all the time at one host name, and a visitor who writes messages. Dropping them ends them.
pub struct Callers {
    /// The base URL that the host name leads to: its DNS record.
    record: Arc<Mutex<String>>,
    events: Arc<Mutex<Vec<Event>>>,
    _tasks: JoinSet<()>,
}

impl Callers {
    /// Starts them; the visitor writes to a session of `account`.
    pub async fn start(base: &str, token: &str, admin_url: &str, account: Uuid) -> Result<Self> {
        let (record, events) = (Arc::new(Mutex::new(base.to_owned())), Arc::<Mutex<Vec<Event>>>::default());
        let mut tasks = JoinSet::new();
        for _ in 0..CALLERS {
            let (record, events, token) = (Arc::clone(&record), Arc::clone(&events), token.to_owned());
            tasks.spawn(async move {
                loop {
                    let begin = Instant::now();
                    let base = lock(&record).clone();
                    let outcome = list(&base, &token).await.map(Some).map_err(|error| format!("{error:#}"));
                    lock(&events).push(Event { begin, duration: begin.elapsed(), outcome });
                    sleep(PAUSE).await;
                }
            });
        }
        let visitor = database::connect(admin_url).await?;
        let written = Arc::clone(&events);
        tasks.spawn(async move {
            const WRITE: &str = "INSERT INTO chat_messages (session_id, role, content)
                                 SELECT id, 'visitor', 'hello' FROM chat_sessions WHERE user_id = $1 LIMIT 1";
            loop {
                let begin = Instant::now();
                let outcome = match visitor.execute(WRITE, &[&account]).await {
                    Ok(1) => Ok(None),
                    Ok(_) => Err("the visitor has no session".to_owned()),
                    Err(error) => Err(format!("a visitor's message: {error}")),
                };
                lock(&written).push(Event { begin, duration: begin.elapsed(), outcome });
                sleep(PAUSE).await;
            }
        });
        Ok(Self { record, events, _tasks: tasks })
    }

    /// Returns the base URL that the host name leads to.
    pub fn host(&self) -> String {
        lock(&self.record).clone()
    }

    /// Changes what the host name leads to.
    pub fn point_to(&self, base: &str) {
        base.clone_into(&mut lock(&self.record));
    }

    /// Fails if a call or a message has failed.
    pub fn check(&self) -> Result<()> {
        match lock(&self.events).iter().find_map(|event| event.outcome.as_ref().err()) {
            Some(error) => bail!("a caller got an error: {error}"),
            None => Ok(()),
        }
    }

    /// Returns what was seen since then.
    pub fn seen_since(&self, since: Instant) -> Seen {
        let mut seen = Seen::default();
        for event in lock(&self.events).iter().filter(|event| event.begin >= since) {
            match &event.outcome {
                Ok(Some(_)) => seen.calls += 1,
                Ok(None) => seen.messages += 1,
                Err(_) => {}
            }
            seen.slowest = seen.slowest.max(event.duration);
        }
        seen
    }

    /// Waits for some calls that begin from now on. Fails if anything fails or if the other endpoint answers one.
    pub async fn see(&self, endpoint: Endpoint) -> Result<()> {
        let since = Instant::now();
        while self.seen_since(since).calls < CALLS_SEEN {
            self.check()?;
            let other = |event: &Event| event.begin >= since && matches!(event.outcome, Ok(Some(by)) if by != endpoint);
            ensure!(!lock(&self.events).iter().any(other), "the {} endpoint does not answer", endpoint.name());
            ensure!(since.elapsed() < CALLS_TIMEOUT, "callers get no answer within {CALLS_TIMEOUT:?}");
            sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// Sends a request of a client and returns its status and who answered: only the function sets `X-Request-Id`.
pub async fn call(base: &str, token: &str) -> Result<(u16, Endpoint)> {
    let request = Request::post(format!("{base}{PATH}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Bytes::from_static(br#"{"limit": 20}"#))?;
    let response = client::send(request).await.context("no response")?;
    let by = if response.headers().contains_key("x-request-id") { Endpoint::New } else { Endpoint::Old };
    Ok((response.status().as_u16(), by))
}

async fn list(base: &str, token: &str) -> Result<Endpoint> {
    let (status, by) = call(base, token).await?;
    ensure!(status == 200, "status {status} of the {} endpoint", by.name());
    Ok(by)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
