//! The gateways behind one door.

use std::collections::BTreeMap;

use super::{
    super::{
        connecting::Unconnectable,
        driver::{Examined, OpeningCall, Receives},
        http::Http,
        webhook::{Brought, Webhook, WebhookRefused},
    },
    waha::Waha,
    wuzapi::Wuzapi,
};
use crate::domain::{
    address::Address,
    attempt::Outcome,
    channel::{ChannelSpec, Secret},
    dialogue::ReplyCall,
};

/// By its dialect.
#[derive(Debug)]
pub enum WhatsappWeb {
    Waha(Waha),
    Wuzapi(Wuzapi),
}

impl WhatsappWeb {
    pub(in super::super) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        match spec.setting("gateway") {
            None | Some("waha") => Waha::connect(spec, secrets, http).map(Self::Waha),
            Some("wuzapi") => Wuzapi::connect(spec, secrets, http).map(Self::Wuzapi),
            Some(other) => Err(Unconnectable::UnsupportedGateway(other.to_owned())),
        }
    }

    pub(in super::super) async fn examine(&self) -> Examined {
        match self {
            Self::Waha(gateway) => gateway.examine().await,
            Self::Wuzapi(gateway) => gateway.examine().await,
        }
    }

    pub(in super::super) async fn open(&self, call: &OpeningCall<'_>) -> Outcome {
        match self {
            Self::Waha(gateway) => gateway.open(call).await,
            Self::Wuzapi(gateway) => gateway.open(call).await,
        }
    }

    pub(in super::super) async fn reply(&self, call: &ReplyCall<'_>) -> Outcome {
        match self {
            Self::Waha(gateway) => gateway.reply(call).await,
            Self::Wuzapi(gateway) => gateway.reply(call).await,
        }
    }

    pub(in super::super) async fn show_typing(&self, peer: &Address, last_received: Option<&str>) {
        match self {
            Self::Waha(gateway) => gateway.show_typing(peer).await,
            Self::Wuzapi(gateway) => gateway.show_typing(peer, last_received).await,
        }
    }

    pub(in super::super) fn receives(&self) -> Receives {
        let key = match self {
            Self::Waha(gateway) => &gateway.webhook_key,
            Self::Wuzapi(gateway) => &gateway.webhook_key,
        };
        match key {
            Some(_) => Receives::Webhook,
            None => Receives::Nothing,
        }
    }

    pub(in super::super) async fn arrange(&self, hook: Option<&str>) -> Result<(), Outcome> {
        match self {
            // Its session is told where webhooks go by hand, with the key that signs them.
            Self::Waha(_) => Ok(()),
            Self::Wuzapi(gateway) => gateway.arrange(hook).await,
        }
    }

    pub(in super::super) fn read_webhook(
        &self,
        webhook: &Webhook<'_>,
    ) -> Result<Brought, WebhookRefused> {
        match self {
            Self::Waha(gateway) => gateway.read_webhook(webhook).map(Brought::from),
            Self::Wuzapi(gateway) => gateway.read_webhook(webhook),
        }
    }
}
