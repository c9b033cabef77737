//! How a bot hears what is written: it asks for its updates, or has them brought.

use std::{sync::atomic::Ordering, time::Duration};

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::{
        answer::nothing_was_sent,
        driver::Polled,
        reading::integer,
        webhook::{Webhook, WebhookRefused, same},
    },
    bot::TelegramBot,
    bot_api::PROVIDER,
    updates::{read_of_bot, read_of_business},
};
use crate::domain::{
    attempt::{Outcome, OutcomeClass},
    channel::Secret,
    dialogue::Received,
    kind::Receive,
};

/// A proxy on the way may close what is silent for longer; Telegram itself waits for 50 s at most.
const WAIT: Duration = Duration::from_secs(25);
/// As many as Telegram gives at once.
const UPDATES_MAX: u32 = 100;

#[derive(Deserialize)]
struct WebhookInfo {
    #[serde(default)]
    url: String,
    #[serde(default)]
    has_custom_certificate: bool,
    #[serde(default)]
    allowed_updates: Vec<String>,
    #[serde(default)]
    pending_update_count: i64,
    #[serde(default)]
    last_error_date: i64,
    #[serde(default)]
    last_error_message: String,
}

impl TelegramBot {
    /// One round. The cursor is the number of the next update: what lies before it, Telegram forgets when it is
    /// named. A place that never was makes Telegram begin with the oldest that it has, and so does the first.
    pub(in super::super) async fn poll(&self, cursor: Option<&str>) -> Result<Polled, Outcome> {
        let place: i64 = cursor.and_then(|text| text.parse().ok()).unwrap_or_default();
        // The first round only looks at what is there.
        let wait = if cursor.is_some() { WAIT } else { Duration::ZERO };
        let parameters = json!({
            "offset": place,
            "limit": UPDATES_MAX,
            "timeout": wait.as_secs(),
            "allowed_updates": self.wanted(),
        });
        let until = self.api.http.deadline_after(wait);
        let asked = self.api.call_raw::<Vec<Value>>("getUpdates", &parameters, until).await;
        let (updates, raw) = asked.map_err(nothing_was_sent)?;
        // In their order, and not by size: after a week of silence the numbers begin anew, anywhere.
        let last = updates.iter().rev().find_map(|update| integer(update.get("update_id")));
        let next = last.and_then(|last| last.checked_add(1)).unwrap_or(place);
        let received = updates.iter().filter_map(|update| self.read(update)).collect();
        Ok(Polled { received, cursor: next.to_string(), raw })
    }

    pub(in super::super) fn read_webhook(
        &self,
        webhook: &Webhook<'_>,
    ) -> Result<Vec<Received>, WebhookRefused> {
        let Webhook { headers, body, token: _, at: _ } = *webhook;
        let secret = self.webhook_secret.as_ref().ok_or(WebhookRefused::NotConfigured)?;
        let presented = headers.get("x-telegram-bot-api-secret-token");
        if !same(secret, presented.ok_or(WebhookRefused::SignatureMissing)?) {
            return Err(WebhookRefused::SignatureWrong);
        }
        let update: Value = serde_json::from_slice(body).map_err(|_| WebhookRefused::Unreadable)?;
        Ok(self.read(&update).into_iter().collect())
    }

    fn read(&self, update: &Value) -> Option<Received> {
        match &self.connection {
            Some(connection) => read_of_business(update, connection),
            None => read_of_bot(update),
        }
    }

    /// Looks first whether the owner of a business still wants the bot, and where Telegram brings its updates now. An
    /// address that is not ours is somebody's: who set it would hear nothing any more, so it is told and stays.
    pub(in super::super) async fn arrange(&self, hook: Option<&str>) -> Result<(), Outcome> {
        let until = self.api.http.deadline();
        self.may_speak(until).await.map_err(nothing_was_sent)?;
        let info = self.api.call::<WebhookInfo>("getWebhookInfo", &json!({}), until).await;
        let info = info.map_err(nothing_was_sent)?;
        let is_free = info.url.is_empty();
        let is_ours = !is_free && hook == Some(info.url.as_str());
        match (self.receive, hook, &self.webhook_secret) {
            (Receive::Polling, ..) if is_free => Ok(()),
            // What waits there to be brought is asked for.
            (Receive::Polling, ..) if is_ours => {
                self.change("deleteWebhook", &json!({}), until).await
            }
            (Receive::Webhook, Some(hook), Some(secret)) if is_free || is_ours => {
                self.be_told(hook, secret, &info, until).await
            }
            (Receive::Webhook, None, _) => Err(unreachable()),
            _ => Err(taken(&info.url)),
        }
    }

    /// Telegram does not say which secret it has, so it is told at first in any case; to be told the same again
    /// changes nothing there.
    async fn be_told(
        &self,
        hook: &str,
        secret: &Secret,
        info: &WebhookInfo,
        until: Instant,
    ) -> Result<(), Outcome> {
        let is_set = info.url == hook
            && self.wanted().len() == info.allowed_updates.len()
            && self
                .wanted()
                .iter()
                .all(|one| info.allowed_updates.iter().any(|other| other == one));
        // Somebody gave it another secret since.
        let is_refused = info.last_error_message.contains(" 401");
        let is_told = self.is_told.load(Ordering::Relaxed);
        // Who uploaded a certificate with the address would lose it.
        if is_set && (info.has_custom_certificate || is_told && !is_refused) {
            return self.is_heard(info);
        }
        let parameters = json!({
            "url": hook, "secret_token": secret.reveal(), "allowed_updates": self.wanted(),
        });
        self.change("setWebhook", &parameters, until).await?;
        self.is_told.store(true, Ordering::Relaxed);
        self.failed_at.store(info.last_error_date, Ordering::Relaxed);
        Ok(())
    }

    /// Telegram goes on trying for a day. What failed before, and does not wait any more, is over.
    fn is_heard(&self, info: &WebhookInfo) -> Result<(), Outcome> {
        let is_new = info.last_error_date > self.failed_at.load(Ordering::Relaxed);
        if is_new && info.pending_update_count > 0 {
            return Err(undelivered(&info.last_error_message));
        }
        self.failed_at.store(info.last_error_date, Ordering::Relaxed);
        Ok(())
    }

    async fn change(
        &self,
        method: &str,
        parameters: &Value,
        until: Instant,
    ) -> Result<(), Outcome> {
        let changed = self.api.call::<bool>(method, parameters, until).await;
        changed.map(drop).map_err(nothing_was_sent)
    }
}

/// The rest of the address may be a secret of its owner's.
fn taken(url: &str) -> Outcome {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or("another host");
    let reason = format!(
        "{PROVIDER} error 409: the bot's updates are brought to {host}; whoever receives them there has to give \
         them up (deleteWebhook)"
    );
    Outcome::of(OutcomeClass::OurMistake, reason)
}

fn unreachable() -> Outcome {
    let reason = format!(
        "{PROVIDER} does not know where to bring webhooks: give `watch` --listen and --public-url, or let the \
         channel ask for them with `receive: polling`"
    );
    // Another process may know it; and what is known of people can be answered meanwhile.
    Outcome::of(OutcomeClass::NotSent, reason)
}

/// By the words of the Bot API's own server, of which none is repeated.
fn undelivered(words: &str) -> Outcome {
    let status = words.strip_prefix("Wrong response from the webhook: ").and_then(|rest| {
        rest.split(' ').next().filter(|status| status.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let lower = words.to_lowercase();
    let says = |word: &str| lower.contains(word);
    let why = match status {
        Some(status) => format!("the answer is HTTP {status:.3}"),
        None if says("ssl") || says("certificate") => "the certificate is not accepted".to_owned(),
        None if says("resolve") => "nobody knows the name of the host".to_owned(),
        None if says("timeout") || says("timed out") => "no answer comes in time".to_owned(),
        None => "it is not reached".to_owned(),
    };
    let reason =
        format!("{PROVIDER} cannot bring webhooks to the address of `--public-url`: {why}");
    Outcome::of(OutcomeClass::NotSent, reason)
}
