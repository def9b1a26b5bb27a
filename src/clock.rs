//! Instants that account for frozen time, and a request's deadline.

use std::time::{Duration, Instant, SystemTime};

use tokio::time::timeout;

use crate::error::Error;

/// The time between a request's deadline and its invocation's: 200 ms for cancelling the query
/// (`database::CANCEL_TIMEOUT`), 200 ms for building the response, and 300 ms to spare.
pub(crate) const RESPONSE_RESERVE: Duration = Duration::from_millis(700);

/// The time for a request without a valid deadline.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A point in time whose age keeps growing while the environment is frozen.
///
/// It is not documented whether the monotonic clock runs while Lambda keeps an environment frozen, and the wall clock can
/// be set back. The larger of the two ages is right in both cases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreezeProofInstant {
    monotonic: Instant,
    wall: SystemTime,
}

impl FreezeProofInstant {
    pub(crate) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.monotonic.elapsed().max(self.wall.elapsed().unwrap_or_default())
    }
}

/// The time by which the work on a request must end.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// [`RESPONSE_RESERVE`] before the invocation's own deadline.
    ///
    /// One that has passed already is ignored: `cargo lambda watch` sends deadlines in the first minutes of 1970.
    pub(crate) fn of_invocation(deadline: Option<SystemTime>) -> Self {
        let left = deadline.and_then(|deadline| deadline.duration_since(SystemTime::now()).ok());
        Self::within(left.unwrap_or(DEFAULT_TIMEOUT).saturating_sub(RESPONSE_RESERVE))
    }

    /// The deadline that ends after `duration`.
    #[must_use]
    pub fn within(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// Runs a future, or fails with [`Error::Unavailable`] at the deadline.
    pub(crate) async fn timeout<T>(&self, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = || Error::Unavailable("the request's deadline has passed".into());
        timeout(self.remaining(), future).await.map_err(|_| late())?
    }

    /// The time left; zero after the deadline.
    pub(crate) fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use super::FreezeProofInstant;

    const HOUR: Duration = Duration::from_hours(1);

    /// If the monotonic clock stops during a freeze, a revoked key must not be accepted for that much longer.
    #[test]
    fn time_that_only_the_wall_clock_measured_counts() {
        let instant = FreezeProofInstant { monotonic: Instant::now(), wall: SystemTime::now() - HOUR };
        assert!(instant.elapsed() >= HOUR);
    }

    #[test]
    fn setting_the_wall_clock_back_does_not_reduce_the_age() {
        let before = Instant::now().checked_sub(HOUR).unwrap();
        let instant = FreezeProofInstant { monotonic: before, wall: SystemTime::now() + HOUR };
        assert!(instant.elapsed() >= HOUR);
    }
}
