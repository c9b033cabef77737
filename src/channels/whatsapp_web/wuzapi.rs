//! A gateway in the dialect of wuzapi. A message has an id of ours, by which what is told of it later is known.
//!
//! The gateway hands the id on to WhatsApp. That a second message with it would be dropped is promised by
//! neither, so nothing is sent again on the strength of it.

use std::collections::BTreeMap;

use reqwest::{RequestBuilder, Url, header::HeaderValue};
use serde::{Deserialize, de::DeserializeOwned};
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
        nothing_was_sent, unclear_look_up,
    },
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, OutcomeClass},
    channel::{ChannelSpec, Secret},
    dialogue::ReplyCall,
};

#[derive(Debug)]
pub struct Wuzapi {
    pub(super) http: Http,
    endpoint: Url,
    header: HeaderValue,
    /// The gateway repeats it in every webhook.
    pub(super) token: Secret,
    /// The end of the address of webhooks, which are not signed; without it none is believed.
    pub(super) webhook_key: Option<Secret>,
}

/// The gateway's form of everything that it answers.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(rename = "Connected", alias = "connected")]
    is_connected: bool,
    #[serde(rename = "LoggedIn", alias = "loggedIn")]
    is_logged_in: bool,
}

#[derive(Deserialize)]
struct Checked {
    #[serde(rename = "Users")]
    users: Vec<User>,
}

#[derive(Deserialize)]
struct User {
    #[serde(rename = "IsInWhatsapp")]
    is_in_whatsapp: bool,
    #[serde(rename = "JID")]
    jid: Option<String>,
}

#[derive(Deserialize)]
struct Sent {
    #[serde(rename = "Id")]
    id: String,
}

/// Texts of the gateway's own errors: before a message is handed to WhatsApp, nothing was sent.
const ERRORS: &[InnerError] = {
    use OutcomeClass::{CredentialRefused, NotSent};
    const NO_DEVICE: &str = "the device must be linked again";
    &[
        ("No session", Reaction::Class(CredentialRefused), "the session is not connected"),
        ("no session", Reaction::Class(CredentialRefused), "the session is not connected"),
        ("contain a device JID", Reaction::Class(CredentialRefused), NO_DEVICE),
        ("not logged in", Reaction::Class(CredentialRefused), NO_DEVICE),
        ("websocket not connected", Reaction::Class(NotSent), "the session is connecting"),
        ("failed to get device list", Reaction::Class(NotSent), "the recipient was not looked up"),
    ]
};

impl Wuzapi {
    pub(super) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        let header = credential_header(secrets, "apiKey", "")?;
        let token = header.to_str().map_err(|_| Unconnectable::UnusableCredential("apiKey"))?;
        Ok(Self {
            http: http.clone(),
            endpoint: endpoint(spec)?,
            token: Secret::new(token.to_owned()),
            header,
            webhook_key: optional_secret(secrets, "webhookKey")?,
        })
    }

    pub(super) fn get(&self, path: &[&str]) -> RequestBuilder {
        self.http.get(below(&self.endpoint, path)).header("Token", self.header.clone())
    }

    pub(super) fn post(&self, path: &[&str], body: &Value) -> RequestBuilder {
        let url = below(&self.endpoint, path);
        self.http.post(url).header("Token", self.header.clone()).json(body)
    }

    /// The session has to be linked with a phone, and connected.
    pub(super) async fn examine(&self) -> Examined {
        let answer = match exchange(self.get(&["session", "status"]), self.http.deadline()).await {
            Ok(answer) => answer,
            Err(failure) => return Examined::of(failure.outcome(PROVIDER)),
        };
        let said = |class, words: &str| Outcome::of(class, format!("{PROVIDER}: {words}"));
        Examined::of(match read::<Status>(&answer) {
            Err(outcome) => outcome,
            Ok(Status { is_logged_in: false, .. }) => {
                said(OutcomeClass::CredentialRefused, "the device must be linked again")
            }
            Ok(Status { is_connected: false, .. }) => {
                said(OutcomeClass::NotSent, "the session is not connected")
            }
            Ok(Status { .. }) => Outcome::sent(None),
        })
    }

    pub(super) async fn open(&self, call: &OpeningCall<'_>) -> Outcome {
        let text = match plain_text(call.message, TEXT_CHARACTERS_MAX) {
            Ok(text) => text,
            Err(refused) => return refused,
        };
        let until = self.http.deadline();
        // Who has no account is written to with success, and nothing arrives.
        let body = json!({ "Phone": [call.address.as_str()] });
        let jid = match exchange(self.post(&["user", "check"], &body), until).await {
            Ok(answer) => match read_check(&answer) {
                Ok(jid) => jid,
                Err(outcome) => return outcome,
            },
            Err(failure) => return nothing_was_sent(failure.outcome(PROVIDER)),
        };
        let known_as = jid.as_deref().and_then(chat).filter(|known_as| known_as != call.address);
        let to = jid.unwrap_or_else(|| recipient(call.address).to_owned());
        let outcome = self.send(&to, text, call.key, until).await;
        Outcome { known_as: known_as.into_iter().collect(), ..outcome }
    }

    /// Nobody is looked up: whoever is answered has an account.
    pub(super) async fn reply(&self, call: &ReplyCall<'_>) -> Outcome {
        let ReplyCall { peer, text, key, reference: _ } = *call;
        match sayable(text, TEXT_CHARACTERS_MAX) {
            Ok(text) => self.send(recipient(peer), text, key, self.http.deadline()).await,
            Err(refused) => refused,
        }
    }

    /// Best effort: neither an answer nor an error is of use to anybody. The typing ends with the message.
    pub(super) async fn show_typing(&self, peer: &Address, last_received: Option<&str>) {
        let until = self.http.sign_deadline();
        if let Some(id) = last_received {
            let read = json!({ "Id": [id], "Chat": jid_of(peer) });
            drop(exchange(self.post(&["chat", "markread"], &read), until).await);
        }
        let typing = json!({ "Phone": recipient(peer), "State": "composing", "Media": "" });
        drop(exchange(self.post(&["chat", "presence"], &typing), until).await);
    }

    async fn send(&self, to: &str, text: &str, key: i64, until: Instant) -> Outcome {
        let body = json!({ "Phone": to, "Body": text, "Id": message_id(key) });
        match exchange(self.post(&["chat", "send", "text"], &body), until).await {
            Err(failure) => failure.outcome(PROVIDER),
            Ok(answer) => match read::<Sent>(&answer) {
                Ok(Sent { id }) => Outcome::sent(Some(id)),
                Err(outcome) => outcome,
            },
        }
    }
}

/// The start of the ids of WhatsApp Web; what follows is any hexadecimal number.
const ID_START: &str = "3EB0";

/// The id of our message with this key.
fn message_id(key: i64) -> String {
    format!("{ID_START}{key:016X}")
}

/// The key of a message of ours.
pub(super) fn key_of(message_id: &str) -> Option<i64> {
    let digits = message_id.strip_prefix(ID_START).filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok().map(u64::cast_signed)
}

/// A phone by its digits; a hidden id is a chat already.
fn recipient(peer: &Address) -> &str {
    peer.as_str().trim_start_matches('+')
}

fn jid_of(peer: &Address) -> String {
    match peer.as_str().strip_prefix('+') {
        Some(digits) => format!("{digits}@s.whatsapp.net"),
        None => peer.as_str().to_owned(),
    }
}

/// What a successful answer says; everything else as an outcome.
pub(super) fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Outcome> {
    let Answer { status, retry_after, body } = answer;
    if answer.is_success() {
        return match serde_json::from_slice(body) {
            Ok(Envelope { data }) => Ok(data),
            Err(_) => Err(unreadable(PROVIDER)),
        };
    }
    if *status == 500
        && let Ok(Refused { error }) = serde_json::from_slice(body)
        && let Some(outcome) = inner_refusal(&error, ERRORS)
    {
        return Err(outcome);
    }
    Err(by_status(*status, PROVIDER, *retry_after))
}

/// The chat of the number, where the gateway names one.
fn read_check(answer: &Answer) -> Result<Option<String>, Outcome> {
    let Checked { users } = read(answer).map_err(nothing_was_sent)?;
    match users.into_iter().next() {
        Some(User { is_in_whatsapp: true, jid }) => Ok(jid.filter(|jid| chat(jid).is_some())),
        Some(User { is_in_whatsapp: false, .. }) => Err(nobody_is_there()),
        None => Err(unclear_look_up()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.as_bytes().to_vec() }
    }

    fn class_of(status: u16, body: &str) -> OutcomeClass {
        read::<Sent>(&answer(status, body))
            .map_or_else(|outcome| outcome.class, |_| OutcomeClass::Sent)
    }

    #[test]
    fn every_refusal_of_a_send_has_its_class() {
        use OutcomeClass::{
            ChannelBlocked, CredentialRefused, InDoubt, NotSent, OurMistake, RecipientPermanent,
            RetryAfter, Sent,
        };
        for (error, class) in [
            ("No session", CredentialRefused),
            ("Error sending message: the store doesn't contain a device JID", CredentialRefused),
            (
                "Error sending message: failed to get device list: failed to send usync query: \
                 websocket not connected",
                NotSent,
            ),
            ("Error sending message: failed to get device list: timed out", NotSent),
            ("Error sending message: no LID found for x from server", RecipientPermanent),
            ("Error sending message: info query returned status 429: rate-overlimit", RetryAfter),
            ("Error sending message: server returned error 463", ChannelBlocked),
            ("Error sending message: server returned error 479", NotSent),
            ("Error sending message: timed out waiting for message send response", InDoubt),
            ("websocket disconnected before info query returned response", InDoubt),
            ("", InDoubt),
        ] {
            let body = json!({ "code": 500, "error": error, "success": false }).to_string();
            assert_eq!(class_of(500, &body), class, "{error}");
        }
        for (status, body, class) in [
            (200, r#"{"code":200,"data":{"Details":"Sent","Id":"3EB0"},"success":true}"#, Sent),
            (200, r#"{"code":200,"data":{},"success":true}"#, InDoubt),
            (200, "<html>", InDoubt),
            (400, r#"{"code":400,"error":"Missing Phone in Payload"}"#, OurMistake),
            (401, r#"{"code":401,"error":"Unauthorized"}"#, CredentialRefused),
            (404, "404 page not found", OurMistake),
            (429, "", RetryAfter),
            (500, "", InDoubt),
            (502, "<html>", InDoubt),
        ] {
            assert_eq!(class_of(status, body), class, "{status} {body}");
        }
    }

    #[test]
    fn a_look_up_says_who_is_there_and_sends_nothing() {
        let users = |users: &str| {
            read_check(&answer(200, &format!(r#"{{"data":{{"Users":{users}}}}}"#)))
                .map_err(|outcome| outcome.class)
        };
        let there = r#"[{"IsInWhatsapp":true,"JID":"79123450001@s.whatsapp.net","Query":"x"}]"#;
        assert_eq!(users(there), Ok(Some("79123450001@s.whatsapp.net".to_owned())));
        assert_eq!(users(r#"[{"IsInWhatsapp":true,"JID":"a"}]"#), Ok(None));
        let away = r#"[{"IsInWhatsapp":false,"JID":"79123450001@s.whatsapp.net"}]"#;
        assert_eq!(users(away), Err(OutcomeClass::RecipientPermanent));
        assert_eq!(users("[]"), Err(OutcomeClass::NotSent));
        for (status, body) in [(500, ""), (502, ""), (303, ""), (200, "<html>"), (200, "{}")] {
            let outcome = read_check(&answer(status, body)).unwrap_err();
            assert_eq!(outcome.class, OutcomeClass::NotSent, "{status} {body}");
        }
    }

    #[test]
    fn the_id_of_a_message_is_its_key() {
        for key in [1, -1, i64::MAX, i64::MIN, 5_000_000_000] {
            assert_eq!(key_of(&message_id(key)), Some(key));
        }
        assert_eq!(message_id(5_000_000_000), "3EB0000000012A05F200");
        for other in
            ["", "3EB0", "3EB0000000012A05F20", "3EB0000000012A05F2000", "3EB0xxxxxxxxxxxxxxxx"]
        {
            assert_eq!(key_of(other), None, "{other}");
        }
    }
}
