//! The client that all drivers share, and the one place that says what a failed transfer means.

use std::{collections::BTreeMap, future::poll_fn, pin::pin, task::Poll, time::Duration};

use reqwest::{
    RequestBuilder, Response,
    header::{self, HeaderMap, HeaderValue},
    redirect, retry,
};
use tokio::time::{Instant, timeout_at};

use crate::domain::attempt::{CALL_MAX, Outcome, OutcomeClass};

/// For one opening with all its calls. Providers answer within a second or two; an executor that
/// shuts down waits for no longer than this.
const DEADLINE: Duration = Duration::from_secs(10);

/// For "read" and "typing": an answer to a person must not wait for them.
const SIGN_DEADLINE: Duration = Duration::from_secs(2);

const _: () = assert!(
    DEADLINE.as_secs() + SIGN_DEADLINE.as_secs() <= CALL_MAX.as_secs(),
    "who takes a lane over waits for no longer than that"
);

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

/// Where Meta tells how much of each limit is used up.
const META_USAGE: &str = "x-business-use-case-usage";

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

    /// What lies between two questions to a provider that tells nothing by itself.
    pub(super) fn pause(&self, usual: Duration) -> Duration {
        usual.min(self.deadline)
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
    before(until, async {
        let response = request.send().await.map_err(|error| failure_of(&error))?;
        let status = response.status().as_u16();
        let retry_after = named_wait(response.headers());
        let body = read_bounded(response, bytes_max).await?;
        Ok(Answer { status, retry_after, body })
    })
    .await
}

/// As [`timeout_at`], which lets a future go one step further before it looks at the time: a process that was
/// frozen while it connected would still write its request when it wakes.
async fn before<T>(
    until: Instant,
    exchange: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut exchange = pin!(exchange);
    let late = || Err(Failure::InDoubt("no whole answer came in time"));
    let in_time = poll_fn(|context| {
        if Instant::now() >= until { Poll::Ready(late()) } else { exchange.as_mut().poll(context) }
    });
    timeout_at(until, in_time).await.unwrap_or_else(|_| late())
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

/// The wait that the provider names, in the usual header or in that of Meta.
fn named_wait(headers: &HeaderMap) -> Option<Duration> {
    let usual = headers.get(header::RETRY_AFTER).and_then(seconds);
    usual.or_else(|| headers.get(META_USAGE).and_then(metas_estimate))
}

/// `{ID: [{…, "estimated_time_to_regain_access": MINUTES}, …], …}`, of every limit that counts calls. The longest
/// of them; 0 stands where nothing is used up.
fn metas_estimate(value: &HeaderValue) -> Option<Duration> {
    let usage: BTreeMap<String, Vec<serde_json::Value>> =
        serde_json::from_slice(value.as_bytes()).ok()?;
    let minutes = usage.values().flatten().filter_map(|limit| {
        limit.get("estimated_time_to_regain_access")?.as_u64().filter(|minutes| *minutes > 0)
    });
    minutes.max().map(|minutes| Duration::from_secs(minutes.saturating_mul(60)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_exchange_goes_no_step_further_once_its_time_is_over() {
        let until = Instant::now() + Duration::from_millis(20);
        let mut steps = 0;
        let exchange = poll_fn(|context| {
            steps += 1;
            // As a process that is frozen, and has something to go on with when it wakes.
            std::thread::sleep(Duration::from_millis(30));
            context.waker().wake_by_ref();
            if steps == 1 { Poll::Pending } else { Poll::Ready(Ok(())) }
        });
        assert!(matches!(before(until, exchange).await, Err(Failure::InDoubt(_))));
        // None, where this thread was not let go on before its time was over.
        assert!(steps <= 1, "{steps}");
    }

    #[test]
    fn the_wait_is_read_from_whichever_header_names_it() {
        let meta = |text: &'static str| (META_USAGE, text);
        for (header, seconds) in [
            (("retry-after", "7"), Some(7)),
            (("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), None),
            (meta(r#"{"1":[{"type":"messenger","estimated_time_to_regain_access":0}]}"#), None),
            (
                meta(
                    r#"{"1":[{"estimated_time_to_regain_access":3}],"2":[{"call_count":9},{"estimated_time_to_regain_access":5}]}"#,
                ),
                Some(300),
            ),
            (
                meta(r#"{"1":[{"estimated_time_to_regain_access":18446744073709551615}]}"#),
                Some(u64::MAX),
            ),
            (meta("5"), None),
            (meta("{"), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header.0, HeaderValue::from_static(header.1));
            assert_eq!(named_wait(&headers).map(|wait| wait.as_secs()), seconds, "{header:?}");
        }
    }
}
