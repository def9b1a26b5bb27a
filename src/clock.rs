//! Time that passes while the environment is frozen, and time that is left.

use std::time::{Duration, Instant, SystemTime};

use lambda_http::Context;
use tokio::time::timeout;

use crate::error::Error;

/// Kept back from the invocation: [`crate::database::CANCEL_TIMEOUT`] for cancelling a query, 300 ms by which every answer
/// is before the invocation's deadline, and the rest for making it.
pub const ANSWER_RESERVE: Duration = Duration::from_millis(700);

/// The time for a request whose deadline is no deadline.
const UNBOUNDED_REQUEST: Duration = Duration::from_secs(10);

/// A instant whose age counts on.
///
/// Whether the monotonic clock runs while Lambda keeps an environment frozen is not documented, and the wall clock can
/// be set back: the larger of the two ages is right in both cases.
#[derive(Clone, Copy, Debug)]
pub struct FreezeProofInstant {
    monotonic: Instant,
    wall: SystemTime,
}

impl FreezeProofInstant {
    /// This instant.
    #[must_use]
    pub fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// How long ago it was.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.monotonic.elapsed().max(self.wall.elapsed().unwrap_or_default())
    }
}

/// When the work on a request must have ended.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The invocation's own deadline less [`ANSWER_RESERVE`].
    ///
    /// A deadline that is over before the request begins is none: Lambda gives no such event, but `cargo lambda watch`
    /// puts every deadline into the first minutes of 1970.
    #[must_use]
    pub fn of(context: Option<&Context>) -> Self {
        let left = context.and_then(|context| context.deadline().duration_since(SystemTime::now()).ok());
        Self::within(left.unwrap_or(UNBOUNDED_REQUEST).saturating_sub(ANSWER_RESERVE))
    }

    /// The deadline that ends after `duration`.
    #[must_use]
    pub fn within(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// Runs a future until the deadline.
    ///
    /// # Errors
    ///
    /// The future's own, or [`Error::Unavailable`] if the deadline came first.
    pub async fn timeout<T>(&self, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = || Error::Unavailable("not done before the deadline".into());
        timeout(self.remaining(), future).await.map_err(|_| late())?
    }

    /// The time left; zero once the deadline has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use super::FreezeProofInstant;

    const HOUR: Duration = Duration::from_hours(1);

    /// As after a freeze during which the monotonic clock stood still: a revoked key would stay accepted for as long.
    #[test]
    fn time_that_only_the_wall_clock_has_seen_counts() {
        let instant = FreezeProofInstant { monotonic: Instant::now(), wall: SystemTime::now() - HOUR };
        assert!(instant.elapsed() >= HOUR);
    }

    #[test]
    fn a_wall_clock_that_is_set_back_makes_nothing_younger() {
        let before = Instant::now().checked_sub(HOUR).unwrap();
        let instant = FreezeProofInstant { monotonic: before, wall: SystemTime::now() + HOUR };
        assert!(instant.elapsed() >= HOUR);
    }
}
