//! What the kinds of Meta have in common: batches that are signed with the application's secret, for all of
//! its accounts, and the challenge before the first of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    connecting::Unconnectable,
    driver::Receives,
    webhook::{Brought, Digest, Webhook, WebhookRefused, optional_secret, same, verify},
};
use crate::domain::{channel::Secret, dialogue::Received};

/// Meta's challenges are numbers of ten digits. What is answered is shown to whoever asked, so it
/// is nothing but letters and digits.
const CHALLENGE_BYTES_MAX: usize = 256;

/// By what an application of Meta is known. Without the first no webhook is believed.
#[derive(Debug)]
pub(super) struct Application {
    secret: Option<Secret>,
    verify_token: Option<Secret>,
}

/// A batch that Meta signed.
#[derive(Debug, Deserialize)]
pub(super) struct Batch {
    #[serde(default)]
    object: Value,
    #[serde(default)]
    entry: Vec<Value>,
}

impl Application {
    pub(super) fn connect(secrets: &BTreeMap<String, Secret>) -> Result<Self, Unconnectable> {
        Ok(Self {
            secret: optional_secret(secrets, "appSecret")?,
            verify_token: optional_secret(secrets, "verifyToken")?,
        })
    }

    pub(super) fn receives(&self) -> Receives {
        match self.secret {
            Some(_) => Receives::Webhook,
            None => Receives::Nothing,
        }
    }

    /// Nothing that Meta signs says when it was sent; repeats are told by their ids.
    pub(super) fn open(&self, webhook: &Webhook<'_>) -> Result<Batch, WebhookRefused> {
        let Webhook { headers, body, token: _, at: _ } = *webhook;
        let secret = self.secret.as_ref().ok_or(WebhookRefused::NotConfigured)?;
        let signature =
            headers.get("x-hub-signature-256").ok_or(WebhookRefused::SignatureMissing)?;
        let digits = signature.strip_prefix("sha256=").ok_or(WebhookRefused::SignatureWrong)?;
        verify(Digest::Sha256, secret, body, digits)?;
        serde_json::from_slice(body).map_err(|_| WebhookRefused::Unreadable)
    }

    pub(super) fn answer_challenge(&self, query: &[(String, String)]) -> Option<String> {
        let get = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let challenge = get("hub.challenge")?;
        let genuine = get("hub.mode")? == "subscribe"
            && same(self.verify_token.as_ref()?, get("hub.verify_token")?);
        let sound = (1..=CHALLENGE_BYTES_MAX).contains(&challenge.len())
            && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (genuine && sound).then(|| challenge.clone())
    }
}

impl Batch {
    /// Reads the events of one account: `part` gives what of an entry is this account's, and `read` the events
    /// of that. An application serves many accounts at one address; what is not ours is not kept with us.
    pub(super) fn read(
        self,
        part: impl Fn(&Value) -> Option<Value>,
        read: impl Fn(&Value) -> Vec<Received>,
    ) -> Brought {
        let Self { object, entry } = self;
        let ours: Vec<Value> = entry.iter().filter_map(part).collect();
        let received = ours.iter().flat_map(read).collect();
        let for_others = ours != entry;
        let kept =
            for_others.then(|| json!({ "object": object, "entry": ours }).to_string().into_bytes());
        Brought { received, kept, for_others, answer: None }
    }
}

/// A list of an event, or an empty one.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
