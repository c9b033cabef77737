//! The driver of a bot, which speaks for itself (`telegram-bot`) or for the account of a business that it was
//! connected with (`telegram-business`). What it receives is in `receiving`.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicI64},
};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::{
        connecting::{Unconnectable, credential, endpoint},
        driver::{Examined, Receives},
        http::Http,
        sayable::sayable_by,
        webhook::optional_secret,
    },
    bot_api::{BotApi, PROVIDER},
    updates::{OF_BOT, OF_BUSINESS, message_id},
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, OutcomeClass},
    channel::{ChannelSpec, Secret},
    dialogue::ReplyCall,
    kind::{ChannelKind, MessengerType, Receive},
};

/// Of UTF-16, by which Telegram counts what stands where in a text. It promises 4,096 characters and does not
/// say of which kind; this is the least that it can mean.
pub(in super::super) const TEXT_UNITS_MAX: usize = 4_096;

/// A secret of a webhook has so many of them, letters, digits, `_` and `-`.
const WEBHOOK_SECRET_BYTES_MAX: usize = 256;

#[derive(Debug)]
pub struct TelegramBot {
    pub(super) api: BotApi,
    /// Absent where the bot speaks for itself.
    pub(super) connection: Option<Secret>,
    pub(super) receive: Receive,
    /// Webhooks are verified by it; without it none is believed.
    pub(super) webhook_secret: Option<Secret>,
    /// Telegram has been given the secret since this driver was made.
    pub(super) is_told: AtomicBool,
    /// When a webhook failed last, in Telegram's seconds, as far as that is known and over.
    pub(super) failed_at: AtomicI64,
}

#[derive(Deserialize)]
struct Sent {
    message_id: i64,
}

#[derive(Deserialize)]
struct Myself {
    is_bot: bool,
}

#[derive(Deserialize)]
struct Connection {
    is_enabled: bool,
    #[serde(default)]
    rights: Rights,
}

#[derive(Default, Deserialize)]
struct Rights {
    #[serde(default)]
    can_reply: bool,
}

impl TelegramBot {
    pub(in super::super) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        let api = BotApi {
            http: http.clone(),
            endpoint: endpoint(spec)?,
            token: Secret::new(credential(secrets, "token")?.to_owned()),
        };
        let connection = match spec.kind {
            ChannelKind::TelegramBusiness => {
                Some(Secret::new(credential(secrets, "connectionId")?.to_owned()))
            }
            _ => None,
        };
        let receive = spec.setting("receive").and_then(|word| word.parse().ok());
        let receive = receive.unwrap_or(Receive::Polling);
        let webhook_secret = optional_secret(secrets, "webhookSecret")?;
        if receive == Receive::Webhook {
            let secret = webhook_secret.as_ref();
            let secret = secret.ok_or(Unconnectable::MissingCredential("webhookSecret"))?;
            if !is_sound(secret.reveal()) {
                return Err(Unconnectable::UnusableCredential("webhookSecret"));
            }
        }
        let (is_told, failed_at) = (AtomicBool::new(false), AtomicI64::new(0));
        Ok(Self { api, connection, receive, webhook_secret, is_told, failed_at })
    }

    pub(in super::super) fn kind(&self) -> ChannelKind {
        match self.connection {
            Some(_) => ChannelKind::TelegramBusiness,
            None => ChannelKind::TelegramBot,
        }
    }

    pub(in super::super) fn receives(&self) -> Receives {
        match self.receive {
            Receive::Polling => Receives::Polling,
            Receive::Webhook => Receives::Webhook,
        }
    }

    /// The token has to be a bot's; and the owner has to let it reply, where it speaks for somebody.
    pub(in super::super) async fn examine(&self) -> Examined {
        let until = self.api.http.deadline();
        let examined = match self.api.call::<Myself>("getMe", &json!({}), until).await {
            Ok(Myself { is_bot: true }) => self.may_speak(until).await,
            Ok(_) => Err(refused(OutcomeClass::OurMistake, "the token is no bot's")),
            Err(outcome) => Err(outcome),
        };
        Examined::of(examined.map_or_else(|outcome| outcome, |()| Outcome::sent(None)))
    }

    /// Whether the owner of the account lets the bot speak for it.
    pub(super) async fn may_speak(&self, until: Instant) -> Result<(), Outcome> {
        let Some(id) = &self.connection else { return Ok(()) };
        let parameters = json!({ "business_connection_id": id.reveal() });
        let (class, words) =
            match self.api.call("getBusinessConnection", &parameters, until).await? {
                Connection { is_enabled: false, .. } => {
                    (OutcomeClass::ChannelBlocked, "the business connection is switched off")
                }
                Connection { rights: Rights { can_reply: false }, .. } => {
                    (OutcomeClass::OurMistake, "the owner has not given the bot the right to reply")
                }
                _ => return Ok(()),
            };
        Err(refused(class, words))
    }

    pub(in super::super) async fn reply(&self, call: &ReplyCall<'_>) -> Outcome {
        // Telegram drops no repeats, and repeats nothing that is attached.
        let ReplyCall { peer, text, key: _, reference: _ } = *call;
        let text = match sayable_by(text, TEXT_UNITS_MAX, units) {
            Ok(text) => text,
            Err(refused) => return refused,
        };
        let Some(chat) = chat_of(peer) else {
            let reason = "a bot can only write to who wrote to it";
            return refused(OutcomeClass::RecipientPermanent, reason);
        };
        let parameters = self.addressed(
            chat,
            json!({ "text": text, "link_preview_options": { "is_disabled": true } }),
        );
        let until = self.api.http.deadline();
        match self.api.call("sendMessage", &parameters, until).await {
            Ok(Sent { message_id: number }) => {
                // 0 stands for a message that gets its number later.
                Outcome::sent((number > 0).then(|| message_id(chat, number)))
            }
            Err(outcome) => outcome,
        }
    }

    /// Best effort: neither an answer nor an error is of use to anybody.
    pub(in super::super) async fn show_typing(&self, peer: &Address, last_received: Option<&str>) {
        let Some(chat) = chat_of(peer) else { return };
        let until = self.api.http.sign_deadline();
        // A bot marks nothing as read in its own chats.
        if self.connection.is_some()
            && let Some(number) = last_received.and_then(number_of)
        {
            let read = self.addressed(chat, json!({ "message_id": number }));
            drop(self.api.call::<Value>("readBusinessMessage", &read, until).await);
        }
        let typing = self.addressed(chat, json!({ "action": "typing" }));
        drop(self.api.call::<Value>("sendChatAction", &typing, until).await);
    }

    /// Puts in which chat is meant, and whose.
    fn addressed(&self, chat: i64, mut parameters: Value) -> Value {
        parameters["chat_id"] = json!(chat);
        if let Some(connection) = &self.connection {
            parameters["business_connection_id"] = json!(connection.reveal());
        }
        parameters
    }

    /// The updates that the channel reads; Telegram keeps all others to itself.
    pub(super) fn wanted(&self) -> &'static [&'static str] {
        if self.connection.is_some() { OF_BUSINESS } else { OF_BOT }
    }
}

fn refused(class: OutcomeClass, words: &str) -> Outcome {
    Outcome::of(class, format!("{PROVIDER}: {words}"))
}

fn is_sound(secret: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    secret.len() <= WEBHOOK_SECRET_BYTES_MAX && secret.bytes().all(plain)
}

fn chat_of(peer: &Address) -> Option<i64> {
    peer.id_of(MessengerType::Telegram)?.parse().ok()
}

/// The number within its chat, of a message's id or of an edit's.
fn number_of(id: &str) -> Option<i64> {
    id.split(':').nth(1)?.parse().ok()
}

/// What Telegram counts in a text.
pub(in super::super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}
