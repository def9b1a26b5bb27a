//! Time that passes while the environment is frozen, and time that is left.

use std::time::{Duration, Instant, SystemTime};

use lambda_http::Context;
use tokio::time::timeout;

use crate::error::Error;

/// Kept back from the invocation: [`crate::database::CANCEL_LIMIT`] for cancelling a query, 300 ms by which every answer
/// is before the invocation's deadline, and the rest for making it.
pub const ANSWER_RESERVE: Duration = Duration::from_millis(700);

/// The time for a request whose deadline is no deadline.
const UNBOUNDED_REQUEST: Duration = Duration::from_secs(10);

/// A moment whose age counts on.
///
/// Whether the monotonic clock runs while Lambda keeps an environment frozen is not documented, and the wall clock can
/// be set back: the larger of the two ages is right in both cases.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// How long ago it was.
    #[must_use]
    pub fn age(&self) -> Duration {
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

    /// Ends a step when the deadline does.
    ///
    /// # Errors
    ///
    /// The step's own, or [`Error::Unavailable`] if it was ended.
    pub async fn end<T>(&self, step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = || Error::Unavailable("not done before the deadline".into());
        timeout(self.left(Duration::MAX), step).await.map_err(|_| late())?
    }

    /// The time left, zero when it has passed, and at most `limit`.
    #[must_use]
    pub fn left(&self, limit: Duration) -> Duration {
        self.0.saturating_duration_since(Instant::now()).min(limit)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use super::Moment;

    const HOUR: Duration = Duration::from_hours(1);

    /// As after a freeze during which the monotonic clock stood still: a revoked key would stay accepted for as long.
    #[test]
    fn time_that_only_the_wall_clock_has_seen_counts() {
        let moment = Moment { monotonic: Instant::now(), wall: SystemTime::now() - HOUR };
        assert!(moment.age() >= HOUR);
    }

    #[test]
    fn a_wall_clock_that_is_set_back_makes_nothing_younger() {
        let before = Instant::now().checked_sub(HOUR).unwrap();
        let moment = Moment { monotonic: before, wall: SystemTime::now() + HOUR };
        assert!(moment.age() >= HOUR);
    }
}
