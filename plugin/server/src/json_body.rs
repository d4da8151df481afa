//! Receives and parses JSON request bodies, for the OpenAI API and the admin API.
//!
//! A body is received within the time and the memory of the listener's [`BodyRules`]. A long one is parsed outside the
//! threads that serve connections, so that it holds up nobody else.

use std::{error::Error, marker::PhantomData, sync::Arc};

use axum::{
    RequestExt,
    extract::{FromRequest, Request},
    http::{
        HeaderMap,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
    response::IntoResponse,
};
use futures::StreamExt;
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::{
    body_rules::{BodyMemory, BodyRules},
    unique_keys::UniqueKeys,
};

/// Bodies up to this length are parsed at once, which takes less than handing them to another thread.
const SHORT: usize = 16 << 10;

/// Why a request has no valid JSON body. Each API turns this into an error of its own format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The content type is not `application/json`.
    ContentType,
    /// The body is compressed or otherwise encoded; the message names the encoding.
    Encoded(String),
    /// The body exceeds the limit.
    TooLarge,
    /// The client did not send the whole body; the message says why.
    Unreadable(String),
    /// The body did not arrive in time.
    TimedOut,
    /// The bodies in memory leave no room for this one.
    NoMemory,
    /// The server shuts down.
    ShuttingDown,
    /// The body is not JSON; the message is the parser's.
    Syntax(String),
    /// A value has the wrong type, or a field is missing, unknown or given twice.
    Field(FieldError),
}

impl BodyError {
    /// What to do about a wrong content type.
    pub const CONTENT_TYPE: &str = "send the header `Content-Type: application/json`";
    pub const TIMED_OUT: &str = "the body did not arrive in time (server.limits.body_seconds, body_idle_seconds)";
    pub const NO_MEMORY: &str = "the server receives too many long bodies (server.limits.body_memory); try again soon";
}

/// A value of a body that has the wrong type, or a field that is missing, unknown or given twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// Where in the body, such as `messages[0].role`; `.` is the body itself.
    pub path: String,
    /// What was expected and found, with the path.
    pub message: String,
}

impl From<serde_path_to_error::Error<serde_json::Error>> for FieldError {
    fn from(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = error.path().to_string();
        Self { message: format!("{path}: {}", error.inner()), path }
    }
}

/// A body that was received and not yet parsed. `E` is the API's error.
pub(crate) struct RawBody<E> {
    bytes: Vec<u8>,
    memory: BodyMemory,
    rules: Arc<BodyRules>,
    error: PhantomData<fn() -> E>,
}

impl<E, S> FromRequest<S> for RawBody<E>
where
    E: From<BodyError> + IntoResponse,
    S: Send + Sync,
{
    type Rejection = E;

    async fn from_request(request: Request, _: &S) -> Result<Self, E> {
        Ok(Self::receive(request).await?)
    }
}

impl<E: From<BodyError>> RawBody<E> {
    async fn receive(request: Request) -> Result<Self, BodyError> {
        if !is_json(request.headers()) {
            return Err(BodyError::ContentType);
        }
        check_encoding(request.headers())?;
        let rules = request.extensions().get::<Arc<BodyRules>>().cloned().unwrap_or_default();
        let mut body = Self { bytes: Vec::new(), memory: BodyMemory::default(), rules, error: PhantomData };
        let mut stream = request.into_limited_body().into_data_stream();
        let deadline = Instant::now() + body.rules.whole;
        loop {
            let next = timeout_at(deadline.min(Instant::now() + body.rules.idle), stream.next());
            let piece = tokio::select! {
                biased;
                piece = next => piece.map_err(|_| BodyError::TimedOut)?,
                () = body.rules.refused.cancelled() => return Err(BodyError::ShuttingDown),
            };
            let Some(piece) = piece else { return Ok(body) };
            let piece = piece.map_err(|error| receive_error(&error))?;
            body.append(&piece)?;
        }
    }

    /// Appends received bytes. What is allocated counts, not only what is used.
    fn append(&mut self, piece: &[u8]) -> Result<(), BodyError> {
        let length = self.bytes.len() + piece.len();
        if length > self.bytes.capacity() {
            let capacity = length.max(self.bytes.capacity() * 2);
            if !self.memory.grow(&self.rules, capacity) {
                return Err(BodyError::NoMemory);
            }
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Parses the body and then works on it with `then`, outside the threads that serve connections if it is long.
    pub async fn parse<T, R>(self, then: impl FnOnce(T) -> Result<R, E> + Send + 'static) -> Result<R, E>
    where
        T: DeserializeOwned,
        R: Send + 'static,
        E: Send + 'static,
    {
        if self.bytes.len() <= SHORT {
            return then(parse_json(&self.bytes)?);
        }
        let interrupted = || BodyError::Unreadable("the server could not parse the body".to_owned());
        let permit = self.rules.parsers.clone().acquire_owned().await.map_err(|_| interrupted())?;
        let parsed = tokio::task::spawn_blocking(move || {
            let parsed = then(parse_json(&self.bytes)?);
            drop((permit, self.memory));
            parsed
        });
        parsed.await.map_err(|_| interrupted())?
    }
}

/// A JSON body of at most the size that the router's `DefaultBodyLimit` allows. `E` is the API's error.
pub(crate) struct JsonBody<T, E>(pub T, pub PhantomData<E>);

impl<T, E, S> FromRequest<S> for JsonBody<T, E>
where
    T: DeserializeOwned + Send + 'static,
    E: From<BodyError> + IntoResponse + Send + 'static,
    S: Send + Sync,
{
    type Rejection = E;

    async fn from_request(request: Request, _: &S) -> Result<Self, E> {
        let body = RawBody::receive(request).await?;
        body.parse(|value| Ok(Self(value, PhantomData))).await
    }
}

fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    read_json::<UniqueKeys>(bytes)?;
    read_json(bytes)
}

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        if error.inner().is_data() { BodyError::Field(error.into()) } else { syntax(error.inner()) }
    })?;
    reader.end().map_err(|error| syntax(&error))?;
    Ok(value)
}

fn receive_error(error: &axum::Error) -> BodyError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(each) = cause {
        if each.is::<LengthLimitError>() {
            return BodyError::TooLarge;
        }
        cause = each.source();
    }
    BodyError::Unreadable(format!("the body could not be received: {error}"))
}

fn syntax(error: &serde_json::Error) -> BodyError {
    BodyError::Syntax(format!("the body is not valid JSON: {error}"))
}

/// A compressed body would have to be bounded twice, as sent and as it is. Clients that compress can be told not to.
fn check_encoding(headers: &HeaderMap) -> Result<(), BodyError> {
    for encoding in headers.get_all(CONTENT_ENCODING) {
        if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
            let encoding = String::from_utf8_lossy(encoding.as_bytes());
            let message = format!("Content-Encoding: `{encoding}` is not supported; send the body uncompressed");
            return Err(BodyError::Encoded(message));
        }
    }
    Ok(())
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next());
    media_type.is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{
        body::{Body, Bytes},
        extract::DefaultBodyLimit,
        http::request::Builder,
    };
    use futures::stream;
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Sample {
        numbers: Vec<u8>,
    }

    async fn parse<T: DeserializeOwned + Send + 'static>(request: Request) -> Result<T, BodyError> {
        RawBody::<BodyError>::receive(request).await?.parse(Ok).await
    }

    fn json() -> Builder {
        Request::builder().header(CONTENT_TYPE, "Application/JSON; charset=utf-8")
    }

    async fn read(request: Builder, body: &str) -> Result<Sample, BodyError> {
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        DefaultBodyLimit::apply(DefaultBodyLimit::max(32), &mut request);
        parse(request).await
    }

    #[tokio::test]
    async fn a_body_is_read_or_its_fault_is_named() {
        assert_eq!(read(json(), r#"{"numbers": [1, 2]}"#).await, Ok(Sample { numbers: vec![1, 2] }));
        assert_eq!(read(Request::builder(), "{}").await, Err(BodyError::ContentType));
        let plain = Request::builder().header(CONTENT_TYPE, "text/plain");
        assert_eq!(read(plain, "{}").await, Err(BodyError::ContentType));
        assert_eq!(read(json(), &" ".repeat(33)).await, Err(BodyError::TooLarge));
        for wrong in ["", "{", r#"{"numbers": []} []"#, r#"{"numbers": [NaN]}"#] {
            let error = read(json(), wrong).await.unwrap_err();
            assert!(matches!(&error, BodyError::Syntax(message) if message.contains("line 1")), "{wrong}: {error:?}");
        }
        let Err(BodyError::Field(error)) = read(json(), r#"{"numbers": [1, "x"]}"#).await else { panic!() };
        assert_eq!(error.path, "numbers[1]");
        assert!(error.message.starts_with("numbers[1]: invalid type: string \"x\", expected u8"), "{}", error.message);
    }

    #[tokio::test]
    async fn a_key_that_is_given_twice_is_refused_at_any_depth() {
        for (body, path) in [
            (r#"{"a": 1, "a": 1}"#, "."),
            (r#"{"set": {"policy": {"delta": 0.1, "delta": 0.9}}}"#, "set.policy"),
            (r#"[{"b": [{}, {"c": null, "d": 1, "c": true}]}]"#, "[0].b[1]"),
        ] {
            let request = json().body(Body::from(body)).unwrap();
            let Err(BodyError::Field(error)) = parse::<Value>(request).await else { panic!("{body}") };
            assert!(error.path.starts_with(path) && error.message.contains("is given twice"), "{body}: {error:?}");
        }
        let request = json().body(Body::from(r#"{"a": {"a": [1.5, -2, "a"]}, "b": {"a": false}}"#)).unwrap();
        parse::<Value>(request).await.unwrap();
    }

    /// A request whose body arrives in pieces of `size` bytes, one after each `pause`.
    fn slow(pieces: usize, size: usize, pause: Duration, rules: BodyRules) -> Request {
        let pieces = stream::iter(0..pieces).then(move |index| async move {
            tokio::time::sleep(pause).await;
            let byte = if index == 0 { b'[' } else { b' ' };
            Ok::<_, std::io::Error>(Bytes::from([vec![byte], vec![b' '; size - 1]].concat()))
        });
        let mut request = json().extension(Arc::new(rules)).body(Body::from_stream(pieces)).unwrap();
        DefaultBodyLimit::apply(DefaultBodyLimit::disable(), &mut request);
        request
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_its_time_as_a_whole_and_from_byte_to_byte() {
        for (pause, seconds) in [(9, 60), (11, 10)] {
            let begin = Instant::now();
            let request = slow(1000, 1, Duration::from_secs(pause), BodyRules::default());
            assert_eq!(parse::<Value>(request).await, Err(BodyError::TimedOut));
            assert_eq!(begin.elapsed().as_secs(), seconds);
        }
        let request = slow(3, 1, Duration::from_secs(9), BodyRules::default());
        assert!(matches!(parse::<Value>(request).await, Err(BodyError::Syntax(_))));
        let rules = BodyRules::default();
        rules.refused.cancel();
        assert_eq!(parse::<Value>(slow(3, 1, Duration::from_secs(1), rules)).await, Err(BodyError::ShuttingDown));
        let request = slow(40, 1 << 20, Duration::from_millis(1), BodyRules::default());
        assert_eq!(parse::<Value>(request).await, Err(BodyError::NoMemory));
    }

    #[tokio::test]
    async fn a_compressed_body_is_refused_by_the_name_of_its_encoding() {
        for (encoding, refused) in [("gzip", true), ("gzip, br", true), ("\u{e9}", true), ("Identity", false)] {
            let request = json().header(CONTENT_ENCODING, encoding).body(Body::from("[]")).unwrap();
            match parse::<Value>(request).await {
                Err(BodyError::Encoded(message)) => assert!(refused && message.contains(encoding), "{message}"),
                other => assert!(!refused && other.is_ok(), "{encoding}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_long_body_is_parsed_away_from_the_threads_of_connections() {
        let here = std::thread::current().id();
        for (length, apart) in [(10, false), (100_000, true)] {
            let body = format!("[{}]", " ".repeat(length));
            let body = RawBody::<BodyError>::receive(json().body(Body::from(body)).unwrap()).await.unwrap();
            let parsed = body.parse(move |_: Value| Ok(std::thread::current().id() != here)).await;
            assert_eq!(parsed, Ok(apart));
        }
    }
}
