//! Notices of what changed: one JSON document each, posted to one address.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use reqwest::{StatusCode, Url, header, redirect};
use serde::Serialize;
use tokio::time::sleep;

use crate::domain::{condition::Condition, event::Event};

/// Readers refuse a major version that they do not know; a minor one only adds fields.
const FORMAT_VERSION: &str = "1.0";

/// For one try. Whoever is told need only write it down.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A receiver that restarts is back within seconds; others wait in the queue meanwhile.
const TRIES_MAX: u32 = 5;
const BACKOFF_FIRST: Duration = Duration::from_secs(1);

/// An event as it is told: JSON, on one line.
#[derive(Clone, Debug)]
pub struct Notice(String);

#[derive(Serialize)]
struct Body<'a> {
    format_version: &'static str,
    /// `applied`, `sync-changed`, `health-changed`, `channel-blocked`, `channel-unblocked`,
    /// `not-reconciled` or `reconciled-again`.
    event: &'static str,
    at: DateTime<Utc>,
    /// Who tells it: the host and the folder or repository that its `watch` follows.
    host: &'a str,
    source: &'a str,
    /// One line for a chat.
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'a str>,
    /// The last line of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Subject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<State<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<State<'a>>,
}

#[derive(Serialize)]
struct Subject<'a> {
    /// `task`, `channel` or `watch`.
    kind: &'static str,
    name: &'a str,
    /// `sync` or `health`.
    condition: &'static str,
}

#[derive(Serialize)]
struct State<'a> {
    status: &'static str,
    reason: &'a str,
    message: &'a str,
    place: Option<&'a str>,
}

impl<'a> State<'a> {
    fn of(condition: &'a Condition) -> Self {
        let Condition { status, reason, message, place, generation: _ } = condition;
        Self { status: status.as_str(), reason, message, place: place.as_deref() }
    }
}

impl Notice {
    /// An event as the `watch` on `host` tells it; `now` dates it where nothing else does.
    pub fn of(event: &Event, host: &str, source: &str, now: DateTime<Utc>) -> Self {
        let mut body = Body {
            format_version: FORMAT_VERSION,
            event: event.name(),
            at: now,
            host,
            source,
            text: event.text(),
            commit: None,
            summary: None,
            subject: None,
            before: None,
            after: None,
        };
        match event {
            Event::Applied { commit, summary } => {
                body.commit = commit.as_deref();
                body.summary = Some(summary);
            }
            Event::Changed(change) => {
                let key = &change.key;
                body.at = change.at.unwrap_or(now);
                body.subject = Some(Subject {
                    kind: key.kind.as_str(),
                    name: &key.name,
                    condition: key.of.as_str(),
                });
                body.before = change.before.as_ref().map(State::of);
                body.after = Some(State::of(&change.after));
            }
        }
        Self(serde_json::to_string(&body).expect("texts and numbers are JSON"))
    }

    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// Where notices go. Often a secret itself, so it is never shown whole.
#[derive(Clone)]
pub struct NoticeUrl(Url);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address for notices must be an `https://` or `http://` one")]
pub struct InvalidNoticeUrl;

impl FromStr for NoticeUrl {
    type Err = InvalidNoticeUrl;

    fn from_str(text: &str) -> Result<Self, InvalidNoticeUrl> {
        let url = Url::parse(text).map_err(|_| InvalidNoticeUrl)?;
        let is_web = matches!(url.scheme(), "https" | "http") && url.has_host();
        if is_web { Ok(Self(url)) } else { Err(InvalidNoticeUrl) }
    }
}

impl NoticeUrl {
    /// Whether a password stands before its host.
    pub fn has_password(&self) -> bool {
        self.0.password().is_some() || !self.0.username().is_empty()
    }
}

impl fmt::Display for NoticeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/…", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for NoticeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoticeUrl({self})")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no HTTPS client can be made; are the system's CA certificates installed?")]
pub struct NotifierUnavailable(#[source] reqwest::Error);

/// Posts notices, each until it is taken or a few tries were made.
#[derive(Clone, Debug)]
pub struct Notifier {
    client: reqwest::Client,
    url: NoticeUrl,
}

/// How a try went wrong.
enum Refusal {
    /// The same may work in a moment.
    ForNow(String),
    ForGood(String),
}

impl Notifier {
    pub fn new(url: NoticeUrl) -> Result<Self, NotifierUnavailable> {
        // An error means that another part of the program installed it before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("nuncio/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(NotifierUnavailable)?;
        Ok(Self { client, url })
    }

    /// Posts a notice; gives why it was not taken in the end.
    pub async fn post(&self, notice: &Notice) -> Result<(), String> {
        let mut wait = BACKOFF_FIRST;
        for tries in 1.. {
            let refusal = match self.post_once(notice).await {
                Ok(()) => return Ok(()),
                Err(refusal) => refusal,
            };
            match refusal {
                Refusal::ForNow(_) if tries < TRIES_MAX => sleep(wait).await,
                Refusal::ForNow(why) | Refusal::ForGood(why) => {
                    return Err(format!("{}: {why}", self.url));
                }
            }
            wait *= 2;
        }
        Ok(())
    }

    async fn post_once(&self, notice: &Notice) -> Result<(), Refusal> {
        let request = self
            .client
            .post(self.url.0.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(notice.0.clone());
        // The library's error would show the address.
        let answer = request.send().await.map_err(|error| {
            let what =
                if error.is_timeout() { "no answer in time" } else { "it cannot be reached" };
            Refusal::ForNow(what.to_owned())
        })?;
        let status = answer.status();
        match status {
            _ if status.is_success() => Ok(()),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(Refusal::ForNow(format!("it answers {}", status.as_u16())))
            }
            _ if status.is_server_error() => {
                Err(Refusal::ForNow(format!("it answers {}", status.as_u16())))
            }
            _ => Err(Refusal::ForGood(format!("it answers {}", status.as_u16()))),
        }
    }
}
