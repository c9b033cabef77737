//! The drivers behind one door: made from a channel's specification, asked to send and to receive.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use super::{
    avito::{self, Avito},
    connecting::Unconnectable,
    http::Http,
    instagram::{self, Instagram},
    split,
    telegram::{self, TelegramBot},
    telegram_cloud::{NoVault, SignIn, SignInFailed, TelegramCloud, Vault},
    vk::{self, VkPublic, VkUser},
    waba::{self, Waba},
    webhook::{Brought, Webhook, WebhookRefused},
    whatsapp_web::{self, WhatsappWeb},
};
use crate::domain::{
    address::Address,
    attempt::{Message, Outcome, OutcomeClass},
    channel::{ChannelSpec, Secret},
    dialogue::{Received, ReplyCall},
    id::AttemptId,
    kind::ChannelKind,
};

/// A channel that can send.
#[derive(Debug)]
pub enum Driver {
    Avito(Avito),
    Instagram(Instagram),
    TelegramBot(TelegramBot),
    TelegramCloud(TelegramCloud),
    VkUser(VkUser),
    VkPublic(VkPublic),
    Waba(Waba),
    WhatsappWeb(WhatsappWeb),
}

/// A text in parts that the providers of a kind take; whole where none is called.
pub fn split_for(kind: ChannelKind, text: &str) -> Vec<String> {
    let limit = match kind {
        ChannelKind::TelegramCloud | ChannelKind::TelegramBot | ChannelKind::TelegramBusiness => {
            return split::split(text, telegram::TEXT_UNITS_MAX, telegram::units);
        }
        ChannelKind::Instagram => {
            return split::split(text, instagram::TEXT_BYTES_MAX, str::len);
        }
        ChannelKind::Avito => avito::TEXT_CHARACTERS_MAX,
        ChannelKind::VkUser | ChannelKind::VkPublic => vk::TEXT_CHARACTERS_MAX,
        ChannelKind::Waba => waba::TEXT_CHARACTERS_MAX,
        ChannelKind::WhatsappWeb => whatsapp_web::TEXT_CHARACTERS_MAX,
        _ => usize::MAX,
    };
    split::split(text, limit, split::characters)
}

/// One opening, to be sent once.
#[derive(Clone, Copy)]
pub struct OpeningCall<'a> {
    pub address: &'a Address,
    pub message: &'a Message,
    /// The same for every attempt at one opening.
    pub key: i64,
    pub attempt: AttemptId,
}

/// How a channel learns what people write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receives {
    /// By [`Driver::poll`].
    Polling,
    /// By [`Driver::read_webhook`].
    Webhook,
    /// Not at all: the secret that would prove a webhook is not configured.
    Nothing,
}

/// One round of polling. `received` and `cursor` are to be stored together: the next round begins
/// where this cursor says, and the provider does not repeat what lies before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    pub received: Vec<Received>,
    pub cursor: String,
    /// The provider's answer as it came.
    pub raw: Vec<u8>,
}

impl Driver {
    /// Makes the driver of a channel; calls nobody. `secrets` are the values of its credentials.
    pub fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        let nowhere: Arc<dyn Vault> = Arc::new(NoVault);
        Self::connect_with(spec, secrets, http, &nowhere)
    }

    /// As [`Self::connect`], with the vault of an account that has to be signed in to.
    pub fn connect_with(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
        vault: &Arc<dyn Vault>,
    ) -> Result<Self, Unconnectable> {
        match spec.kind {
            ChannelKind::Avito => Avito::connect(spec, secrets, http).map(Self::Avito),
            ChannelKind::TelegramCloud => {
                TelegramCloud::connect(spec, secrets, http, vault).map(Self::TelegramCloud)
            }
            ChannelKind::Instagram => Instagram::connect(spec, secrets, http).map(Self::Instagram),
            ChannelKind::TelegramBot | ChannelKind::TelegramBusiness => {
                TelegramBot::connect(spec, secrets, http).map(Self::TelegramBot)
            }
            ChannelKind::VkUser => VkUser::connect(spec, secrets, http).map(Self::VkUser),
            ChannelKind::VkPublic => VkPublic::connect(spec, secrets, http).map(Self::VkPublic),
            ChannelKind::Waba => Waba::connect(spec, secrets, http).map(Self::Waba),
            ChannelKind::WhatsappWeb => {
                WhatsappWeb::connect(spec, secrets, http).map(Self::WhatsappWeb)
            }
            kind => Err(Unconnectable::NoDriver(kind)),
        }
    }

    pub fn kind(&self) -> ChannelKind {
        match self {
            Self::Avito(_) => ChannelKind::Avito,
            Self::Instagram(_) => ChannelKind::Instagram,
            Self::TelegramBot(driver) => driver.kind(),
            Self::TelegramCloud(_) => ChannelKind::TelegramCloud,
            Self::VkUser(_) => ChannelKind::VkUser,
            Self::VkPublic(_) => ChannelKind::VkPublic,
            Self::Waba(_) => ChannelKind::Waba,
            Self::WhatsappWeb(_) => ChannelKind::WhatsappWeb,
        }
    }

    /// Asks the provider whether the account may send; sends nothing.
    pub async fn examine(&self) -> Examined {
        match self {
            Self::Avito(driver) => driver.examine().await,
            Self::Instagram(driver) => driver.examine().await,
            Self::TelegramBot(driver) => driver.examine().await,
            Self::TelegramCloud(driver) => driver.examine().await,
            Self::VkUser(driver) => driver.examine().await,
            Self::VkPublic(driver) => driver.examine().await,
            Self::Waba(driver) => driver.examine().await,
            Self::WhatsappWeb(driver) => driver.examine().await,
        }
    }

    /// Makes one attempt and says how it ended. Nothing is repeated in here.
    pub async fn open(&self, call: &OpeningCall<'_>) -> Outcome {
        match self {
            Self::Avito(_) | Self::Instagram(_) | Self::TelegramBot(_) | Self::VkPublic(_) => {
                Outcome::of(OutcomeClass::OurMistake, "this kind of channel opens no dialogues")
            }
            Self::TelegramCloud(driver) => driver.open(call).await,
            Self::VkUser(driver) => driver.open(call).await,
            Self::Waba(driver) => driver.open(call).await,
            Self::WhatsappWeb(driver) => driver.open(call).await,
        }
    }

    /// Makes one attempt at a reply and says how it ended. Nothing is repeated in here.
    pub async fn reply(&self, call: &ReplyCall<'_>) -> Outcome {
        match self {
            Self::Avito(driver) => driver.reply(call).await,
            Self::Instagram(driver) => driver.reply(call).await,
            Self::TelegramBot(driver) => driver.reply(call).await,
            Self::TelegramCloud(driver) => driver.reply(call).await,
            Self::VkUser(driver) => driver.reply(call).await,
            Self::VkPublic(driver) => driver.reply(call).await,
            Self::Waba(driver) => driver.reply(call).await,
            Self::WhatsappWeb(driver) => driver.reply(call).await,
        }
    }

    /// Shows the person that their message was read and somebody types. Takes a few seconds at most,
    /// and nobody learns whether it worked. `last_received` is the provider's id of their message.
    pub async fn show_typing(&self, peer: &Address, last_received: Option<&str>) {
        match self {
            Self::Avito(driver) => driver.show_typing(peer).await,
            Self::Instagram(driver) => driver.show_typing(peer).await,
            Self::TelegramBot(driver) => driver.show_typing(peer, last_received).await,
            Self::TelegramCloud(driver) => driver.show_typing(peer, last_received).await,
            Self::VkUser(driver) => driver.show_typing(peer).await,
            Self::VkPublic(driver) => driver.show_typing(peer).await,
            Self::Waba(driver) => driver.show_typing(last_received).await,
            Self::WhatsappWeb(driver) => driver.show_typing(peer, last_received).await,
        }
    }

    /// The text in parts that the provider takes; none where there is nothing to say.
    pub fn split(&self, text: &str) -> Vec<String> {
        split_for(self.kind(), text)
    }

    pub fn receives(&self) -> Receives {
        match self {
            Self::Avito(driver) => driver.receives(),
            Self::TelegramBot(driver) => driver.receives(),
            Self::TelegramCloud(_) | Self::VkUser(_) => Receives::Polling,
            Self::VkPublic(driver) => driver.receives(),
            Self::Instagram(driver) => driver.application.receives(),
            Self::Waba(driver) => driver.application.receives(),
            Self::WhatsappWeb(driver) => driver.receives(),
        }
    }

    /// Has the provider tell us what arrives, in the way of [`Driver::receives`]: where the provider takes
    /// an address for webhooks by a call, it is given `hook`, which leads to this channel; where a webhook
    /// of ours keeps it from being polled, that is taken away. Changes nothing where all is as it should be.
    pub async fn arrange(&self, hook: Option<&str>) -> Result<(), Outcome> {
        match self {
            Self::Avito(driver) => driver.arrange(hook).await,
            Self::TelegramBot(driver) => driver.arrange(hook).await,
            Self::VkPublic(driver) => driver.arrange(hook).await,
            Self::Instagram(driver) => driver.arrange().await,
            Self::WhatsappWeb(driver) => driver.arrange(hook).await,
            // An account hears by itself, and so does the long poll; Meta is told where webhooks go by hand.
            Self::TelegramCloud(_) | Self::VkUser(_) | Self::Waba(_) => Ok(()),
        }
    }

    /// One round of polling, which waits for up to half a minute. Where the channel does not poll, it
    /// is our own mistake to ask.
    pub async fn poll(&self, cursor: Option<&str>) -> Result<Polled, Outcome> {
        match self {
            Self::Avito(driver) => driver.poll(cursor).await,
            Self::TelegramBot(driver) => driver.poll(cursor).await,
            Self::TelegramCloud(driver) => driver.poll(cursor).await,
            Self::VkUser(driver) => driver.poll(cursor).await,
            Self::VkPublic(driver) => driver.poll(cursor).await,
            Self::Instagram(_) | Self::Waba(_) | Self::WhatsappWeb(_) => {
                Err(Outcome::of(OutcomeClass::OurMistake, "this kind of channel is not polled"))
            }
        }
    }

    /// What a webhook brought, after it was proven to be the provider's.
    pub fn read_webhook(&self, webhook: &Webhook<'_>) -> Result<Brought, WebhookRefused> {
        match self {
            Self::Avito(driver) => driver.read_webhook(webhook),
            Self::TelegramBot(driver) => driver.read_webhook(webhook).map(Brought::from),
            Self::TelegramCloud(_) | Self::VkUser(_) => Err(WebhookRefused::NotConfigured),
            Self::VkPublic(driver) => driver.read_webhook(webhook),
            Self::Instagram(driver) => driver.read_webhook(webhook),
            Self::Waba(driver) => driver.read_webhook(webhook),
            Self::WhatsappWeb(driver) => driver.read_webhook(webhook),
        }
    }

    /// The answer that proves to the provider that its webhooks may come here.
    pub fn answer_challenge(&self, query: &[(String, String)]) -> Option<String> {
        match self {
            Self::Instagram(driver) => driver.application.answer_challenge(query),
            Self::Waba(driver) => driver.application.answer_challenge(query),
            Self::Avito(_)
            | Self::TelegramBot(_)
            | Self::TelegramCloud(_)
            | Self::VkUser(_)
            | Self::VkPublic(_)
            | Self::WhatsappWeb(_) => None,
        }
    }

    /// Ends what only one process may have, for ever: the lane may be another's from now on.
    pub fn give_up(&self) {
        if let Self::TelegramCloud(driver) = self {
            driver.give_up();
        }
    }

    /// Whether it is of no use any more.
    pub fn is_given_up(&self) -> bool {
        matches!(self, Self::TelegramCloud(driver) if driver.is_given_up())
    }

    /// Has nothing before `until` that only one process may have: whoever had the lane may not know yet that
    /// it has lost it.
    pub fn hold_off(&self, until: Instant) {
        if let Self::TelegramCloud(driver) = self {
            driver.hold_off(until);
        }
    }

    /// Begins to sign in to an account; `None` where a kind has no such thing.
    pub async fn sign_in(&self) -> Option<Result<SignIn<'_>, SignInFailed>> {
        match self {
            Self::TelegramCloud(driver) => Some(driver.sign_in().await),
            _ => None,
        }
    }

    /// Ends the session of an account with its provider.
    pub async fn sign_out(&self) -> Option<Result<(), Outcome>> {
        match self {
            Self::TelegramCloud(driver) => Some(driver.sign_out().await),
            _ => None,
        }
    }
}

/// What a provider says of an account, without anything being sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Examined {
    InOrder,
    /// Nothing would be sent through it.
    Refused(String),
    /// Nobody said so: the provider is away, or slow, or not to be understood.
    Unknown(String),
}

impl Examined {
    pub(super) fn of(outcome: Outcome) -> Self {
        use OutcomeClass::{ChannelBlocked, CredentialRefused, OurMistake, Sent};
        match outcome.class {
            Sent => Self::InOrder,
            ChannelBlocked | CredentialRefused | OurMistake => Self::Refused(outcome.reason),
            _ => Self::Unknown(outcome.reason),
        }
    }
}
