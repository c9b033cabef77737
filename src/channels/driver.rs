//! The drivers behind one door: made from a channel's specification, asked to send and to receive.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use reqwest::{Url, header::HeaderValue};

use super::{
    http::Http,
    split,
    vk::{self, VkUser},
    waba::{self, Waba},
    webhook::{WebhookHeaders, WebhookRefused},
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
    VkUser(VkUser),
    Waba(Waba),
    WhatsappWeb(WhatsappWeb),
}

/// A text in parts that the providers of a kind take; whole where none is called.
pub fn split_for(kind: ChannelKind, text: &str) -> Vec<String> {
    let limit = match kind {
        ChannelKind::VkUser => vk::TEXT_CHARACTERS_MAX,
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

/// Why a channel has no driver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconnectable {
    #[error("this version cannot send through channels of kind `{0}`")]
    NoDriver(ChannelKind),
    #[error("the gateway dialect `{0}` is not supported yet; use `waha`")]
    UnsupportedGateway(String),
    #[error("the credential `{0}` is missing")]
    MissingCredential(&'static str),
    #[error("the credential `{0}` is empty or has characters that no credential has")]
    UnusableCredential(&'static str),
    #[error("the setting `{0}` is missing")]
    MissingSetting(&'static str),
    #[error("`callbackUrl` is neither `http://…` nor `https://…`")]
    BadCallbackUrl,
    #[error("`endpoint` is {0}")]
    BadEndpoint(&'static str),
}

impl Driver {
    /// Makes the driver of a channel; calls nobody. `secrets` are the values of its credentials.
    pub fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        match spec.kind {
            ChannelKind::VkUser => VkUser::connect(spec, secrets, http).map(Self::VkUser),
            ChannelKind::Waba => Waba::connect(spec, secrets, http).map(Self::Waba),
            ChannelKind::WhatsappWeb => {
                WhatsappWeb::connect(spec, secrets, http).map(Self::WhatsappWeb)
            }
            kind => Err(Unconnectable::NoDriver(kind)),
        }
    }

    pub fn kind(&self) -> ChannelKind {
        match self {
            Self::VkUser(_) => ChannelKind::VkUser,
            Self::Waba(_) => ChannelKind::Waba,
            Self::WhatsappWeb(_) => ChannelKind::WhatsappWeb,
        }
    }

    /// Asks the provider whether the account may send; sends nothing.
    pub async fn examine(&self) -> Examined {
        match self {
            Self::VkUser(driver) => driver.examine().await,
            Self::Waba(driver) => driver.examine().await,
            Self::WhatsappWeb(driver) => driver.examine().await,
        }
    }

    /// Makes one attempt and says how it ended. Nothing is repeated in here.
    pub async fn open(&self, call: &OpeningCall<'_>) -> Outcome {
        match self {
            Self::VkUser(driver) => driver.open(call).await,
            Self::Waba(driver) => driver.open(call).await,
            Self::WhatsappWeb(driver) => driver.open(call).await,
        }
    }

    /// Makes one attempt at a reply and says how it ended. Nothing is repeated in here.
    pub async fn reply(&self, call: &ReplyCall<'_>) -> Outcome {
        match self {
            Self::VkUser(driver) => driver.reply(call).await,
            Self::Waba(driver) => driver.reply(call).await,
            Self::WhatsappWeb(driver) => driver.reply(call).await,
        }
    }

    /// Shows the person that their message was read and somebody types. Takes a few seconds at most,
    /// and nobody learns whether it worked. `last_received` is the provider's id of their message.
    pub async fn show_typing(&self, peer: &Address, last_received: Option<&str>) {
        match self {
            Self::VkUser(driver) => driver.show_typing(peer).await,
            Self::Waba(driver) => driver.show_typing(last_received).await,
            Self::WhatsappWeb(driver) => driver.show_typing(peer).await,
        }
    }

    /// The text in parts that the provider takes; none where there is nothing to say.
    pub fn split(&self, text: &str) -> Vec<String> {
        split_for(self.kind(), text)
    }

    pub fn receives(&self) -> Receives {
        let by = |secret: &Option<Secret>| match secret {
            Some(_) => Receives::Webhook,
            None => Receives::Nothing,
        };
        match self {
            Self::VkUser(_) => Receives::Polling,
            Self::Waba(driver) => by(&driver.app_secret),
            Self::WhatsappWeb(driver) => by(&driver.webhook_key),
        }
    }

    /// One round of polling, which waits for up to half a minute. Where the channel does not poll, it
    /// is our own mistake to ask.
    pub async fn poll(&self, cursor: Option<&str>) -> Result<Polled, Outcome> {
        match self {
            Self::VkUser(driver) => driver.poll(cursor).await,
            Self::Waba(_) | Self::WhatsappWeb(_) => {
                Err(Outcome::of(OutcomeClass::OurMistake, "this kind of channel is not polled"))
            }
        }
    }

    /// What a webhook brought, after it was proven to be the provider's. `body` is as it came: a
    /// signature holds for its bytes. Events that are not understood are passed over.
    pub fn read_webhook(
        &self,
        headers: &WebhookHeaders,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Vec<Received>, WebhookRefused> {
        match self {
            Self::VkUser(_) => Err(WebhookRefused::NotConfigured),
            // Nothing that Meta signs says when it was sent; repeats are told by their ids.
            Self::Waba(driver) => driver.read_webhook(headers, body),
            Self::WhatsappWeb(driver) => driver.read_webhook(headers, body, now),
        }
    }

    /// The answer that proves to the provider that its webhooks may come here.
    pub fn answer_challenge(&self, query: &[(String, String)]) -> Option<String> {
        match self {
            Self::Waba(driver) => driver.answer_challenge(query),
            Self::VkUser(_) | Self::WhatsappWeb(_) => None,
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

/// The base address of a provider: the manifest's, or the kind's own.
pub(super) fn endpoint(spec: &ChannelSpec) -> Result<Url, Unconnectable> {
    let text = spec.endpoint.as_deref().or(spec.kind.facts().endpoint);
    let text = text.ok_or(Unconnectable::BadEndpoint("missing"))?;
    let bad = |reason| Err(Unconnectable::BadEndpoint(reason));
    let Ok(url) = Url::parse(text) else { return bad("no URL") };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return bad("neither `http://…` nor `https://…`");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return bad("a URL with a user name or password; secrets belong into `credentials`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return bad("a URL with a query or a fragment");
    }
    Ok(url)
}

/// A call's URL below the endpoint. Segments are escaped, so a setting cannot lead elsewhere.
pub(super) fn below(endpoint: &Url, segments: &[&str]) -> Url {
    let mut url = endpoint.clone();
    url.path_segments_mut()
        .expect("`endpoint` lets only http and https pass, which have a path")
        .pop_if_empty()
        .extend(segments);
    url
}

/// A credential as a header, marked so that no library shows it.
pub(super) fn credential_header(
    secrets: &BTreeMap<String, Secret>,
    name: &'static str,
    prefix: &str,
) -> Result<HeaderValue, Unconnectable> {
    let secret = secrets.get(name).ok_or(Unconnectable::MissingCredential(name))?;
    // A file with a secret mostly ends with a line feed.
    let value = secret.reveal().trim();
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Unconnectable::UnusableCredential(name));
    }
    let mut header = HeaderValue::try_from(format!("{prefix}{value}"))
        .map_err(|_| Unconnectable::UnusableCredential(name))?;
    header.set_sensitive(true);
    Ok(header)
}

/// The text of a message for a kind that has no templates, below its limit in characters.
pub(super) fn plain_text(message: &Message, limit: usize) -> Result<&str, Outcome> {
    match message {
        Message::Text(text) => sayable(text, limit),
        Message::Template { .. } => {
            let reason = "this kind of channel sends texts, not templates";
            Err(Outcome::of(OutcomeClass::MessagePermanent, reason))
        }
    }
}

/// A text that no provider refuses for its length.
pub(super) fn sayable(text: &str, limit: usize) -> Result<&str, Outcome> {
    let refused = |reason: &str| Err(Outcome::of(OutcomeClass::MessagePermanent, reason));
    if text.trim().is_empty() {
        return refused("the text is empty");
    }
    if split::characters(text) > limit {
        return refused(&format!("the text is longer than {limit} characters"));
    }
    Ok(text)
}
