//! A gateway in the dialect of WAHA. What it brings is in `waha_events`.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{RequestBuilder, Url, header::HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::{
        answer::{Reaction, by_status, unreadable},
        connecting::{Unconnectable, below, credential_header, endpoint},
        driver::{Examined, OpeningCall},
        http::{Answer, Http, exchange},
        sayable::{plain_text, sayable},
        webhook::optional_secret,
    },
    whatsapp::{
        InnerError, PROVIDER, TEXT_CHARACTERS_MAX, chat, inner_refusal, nobody_is_there,
        nothing_was_sent, outcome_of, unclear_look_up,
    },
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, OutcomeClass},
    channel::{ChannelSpec, Secret},
    dialogue::ReplyCall,
};

/// A session that starts works in less than a minute, or fails.
const SESSION_STARTS: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Waha {
    http: Http,
    endpoint: Url,
    key: HeaderValue,
    pub(super) session: String,
    /// Webhooks are verified by it; without it none is believed.
    pub(super) webhook_key: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Existence {
    number_exists: bool,
    chat_id: Option<String>,
}

/// What the status of a session that does not work makes of the attempt.
const SESSION_STATUSES: &[InnerError] = {
    use OutcomeClass::{ChannelBlocked, CredentialRefused};
    const LINK_AGAIN: &str = "the device must be linked again";
    &[
        ("STARTING", Reaction::Wait(SESSION_STARTS), "the session is starting"),
        ("STOPPED", Reaction::Class(CredentialRefused), "the session is stopped"),
        ("SCAN_QR_CODE", Reaction::Class(CredentialRefused), LINK_AGAIN),
        ("PASSKEY_REQUIRED", Reaction::Class(CredentialRefused), LINK_AGAIN),
        ("PASSKEY_CONFIRMATION_REQUIRED", Reaction::Class(CredentialRefused), LINK_AGAIN),
        (
            "FAILED",
            Reaction::Class(ChannelBlocked),
            "the session has failed; the account may be banned",
        ),
    ]
};

#[derive(Deserialize)]
struct Session {
    status: String,
}

impl Waha {
    pub(super) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        Ok(Self {
            http: http.clone(),
            endpoint: endpoint(spec)?,
            key: credential_header(secrets, "apiKey", "")?,
            session: spec
                .setting("session")
                .ok_or(Unconnectable::MissingSetting("session"))?
                .to_owned(),
            webhook_key: optional_secret(secrets, "webhookKey")?,
        })
    }

    /// The session has to be `WORKING`: paired with a phone, and connected.
    pub(super) async fn examine(&self) -> Examined {
        let url = below(&self.endpoint, &["api", "sessions", &self.session]);
        let request = self.http.get(url).header("X-Api-Key", self.key.clone());
        Examined::of(match exchange(request, self.http.deadline()).await {
            Err(failure) => failure.outcome(PROVIDER),
            Ok(answer) => match serde_json::from_slice(&answer.body) {
                Ok(Session { status }) if answer.is_success() && status == "WORKING" => {
                    Outcome::sent(None)
                }
                // A success that tells of another status is read like a refusal that does.
                _ => refusal(&answer),
            },
        })
    }

    pub(super) async fn open(&self, call: &OpeningCall<'_>) -> Outcome {
        let text = match plain_text(call.message, TEXT_CHARACTERS_MAX) {
            Ok(text) => text,
            Err(refused) => return refused,
        };
        let until = self.http.deadline();
        let digits = call.address.as_str().trim_start_matches('+');

        // Sending to a number that has no account is answered with success and never arrives.
        let mut url = below(&self.endpoint, &["api", "contacts", "check-exists"]);
        url.query_pairs_mut().append_pair("phone", digits).append_pair("session", &self.session);
        let request = self.http.get(url).header("X-Api-Key", self.key.clone());
        let chat_id = match exchange(request, until).await {
            Ok(answer) => match read_existence(&answer) {
                Ok(chat_id) => chat_id.unwrap_or_else(|| format!("{digits}@c.us")),
                Err(outcome) => return outcome,
            },
            Err(failure) => return nothing_was_sent(failure.outcome(PROVIDER)),
        };

        let known_as = chat(&chat_id).filter(|known_as| known_as != call.address);
        let outcome = self.send(&chat_id, text, until).await;
        Outcome { known_as: known_as.into_iter().collect(), ..outcome }
    }

    /// Nobody is looked up: whoever is answered has an account.
    pub(super) async fn reply(&self, call: &ReplyCall<'_>) -> Outcome {
        // Gateways know neither a key nor a reference.
        let ReplyCall { peer, text, key: _, reference: _ } = *call;
        let text = match sayable(text, TEXT_CHARACTERS_MAX) {
            Ok(text) => text,
            Err(refused) => return refused,
        };
        let chat_id = chat_of(peer);
        // Documented to come before the message; whether it worked is of no matter.
        let stop = json!({ "session": self.session, "chatId": chat_id });
        drop(exchange(self.post("stopTyping", &stop), self.http.sign_deadline()).await);
        self.send(&chat_id, text, self.http.deadline()).await
    }

    /// Best effort: neither an answer nor an error is of use to anybody.
    pub(super) async fn show_typing(&self, peer: &Address) {
        let until = self.http.sign_deadline();
        let body = json!({ "session": self.session, "chatId": chat_of(peer) });
        drop(exchange(self.post("sendSeen", &body), until).await);
        drop(exchange(self.post("startTyping", &body), until).await);
    }

    async fn send(&self, chat_id: &str, text: &str, until: Instant) -> Outcome {
        let body = json!({ "session": self.session, "chatId": chat_id, "text": text });
        match exchange(self.post("sendText", &body), until).await {
            Ok(answer) => read_sent(&answer),
            Err(failure) => failure.outcome(PROVIDER),
        }
    }

    fn post(&self, call: &str, body: &Value) -> RequestBuilder {
        let url = below(&self.endpoint, &["api", call]);
        self.http.post(url).header("X-Api-Key", self.key.clone()).json(body)
    }
}

/// The chat of a phone; a hidden id is one already.
fn chat_of(peer: &Address) -> String {
    match peer.as_str().strip_prefix('+') {
        Some(digits) => format!("{digits}@c.us"),
        None => peer.as_str().to_owned(),
    }
}

/// The chat of the number, where the gateway names one.
fn read_existence(answer: &Answer) -> Result<Option<String>, Outcome> {
    if !answer.is_success() {
        return Err(nothing_was_sent(refusal(answer)));
    }
    match serde_json::from_slice(&answer.body) {
        Ok(Existence { number_exists: true, chat_id }) => Ok(chat_id),
        Ok(Existence { number_exists: false, .. }) => Err(nobody_is_there()),
        Err(_) => Err(unclear_look_up()),
    }
}

fn read_sent(answer: &Answer) -> Outcome {
    if !answer.is_success() {
        return refusal(answer);
    }
    let id = serde_json::from_slice(&answer.body).ok().and_then(|body: Value| message_id(&body));
    match id {
        Some(id) => Outcome::sent(Some(id)),
        None => unreadable(PROVIDER),
    }
}

/// The engines of the gateway shape their messages differently.
pub(super) fn message_id(body: &Value) -> Option<String> {
    ["/id", "/id/_serialized", "/key/id", "/id/id"]
        .iter()
        .find_map(|path| body.pointer(path)?.as_str())
        .map(str::to_owned)
}

fn refusal(answer: &Answer) -> Outcome {
    let Answer { status, retry_after, body } = answer;
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let session = body.get("status").and_then(Value::as_str);
    if let Some(row) = SESSION_STATUSES.iter().find(|row| Some(row.0) == session) {
        return outcome_of(row.1, row.2);
    }
    if *status == 422 {
        let reason = format!("{PROVIDER} answered HTTP 422: the session does not work");
        return Outcome::of(OutcomeClass::CredentialRefused, reason);
    }
    if *status == 500 {
        // The text lies at another place for every engine, so all of the answer is looked through.
        if let Some(outcome) = inner_refusal(&body.to_string(), &[]) {
            return outcome;
        }
    }
    by_status(*status, PROVIDER, *retry_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn every_refusal_of_a_send_has_its_class() {
        use OutcomeClass::{
            ChannelBlocked, CredentialRefused, InDoubt, NotSent, OurMistake, RecipientPermanent,
            RetryAfter,
        };
        for (status, body, class) in [
            (401, "", CredentialRefused),
            (403, "{}", CredentialRefused),
            (404, "", OurMistake),
            (422, "", CredentialRefused),
            (422, r#"{"status":"SCAN_QR_CODE"}"#, CredentialRefused),
            (422, r#"{"status":"STOPPED"}"#, CredentialRefused),
            (422, r#"{"status":"PASSKEY_REQUIRED"}"#, CredentialRefused),
            (422, r#"{"status":"PASSKEY_CONFIRMATION_REQUIRED"}"#, CredentialRefused),
            (422, r#"{"status":"STARTING"}"#, RetryAfter),
            (422, r#"{"status":"FAILED"}"#, ChannelBlocked),
            (429, "", RetryAfter),
            (500, r#"{"exception":{"message":"no LID found for x"}}"#, RecipientPermanent),
            (500, r#"{"exception":{"data":"rate-overlimit"}}"#, RetryAfter),
            (500, r#"{"message":"server returned error 429"}"#, RetryAfter),
            (500, r#"{"message":"server returned error 463"}"#, ChannelBlocked),
            (500, r#"{"message":"server returned error 479"}"#, NotSent),
            (500, "", InDoubt),
            (502, "", InDoubt),
            (201, "{}", InDoubt),
            (201, "<html>", InDoubt),
        ] {
            assert_eq!(read_sent(&answer(status, body)).class, class, "{status} {body}");
        }
    }

    #[test]
    fn a_look_up_that_fails_sent_nothing() {
        for (status, body) in [(500, ""), (502, ""), (303, ""), (200, "<html>"), (200, "{}")] {
            let outcome = read_existence(&answer(status, body)).unwrap_err();
            assert_eq!(outcome.class, OutcomeClass::NotSent, "{status} {body}");
        }
    }

    #[test]
    fn the_id_is_found_in_the_shape_of_every_engine() {
        for body in [
            r#"{"id":"true_1@c.us_AB"}"#,
            r#"{"id":{"fromMe":true,"_serialized":"true_1@c.us_AB"}}"#,
            r#"{"key":{"id":"true_1@c.us_AB"}}"#,
        ] {
            let sent = read_sent(&answer(201, body));
            assert_eq!(sent, Outcome::sent(Some("true_1@c.us_AB".to_owned())), "{body}");
        }
    }
}
