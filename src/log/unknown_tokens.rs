//! Unknown tokens, counted for one line of the log instead of one each.

use std::{
    mem::take,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;

use super::{Level, write};
use crate::clock::FreezeProofInstant;

/// The tokens since the last line that the key ring did not accept: unknown, revoked or expired.
#[derive(Debug, Default)]
pub struct UnknownTokens(Mutex<Option<Counted>>);

#[derive(Debug)]
struct Counted {
    since: Timestamp,
    began: FreezeProofInstant,
    count: u64,
}

#[derive(Serialize)]
struct Line {
    timestamp: Timestamp,
    level: Level,
    message: &'static str,
    unknown_tokens: u64,
    since: Timestamp,
}

impl UnknownTokens {
    /// Counts one.
    pub fn count(&self) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Counted { since: Timestamp::now(), began: FreezeProofInstant::now(), count: 0 };
        counted.get_or_insert_with(new).count += 1;
    }

    /// Writes the line if there were any, the first of them at least `interval` ago. Every request calls this: nothing
    /// runs in an environment without requests, so the last count is written by the next request, whatever it is.
    pub fn report(&self, interval: Duration) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.as_ref().is_some_and(|counted| counted.began.elapsed() >= interval)
            && let Some(Counted { since, count, .. }) = take(&mut *counted)
        {
            let (timestamp, level) = (Timestamp::now(), Level::Info);
            write(&Line { timestamp, level, message: "unknown tokens", unknown_tokens: count, since });
        }
    }
}
