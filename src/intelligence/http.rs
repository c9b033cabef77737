//! The client of all AIs: deadlines, bounds, and what a failed transfer means.

use std::time::Duration;

use reqwest::{
    RequestBuilder, Response,
    header::{self, HeaderMap},
    redirect, retry,
};
use tokio::time::timeout;

use super::failure::AiFailure;

/// For one completion. A model that reasons takes up to a minute or two, and nobody waits for an
/// answer in a chat for longer.
const DEADLINE: Duration = Duration::from_mins(2);

/// Long enough for a slow handshake across the world; that nothing was used is certain.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Servers on Node close an idle connection after 5 s, and a request that meets the closing may be
/// billed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// A message of a chat is a few KiB, the reasoning that some servers show some hundred.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// No server's figure keeps a dialogue waiting for longer: daily quotas are new by then.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// A figure of zero would be a busy loop.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// Holds the pool of connections and the deadlines.
#[derive(Clone, Debug)]
pub struct AiHttp {
    client: reqwest::Client,
    deadline: Duration,
}

#[derive(Debug, thiserror::Error)]
#[error("no HTTPS client can be made; are the system's CA certificates installed?")]
pub struct AiHttpUnavailable(#[source] reqwest::Error);

/// A whole answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// A page for people, by its header.
    pub(super) web_page: bool,
    pub(super) body: Vec<u8>,
}

impl AiHttp {
    pub fn new() -> Result<Self, AiHttpUnavailable> {
        Self::with_deadline(DEADLINE)
    }

    /// With another deadline than the usual one.
    pub fn with_deadline(deadline: Duration) -> Result<Self, AiHttpUnavailable> {
        // An error means that another part of the program installed it before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(deadline / 2))
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .http1_only()
            // A redirect would carry the dialogue, and perhaps the key, elsewhere.
            .redirect(redirect::Policy::none())
            // A repeat may be billed twice: whoever keeps the accounts decides on it.
            .retry(retry::never())
            // Where dialogues go is said by the manifest, not by the environment.
            .no_proxy()
            .referer(false)
            .user_agent(concat!("nuncio/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(AiHttpUnavailable)?;
        Ok(Self { client, deadline })
    }

    pub(super) fn post(&self, url: reqwest::Url) -> RequestBuilder {
        self.client.post(url)
    }

    /// Sends one request and reads its whole answer, once.
    pub(super) async fn exchange(&self, request: RequestBuilder) -> Result<Answer, AiFailure> {
        timeout(self.deadline, async {
            let response = request.send().await.map_err(|error| failure_of(&error))?;
            let status = response.status().as_u16();
            let retry_after = retry_after(response.headers());
            let kind = response.headers().get(header::CONTENT_TYPE);
            let web_page = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
            let body = read_bounded(response).await?;
            Ok(Answer { status, retry_after, web_page, body })
        })
        .await
        .unwrap_or_else(|_| {
            Err(AiFailure::unanswered("no whole answer came from the AI's server in time"))
        })
    }
}

/// Only a connection that never came about proves that nothing was used.
fn failure_of(error: &reqwest::Error) -> AiFailure {
    match () {
        () if error.is_builder() => AiFailure::OurMistake {
            reason: "the request to the AI's server could not be made".to_owned(),
        },
        () if error.is_connect() => AiFailure::unavailable("the AI's server could not be reached"),
        () => AiFailure::unanswered(
            "the connection to the AI's server broke before a whole answer came",
        ),
    }
}

async fn read_bounded(mut response: Response) -> Result<Vec<u8>, AiFailure> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= BODY_BYTES_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                return Err(AiFailure::unanswered("the answer of the AI's server is too long"));
            }
            Ok(None) => return Ok(body),
            Err(_) => {
                return Err(AiFailure::unanswered("the answer of the AI's server broke off"));
            }
        }
    }
}

/// The date form of the header is not read: it would need a clock that agrees with the server's.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let milliseconds = number("retry-after-ms").map(|number| number / 1_000.0);
    let seconds = milliseconds.or_else(|| number("retry-after"))?;
    let longest = RETRY_AFTER_MAX.as_secs_f64();
    // What is no number becomes the least.
    let bounded = seconds.max(RETRY_AFTER_MIN.as_secs_f64()).min(longest);
    Some(Duration::from_secs_f64(bounded))
}
