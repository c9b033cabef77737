//! The `whatsapp-web` driver: a gateway that speaks the dialect of WAHA. What it receives is in
//! `waha_webhook`.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{RequestBuilder, Url, header::HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    answer::{by_status, unreadable},
    driver::{
        Examined, OpeningCall, Unconnectable, below, credential_header, endpoint, plain_text,
        sayable,
    },
    http::{Answer, Http, exchange},
    webhook::optional_secret,
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, OutcomeClass},
    channel::{ChannelSpec, Secret},
    dialogue::ReplyCall,
};

const PROVIDER: &str = "the WhatsApp gateway";

/// WhatsApp's own limit of a text; gateways name none.
pub(super) const TEXT_CHARACTERS_MAX: usize = 65_536;

/// WhatsApp slows the account down and names no figure; it passes in minutes.
const OVER_LIMIT: Duration = Duration::from_mins(10);
/// A session that starts works in less than a minute, or fails.
const SESSION_STARTS: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct WhatsappWeb {
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
const SESSION_STATUSES: &[(&str, OutcomeClass, &str)] = {
    use OutcomeClass::{ChannelBlocked, CredentialRefused, RetryAfter};
    &[
        ("STARTING", RetryAfter, "the session is starting"),
        ("STOPPED", CredentialRefused, "the session is stopped"),
        ("SCAN_QR_CODE", CredentialRefused, "the device must be linked again"),
        ("PASSKEY_REQUIRED", CredentialRefused, "the device must be linked again"),
        ("PASSKEY_CONFIRMATION_REQUIRED", CredentialRefused, "the device must be linked again"),
        ("FAILED", ChannelBlocked, "the session has failed; the account may be banned"),
    ]
};

#[derive(Deserialize)]
struct Session {
    status: String,
}

/// Texts inside an HTTP 500 that say what WhatsApp itself answered.
const INNER_ERRORS: &[(&str, OutcomeClass, &str)] = &[
    ("no LID found", OutcomeClass::RecipientPermanent, "the recipient has no WhatsApp account"),
    ("rate-overlimit", OutcomeClass::RetryAfter, "WhatsApp slows the account down"),
];

impl WhatsappWeb {
    pub(super) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        match spec.setting("gateway") {
            None | Some("waha") => {}
            Some(other) => return Err(Unconnectable::UnsupportedGateway(other.to_owned())),
        }
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

        self.send(&chat_id, text, until).await
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
        Ok(Existence { number_exists: false, .. }) => {
            let reason = format!("{PROVIDER}: the number has no WhatsApp account");
            Err(Outcome::of(OutcomeClass::RecipientPermanent, reason))
        }
        Err(_) => Err(nothing_was_sent(unreadable(PROVIDER))),
    }
}

/// The number is only looked up: whatever would be in doubt after a send is certain here.
fn nothing_was_sent(outcome: Outcome) -> Outcome {
    match outcome.class {
        OutcomeClass::InDoubt => {
            let reason = format!("{PROVIDER} could not look the number up; nothing was sent");
            Outcome::of(OutcomeClass::NotSent, reason)
        }
        _ => outcome,
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
        return outcome_of(row, SESSION_STARTS);
    }
    if *status == 422 {
        let reason = format!("{PROVIDER} answered HTTP 422: the session does not work");
        return Outcome::of(OutcomeClass::CredentialRefused, reason);
    }
    if *status == 500 {
        // The text lies at another place for every engine, so all of the answer is looked through.
        let text = body.to_string();
        if let Some(row) = INNER_ERRORS.iter().find(|row| text.contains(row.0)) {
            return outcome_of(row, OVER_LIMIT);
        }
    }
    by_status(*status, PROVIDER, *retry_after)
}

fn outcome_of(row: &(&str, OutcomeClass, &str), wait: Duration) -> Outcome {
    let (_, class, words) = row;
    let reason = format!("{PROVIDER}: {words}");
    match class {
        OutcomeClass::RetryAfter => Outcome::retry_after(wait, reason),
        class => Outcome::of(*class, reason),
    }
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
            ChannelBlocked, CredentialRefused, InDoubt, OurMistake, RecipientPermanent, RetryAfter,
        };
        for (status, body, class) in [
            (401, "", CredentialRefused),
            (403, "{}", CredentialRefused),
            (404, "", OurMistake),
            (422, "", CredentialRefused),
            (422, r#"{"status":"SCAN_QR_CODE"}"#, CredentialRefused),
            (422, r#"{"status":"STOPPED"}"#, CredentialRefused),
            (422, r#"{"status":"PASSKEY_REQUIRED"}"#, CredentialRefused),
            (422, r#"{"status":"STARTING"}"#, RetryAfter),
            (422, r#"{"status":"FAILED"}"#, ChannelBlocked),
            (429, "", RetryAfter),
            (500, r#"{"exception":{"message":"no LID found for x"}}"#, RecipientPermanent),
            (500, r#"{"exception":{"data":"rate-overlimit"}}"#, RetryAfter),
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
