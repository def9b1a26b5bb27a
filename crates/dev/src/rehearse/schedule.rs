//! The schedule of `sync-keys`, as EventBridge keeps it.

use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use testkit::{Function, Outcome};
use tokio::{sync::watch, task::JoinSet, time::interval};

/// The result of a run: its summary, or its error.
type Run = Result<Value, String>;

/// A function that is invoked again and again. Dropping this ends it.
pub struct Schedule {
    last: watch::Receiver<Option<Run>>,
    _task: JoinSet<()>,
}

impl Schedule {
    pub fn start(function: Function, every: Duration) -> Self {
        let (sender, last) = watch::channel(None);
        let task = JoinSet::from_iter([async move {
            let mut ticks = interval(every);
            loop {
                ticks.tick().await;
                let event = json!({ "source": "aws.events", "detail-type": "Scheduled Event" });
                let run = match function.invoke(event.to_string()).await {
                    Ok(Outcome::Response(summary)) => Ok(summary),
                    Ok(Outcome::Error(error)) => Err(error["errorMessage"].as_str().unwrap_or_default().to_owned()),
                    Err(error) => Err(format!("{error:#}")),
                };
                sender.send_replace(Some(run));
            }
        }]);
        Self { last, _task: task }
    }

    /// Waits for the first run and returns its summary.
    pub async fn first_run(&mut self) -> Result<Value> {
        let run = self.last.wait_for(Option::is_some).await?.clone();
        run.unwrap_or(Ok(Value::Null)).map_err(|error| anyhow!("sync-keys: {error}"))
    }

    /// Fails if the last run has failed.
    pub fn check(&self) -> Result<()> {
        match &*self.last.borrow() {
            Some(Err(error)) => Err(anyhow!("sync-keys: {error}")),
            _ => Ok(()),
        }
    }
}
