//! The `vk-user` driver: a person's account, which may write to strangers.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokio::time::Instant;

use super::{
    super::{
        connecting::Unconnectable,
        driver::{Examined, OpeningCall, Polled},
        http::Http,
        sayable::plain_text,
    },
    TEXT_CHARACTERS_MAX,
    api::{Api, Said, Sending, Standing, account_is_blocked},
    errors::outcome_of,
    polling::Poller,
};
use crate::domain::{
    address::Address,
    attempt::Outcome,
    channel::{ChannelSpec, Secret},
    dialogue::ReplyCall,
};

#[derive(Debug)]
pub struct VkUser {
    api: Api,
}

#[derive(Deserialize)]
struct Account {
    deactivated: Option<String>,
}

impl VkUser {
    pub(in crate::channels) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        Ok(Self { api: Api::connect(spec, secrets, http)? })
    }

    pub(in crate::channels) async fn open(&self, call: &OpeningCall<'_>) -> Outcome {
        match plain_text(call.message, TEXT_CHARACTERS_MAX) {
            Ok(text) => self.send(call.address, text, call.key).await,
            Err(refused) => refused,
        }
    }

    pub(in crate::channels) async fn reply(&self, call: &ReplyCall<'_>) -> Outcome {
        // VK attaches nothing to a message: its key is what it repeats.
        let ReplyCall { peer, text, key, reference: _ } = *call;
        self.send(peer, text, key).await
    }

    pub(in crate::channels) async fn show_typing(&self, peer: &Address) {
        self.api.show_typing(peer).await;
    }

    pub(in crate::channels) async fn poll(&self, cursor: Option<&str>) -> Result<Polled, Outcome> {
        Poller::of_user(&self.api).poll(cursor).await
    }

    /// `users.get` without ids tells of the account that calls.
    pub(in crate::channels) async fn examine(&self) -> Examined {
        let deadline = self.api.http.deadline();
        Examined::of(match self.ask_for_itself(deadline).await {
            Err(outcome) => outcome,
            Ok(Said::Error { error_code }) => outcome_of(error_code),
            Ok(Said::Response(accounts)) => match accounts.first() {
                Some(Account { deactivated: None }) => Outcome::sent(None),
                _ => account_is_blocked(),
            },
        })
    }

    async fn send(&self, address: &Address, text: &str, key: i64) -> Outcome {
        let until = self.api.http.deadline();
        match self.api.send(address, text, key, until).await {
            Sending::Ended(outcome) => outcome,
            Sending::SomebodyIsBlocked(code) => self.standing(until).await.decide(code),
        }
    }

    async fn standing(&self, until: Instant) -> Standing {
        match self.ask_for_itself(until).await {
            Ok(Said::Response(accounts)) => match accounts.first() {
                Some(Account { deactivated: None }) => Standing::InOrder,
                _ => Standing::Blocked,
            },
            Ok(Said::Error { error_code }) => Standing::of_error(error_code),
            Err(_) => Standing::Unknown,
        }
    }

    async fn ask_for_itself(&self, until: Instant) -> Result<Said<Vec<Account>>, Outcome> {
        self.api.call("users.get", &[], until).await
    }
}
