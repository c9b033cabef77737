//! A refusal, as RFC 9457 writes it: the one form of every error of the server.

use std::{fmt, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tracing::warn;

use crate::store::StoreError;

/// Shown to strangers: it says nothing of the inside.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    /// For programs; stable.
    code: &'static str,
    detail: String,
    retry_after: Option<Duration>,
    /// For a stranger whose browser may keep no cookie.
    pass: Option<String>,
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.detail)
    }
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None, pass: None }
    }

    pub(super) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    pub(super) fn with_pass(self, pass: String) -> Self {
        Self { pass: Some(pass), ..self }
    }

    pub(super) fn foreign_origin(detail: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "foreign-origin", detail)
    }

    pub(super) fn unknown_channel() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown-channel", "there is no such channel here")
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// The name under which a message is sent once, with another message.
    pub(super) fn key_reused(name: &str) -> Self {
        let detail = format!("this `{name}` came with another message before");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", detail)
    }

    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", detail)
    }

    pub(super) fn too_many(wait: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", "too many requests; slower, please")
            .retry_after(wait)
    }

    /// No task would answer: nothing was kept.
    pub(super) fn nobody_here() -> Self {
        let detail = "nobody is here at the moment; the message was not taken";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "nobody-here", detail)
            .retry_after(Duration::from_secs(60))
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> &'static str {
        self.code
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        warn!("a request was not served: {:#}", anyhow::Error::from(error));
        let detail = "the database does not answer; try again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "away", detail)
            .retry_after(Duration::from_secs(5))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, code, detail, retry_after, pass } = self;
        let mut body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
        });
        if let Some(pass) = pass {
            body["pass"] = pass.into();
        }
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
            // Its body was not read: whoever sent the next request over it would hear nothing.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
