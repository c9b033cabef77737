//! Receiving by VK's long poll: one round, from a cursor to the next.
//!
//! The cursor names the server, its key and the place in the stream. When the place is lost, the
//! next cursor says from where on messages were missed, and the round after it asks the history: a
//! crash between two rounds loses nothing.
//!
//! A community has a stream of its own kind, whose places are none of the history's. The history's place
//! is asked for beside it, and counts once the stream is known to have told of everything before it.

use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::warn;

use super::{
    super::{
        answer::{by_status, nothing_was_sent},
        driver::Polled,
        http::{Answer, exchange_up_to},
        reading::integer,
    },
    PROVIDER,
    api::{Api, PAGE_BYTES_MAX, Said},
    community_events,
    errors::outcome_of,
    message::{Account, read_message},
    user_events,
};
use crate::domain::{
    attempt::{Outcome, OutcomeClass},
    dialogue::Received,
};

/// As VK recommends: a proxy on the way may close what is silent for longer.
const WAIT: Duration = Duration::from_secs(25);

/// Attachments (2), all events (8), `pts` (32) and `random_id` (128).
const MODE: &str = "170";

const LONG_POLL_VERSION: &str = "3";

const HISTORY_MESSAGES_MAX: &str = "200";

/// "longpoll for this group is not enabled": nothing else can be wrong with the one parameter.
const LONG_POLL_IS_OFF: i64 = 100;

const MISSED: &str = "messages of a VKontakte account were missed";

/// The place asked for is too old, or one that never was: what was missed cannot be had.
const HISTORY_IS_GONE: &[i64] = &[907, 908];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    server: String,
    key: String,
    ts: i64,
    pts: Option<i64>,
    /// The history's place, once the stream has been asked after it was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_pts: Option<i64>,
    /// Messages from here on were missed, and are asked for before any new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missed: Option<Missed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Missed {
    ts: i64,
    pts: Option<i64>,
}

/// `ts` is a number or a text.
#[derive(Deserialize)]
struct Server {
    server: String,
    key: String,
    ts: Value,
    pts: Option<Value>,
}

#[derive(Deserialize)]
struct Checked {
    failed: Option<Value>,
    ts: Option<Value>,
    pts: Option<Value>,
    #[serde(default)]
    updates: Vec<Value>,
}

#[derive(Deserialize)]
struct History {
    #[serde(default)]
    messages: Messages,
    new_pts: Option<Value>,
    more: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Messages {
    #[serde(default)]
    items: Vec<Value>,
}

/// The stream of an account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Poller<'a> {
    api: &'a Api,
    /// Whose it is, where it is a community's.
    group_id: Option<&'a str>,
}

impl<'a> Poller<'a> {
    pub(super) fn of_user(api: &'a Api) -> Self {
        Self { api, group_id: None }
    }

    pub(super) fn of_community(api: &'a Api, group_id: &'a str) -> Self {
        Self { api, group_id: Some(group_id) }
    }

    /// One round. Without a cursor it only finds out where "now" is.
    pub(super) async fn poll(&self, cursor: Option<&str>) -> Result<Polled, Outcome> {
        // A cursor that is none of this version's can only be begun anew.
        let cursor = cursor.and_then(|text| serde_json::from_str::<Cursor>(text).ok());
        let polled = match cursor {
            None => self.begin(None).await,
            Some(cursor) => match cursor.missed {
                Some(missed) => self.catch_up(cursor, missed).await,
                None => self.check(cursor).await,
            },
        };
        polled.map_err(nothing_was_sent)
    }

    /// A new server, key and place.
    async fn begin(&self, missed: Option<Missed>) -> Result<Polled, Outcome> {
        // Before the stream's own place: what comes between the two is told twice rather than never.
        let history_pts = match self.group_id {
            None => None,
            Some(_) => self.history_place().await,
        };
        let user = [("need_pts", "1"), ("lp_version", LONG_POLL_VERSION)];
        let (answer, said) = match self.group_id {
            None => self.api.ask("messages.getLongPollServer", &user).await?,
            Some(group_id) => {
                self.api.ask("groups.getLongPollServer", &[("group_id", group_id)]).await?
            }
        };
        let Server { server, key, ts, pts } = match said {
            Said::Response(server) => server,
            // It is switched on again when it is looked after.
            Said::Error { error_code: LONG_POLL_IS_OFF } if self.group_id.is_some() => {
                let reason = format!("{PROVIDER}: the community's long poll is off");
                return Err(Outcome::of(OutcomeClass::NotSent, reason));
            }
            Said::Error { error_code } => return Err(outcome_of(error_code)),
        };
        let ts = integer(Some(&ts)).ok_or_else(unreadable)?;
        let pts = integer(pts.as_ref()).or(history_pts);
        let cursor = Cursor { server, key, ts, pts, next_pts: None, missed };
        Ok(polled(Vec::new(), &cursor, answer))
    }

    /// Where the history of a community is; nobody's failure, but then nothing can be caught up with.
    async fn history_place(&self) -> Option<i64> {
        #[derive(Deserialize)]
        struct Place {
            pts: Option<Value>,
        }
        let form = [("need_pts", "1"), ("lp_version", LONG_POLL_VERSION)];
        match self.api.ask::<Place>("messages.getLongPollServer", &form).await {
            Ok((_, Said::Response(Place { pts }))) => integer(pts.as_ref()),
            _ => None,
        }
    }

    async fn check(&self, cursor: Cursor) -> Result<Polled, Outcome> {
        let mut url = self.server_url(&cursor.server)?;
        url.query_pairs_mut()
            .append_pair("act", "a_check")
            .append_pair("key", &cursor.key)
            .append_pair("ts", &cursor.ts.to_string())
            .append_pair("wait", &WAIT.as_secs().to_string());
        if self.group_id.is_none() {
            url.query_pairs_mut()
                .append_pair("mode", MODE)
                .append_pair("version", LONG_POLL_VERSION);
        }
        let until = self.api.http.deadline_after(WAIT);
        let answer = match exchange_up_to(PAGE_BYTES_MAX, self.api.http.get(url), until).await {
            Ok(answer) if answer.is_success() => answer,
            Ok(answer) => {
                let refused = by_status(answer.status, PROVIDER, answer.retry_after);
                return self.move_from(cursor, refused).await;
            }
            Err(failure) => return self.move_from(cursor, failure.outcome(PROVIDER)).await,
        };
        let Checked { failed, ts, pts, updates } = parse(&answer.body)?;
        match failed.as_ref().map(|failed| integer(Some(failed))) {
            None => {
                let ts = integer(ts.as_ref()).ok_or_else(unreadable)?;
                let received = updates.iter().filter_map(|event| self.read_event(event)).collect();
                let pts = integer(pts.as_ref()).or(cursor.next_pts.max(cursor.pts));
                Ok(polled(received, &Cursor { ts, pts, next_pts: None, ..cursor }, answer))
            }
            // The stream no longer reaches back to our place; it names a younger one.
            Some(Some(1)) => {
                let ts = integer(ts.as_ref()).ok_or_else(unreadable)?;
                let missed = self.missed_since(&cursor);
                Ok(polled(Vec::new(), &Cursor { ts, missed, ..cursor }, answer))
            }
            // The key is too old; the place is still good.
            Some(Some(2)) => self.renew(cursor).await.map(|(_, polled)| polled),
            // The key and the place are lost.
            Some(Some(3)) => self.begin(self.missed_since(&cursor)).await,
            Some(code) => {
                let code = code.map_or("unknown".to_owned(), |code| code.to_string());
                let reason = format!("{PROVIDER}: the long poll failed with code {code}");
                Err(Outcome::of(OutcomeClass::OurMistake, reason))
            }
        }
    }

    /// Another server and key for the same place.
    async fn renew(&self, cursor: Cursor) -> Result<(Cursor, Polled), Outcome> {
        let mut begun = self.begin(None).await?;
        let Cursor { server, key, pts, .. } = parse(begun.cursor.as_bytes())?;
        let next_pts = self.group_id.and(pts);
        let renewed = Cursor { server, key, next_pts, ..cursor };
        begun.cursor = written(&renewed);
        Ok((renewed, begun))
    }

    /// A server that fails may be one that VK took away: it is left if VK names another. Otherwise
    /// the failure stands, so that whoever asks again waits first.
    async fn move_from(&self, cursor: Cursor, failed: Outcome) -> Result<Polled, Outcome> {
        let old = cursor.server.clone();
        match self.renew(cursor).await? {
            (renewed, polled) if renewed.server != old => Ok(polled),
            _ => Err(failed),
        }
    }

    async fn catch_up(&self, cursor: Cursor, missed: Missed) -> Result<Polled, Outcome> {
        let place = match missed.pts {
            Some(pts) => ("pts", pts.to_string()),
            None => ("ts", missed.ts.to_string()),
        };
        let form = [
            (place.0, place.1.as_str()),
            ("msgs_limit", HISTORY_MESSAGES_MAX),
            ("lp_version", LONG_POLL_VERSION),
        ];
        let (answer, said) = self.api.ask("messages.getLongPollHistory", &form).await?;
        let History { messages, new_pts, more } = match said {
            Said::Response(history) => history,
            Said::Error { error_code } if HISTORY_IS_GONE.contains(&error_code) => {
                warn!("{MISSED}, and its history is too short");
                return Ok(polled(Vec::new(), &Cursor { missed: None, ..cursor }, answer));
            }
            Said::Error { error_code } => return Err(outcome_of(error_code)),
        };
        let more = matches!(&more, Some(Value::Bool(true))) || integer(more.as_ref()) == Some(1);
        let pts = integer(new_pts.as_ref());
        // A history that says "more" and names no new place would be read for ever.
        let still_missed = (more && pts > missed.pts).then_some(Missed { ts: missed.ts, pts });
        let account = if self.group_id.is_some() { Account::Community } else { Account::Person };
        let read = |message| read_message(message, account);
        let received = messages.items.iter().filter_map(read).collect();
        let pts = if still_missed.is_some() { cursor.pts } else { pts.or(cursor.pts) };
        Ok(polled(received, &Cursor { pts, missed: still_missed, ..cursor }, answer))
    }

    fn read_event(&self, event: &Value) -> Option<Received> {
        match self.group_id {
            None => user_events::read_event(event),
            Some(group_id) => community_events::read_event(event, group_id),
        }
    }

    /// From where on the history is to be asked. Only a person's stream has places that are the history's too.
    fn missed_since(&self, cursor: &Cursor) -> Option<Missed> {
        if self.group_id.is_some() && cursor.pts.is_none() {
            warn!("{MISSED}, and its token may not read the history");
            return None;
        }
        Some(Missed { ts: cursor.ts, pts: cursor.pts })
    }

    /// VK names it with or without a scheme. The key is a secret: it is not sent in the clear where
    /// the API itself is not.
    fn server_url(&self, server: &str) -> Result<Url, Outcome> {
        let text =
            if server.contains("://") { server.to_owned() } else { format!("https://{server}") };
        Url::parse(&text)
            .ok()
            .filter(|url| url.scheme() == "https" || url.scheme() == self.api.endpoint.scheme())
            .ok_or_else(unreadable)
    }
}

fn polled(received: Vec<Received>, cursor: &Cursor, answer: Answer) -> Polled {
    Polled { received, cursor: written(cursor), raw: answer.body }
}

fn written(cursor: &Cursor) -> String {
    serde_json::to_string(cursor).expect("texts and numbers can be written as JSON")
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Outcome> {
    serde_json::from_slice(body).map_err(|_| unreadable())
}

fn unreadable() -> Outcome {
    let reason = format!("{PROVIDER} answered the long poll, but not in its own form");
    Outcome::of(OutcomeClass::NotSent, reason)
}
