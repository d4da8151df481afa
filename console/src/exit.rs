//! Why the program ends, as scripts read it: the exit codes of sysexits.h.

use rsd_protocol::error::ErrorCode;
use thiserror::Error;

use crate::source::{admin::AdminError, find::FindError, http::HttpError};

/// Why the program ends early.
#[derive(Debug, Error)]
pub enum Stop {
    /// The command line means nothing.
    #[error("{0}")]
    Usage(String),
    /// No server is known, or a list is wrong.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The server did not do it.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server is there and something it needs is not.
    #[error("{0}")]
    Unavailable(String),
    /// Somebody else was faster.
    #[error("{0}")]
    Conflict(String),
    /// It may not be done.
    #[error("{0}")]
    Forbidden(String),
    /// A recording cannot be read.
    #[error("{path}: {cause}")]
    Recording {
        /// Which.
        path: String,
        /// Why.
        cause: String,
    },
    /// A file cannot be written.
    #[error("{path}: {cause}")]
    CannotWrite {
        /// Which.
        path: String,
        /// Why.
        cause: String,
    },
    /// The terminal does not obey.
    #[error("terminal: {0}")]
    Terminal(#[from] std::io::Error),
    /// A signal asked for the end.
    #[error("ended by signal {0}")]
    Signal(u8),
}

impl Stop {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
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
                AdminError::Refused(detail) => refused(detail.code),
            },
        }
    }
}

fn refused(code: ErrorCode) -> u8 {
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
