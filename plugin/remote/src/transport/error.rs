//! Why a request to an engine failed.

use std::{fmt, io, time::Duration};

use serde_json::Value;

/// Characters of an engine's message that are shown.
const SHOWN: usize = 300;

/// What the engine did not send in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeoutPhase {
    /// The first event of a stream.
    FirstEvent,
    /// The next event of a stream.
    NextEvent,
    /// A whole reply.
    Reply,
}

impl fmt::Display for TimeoutPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstEvent => "first token (timeouts.first_token_ms)",
            Self::NextEvent => "next token (timeouts.between_tokens_ms)",
            Self::Reply => "reply (timeouts.reply_ms)",
        })
    }
}

/// A failed request. Its text names no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {kind}{}", kind.advice())]
pub struct TransportError {
    /// Where the request went, or would have gone.
    pub url: String,
    /// What happened.
    pub kind: TransportErrorKind,
}

impl TransportError {
    /// Whether another attempt may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }
}

/// What happened to a failed request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportErrorKind {
    /// The settings make no client.
    #[error("the connection cannot be set up: {0}")]
    Setup(String),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// The engine took too long.
    #[error("the engine sent no {phase} within {} s", after.as_secs_f32())]
    Timeout {
        /// What was waited for.
        phase: TimeoutPhase,
        /// How long.
        after: Duration,
    },
    /// The connection broke off.
    #[error("the connection broke off: {0}")]
    Reset(String),
    /// The engine answered with a status that is no success.
    #[error("status {status}: {message}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The engine's message.
        message: String,
        /// How long to wait, if the engine says it.
        retry_after: Option<Duration>,
    },
    /// The engine reported an error inside a stream that began with success.
    #[error("the engine reported in its stream: {message}")]
    Event {
        /// The HTTP status that the error stands for, if it says.
        status: Option<u16>,
        /// The engine's message.
        message: String,
    },
    /// The reply is not what HTTP and JSON allow.
    #[error("the engine's reply cannot be read: {0}")]
    Malformed(String),
    /// The reply is too long.
    #[error("the engine's reply is longer than {0} bytes")]
    TooLarge(usize),
    /// Every address of the engine failed lately and is left alone for a while.
    #[error("the engine failed too often and is tried again in {:.1} s; its last failure: {last}", after.as_secs_f32())]
    Unavailable {
        /// Until the next attempt.
        after: Duration,
        /// The last failure.
        last: String,
    },
}

impl TransportErrorKind {
    /// Its index in [`REMOTE_ERRORS`](rsd_protocol::metrics::REMOTE_ERRORS).
    pub(super) fn index(&self) -> usize {
        match self {
            Self::Setup(_) => 0,
            Self::Connect(_) => 1,
            Self::Timeout { .. } => 2,
            Self::Reset(_) => 3,
            Self::Status { .. } => 4,
            Self::Event { .. } => 5,
            Self::Malformed(_) => 6,
            Self::TooLarge(_) => 7,
            Self::Unavailable { .. } => 8,
        }
    }

    /// Whether another attempt may succeed.
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout { .. } | Self::Reset(_) => true,
            Self::Status { status, .. } => is_passing(*status),
            // An engine whose core died reports it so.
            Self::Event { status, .. } => status.is_none_or(is_passing),
            Self::Setup(_) | Self::Malformed(_) | Self::TooLarge(_) | Self::Unavailable { .. } => false,
        }
    }

    /// Whether a server answered, although with nothing of use.
    pub(crate) fn is_reply(&self) -> bool {
        matches!(self, Self::Status { .. } | Self::Malformed(_) | Self::TooLarge(_))
    }

    /// Whether it speaks against the engine itself. One that is only busy, or rejects a request, is well.
    pub(super) fn is_failure_of_engine(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status >= 500 && *status != 529,
            Self::Event { status, .. } => status.is_none_or(|status| status >= 500),
            Self::Setup(_) | Self::Unavailable { .. } => false,
            Self::Connect(_) | Self::Timeout { .. } | Self::Reset(_) | Self::Malformed(_) | Self::TooLarge(_) => true,
        }
    }

    /// What to do, in brackets.
    fn advice(&self) -> &'static str {
        match self {
            Self::Connect(_) => " (is the engine running there, and can its port be reached?)",
            Self::Timeout { .. } => " (the engine may be overloaded or stuck: see its log, or allow more time)",
            Self::Reset(_) => " (the engine, or a proxy before it, may have restarted: see its log)",
            Self::Status { status: 300..=399, .. } => " (redirects are not followed: set the URL that it leads to)",
            Self::Status { status: 401 | 403, .. } => " (check the key)",
            Self::Status { status: 404 | 405, .. } => {
                " (check the URL, which ends before `/v1`, the kind of engine and the model's name)"
            }
            Self::Status { status: 429 | 503 | 529, .. } => " (the engine is busy or still loading)",
            Self::Status { status: 500.., .. } | Self::Event { .. } | Self::Unavailable { .. } => {
                " (see the engine's log)"
            }
            Self::Malformed(_) => " (is this the URL of the engine, and is the kind of engine right?)",
            Self::Setup(_) | Self::Status { .. } | Self::TooLarge(_) => "",
        }
    }

    /// The error behind a failed exchange.
    pub(super) fn of_exchange(error: &reqwest::Error) -> Self {
        let text = with_causes(error);
        if error.is_timeout() {
            // Only the time for a connection is limited in the library.
            Self::Connect("timed out (timeouts.connect_ms)".to_owned())
        } else if error.is_connect() {
            Self::Connect(text)
        } else if error.is_builder() {
            Self::Setup(text)
        } else if is_no_http(error) {
            Self::Malformed(text)
        } else {
            Self::Reset(text)
        }
    }
}

fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504 | 529)
}

/// Whether what arrived is no HTTP.
fn is_no_http(error: &reqwest::Error) -> bool {
    let mut causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.any(|cause| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
            || cause.to_string().starts_with("invalid HTTP")
    })
}

/// An error with its causes. The address is left out: the caller names it without the secrets that it may have.
fn with_causes(error: &reqwest::Error) -> String {
    let mut cause = std::error::Error::source(error);
    let mut text = String::new();
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() { "the request could not be sent".to_owned() } else { text }
}

/// The message in the body of an error, in whichever form an engine writes it.
pub(super) fn message_of(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => message_in(&value).unwrap_or_else(|| value.to_string()),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    if text.is_empty() { "no message".to_owned() } else { text.chars().take(SHOWN).collect() }
}

/// The message of an error object.
pub(super) fn message_in(value: &Value) -> Option<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(object) => object.get("message").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    ["error", "detail", "message"].iter().find_map(|key| text(value.get(key)?))
}

/// The wait that a `Retry-After` header asks for: seconds, or a date.
pub(super) fn retry_after(header: &str, now: std::time::SystemTime) -> Option<Duration> {
    match header.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(header).ok()?.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use rsd_protocol::metrics::REMOTE_ERRORS;

    use super::*;

    #[test]
    fn the_message_is_found_in_every_form() {
        for (body, message) in [
            (r#"{"error":{"message":"too long","type":"BadRequestError","code":400}}"#, "too long"),
            (r#"{"error":"Unauthorized"}"#, "Unauthorized"),
            (r#"{"detail":"Not Found"}"#, "Not Found"),
            (r#"{"object":"error","message":"full","code":503}"#, "full"),
            ("<html>bad gateway</html>", "<html>bad gateway</html>"),
            ("", "no message"),
            ("[1]", "[1]"),
        ] {
            assert_eq!(message_of(body.as_bytes()), message);
        }
        assert_eq!(message_of("ü".repeat(1000).as_bytes()).chars().count(), SHOWN);
    }

    #[test]
    fn a_text_says_what_happened_where_and_what_to_do() {
        let kind = TransportErrorKind::Status { status: 401, message: "Unauthorized".to_owned(), retry_after: None };
        let error = TransportError { url: "http://gpu:8000/v1/completions".to_owned(), kind };
        assert_eq!(error.to_string(), "http://gpu:8000/v1/completions: status 401: Unauthorized (check the key)");
    }

    #[test]
    fn every_kind_has_its_name_in_the_metrics() {
        let timeout = TransportErrorKind::Timeout { phase: TimeoutPhase::Reply, after: Duration::ZERO };
        let unavailable = TransportErrorKind::Unavailable { after: Duration::ZERO, last: String::new() };
        let kinds = [timeout, TransportErrorKind::TooLarge(1), unavailable].map(|error| REMOTE_ERRORS[error.index()]);
        assert_eq!(kinds, ["timeout", "too_large", "unavailable"]);
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        assert_eq!(retry_after("3", now), Some(Duration::from_secs(3)));
        let date = httpdate::fmt_http_date(now + Duration::from_secs(7));
        assert_eq!(retry_after(&date, now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&httpdate::fmt_http_date(SystemTime::UNIX_EPOCH), now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn a_busy_engine_is_asked_again_and_is_well() {
        let status = |status| TransportErrorKind::Status { status, message: String::new(), retry_after: None };
        for busy in [429, 529] {
            assert!(status(busy).is_retryable() && !status(busy).is_failure_of_engine());
        }
        for ill in [500, 502, 503, 504] {
            assert!(status(ill).is_retryable() && status(ill).is_failure_of_engine());
        }
        for wrong in [400, 401, 404, 422] {
            assert!(!status(wrong).is_retryable() && !status(wrong).is_failure_of_engine());
        }
    }
}
