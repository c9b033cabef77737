//! Calls of Avito's API, each with the token that it needs.

use std::{collections::BTreeMap, fmt};

use reqwest::{RequestBuilder, Url, header::AUTHORIZATION};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    super::{
        connecting::{Unconnectable, below, endpoint},
        http::{Answer, Http, exchange_up_to},
    },
    PROVIDER,
    errors::{Refused, read},
    tokens::{Token, Tokens},
};
use crate::domain::{
    attempt::Outcome,
    channel::{ChannelSpec, Secret},
};

/// A page has at most 100 messages of 1,000 characters, which JSON may write in six bytes each, or 100 chats with
/// the addresses of their pictures.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

const UNAUTHORIZED: u16 = 401;

/// An account that calls.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) http: Http,
    endpoint: Url,
    /// By which calls and webhooks name the account.
    pub(super) user_id: String,
    tokens: Tokens,
}

/// The versions that the parts of the messenger have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Version {
    V1,
    V2,
    V3,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
        })
    }
}

impl Api {
    pub(super) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        let endpoint = endpoint(spec)?;
        let user_id = spec.setting("userId").ok_or(Unconnectable::MissingSetting("userId"))?;
        Ok(Self {
            http: http.clone(),
            tokens: Tokens::connect(&endpoint, secrets)?,
            endpoint,
            user_id: user_id.to_owned(),
        })
    }

    pub(super) fn url(&self, segments: &[&str]) -> Url {
        below(&self.endpoint, segments)
    }

    /// A part of the account's messenger.
    pub(super) fn account_url(&self, version: Version, segments: &[&str]) -> Url {
        let account =
            ["messenger", &version.to_string(), "accounts", &self.user_id].map(str::to_owned);
        let account = account.each_ref().map(String::as_str);
        self.url(&[&account[..], segments].concat())
    }

    /// A question about the account, or an order that is no message.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        until: Instant,
    ) -> Result<T, Outcome> {
        self.call(request, until).await.map_err(Refused::of_account)
    }

    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        until: Instant,
    ) -> Result<T, Refused> {
        let of_transfer = |outcome| Refused { outcome, status: None };
        let answer = self.exchange(request, until).await.map_err(of_transfer)?;
        read(&answer)
    }

    /// A call whose token is refused was not carried out: it is made once more with another token, unless that one was
    /// fetched for it already.
    async fn exchange(&self, request: RequestBuilder, until: Instant) -> Result<Answer, Outcome> {
        let again = request.try_clone().expect("no body of ours is a stream");
        let token = self.tokens.get(&self.http, None, until).await?;
        let answer = carried(request, &token, until).await?;
        if answer.status != UNAUTHORIZED || token.is_new {
            return Ok(answer);
        }
        let token = self.tokens.get(&self.http, Some(token.number), until).await?;
        carried(again, &token, until).await
    }
}

async fn carried(
    request: RequestBuilder,
    token: &Token,
    until: Instant,
) -> Result<Answer, Outcome> {
    let request = request.header(AUTHORIZATION, token.authorization.clone());
    exchange_up_to(ANSWER_BYTES_MAX, request, until)
        .await
        .map_err(|failure| failure.outcome(PROVIDER))
}
