//! When a fetched value is used, refreshed, and given up.

use std::{sync::Arc, time::Duration};

use super::REFRESH_RETRY_INTERVAL;
use crate::{clock::FreezeProofInstant, error::Error};

/// How long a fetched value is used.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// From this age on a value is refreshed before it is used, up to 10 % sooner by chance, so that environments that
    /// started together do not call together.
    pub max_age: Duration,
    /// Up to this age a value is used while it cannot be refreshed.
    pub max_stale: Duration,
}

/// The last good value, and how the refreshes since have gone.
pub(super) struct Cache<T> {
    lifetime: Lifetime,
    value: Option<Fetched<T>>,
    failure: Option<(FreezeProofInstant, Error)>,
    /// When the last forced refresh began.
    forced: Option<FreezeProofInstant>,
    /// When the log last said that a fetch failed.
    reported: Option<FreezeProofInstant>,
}

/// What has to be done before the value can be used.
pub(super) enum Need {
    Nothing,
    /// There is a value, past its maximum age.
    Refresh,
    /// There is none.
    Fetch,
}

struct Fetched<T> {
    value: Arc<T>,
    at: FreezeProofInstant,
    max_age: Duration,
}

impl<T> Cache<T> {
    pub(super) fn new(lifetime: Lifetime) -> Self {
        Self { lifetime, value: None, failure: None, forced: None, reported: None }
    }

    /// While a value can be used, a fetch that failed is not tried again before [`REFRESH_RETRY_INTERVAL`].
    pub(super) fn need(&self) -> Need {
        match self.good() {
            Some(held) if held.at.elapsed() < held.max_age || self.failed_within(REFRESH_RETRY_INTERVAL) => {
                Need::Nothing
            }
            Some(_) => Need::Refresh,
            None => Need::Fetch,
        }
    }

    /// Whether there is no value, and no fetch has failed since `began` either.
    pub(super) fn needs_fetch_since(&self, began: FreezeProofInstant) -> bool {
        let waited = began.elapsed();
        self.good().is_none() && !self.failed_within(waited)
    }

    /// Whether a refresh may be forced now: if none began and no fetch failed within `interval`. If so, one begins.
    pub(super) fn may_force(&mut self, interval: Duration) -> bool {
        let may = self.forced.is_none_or(|at| at.elapsed() >= interval) && !self.failed_within(interval);
        if may {
            self.forced = Some(FreezeProofInstant::now());
        }
        may
    }

    /// Whether the log may say now that a fetch failed. If so, it does.
    pub(super) fn may_report(&mut self) -> bool {
        let may = self.reported.is_none_or(|at| at.elapsed() >= REFRESH_RETRY_INTERVAL);
        if may {
            self.reported = Some(FreezeProofInstant::now());
        }
        may
    }

    /// Whether the last fetch failed.
    pub(super) fn is_stale(&self) -> bool {
        self.failure.is_some()
    }

    /// Takes in what a fetch gave. A failure keeps the last good value.
    pub(super) fn store(&mut self, fetched: Result<T, Error>) {
        match fetched {
            Ok(value) => {
                let max_age = self.lifetime.max_age.mul_f64(1.0 - 0.1 * fastrand::f64());
                self.value = Some(Fetched { value: Arc::new(value), at: FreezeProofInstant::now(), max_age });
                self.failure = None;
            }
            Err(error) => self.failure = Some((FreezeProofInstant::now(), error)),
        }
    }

    /// The last good value, or why there is none.
    pub(super) fn value(&self) -> Result<Arc<T>, Error> {
        match (self.good(), &self.failure) {
            (Some(held), _) => Ok(held.value.clone()),
            (None, Some((_, error))) => Err(error.clone()),
            (None, None) => Err(Error::Internal("a secret was used before it was fetched".into())),
        }
    }

    /// The value if the last fetch gave it, or why that fetch failed.
    pub(super) fn value_of_last_fetch(&self) -> Result<Arc<T>, Error> {
        match &self.failure {
            Some((_, error)) => Err(error.clone()),
            None => self.value(),
        }
    }

    fn failed_within(&self, time: Duration) -> bool {
        self.failure.as_ref().is_some_and(|(at, _)| at.elapsed() < time)
    }

    fn good(&self) -> Option<&Fetched<T>> {
        self.value.as_ref().filter(|held| held.at.elapsed() < self.lifetime.max_stale)
    }
}
