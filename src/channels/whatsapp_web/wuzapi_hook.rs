//! Where wuzapi brings its webhooks: it is told by a call.

use reqwest::Url;
use serde::Deserialize;
use serde_json::json;

use super::{
    super::http::exchange,
    whatsapp::PROVIDER,
    wuzapi::{Wuzapi, read},
};
use crate::domain::attempt::{Outcome, OutcomeClass};

/// What we want to hear of.
const EVENTS: [&str; 2] = ["Message", "ReadReceipt"];

/// Instead of a list of events.
const ALL_EVENTS: &str = "All";

#[derive(Deserialize)]
struct Hooked {
    #[serde(default)]
    webhook: String,
    #[serde(default)]
    subscribe: Vec<String>,
}

impl Wuzapi {
    /// Which of our addresses the gateway reaches, it may know better than we do: one that leads to this channel
    /// is left as it is.
    pub(super) async fn arrange(&self, hook: Option<&str>) -> Result<(), Outcome> {
        let Some(key) = &self.webhook_key else { return Ok(()) };
        let answer = exchange(self.get(&["webhook"]), self.http.deadline())
            .await
            .map_err(|failure| failure.outcome(PROVIDER))?;
        let now: Hooked = read(&answer)?;
        let wanted = hook.and_then(|hook| with_key(hook, key.reveal()));
        if now.leads_to(wanted.as_ref(), key.reveal()) && now.is_whole() {
            return Ok(());
        }
        let Some(wanted) = wanted else {
            let words = "it does not know where webhooks go; start `watch` with `--public-url`, or give it \
                         `/hooks/CHANNEL/KEY`, where KEY is the `webhookKey`";
            // It sends all the same.
            return Err(Outcome::of(OutcomeClass::NotSent, format!("{PROVIDER}: {words}")));
        };
        let body = json!({ "webhookurl": wanted.as_str(), "events": EVENTS });
        let answer = exchange(self.post(&["webhook"], &body), self.http.deadline())
            .await
            .map_err(|failure| failure.outcome(PROVIDER))?;
        read::<serde::de::IgnoredAny>(&answer).map(drop)
    }
}

impl Hooked {
    fn leads_to(&self, wanted: Option<&Url>, key: &str) -> bool {
        let Ok(now) = Url::parse(&self.webhook) else { return false };
        match wanted {
            Some(wanted) => now.path() == wanted.path(),
            // The channel's name is not known here.
            None => with_key("http://a.example/hooks/b", key).is_some_and(|like| {
                let last = |url: &Url| url.path().rsplit('/').next().map(str::to_owned);
                last(&now) == last(&like)
            }),
        }
    }

    fn is_whole(&self) -> bool {
        let has = |event: &str| self.subscribe.iter().any(|one| one == event);
        has(ALL_EVENTS) || EVENTS.into_iter().all(has)
    }
}

/// The key as the last part of the address.
fn with_key(hook: &str, key: &str) -> Option<Url> {
    let mut url = Url::parse(hook).ok()?;
    url.path_segments_mut().ok()?.push(key);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_that_leads_here_is_left_alone() {
        let wanted = with_key("https://chat.example/hooks/wa", "a/b").unwrap();
        assert_eq!(wanted.as_str(), "https://chat.example/hooks/wa/a%2Fb");
        for (webhook, with_hook, without) in [
            ("https://chat.example/hooks/wa/a%2Fb", true, true),
            // By another way to the same place.
            ("http://10.0.0.7:8080/hooks/wa/a%2Fb", true, true),
            ("https://chat.example/hooks/other/a%2Fb", false, true),
            ("https://chat.example/hooks/wa/old", false, false),
            ("https://chat.example/hooks/wa", false, false),
            ("", false, false),
        ] {
            let now = Hooked { webhook: webhook.to_owned(), subscribe: Vec::new() };
            assert_eq!(now.leads_to(Some(&wanted), "a/b"), with_hook, "{webhook}");
            assert_eq!(now.leads_to(None, "a/b"), without, "{webhook}");
        }
    }

    #[test]
    fn messages_and_receipts_are_wanted() {
        for (events, is_whole) in [
            (&["Message", "ReadReceipt"][..], true),
            (&["ReadReceipt", "Presence", "Message"], true),
            (&["All"], true),
            (&["Message"], false),
            (&[""], false),
        ] {
            let subscribe = events.iter().map(|event| (*event).to_owned()).collect();
            assert_eq!(Hooked { webhook: String::new(), subscribe }.is_whole(), is_whole);
        }
    }
}
