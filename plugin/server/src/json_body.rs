//! Extracts JSON request bodies, for the OpenAI API and the admin API.

use std::marker::PhantomData;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use serde::de::DeserializeOwned;

/// Why a request has no valid JSON body. Each API turns this into an error of its own format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The content type is not `application/json`.
    ContentType,
    /// The body exceeds the limit; the message is axum's.
    TooLarge(String),
    /// The client did not send the whole body; the message is axum's.
    Unreadable(String),
    /// The body is not JSON; the message is the parser's.
    Syntax(String),
    /// A value has the wrong type, or a field is missing or unknown.
    Field(FieldError),
}

impl BodyError {
    /// What to do about a wrong content type.
    pub const CONTENT_TYPE: &str = "send the header `Content-Type: application/json`";
}

/// A value of a body that has the wrong type, or a field that is missing or unknown.
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

/// A JSON body of at most the size that the router's `DefaultBodyLimit` allows. `E` is the API's error.
pub(crate) struct JsonBody<T, E>(pub T, pub PhantomData<E>);

impl<T, E, S> FromRequest<S> for JsonBody<T, E>
where
    T: DeserializeOwned,
    E: From<BodyError> + IntoResponse,
    S: Send + Sync,
{
    type Rejection = E;

    async fn from_request(request: Request, state: &S) -> Result<Self, E> {
        Ok(Self(read_body(request, state).await?, PhantomData))
    }
}

async fn read_body<T: DeserializeOwned, S: Send + Sync>(request: Request, state: &S) -> Result<T, BodyError> {
    if !is_json(request.headers()) {
        return Err(BodyError::ContentType);
    }
    let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => BodyError::TooLarge(rejection.body_text()),
        _ => BodyError::Unreadable(rejection.body_text()),
    })?;
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        if error.inner().is_data() { BodyError::Field(error.into()) } else { syntax(error.inner()) }
    })?;
    reader.end().map_err(|error| syntax(&error))?;
    Ok(value)
}

fn syntax(error: &serde_json::Error) -> BodyError {
    BodyError::Syntax(format!("the body is not valid JSON: {error}"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next());
    media_type.is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, extract::DefaultBodyLimit, http::request::Builder};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Sample {
        numbers: Vec<u8>,
    }

    async fn read(request: Builder, body: &str) -> Result<Sample, BodyError> {
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        DefaultBodyLimit::apply(DefaultBodyLimit::max(32), &mut request);
        read_body(request, &()).await
    }

    #[tokio::test]
    async fn a_body_is_read_or_its_fault_is_named() {
        let json = || Request::builder().header(CONTENT_TYPE, "Application/JSON; charset=utf-8");
        assert_eq!(read(json(), r#"{"numbers": [1, 2]}"#).await, Ok(Sample { numbers: vec![1, 2] }));
        assert_eq!(read(Request::builder(), "{}").await, Err(BodyError::ContentType));
        let plain = Request::builder().header(CONTENT_TYPE, "text/plain");
        assert_eq!(read(plain, "{}").await, Err(BodyError::ContentType));
        assert!(matches!(read(json(), &" ".repeat(33)).await, Err(BodyError::TooLarge(_))));
        for wrong in ["", "{", r#"{"numbers": []} []"#, r#"{"numbers": [NaN]}"#] {
            let error = read(json(), wrong).await.unwrap_err();
            assert!(matches!(&error, BodyError::Syntax(message) if message.contains("line 1")), "{wrong}: {error:?}");
        }
        let Err(BodyError::Field(error)) = read(json(), r#"{"numbers": [1, "x"]}"#).await else { panic!() };
        assert_eq!(error.path, "numbers[1]");
        assert!(error.message.starts_with("numbers[1]: invalid type: string \"x\", expected u8"), "{}", error.message);
    }
}
