//! Webhooks of Avito: who is believed, what they bring, and where Avito is told to bring them.

use reqwest::Url;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::{
        answer::nothing_was_sent,
        driver::Receives,
        reading::id,
        webhook::{Brought, Webhook, WebhookRefused, same},
    },
    PROVIDER,
    account::Avito,
    message::{Side, read_message},
};
use crate::domain::{
    attempt::{Outcome, OutcomeClass},
    dialogue::Received,
};

/// The version of the events that are read.
const VERSION: &str = "3";
/// Chats in which Avito itself writes: nobody is there to be answered.
const AVITOS_OWN: &str = "a2u";

#[derive(Deserialize)]
struct Subscriptions {
    #[serde(default)]
    subscriptions: Vec<Subscription>,
}

#[derive(Deserialize)]
struct Subscription {
    url: String,
    #[serde(default)]
    version: Value,
}

impl Avito {
    pub(in crate::channels) fn read_webhook(
        &self,
        webhook: &Webhook<'_>,
    ) -> Result<Brought, WebhookRefused> {
        // There is a header with a signature, and no documentation of how it is made.
        let Webhook { body, token, headers: _, at: _ } = *webhook;
        let secret = self.webhook_secret.as_ref().ok_or(WebhookRefused::NotConfigured)?;
        if !same(secret, token.ok_or(WebhookRefused::SignatureMissing)?) {
            return Err(WebhookRefused::SignatureWrong);
        }
        let event: Value = serde_json::from_slice(body).map_err(|_| WebhookRefused::Unreadable)?;
        let received: Vec<_> = read_event(&event, &self.api.user_id).into_iter().collect();
        Ok(received.into())
    }

    /// Has Avito bring its events to `hook`, with the secret as the last part of the address. What it was told before
    /// of this channel, with another secret, is taken back.
    pub(in crate::channels) async fn arrange(&self, hook: Option<&str>) -> Result<(), Outcome> {
        // Whoever asks may be told as well: the same messages come by the same ids.
        if self.receives() != Receives::Webhook {
            return Ok(());
        }
        let wanted = hook.and_then(|hook| self.with_secret(hook)).ok_or_else(unreachable)?;
        let until = self.api.http.deadline();
        // Whose tariff lacks the messenger would be told of nothing, and not why.
        self.look_at_chats(until).await.map_err(nothing_was_sent)?;
        self.subscribe(&wanted, until).await.map_err(nothing_was_sent)
    }

    async fn subscribe(&self, wanted: &Url, until: Instant) -> Result<(), Outcome> {
        let Subscriptions { subscriptions } =
            self.order(&["v1", "subscriptions"], None, until).await?;
        let is_there = |one: &Subscription| one.is_of(wanted) && one.is_readable();
        if !subscriptions.iter().any(is_there) {
            self.order::<IgnoredAny>(&["v3", "webhook"], Some(wanted.as_str()), until).await?;
        }
        for old in subscriptions.iter().filter(|one| one.is_outdated(wanted)) {
            self.order::<IgnoredAny>(&["v1", "webhook", "unsubscribe"], Some(&old.url), until)
                .await?;
        }
        Ok(())
    }

    async fn order<T: for<'de> Deserialize<'de>>(
        &self,
        path: &[&str],
        url: Option<&str>,
        until: Instant,
    ) -> Result<T, Outcome> {
        let request = self.api.http.post(self.api.url(&[&["messenger"], path].concat()));
        let request = match url {
            Some(url) => request.json(&json!({ "url": url })),
            None => request,
        };
        self.api.ask(request, until).await
    }

    fn with_secret(&self, hook: &str) -> Option<Url> {
        let mut url = Url::parse(hook).ok()?;
        url.path_segments_mut().ok()?.push(self.webhook_secret.as_ref()?.reveal());
        Some(url)
    }
}

impl Subscription {
    fn is_of(&self, wanted: &Url) -> bool {
        Url::parse(&self.url).is_ok_and(|url| url == *wanted)
    }

    fn is_readable(&self) -> bool {
        id(Some(&self.version)).is_none_or(|version| version == VERSION)
    }

    /// It leads to this channel, by a secret that is no longer right.
    fn is_outdated(&self, wanted: &Url) -> bool {
        let channel = |url: &Url| {
            let mut channel = url.clone();
            channel.path_segments_mut().ok()?.pop();
            Some(channel)
        };
        let Ok(url) = Url::parse(&self.url) else { return false };
        url != *wanted && (channel(&url) == channel(wanted) || Some(url) == channel(wanted))
    }
}

/// `{id, version, timestamp, payload: {type, value}}`. Other events, and those of other accounts, are passed over.
fn read_event(event: &Value, user_id: &str) -> Option<Received> {
    let payload = event.get("payload")?;
    let value = payload.get("value")?;
    let word = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    let is_ours = id(value.get("user_id")).as_deref() == Some(user_id);
    if word(payload, "type")? != "message"
        || !is_ours
        || word(value, "chat_type").is_some_and(|kind| kind == AVITOS_OWN)
    {
        return None;
    }
    let author = id(value.get("author_id"))?;
    let side = if author == user_id { Side::Ours } else { Side::Theirs };
    read_message(value, &id(value.get("chat_id"))?, side)
}

fn unreachable() -> Outcome {
    let reason = format!(
        "{PROVIDER} does not know where to bring webhooks: give `watch` --listen and --public-url, or let the \
         channel ask for them with `receive: polling`"
    );
    // Another process may know it; and what is known of people can be answered meanwhile.
    Outcome::of(OutcomeClass::NotSent, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dialogue::{Delivery, TypedByHand};

    const OURS: &str = "94235311";

    fn event(change: &Value) -> Value {
        let mut value = json!({
            "id": "m1", "chat_id": "u2i-a~b", "user_id": 94_235_311, "author_id": 5, "created": 1_790_000_000,
            "published_at": "2026-09-21T14:13:20Z", "type": "text", "chat_type": "u2i", "item_id": 7,
            "content": { "text": "Hello" },
        });
        value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({ "id": "e1", "version": "v3.0.0", "timestamp": 1_790_000_000,
            "payload": { "type": "message", "value": value } })
    }

    #[test]
    fn messages_of_the_account_are_read_and_everything_else_is_passed_over() {
        let message = Delivery::Message { id: "m1".to_owned(), text: "Hello".to_owned() };
        let echo = Delivery::Echo {
            id: "m1".to_owned(),
            reference: None,
            text: "Hello".to_owned(),
            typed_by_hand: TypedByHand::UnlessOurs,
        };
        let mut of_call = event(&json!({}));
        of_call["payload"]["type"] = json!("call");
        for (event, expected) in [
            (event(&json!({})), Some(&message)),
            (event(&json!({ "chat_type": "u2u", "item_id": null })), Some(&message)),
            (event(&json!({ "author_id": "5", "user_id": OURS })), Some(&message)),
            (event(&json!({ "author_id": 94_235_311 })), Some(&echo)),
            (event(&json!({ "user_id": 6 })), None),
            (event(&json!({ "chat_type": "a2u" })), None),
            (event(&json!({ "author_id": null })), None),
            (event(&json!({ "chat_id": "" })), None),
            (event(&json!({ "type": "system" })), None),
            (of_call, None),
            // With this Avito has an address tried.
            (json!({}), None),
            (json!([]), None),
            (json!({ "payload": 5 }), None),
        ] {
            let received = read_event(&event, OURS);
            assert_eq!(received.as_ref().map(|received| &received.what), expected, "{event}");
            if let Some(received) = received {
                assert_eq!(received.peer.as_str(), "avito:u2i-a~b");
                assert_eq!(received.at.unwrap().timestamp(), 1_790_000_000);
            }
        }
    }

    #[test]
    fn only_what_led_to_this_channel_is_outdated() {
        let wanted = Url::parse("https://chat.example/hooks/avito/new").unwrap();
        for (url, is_there, is_outdated) in [
            ("https://chat.example/hooks/avito/new", true, false),
            ("https://chat.example/hooks/avito/old", false, true),
            ("https://chat.example/hooks/avito", false, true),
            ("https://chat.example/hooks/other/new", false, false),
            ("https://crm.example/hooks/avito/old", false, false),
            ("https://chat.example/", false, false),
            ("nonsense", false, false),
        ] {
            let one = Subscription { url: url.to_owned(), version: json!("3") };
            assert_eq!(
                (one.is_of(&wanted), one.is_outdated(&wanted)),
                (is_there, is_outdated),
                "{url}"
            );
        }
        for (version, is_readable) in
            [(json!("3"), true), (json!(3), true), (json!(null), true), (json!("2"), false)]
        {
            let one = Subscription { url: String::new(), version };
            assert_eq!(one.is_readable(), is_readable, "{:?}", one.version);
        }
    }
}
