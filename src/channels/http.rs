//! The client that all drivers share, and the one place that says what a failed transfer means.

use std::time::Duration;

use reqwest::{
    RequestBuilder, Response,
    header::{self, HeaderValue},
    redirect, retry,
};
use tokio::time::{Instant, timeout_at};

use crate::domain::attempt::{Outcome, OutcomeClass};

/// For one opening with all its calls. Providers answer within a second or two; an executor that
/// shuts down waits for no longer than this.
const DEADLINE: Duration = Duration::from_secs(10);

/// For "read" and "typing": an answer to a person must not wait for them.
const SIGN_DEADLINE: Duration = Duration::from_secs(2);

/// A provider that is not reached in this time is down, and to say so is certain: nothing was sent.
/// It has to be well below [`DEADLINE`], which leaves the outcome in doubt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Gateways on Node close an idle connection after 5 s. A request that meets the closing is in
/// doubt, so idle connections are given up earlier.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Enough to save the handshakes of the busiest second; the rest is closed at once.
const POOL_IDLE_PER_HOST_MAX: usize = 32;

/// The longest answer to a send is about 2 KiB; no more than this is kept of any.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// The client of all drivers: it holds the pool of connections and the deadlines.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    deadline: Duration,
}

/// The machine's trusted certificates could not be loaded, most often because there are none.
#[derive(Debug, thiserror::Error)]
#[error("no HTTPS client can be made; are the system's CA certificates installed?")]
pub struct HttpUnavailable(#[source] reqwest::Error);

/// A whole answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// Why there is no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection came about, so no byte of the request has left.
    NotSent(&'static str),
    /// The provider may have the request.
    InDoubt(&'static str),
}

impl Http {
    pub fn new() -> Result<Self, HttpUnavailable> {
        Self::with_deadline(DEADLINE)
    }

    /// With another deadline than the usual one.
    pub fn with_deadline(deadline: Duration) -> Result<Self, HttpUnavailable> {
        // An error means that another part of the program installed it before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(deadline / 2))
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_IDLE_PER_HOST_MAX)
            // One request a connection at a time: a connection that breaks leaves one in doubt.
            .http1_only()
            // A redirect would carry the message, and perhaps the credential, elsewhere.
            .redirect(redirect::Policy::none())
            // The executor decides on repeats. What remains is below HTTP: a request that hyper has
            // not begun to write when a kept connection closes is given to the next connection.
            .retry(retry::never())
            // Where messages go is said by the manifest, not by the environment.
            .no_proxy()
            .referer(false)
            .user_agent(concat!("nuncio/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(HttpUnavailable)?;
        Ok(Self { client, deadline })
    }

    pub(super) fn get(&self, url: reqwest::Url) -> RequestBuilder {
        self.client.get(url)
    }

    pub(super) fn post(&self, url: reqwest::Url) -> RequestBuilder {
        self.client.post(url)
    }

    /// When the calls of an opening that begins now have to be over.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// When a sign that nobody waits for has to be over.
    pub(super) fn sign_deadline(&self) -> Instant {
        Instant::now() + self.deadline.min(SIGN_DEADLINE)
    }

    /// When a question has to be over that the provider may think about for so long.
    pub(super) fn deadline_after(&self, wait: Duration) -> Instant {
        self.deadline() + wait
    }
}

/// Sends one request and reads its whole answer, once.
pub(super) async fn exchange(request: RequestBuilder, until: Instant) -> Result<Answer, Failure> {
    exchange_up_to(BODY_BYTES_MAX, request, until).await
}

/// As [`exchange`], for answers that may be longer than that to a send.
pub(super) async fn exchange_up_to(
    bytes_max: usize,
    request: RequestBuilder,
    until: Instant,
) -> Result<Answer, Failure> {
    timeout_at(until, async {
        let response = request.send().await.map_err(|error| failure_of(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(seconds);
        let body = read_bounded(response, bytes_max).await?;
        Ok(Answer { status, retry_after, body })
    })
    .await
    .unwrap_or(Err(Failure::InDoubt("no whole answer came in time")))
}

/// Only a connection that never came about proves that nothing was sent. Everything else may have
/// happened after the last byte of the request, even where the library says "request".
fn failure_of(error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        return Failure::NotSent("the request could not be made");
    }
    if error.is_connect() {
        return Failure::NotSent(if error.is_timeout() {
            "the provider could not be reached in time"
        } else {
            "the provider could not be reached"
        });
    }
    Failure::InDoubt("the connection broke before a whole answer came")
}

async fn read_bounded(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= bytes_max => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => return Err(Failure::InDoubt("the answer is too long to be one")),
            Ok(None) => return Ok(body),
            Err(_) => return Err(Failure::InDoubt("the answer broke off")),
        }
    }
}

/// The date form of the header is not read: it would need a clock that agrees with the provider's.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Failure {
    pub(super) fn outcome(self, provider: &str) -> Outcome {
        let (class, words) = match self {
            Self::NotSent(words) => (OutcomeClass::NotSent, words),
            Self::InDoubt(words) => (OutcomeClass::InDoubt, words),
        };
        Outcome::of(class, format!("{provider}: {words}"))
    }
}
