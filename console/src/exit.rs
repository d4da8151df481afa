//! Why the program ends, and its exit code (those of sysexits.h).

use rsd_protocol::error::ErrorCode;
use thiserror::Error;

use crate::{
    source::{admin::AdminError, discovery::DiscoveryError, http::HttpError},
    view::theme_file::ThemeError,
};

/// Why the program ends with an error.
#[derive(Debug, Error)]
pub enum ExitReason {
    /// An argument of the command line is invalid.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Theme(#[from] ThemeError),
    /// No server is known, or the list of servers is invalid.
    #[error(transparent)]
    Find(#[from] DiscoveryError),
    /// The admin API did not do what was asked.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The server did not answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A server is down or did not answer in time.
    #[error("{0}")]
    Unavailable(String),
    /// The policy has another revision than the one given.
    #[error("{0}")]
    Conflict(String),
    /// `--readonly`, or no token is known.
    #[error("{0}")]
    Forbidden(String),
    #[error("{path}: {cause}")]
    Recording { path: String, cause: String },
    #[error("{path}: {cause}")]
    CannotWrite { path: String, cause: String },
    /// The terminal or standard output failed.
    #[error("terminal: {0}")]
    Terminal(#[from] std::io::Error),
    #[error("ended by signal {0}")]
    Signal(u8),
}

impl ExitReason {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Theme(_) => 64,
            Self::Recording { .. } => 66,
            Self::Http(_) | Self::Unavailable(_) => 69,
            Self::CannotWrite { .. } => 73,
            Self::Terminal(_) => 74,
            Self::Conflict(_) => 75,
            Self::Forbidden(_) => 77,
            Self::Find(_) => 78,
            Self::Signal(signal) => 128_u8.saturating_add(*signal),
            Self::Admin(error) => match error {
                AdminError::Http(_) => 69,
                AdminError::Redirected(_) | AdminError::Foreign { .. } | AdminError::Unreadable { .. } => 76,
                AdminError::Refused(detail) => code_of_refusal(detail.code),
            },
        }
    }
}

fn code_of_refusal(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::InvalidToken | ErrorCode::WriteTokenRequired | ErrorCode::HostRefused | ErrorCode::OriginRefused => {
            77
        }
        ErrorCode::RevisionStale | ErrorCode::RevisionRequired => 75,
        ErrorCode::PersistFailed | ErrorCode::NoFile => 73,
        ErrorCode::RouteNotFound | ErrorCode::MethodNotAllowed | ErrorCode::UnsupportedMediaType => 76,
        _ => 65,
    }
}
