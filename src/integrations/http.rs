//! The client that all reporters share, and what a failed transfer means for a report.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{
    RequestBuilder, Response, Url,
    header::{self, HeaderMap, HeaderValue},
    redirect, retry,
};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::reporter::Unconnectable;
use crate::domain::{channel::Secret, report::ReportOutcome};

/// For one report with all its calls, five at most. Receivers are given 15 to 30 s by custom; the lease of a
/// report is longer.
const DEADLINE: Duration = Duration::from_secs(30);
/// A receiver that is not reached in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Reports are rare: a connection that waits for the next one would only be found closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// A page of 250 amoCRM notes, each as long as ours may be, with room; no more is kept of any answer.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A receiver that names no figure is left alone for this long when it is asked too much.
const THROTTLED_UNNAMED: Duration = Duration::from_mins(1);
const THROTTLED_MIN: Duration = Duration::from_secs(1);
/// Nobody's figure holds reports back for longer.
const THROTTLED_MAX: Duration = Duration::from_hours(24);

/// A lead that was added without our hearing of it is found only after the CRM's own limit for a call
/// (60 s at Bitrix24) and its search index have caught up; before that a second one would be added.
pub(super) const DOUBT_WAIT: Duration = Duration::from_mins(2);

/// The client of all reporters.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    deadline: Duration,
}

#[derive(Debug, thiserror::Error)]
#[error("no HTTPS client can be made; are the system's CA certificates installed?")]
pub struct HttpUnavailable(#[source] reqwest::Error);

impl Http {
    pub fn new() -> Result<Self, HttpUnavailable> {
        Self::with_deadline(DEADLINE)
    }

    /// With another deadline than the usual one.
    pub fn with_deadline(deadline: Duration) -> Result<Self, HttpUnavailable> {
        // An error means that another part of the program installed it before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(deadline))
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            // A report goes where the manifest says, and nowhere else.
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("nuncio/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(HttpUnavailable)?;
        Ok(Self { client, deadline })
    }

    /// Begins the calls of one report.
    pub(super) fn errand(&self, receiver: &'static str, now: DateTime<Utc>) -> Errand<'_> {
        Errand { http: self, receiver, until: Instant::now() + self.deadline, now }
    }
}

/// The calls of one report, below one deadline.
pub(super) struct Errand<'a> {
    http: &'a Http,
    receiver: &'static str,
    until: Instant,
    now: DateTime<Utc>,
}

/// An answer, whatever its status. A body that is no JSON is `Null`.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Value,
}

/// Why there is no answer.
enum Failure {
    /// No connection came about, so no byte of the request has left.
    NotSent(&'static str),
    InDoubt(&'static str),
}

impl Errand<'_> {
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.now
    }

    pub(super) fn get(&self, url: Url) -> RequestBuilder {
        self.http.client.get(url)
    }

    pub(super) fn post(&self, url: Url) -> RequestBuilder {
        self.http.client.post(url)
    }

    /// Sends one request and reads its whole answer, once.
    pub(super) async fn ask(&self, request: RequestBuilder) -> Result<Answer, ReportOutcome> {
        let asked = async {
            let response = request.send().await.map_err(|error| failure_of(&error))?;
            let (status, retry_after) = self.head_of(&response);
            let body = read_bounded(response).await?;
            Ok(Answer {
                status,
                retry_after,
                body: serde_json::from_slice(&body).unwrap_or_default(),
            })
        };
        self.in_time(asked).await
    }

    /// Sends one request to a receiver of whose answer only the status counts.
    pub(super) async fn tell(&self, request: RequestBuilder) -> Result<Answer, ReportOutcome> {
        let told = async {
            let response = request.send().await.map_err(|error| failure_of(&error))?;
            let (status, retry_after) = self.head_of(&response);
            Ok(Answer { status, retry_after, body: Value::Null })
        };
        self.in_time(told).await
    }

    async fn in_time(
        &self,
        call: impl Future<Output = Result<Answer, Failure>>,
    ) -> Result<Answer, ReportOutcome> {
        let late = Err(Failure::InDoubt("no whole answer came in time"));
        timeout_at(self.until, call).await.unwrap_or(late).map_err(|failure| match failure {
            Failure::NotSent(words) => self.retry(words),
            Failure::InDoubt(words) => self.doubt(words),
        })
    }

    fn head_of(&self, response: &Response) -> (u16, Option<Duration>) {
        (response.status().as_u16(), retry_after(response.headers(), self.now))
    }

    /// Tried again as the schedule says.
    pub(super) fn retry(&self, words: &str) -> ReportOutcome {
        ReportOutcome::Retry { after: None, reason: format!("{}: {words}", self.receiver) }
    }

    /// Tried again when what may have arrived can be found.
    pub(super) fn doubt(&self, words: &str) -> ReportOutcome {
        let reason = format!("{}: {words}", self.receiver);
        ReportOutcome::Retry { after: Some(DOUBT_WAIT), reason }
    }

    pub(super) fn refused(&self, words: &str) -> ReportOutcome {
        ReportOutcome::Refused { reason: format!("{}: {words}", self.receiver) }
    }

    /// The receiver wants to be left alone, for as long as it says.
    pub(super) fn throttled(&self, after: Option<Duration>, words: &str) -> ReportOutcome {
        let after = after.unwrap_or(THROTTLED_UNNAMED).clamp(THROTTLED_MIN, THROTTLED_MAX);
        ReportOutcome::Throttled { after, reason: format!("{}: {words}", self.receiver) }
    }

    /// Of an answer of which nothing but its status can be read.
    pub(super) fn by_status(&self, answer: &Answer) -> ReportOutcome {
        let Answer { status, retry_after, .. } = *answer;
        let with = |words: &str| format!("HTTP {status}: {words}");
        match status {
            200..300 => self.doubt("it answered, but not in its own form"),
            429 => self.throttled(retry_after, &with("it is asked too much")),
            // Nobody names a time without meaning it.
            500.. if retry_after.is_some() => {
                self.throttled(retry_after, &with("it is not available"))
            }
            300..400 => self.retry(&with("it redirects elsewhere, which is not followed")),
            401 | 403 => self.retry(&with("the credential is refused")),
            404 | 405 => self.retry(&with("nothing takes reports at this address")),
            400..500 => self.retry(&with("it does not take the report")),
            _ => self.doubt(&with("it failed")),
        }
    }
}

/// After a lead was added, whatever fails next is tried again only when the lead can be found.
pub(super) fn once_findable(outcome: ReportOutcome) -> ReportOutcome {
    match outcome {
        ReportOutcome::Retry { after, reason } => {
            ReportOutcome::Retry { after: Some(after.unwrap_or_default().max(DOUBT_WAIT)), reason }
        }
        ReportOutcome::Throttled { after, reason } => {
            ReportOutcome::Throttled { after: after.max(DOUBT_WAIT), reason }
        }
        other => other,
    }
}

fn failure_of(error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        return Failure::NotSent("the request could not be made");
    }
    if error.is_connect() {
        return Failure::NotSent("it cannot be reached");
    }
    Failure::InDoubt("the connection broke before an answer came")
}

async fn read_bounded(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= BODY_BYTES_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => return Err(Failure::InDoubt("the answer is too long to be one")),
            Ok(None) => return Ok(body),
            Err(_) => return Err(Failure::InDoubt("the answer broke off")),
        }
    }
}

/// Seconds, or a date by the receiver's clock: that is off by little, and the figure is bounded.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?;
    (until.to_utc() - now).to_std().ok()
}

/// The address of a receiver: a secret, so that no error shows it.
pub(super) fn address(secret: &Secret) -> Result<Url, Unconnectable> {
    let url = Url::parse(secret.reveal().trim()).map_err(|_| Unconnectable::BadUrl("no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(Unconnectable::BadUrl("neither `http://…` nor `https://…`"));
    }
    if url.fragment().is_some() {
        return Err(Unconnectable::BadUrl("a URL with a fragment"));
    }
    Ok(url)
}

/// A call's URL below an address. Segments are escaped, so that none leads elsewhere.
pub(super) fn below(address: &Url, segments: &[&str]) -> Url {
    let mut url = address.clone();
    url.path_segments_mut()
        .expect("`address` lets only http and https pass, which have a path")
        .pop_if_empty()
        .extend(segments);
    url
}

/// A token as it stands in an address or a header.
pub(super) fn token<'a>(
    secret: Option<&'a Secret>,
    name: &'static str,
) -> Result<&'a str, Unconnectable> {
    let value = secret.ok_or(Unconnectable::MissingCredential(name))?.reveal().trim();
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Unconnectable::UnusableCredential(name));
    }
    Ok(value)
}

/// The header of a token, marked so that no library shows it.
pub(super) fn bearer(token: &str) -> Result<HeaderValue, Unconnectable> {
    let mut header = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Unconnectable::UnusableCredential("token"))?;
    header.set_sensitive(true);
    Ok(header)
}
