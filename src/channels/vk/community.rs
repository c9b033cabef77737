//! The `vk-public` driver: a community, which answers who wrote to it. What it receives by webhooks is in
//! `callback`, by being asked in `polling`.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokio::time::Instant;

use super::{
    super::{
        connecting::Unconnectable,
        driver::{Examined, Polled, Receives},
        http::Http,
        webhook::optional_secret,
    },
    PROVIDER,
    api::{Api, Said, Sending, Standing, account_is_blocked},
    errors::outcome_of,
    polling::Poller,
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, OutcomeClass},
    channel::{ChannelSpec, Secret},
    dialogue::ReplyCall,
};

/// The right by whose name a token is allowed to answer.
const MESSAGES: &str = "messages";

#[derive(Debug)]
pub struct VkPublic {
    pub(super) api: Api,
    pub(super) group_id: String,
    receives: Receives,
    /// Stands in every webhook; without it none is believed.
    pub(super) secret: Option<Secret>,
    /// What VK wants to read before it brings any.
    pub(super) confirmation: Option<Secret>,
}

#[derive(Deserialize)]
struct Communities {
    groups: Vec<Community>,
}

#[derive(Deserialize)]
struct Community {
    id: i64,
    deactivated: Option<String>,
}

#[derive(Deserialize)]
struct Rights {
    permissions: Vec<Right>,
}

#[derive(Deserialize)]
struct Right {
    name: String,
}

impl VkPublic {
    pub(in crate::channels) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        let group_id = spec.setting("groupId").ok_or(Unconnectable::MissingSetting("groupId"))?;
        let secret = optional_secret(secrets, "secret")?;
        Ok(Self {
            api: Api::connect(spec, secrets, http)?,
            group_id: group_id.to_owned(),
            receives: match (spec.setting("receive"), &secret) {
                (Some("webhook"), Some(_)) => Receives::Webhook,
                (Some("webhook"), None) => Receives::Nothing,
                _ => Receives::Polling,
            },
            secret,
            confirmation: optional_secret(secrets, "confirmation")?,
        })
    }

    pub(in crate::channels) async fn reply(&self, call: &ReplyCall<'_>) -> Outcome {
        // VK attaches nothing to a message: its key is what it repeats.
        let ReplyCall { peer, text, key, reference: _ } = *call;
        let until = self.api.http.deadline();
        match self.api.send(peer, text, key, until).await {
            Sending::Ended(outcome) => outcome,
            Sending::SomebodyIsBlocked(code) => self.standing(until).await.decide(code),
        }
    }

    pub(in crate::channels) async fn show_typing(&self, peer: &Address) {
        self.api.show_typing(peer).await;
    }

    pub(in crate::channels) fn receives(&self) -> Receives {
        self.receives
    }

    pub(in crate::channels) async fn poll(&self, cursor: Option<&str>) -> Result<Polled, Outcome> {
        Poller::of_community(&self.api, &self.group_id).poll(cursor).await
    }

    pub(in crate::channels) async fn arrange(&self, hook: Option<&str>) -> Result<(), Outcome> {
        match self.receives {
            // A callback server that is there as well tells the same messages by the same ids.
            Receives::Polling => self.switch_long_poll_on().await,
            Receives::Webhook | Receives::Nothing => self.register_callback(hook).await,
        }
    }

    /// `groups.getById` without ids tells of the community whose token it is.
    pub(in crate::channels) async fn examine(&self) -> Examined {
        let until = self.api.http.deadline();
        let community = match self.ask_for_itself(until).await {
            Err(outcome) => return Examined::of(outcome),
            Ok(Said::Error { error_code }) => return Examined::of(outcome_of(error_code)),
            Ok(Said::Response(communities)) => communities.groups.into_iter().next(),
        };
        let refused = |words: &str| {
            Examined::of(Outcome::of(OutcomeClass::OurMistake, format!("{PROVIDER}: {words}")))
        };
        match community {
            Some(Community { deactivated: None, id }) if id.to_string() == self.group_id => {}
            Some(Community { deactivated: None, .. }) => {
                return refused("the token is of another community than `groupId`");
            }
            _ => return Examined::of(account_is_blocked()),
        }
        let rights = self.api.call::<Rights>("groups.getTokenPermissions", &[], until).await;
        match rights {
            Ok(Said::Response(Rights { permissions }))
                if !permissions.iter().any(|right| right.name == MESSAGES) =>
            {
                refused("the token has no right to send messages")
            }
            // Who belongs to the community was told already.
            _ => Examined::InOrder,
        }
    }

    async fn standing(&self, until: Instant) -> Standing {
        match self.ask_for_itself(until).await {
            Ok(Said::Response(Communities { groups })) => match groups.first() {
                Some(Community { deactivated: None, .. }) => Standing::InOrder,
                _ => Standing::Blocked,
            },
            Ok(Said::Error { error_code }) => Standing::of_error(error_code),
            Err(_) => Standing::Unknown,
        }
    }

    async fn ask_for_itself(&self, until: Instant) -> Result<Said<Communities>, Outcome> {
        self.api.call("groups.getById", &[], until).await
    }
}
