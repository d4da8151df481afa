//! Why a request to an engine failed.

use std::time::Duration;

use serde_json::Value;

/// Characters of an engine's message that are shown.
const SHOWN: usize = 300;

/// What was waited for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeoutPhase {
    /// The first event of a stream.
    FirstEvent,
    /// The next event of a stream.
    NextEvent,
    /// A whole reply.
    Reply,
}

impl std::fmt::Display for TimeoutPhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::FirstEvent => "first token (timeouts.first_token_ms)",
            Self::NextEvent => "next token (timeouts.between_tokens_ms)",
            Self::Reply => "reply (timeouts.reply_ms)",
        })
    }
}

/// Why a request to an engine failed. The texts name no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The settings make no client.
    #[error("the connection cannot be set up: {0}")]
    Setup(String),
    /// No connection.
    #[error("no connection: {0}. Is the engine running there?")]
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

impl TransportError {
    /// The index of its kind in [`REMOTE_ERRORS`](rsd_protocol::metrics::REMOTE_ERRORS).
    pub(super) fn kind(&self) -> usize {
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
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout { .. } | Self::Reset(_) => true,
            Self::Status { status, .. } => is_passing(*status),
            // An engine whose core died reports it so.
            Self::Event { status, .. } => status.is_none_or(is_passing),
            Self::Setup(_) | Self::Malformed(_) | Self::TooLarge(_) | Self::Unavailable { .. } => false,
        }
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

    /// The error behind a failed exchange.
    pub(super) fn of_exchange(error: &reqwest::Error) -> Self {
        let text = with_causes(error);
        if error.is_connect() {
            Self::Connect(text)
        } else if error.is_decode() {
            Self::Malformed(text)
        } else {
            Self::Reset(text)
        }
    }
}

fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504 | 529)
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
    fn every_kind_has_its_name_in_the_metrics() {
        let timeout = TransportError::Timeout { phase: TimeoutPhase::Reply, after: Duration::ZERO };
        let unavailable = TransportError::Unavailable { after: Duration::ZERO, last: String::new() };
        let kinds = [timeout, TransportError::TooLarge(1), unavailable].map(|error| REMOTE_ERRORS[error.kind()]);
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
        let status = |status| TransportError::Status { status, message: String::new(), retry_after: None };
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
