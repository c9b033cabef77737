//! The drivers behind one door: made from a channel's specification, asked to send one opening.

use std::collections::BTreeMap;

use reqwest::{Url, header::HeaderValue};

use super::{http::Http, vk::VkUser, waba::Waba, whatsapp_web::WhatsappWeb};
use crate::domain::{
    address::Address,
    attempt::{Message, Outcome, OutcomeClass},
    channel::{ChannelSpec, Secret},
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

/// One opening, to be sent once.
#[derive(Clone, Copy)]
pub struct OpeningCall<'a> {
    pub address: &'a Address,
    pub message: &'a Message,
    /// The same for every attempt at one opening.
    pub key: i64,
    pub attempt: AttemptId,
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
    let refused = |reason: &str| Err(Outcome::of(OutcomeClass::MessagePermanent, reason));
    match message {
        Message::Template { .. } => refused("this kind of channel sends texts, not templates"),
        Message::Text(text) if text.trim().is_empty() => refused("the text is empty"),
        Message::Text(text) if text.chars().count() > limit => {
            refused(&format!("the text is longer than {limit} characters"))
        }
        Message::Text(text) => Ok(text),
    }
}
