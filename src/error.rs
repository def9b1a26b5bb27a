//! The failures of a request, each with its status, code, message and log level.

use std::fmt;

use lambda_http::http::StatusCode;

use crate::log::Level;

/// Why a request fails. The text of [`Error::Validation`] is for the caller; every other text is a cause that only the log
/// shows.
#[derive(Clone, Debug)]
pub enum Error {
    /// The rule of every invalid field of the body.
    Validation(String),
    /// The token is missing or not accepted; callers cannot tell which.
    Unauthorized,
    /// Neither POST nor OPTIONS.
    MethodNotAllowed,
    /// The body is larger than [`crate::request::MAX_BODY_BYTES`].
    PayloadTooLarge,
    /// PostgreSQL rejected the query.
    Query(String),
    /// A text in the database is not valid in the database's own encoding.
    InvalidText(String),
    /// PostgreSQL or Secrets Manager cannot be reached.
    Unavailable(String),
    /// The database's configuration could make pages wrong. The text tells an operator what to do.
    Misconfigured(String),
    /// The query timed out.
    Timeout(String),
    /// Anything else.
    Internal(String),
}

impl Error {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Validation(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Query(_) | Self::InvalidText(_) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable(_) | Self::Misconfigured(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The contract's `error.code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Validation(_) => "validation_error",
            Self::Unauthorized => "unauthorized",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::PayloadTooLarge => "payload_too_large",
            Self::Query(_) | Self::InvalidText(_) => "query_error",
            Self::Unavailable(_) | Self::Misconfigured(_) => "service_unavailable",
            Self::Timeout(_) => "timeout",
            Self::Internal(_) => "server_error",
        }
    }

    /// The contract's `error.message`.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Validation(message) => message,
            Self::Unauthorized => "Unauthorized",
            Self::MethodNotAllowed => "Use POST",
            Self::PayloadTooLarge => "The body is larger than 64 KiB",
            Self::Query(_) | Self::InvalidText(_) => "The query failed",
            Self::Unavailable(_) | Self::Misconfigured(_) => "The service is unavailable, please try again",
            Self::Timeout(_) => "The query took too long",
            Self::Internal(_) => "Something went wrong",
        }
    }

    /// The level of the request's log line. The caller's mistakes are not errors of the function.
    pub(crate) fn level(&self) -> Level {
        match self {
            Self::Validation(_) | Self::Unauthorized | Self::MethodNotAllowed | Self::PayloadTooLarge => Level::Info,
            Self::Query(_)
            | Self::InvalidText(_)
            | Self::Unavailable(_)
            | Self::Misconfigured(_)
            | Self::Timeout(_)
            | Self::Internal(_) => Level::Error,
        }
    }

    /// The level of a failure that the function survives: `ERROR` if an operator has to act, or else `WARN`.
    pub(crate) fn warn_or_error(&self) -> Level {
        if matches!(self, Self::Internal(_) | Self::Misconfigured(_)) { Level::Error } else { Level::Warn }
    }

    /// The log's text, which callers never see.
    pub(crate) fn cause(&self) -> Option<&str> {
        match self {
            Self::Query(cause)
            | Self::InvalidText(cause)
            | Self::Unavailable(cause)
            | Self::Misconfigured(cause)
            | Self::Timeout(cause)
            | Self::Internal(cause) => Some(cause),
            Self::Validation(_) | Self::Unauthorized | Self::MethodNotAllowed | Self::PayloadTooLarge => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())?;
        self.cause().map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

impl std::error::Error for Error {}

/// An error and its sources in one line. Their `Debug` forms could quote the data that they processed.
pub(crate) fn display_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
