//! Calls of the VK API, by whichever account: how they are written, sent and read.

use std::collections::BTreeMap;

use reqwest::{
    RequestBuilder, Url,
    header::{AUTHORIZATION, HeaderValue},
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::Instant;

use super::{
    super::{
        answer::{by_status, unreadable},
        connecting::{Unconnectable, below, credential_header, endpoint},
        http::{Answer, Http, exchange, exchange_up_to},
        sayable::sayable,
    },
    PROVIDER, TEXT_CHARACTERS_MAX,
    errors::{SOMEBODY_IS_BLOCKED, outcome_of},
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, OutcomeClass},
    channel::{ChannelSpec, Secret},
};

pub(super) const VERSION: &str = "5.199";

/// A page of the history has at most 200 messages of 9,000 characters, which JSON may write in six
/// bytes each, and their attachments.
pub(super) const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An account that calls.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) http: Http,
    pub(super) endpoint: Url,
    authorization: HeaderValue,
}

/// VK answers 200 whatever happened; `request_params` of an error repeat our text and are not read.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Said<T> {
    Response(T),
    Error { error_code: i64 },
}

/// How a message ended, but for errors that may be of the account as well as of the recipient.
pub(super) enum Sending {
    Ended(Outcome),
    SomebodyIsBlocked(i64),
}

/// Whether the account that calls is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    InOrder,
    Blocked,
    TokenRefused,
    Unknown,
}

impl Api {
    pub(super) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        Ok(Self {
            http: http.clone(),
            endpoint: endpoint(spec)?,
            authorization: credential_header(secrets, "token", "Bearer ")?,
        })
    }

    pub(super) async fn send(
        &self,
        address: &Address,
        text: &str,
        key: i64,
        until: Instant,
    ) -> Sending {
        let text = match sayable(text, TEXT_CHARACTERS_MAX) {
            Ok(text) => text,
            Err(refused) => return Sending::Ended(refused),
        };
        if key == 0 {
            let reason = "the key of the message is 0, with which VKontakte would send repeats";
            return Sending::Ended(Outcome::of(OutcomeClass::OurMistake, reason));
        }
        let form =
            [("peer_id", address.as_str()), ("random_id", &key.to_string()), ("message", text)];
        match self.call("messages.send", &form, until).await {
            Err(outcome) => Sending::Ended(outcome),
            Ok(Said::Response(id)) => Sending::Ended(Outcome::sent(Some(i64::to_string(&id)))),
            Ok(Said::Error { error_code }) if SOMEBODY_IS_BLOCKED.contains(&error_code) => {
                Sending::SomebodyIsBlocked(error_code)
            }
            Ok(Said::Error { error_code }) => Sending::Ended(outcome_of(error_code)),
        }
    }

    /// Best effort: neither an answer nor an error is of use to anybody.
    pub(super) async fn show_typing(&self, peer: &Address) {
        let until = self.http.sign_deadline();
        let read = [("peer_id", peer.as_str())];
        drop(self.call::<serde_json::Value>("messages.markAsRead", &read, until).await);
        let typing = [("peer_id", peer.as_str()), ("type", "typing")];
        drop(self.call::<serde_json::Value>("messages.setActivity", &typing, until).await);
    }

    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        form: &[(&str, &str)],
        until: Instant,
    ) -> Result<Said<T>, Outcome> {
        let request = self.request(method, form);
        let answer = exchange(request, until).await.map_err(|failure| failure.outcome(PROVIDER))?;
        read(&answer)
    }

    /// A question whose answer may be a page of messages; with it as it came.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        form: &[(&str, &str)],
    ) -> Result<(Answer, Said<T>), Outcome> {
        let request = self.request(method, form);
        let answer = exchange_up_to(PAGE_BYTES_MAX, request, self.http.deadline())
            .await
            .map_err(|failure| failure.outcome(PROVIDER))?;
        let said = read(&answer)?;
        Ok((answer, said))
    }

    fn request(&self, method: &str, form: &[(&str, &str)]) -> RequestBuilder {
        let url = below(&self.endpoint, &["method", method]);
        let form: Vec<_> = form.iter().copied().chain([("v", VERSION)]).collect();
        self.http.post(url).header(AUTHORIZATION, self.authorization.clone()).form(&form)
    }
}

impl Standing {
    /// Of an account that was asked about itself.
    pub(super) fn of_error(code: i64) -> Self {
        match code {
            5 | 27 => Self::TokenRefused,
            code if SOMEBODY_IS_BLOCKED.contains(&code) => Self::Blocked,
            _ => Self::Unknown,
        }
    }

    /// Whose fault an error is that may be both sides': if the account is in order, the recipient's.
    pub(super) fn decide(self, code: i64) -> Outcome {
        use OutcomeClass::{ChannelBlocked, NotSent, RecipientPermanent};
        let (class, words) = match self {
            Self::InOrder => (RecipientPermanent, "the recipient is blocked or deleted"),
            Self::Blocked => (ChannelBlocked, "the account is blocked or deleted"),
            Self::TokenRefused => {
                (ChannelBlocked, "the account is blocked or its token is refused")
            }
            // The refusal of the message stands; only its ground is open.
            Self::Unknown => (NotSent, "an account is blocked or deleted, and it is open whose"),
        };
        Outcome::of(class, format!("{PROVIDER} error {code}: {words}"))
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<Said<T>, Outcome> {
    match serde_json::from_slice(&answer.body) {
        Ok(said) => Ok(said),
        Err(_) if answer.is_success() => Err(unreadable(PROVIDER)),
        Err(_) => Err(by_status(answer.status, PROVIDER, answer.retry_after)),
    }
}

pub(super) fn account_is_blocked() -> Outcome {
    let reason = format!("{PROVIDER}: the account is blocked or deleted");
    Outcome::of(OutcomeClass::ChannelBlocked, reason)
}
