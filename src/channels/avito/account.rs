//! The `avito` driver: a seller's account, which answers in the chats that buyers open. What it hears by webhooks is
//! in `webhook`, by being asked in `polling`.

use std::collections::BTreeMap;

use reqwest::Url;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::{
        answer::{nothing_was_sent, unreadable},
        connecting::Unconnectable,
        driver::{Examined, Receives},
        http::Http,
        reading::id,
        sayable::sayable,
        webhook::optional_secret,
    },
    PROVIDER, TEXT_CHARACTERS_MAX,
    api::{Api, Version},
    errors::Refused,
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, OutcomeClass},
    channel::{ChannelSpec, Secret},
    dialogue::ReplyCall,
    kind::MessengerType,
};

#[derive(Debug)]
pub struct Avito {
    pub(super) api: Api,
    receives: Receives,
    /// Stands in the address of every webhook: Avito documents no signature.
    pub(super) webhook_secret: Option<Secret>,
}

#[derive(Deserialize)]
struct Sent {
    id: Value,
}

#[derive(Deserialize)]
struct Itself {
    id: Option<Value>,
}

impl Avito {
    pub(in crate::channels) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        let api = Api::connect(spec, secrets, http)?;
        let webhook_secret = optional_secret(secrets, "webhookSecret")?;
        let receives = match (spec.setting("receive"), &webhook_secret) {
            (Some("webhook"), Some(_)) => Receives::Webhook,
            (Some("webhook"), None) => Receives::Nothing,
            _ => Receives::Polling,
        };
        Ok(Self { api, receives, webhook_secret })
    }

    pub(in crate::channels) fn receives(&self) -> Receives {
        self.receives
    }

    pub(in crate::channels) async fn reply(&self, call: &ReplyCall<'_>) -> Outcome {
        // Avito takes no key with a message and repeats nothing of ours but its text.
        let ReplyCall { peer, text, key: _, reference: _ } = *call;
        let text = match sayable(text, TEXT_CHARACTERS_MAX) {
            Ok(text) => text,
            Err(refused) => return refused,
        };
        let Some(url) = self.chat_url(peer, "messages") else {
            let reason = format!("{PROVIDER}: the address is no chat");
            return Outcome::of(OutcomeClass::RecipientPermanent, reason);
        };
        let until = self.api.http.deadline();
        let body = json!({ "message": { "text": text }, "type": "text" });
        match self.api.call::<Sent>(self.api.http.post(url).json(&body), until).await {
            Ok(Sent { id: given }) => match id(Some(&given)) {
                Some(id) => Outcome::sent(Some(id)),
                None => unreadable(PROVIDER),
            },
            Err(Refused { outcome, status: Some(403 | 404) }) => {
                self.whose_fault(outcome, until).await
            }
            Err(Refused { outcome, status: _ }) => outcome,
        }
    }

    /// Best effort: neither an answer nor an error is of use to anybody. Avito shows nobody that we type.
    pub(in crate::channels) async fn show_typing(&self, peer: &Address) {
        let Some(url) = self.chat_url(peer, "read") else { return };
        let until = self.api.http.sign_deadline();
        drop(self.api.ask::<IgnoredAny>(self.api.http.post(url), until).await);
    }

    /// The chats first: what they are answered with, sending would be as well. A token that is another account's own
    /// may still see none of this one.
    pub(in crate::channels) async fn examine(&self) -> Examined {
        let until = self.api.http.deadline();
        if let Err(outcome) = self.look_at_chats(until).await {
            return Examined::of(outcome);
        }
        let url = self.api.url(&["core", "v1", "accounts", "self"]);
        let itself = self.api.ask::<Itself>(self.api.http.get(url), until).await;
        match itself.ok().and_then(|itself| id(itself.id.as_ref())) {
            Some(id) if id != self.api.user_id => {
                let reason = format!("{PROVIDER}: the client is of another account than `userId`");
                Examined::Refused(reason)
            }
            // Whose chats it may see was told already.
            _ => Examined::InOrder,
        }
    }

    /// A chat that is refused may be closed, or the account may have lost its right to all of them.
    async fn whose_fault(&self, of_chat: Outcome, until: Instant) -> Outcome {
        match self.look_at_chats(until).await.map_err(nothing_was_sent) {
            Ok(()) => of_chat,
            Err(of_account) => of_account,
        }
    }

    pub(super) async fn look_at_chats(&self, until: Instant) -> Result<(), Outcome> {
        let mut url = self.api.account_url(Version::V2, &["chats"]);
        url.query_pairs_mut().append_pair("limit", "1");
        self.api.ask::<IgnoredAny>(self.api.http.get(url), until).await.map(drop)
    }

    fn chat_url(&self, peer: &Address, part: &str) -> Option<Url> {
        let chat = peer.id_of(MessengerType::Avito)?;
        Some(self.api.account_url(Version::V1, &["chats", chat, part]))
    }
}
