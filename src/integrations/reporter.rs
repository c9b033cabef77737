//! The reporters behind one door: made from an integration's specification, given one report at a time.

use std::collections::BTreeMap;

use super::{
    amocrm::Amocrm, bitrix24::Bitrix24, http::Http, telegram::TelegramNotification,
    webhook::Webhook,
};
use crate::domain::{
    channel::Secret,
    report::{ReportCall, ReportOutcome},
    resource::{IntegrationKind, IntegrationSpec},
};

/// An integration that can be told.
#[derive(Debug)]
pub enum Reporter {
    Webhook(Webhook),
    Bitrix24(Bitrix24),
    Amocrm(Amocrm),
    TelegramNotification(TelegramNotification),
}

/// Why an integration cannot be told anything. Never shows a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconnectable {
    #[error("the credential `{0}` is missing")]
    MissingCredential(&'static str),
    #[error("the credential `{0}` is empty or has characters that no credential has")]
    UnusableCredential(&'static str),
    #[error(
        "the credential `secret` is no signing secret: write `whsec_` and 24 to 64 random bytes in \
         base64; two of them with a space between while one replaces the other"
    )]
    UnusableSigningSecret,
    #[error("the setting `{0}` is missing")]
    MissingSetting(&'static str),
    #[error("`url` is {0}")]
    BadUrl(&'static str),
}

impl Reporter {
    /// Makes the reporter of an integration; calls nobody. `secrets` are the values of its credentials and
    /// its `url`; `endpoint` is where it is found instead, such as in a rehearsal.
    ///
    /// An address in a private network is called like any other: who may change manifests is trusted,
    /// and many a CRM stands in the same building.
    pub fn connect(
        spec: &IntegrationSpec,
        secrets: &BTreeMap<String, Secret>,
        endpoint: Option<Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        let url = endpoint.or_else(|| secrets.get("url").cloned());
        let needed = |url: Option<Secret>| url.ok_or(Unconnectable::MissingCredential("url"));
        Ok(match spec.kind {
            IntegrationKind::Webhook => {
                Self::Webhook(Webhook::connect(&needed(url)?, secrets, http)?)
            }
            IntegrationKind::Bitrix24 => Self::Bitrix24(Bitrix24::connect(&needed(url)?, http)?),
            IntegrationKind::Amocrm => Self::Amocrm(Amocrm::connect(&needed(url)?, secrets, http)?),
            IntegrationKind::TelegramNotification => {
                let url = url.as_ref();
                Self::TelegramNotification(TelegramNotification::connect(spec, url, secrets, http)?)
            }
        })
    }

    /// Makes one try and says how it ended. Nothing is repeated in here.
    pub async fn report(&self, call: &ReportCall<'_>) -> ReportOutcome {
        match self {
            Self::Webhook(webhook) => webhook.report(call).await,
            Self::Bitrix24(bitrix24) => bitrix24.report(call).await,
            Self::Amocrm(amocrm) => amocrm.report(call).await,
            Self::TelegramNotification(telegram) => telegram.report(call).await,
        }
    }
}
