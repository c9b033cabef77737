//! The system behind an `api` channel: our messages are posted to it, signed by Standard Webhooks.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::{Url, header};
use serde_json::json;
use standardwebhooks::Webhook;

use super::{
    connecting::Unconnectable,
    http::{Answer, Failure, Http, exchange},
};
use crate::domain::{
    address::Address,
    channel::{ChannelSpec, Secret},
    dialogue::Author,
    id::ChannelName,
};

/// A message of ours, as the receiver is told.
#[derive(Clone, Copy, Debug)]
pub struct CallbackMessage<'a> {
    pub id: i64,
    pub channel: &'a ChannelName,
    pub peer: &'a Address,
    pub author: Author,
    pub text: &'a str,
    pub at: DateTime<Utc>,
}

/// How a post ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    Taken,
    /// It wants no more.
    Gone,
    /// The same may be taken later.
    Refused {
        after: Option<Duration>,
        reason: String,
    },
}

/// Where the messages of one channel are posted.
pub struct Receiver {
    url: Url,
    /// As the manifest writes it.
    shown: String,
    signer: Webhook,
    http: Http,
}

impl Receiver {
    pub fn connect(
        spec: &ChannelSpec,
        secret: Option<&Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        let shown =
            spec.setting("callbackUrl").ok_or(Unconnectable::MissingSetting("callbackUrl"))?;
        let url = Url::parse(shown).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty()
        });
        let url = url.ok_or(Unconnectable::BadCallbackUrl)?;
        let secret = secret.ok_or(Unconnectable::MissingCredential("callbackSecret"))?;
        let signer = Webhook::new(secret.reveal().trim())
            .map_err(|_| Unconnectable::UnusableCredential("callbackSecret"))?;
        Ok(Self { url, shown: shown.to_owned(), signer, http: http.clone() })
    }

    pub fn url(&self) -> &str {
        &self.shown
    }

    /// Posts once. The id is the same for every repeat of a message, so that the receiver can drop it.
    pub async fn post(&self, message: &CallbackMessage<'_>, now: DateTime<Utc>) -> Posted {
        let CallbackMessage { id, channel, peer, author, text, at } = message;
        let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let body = json!({
            "type": "message.created",
            "timestamp": at,
            "data": {
                "id": id,
                "channel": channel.as_str(),
                "peer": peer.as_str(),
                "author": author.as_str(),
                "text": text,
                "created_at": at,
            },
        })
        .to_string();
        let webhook_id = format!("message-{id}");
        let timestamp = now.timestamp();
        let Ok(signature) = self.signer.sign(&webhook_id, timestamp, body.as_bytes()) else {
            return refused("it could not be signed");
        };
        let request = self
            .http
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", webhook_id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", signature)
            .body(body);
        match exchange(request, self.http.deadline()).await {
            Ok(answer) if answer.is_success() => Posted::Taken,
            Ok(Answer { status: 410, .. }) => Posted::Gone,
            Ok(Answer { status, retry_after, .. }) => {
                let reason = format!("the receiver answers {status}");
                Posted::Refused { after: retry_after, reason }
            }
            Err(Failure::NotSent(words) | Failure::InDoubt(words)) => refused(words),
        }
    }
}

fn refused(reason: &str) -> Posted {
    Posted::Refused { after: None, reason: reason.to_owned() }
}
