//! Which path leads where, and what holds for all of them.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{
    api, chat, hooks, limits::client_address, listen::Peer, page, problem::Problem, site::Site,
    surface::Surface, widget,
};

/// A message of the greatest length, each character written as an escape.
const BODY_BYTES_MAX: usize = 64 * 1024;

pub(super) fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .merge(chat::router(Surface::Page))
        .merge(chat::router(Surface::Embedded))
        .merge(widget::router())
        .route("/assets/{version}/{name}", get(page::asset))
        .merge(api::router())
        .merge(hooks::router())
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "not-found", "there is nothing here")
        })
        .layer(from_fn_with_state(Arc::clone(&site), guard))
        .with_state(site)
}

/// The limit of an address, and what browsers are told about every answer.
async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let allowed = match request.extensions().get::<Peer>() {
        // Who proves who they are has a limit of its own, or none.
        Some(Peer(peer))
            if !["/api/", "/hooks/"].iter().any(|own| request.uri().path().starts_with(own)) =>
        {
            site.limits.request(client_address(*peer, request.headers()))
        }
        _ => Ok(()),
    };
    let mut response = match allowed {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(problem) = unexplained(&response) {
        let allowed = response.headers_mut().remove(header::ALLOW);
        response = problem.into_response();
        response.headers_mut().extend(allowed.map(|allowed| (header::ALLOW, allowed)));
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // For browsers that know no `frame-ancestors`; it cannot name sites.
    let policy = headers.get(header::CONTENT_SECURITY_POLICY).map(HeaderValue::as_bytes);
    if policy.is_some_and(|policy| policy.ends_with(b"frame-ancestors 'none'")) {
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    response
}

/// What the framework refuses by itself, such as a query that is none, in the form of our own refusals.
fn unexplained(response: &Response) -> Option<Problem> {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_plain = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let status = response.status();
    (is_plain && status.is_client_error()).then(|| {
        let (code, detail) = match status {
            StatusCode::METHOD_NOT_ALLOWED => ("not-allowed", "that is not done here"),
            _ => ("bad-request", "the address is not what is expected here"),
        };
        Problem::new(status, code, detail)
    })
}

/// The body of a request as JSON: of limited length, and within a limited time.
pub(super) async fn read_json<T: DeserializeOwned>(
    site: &Site,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    let of_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = of_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let detail = "the body must be `application/json`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", detail));
    }
    let bytes = read_body(site, headers, body, BODY_BYTES_MAX).await?;
    // The parser's own words would repeat what was sent.
    serde_json::from_slice(&bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Problem::bad_request(format!("the body is not what is expected here ({place})"))
    })
}

/// A whole body, within a limited time. One that says itself that it is too long is not read at all.
pub(super) async fn read_body(
    site: &Site,
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is longer than {bytes_max} bytes, or broke off");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    };
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|n: usize| n > bytes_max) {
        return Err(too_large());
    }
    let read = timeout(site.bounds.body_deadline, to_bytes(body, bytes_max)).await;
    let read = read.map_err(|_| {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the body came too slowly")
    })?;
    read.map_err(|_| too_large())
}
