//! When a fetched value is used, refreshed, and given up.

use std::{sync::Arc, time::Duration};

use super::REFRESH_RETRY_INTERVAL;
use crate::{clock::Moment, error::Error};

/// How long a fetched value is used.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// From this age on a value is refreshed before it is used, up to 10 % sooner by chance, so that environments that
    /// started together do not call together.
    pub soft: Duration,
    /// Up to this age a value is used while it cannot be refreshed.
    pub hard: Duration,
}

/// The last good value, and how the refreshes since have gone.
pub(super) struct Cache<T> {
    lifetime: Lifetime,
    value: Option<Fetched<T>>,
    failure: Option<(Moment, Error)>,
    forced: Option<Moment>,
}

struct Fetched<T> {
    value: Arc<T>,
    at: Moment,
    soft: Duration,
}

impl<T> Cache<T> {
    pub(super) fn new(lifetime: Lifetime) -> Self {
        Self { lifetime, value: None, failure: None, forced: None }
    }

    /// Whether the value has to be fetched before it is used. While one can be used, a fetch that failed is not tried
    /// again before [`REFRESH_RETRY_INTERVAL`].
    pub(super) fn is_due(&self) -> bool {
        let resting = matches!(&self.failure, Some((at, _)) if at.age() < REFRESH_RETRY_INTERVAL);
        match self.good() {
            Some(held) => held.at.age() >= held.soft && !resting,
            None => true,
        }
    }

    /// Whether a refresh may be forced now: if none was within `interval`. If so, one is.
    pub(super) fn may_force(&mut self, interval: Duration) -> bool {
        let may = self.forced.is_none_or(|at| at.age() >= interval);
        if may {
            self.forced = Some(Moment::now());
        }
        may
    }

    /// Takes in what a fetch gave. A failure keeps the last good value.
    pub(super) fn store(&mut self, fetched: Result<T, Error>) {
        match fetched {
            Ok(value) => {
                let soft = self.lifetime.soft.mul_f64(1.0 - 0.1 * fastrand::f64());
                self.value = Some(Fetched { value: Arc::new(value), at: Moment::now(), soft });
                self.failure = None;
            }
            Err(error) => self.failure = Some((Moment::now(), error)),
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

    fn good(&self) -> Option<&Fetched<T>> {
        self.value.as_ref().filter(|held| held.at.age() < self.lifetime.hard)
    }
}
