//! How a bot is told what happened: it asks, or a webhook brings it; never both.

use std::{sync::Arc, time::Duration};

use axum::{http::Uri, response::Response};
use serde_json::{Value, json};

use super::{
    super::{
        journal::{Direction, Entry, Verdict},
        news::News,
        pushes::push,
        world::{Hook, World},
    },
    api::{Asked, error, ok},
    updates::{kind_of, update, update_id},
};

/// The longest that Telegram lets a client wait.
const WAIT_MAX_S: i64 = 50;
const UPDATES_MAX: i64 = 100;
/// A question for what is further ahead than this is one for another stream: it gets all of this one.
const AHEAD_MAX: i64 = 10;

const SECRET_BYTES_MAX: usize = 256;
const CONNECTIONS: u32 = 40;
const PORTS: &[u16] = &[80, 88, 443, 8443];

const WEBHOOK_IS_ACTIVE: &str = "Conflict: can't use getUpdates method while webhook is active; \
     use deleteWebhook to delete the webhook first";
const ENDED_BY_OTHER: &str = "Conflict: terminated by other getUpdates request; \
     make sure that only one bot instance is running";
const ENDED_BY_WEBHOOK: &str = "Conflict: terminated by setWebhook request";

pub(super) async fn get_updates(asked: &Asked) -> Response {
    let Asked { world, kind, channel, parameters } = asked;
    if world.hook(channel).is_some() {
        return error(409, WEBHOOK_IS_ACTIVE);
    }
    world.meet(*kind, channel);
    asked.want();
    let limit = parameters.integer("limit").unwrap_or(UPDATES_MAX).clamp(1, UPDATES_MAX);
    let wait = parameters.integer("timeout").unwrap_or_default().clamp(0, WAIT_MAX_S);
    let until =
        tokio::time::Instant::now() + Duration::from_secs(u64::try_from(wait).unwrap_or_default());
    let question = asked.ask();
    asked.forget_below(parameters.integer("offset").unwrap_or_default());
    loop {
        // Before the look at the stream, so that nothing is missed between the two.
        let next = world.next_message();
        let waiting = asked.waiting();
        let updates: Vec<Value> = waiting
            .iter()
            .take(usize::try_from(limit).unwrap_or_default())
            .filter_map(|entry| update(*kind, entry))
            .collect();
        // Who does not wait is in nobody's way.
        if !updates.is_empty() || wait == 0 {
            return ok(Value::Array(updates));
        }
        if world.with_bot(channel, |bot| bot.questions) != question {
            let by_webhook = world.hook(channel).is_some();
            return error(409, if by_webhook { ENDED_BY_WEBHOOK } else { ENDED_BY_OTHER });
        }
        tokio::select! {
            () = next => {}
            () = tokio::time::sleep_until(until) => return ok(json!([])),
            () = world.shutdown() => return ok(json!([])),
        }
    }
}

pub(super) fn set_webhook(asked: &Asked) -> Response {
    let Asked { world, kind, channel, parameters } = asked;
    let (url, secret) = (parameters.text("url"), parameters.text("secret_token"));
    if url.is_empty() {
        return delete_webhook(asked);
    }
    if let Some(description) = objection(&url, &secret) {
        return error(400, description);
    }
    world.meet(*kind, channel);
    asked.want();
    world.set_hook(channel, Some(Hook { url, secret: (!secret.is_empty()).then_some(secret) }));
    asked.ask();
    world.with_bot(channel, |bot| bot.last_error = None);
    if parameters.is_true("drop_pending_updates") {
        asked.forget_all();
    }
    // What waited to be asked for is brought.
    let (waiting, bringing) = (asked.waiting(), Arc::clone(world));
    world.tracker().spawn(async move {
        for entry in waiting {
            let is_ours = entry.direction == Direction::ToPerson;
            push(&bringing, &entry, if is_ours { News::Echo } else { News::Message }).await;
        }
    });
    ok(Value::Bool(true))
}

pub(super) fn delete_webhook(asked: &Asked) -> Response {
    asked.world.set_hook(&asked.channel, None);
    if asked.parameters.is_true("drop_pending_updates") {
        asked.forget_all();
    }
    ok(Value::Bool(true))
}

pub(super) fn get_webhook_info(asked: &Asked) -> Response {
    let Asked { world, channel, .. } = asked;
    let hook = world.hook(channel);
    let mut info = json!({
        "url": hook.as_ref().map_or("", |hook| hook.url.as_str()),
        "has_custom_certificate": false,
        "pending_update_count": asked.waiting().len(),
    });
    if hook.is_some() {
        info["max_connections"] = json!(CONNECTIONS);
        info["ip_address"] = json!("127.0.0.1");
    }
    let (wanted, last_error) =
        world.with_bot(channel, |bot| (bot.wanted.clone(), bot.last_error.clone()));
    if let Some(wanted) = wanted {
        info["allowed_updates"] = json!(wanted);
    }
    if let Some((at, words)) = last_error {
        info["last_error_date"] = json!(at);
        info["last_error_message"] = json!(words);
    }
    ok(info)
}

/// What Telegram has against an address. On the loopback, which it never calls, everything goes.
fn objection(url: &str, secret: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if secret.len() > SECRET_BYTES_MAX {
        return Some("Bad Request: secret token is too long");
    }
    if !secret.bytes().all(plain) {
        return Some("Bad Request: secret token contains unallowed characters");
    }
    let Some(uri) = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some()) else {
        return Some("Bad Request: invalid webhook URL specified");
    };
    if uri.host() == Some("127.0.0.1") {
        return None;
    }
    if uri.scheme_str() != Some("https") {
        return Some("Bad Request: bad webhook: An HTTPS URL must be provided for webhook");
    }
    if !PORTS.contains(&uri.port_u16().unwrap_or(443)) {
        return Some(
            "Bad Request: bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443",
        );
    }
    None
}

/// Remembers what became of a webhook.
pub(in super::super) fn note_push(world: &World, entry: &Entry, verdict: &Verdict) {
    let at = world.now().timestamp();
    world.with_bot(&entry.channel, |bot| match verdict {
        Verdict::Refused(why) => {
            let words = match why.strip_prefix("HTTP ") {
                Some(status) => format!("Wrong response from the webhook: {status}"),
                None => format!("Connection failed: {why}"),
            };
            bot.last_error = Some((at, words));
        }
        _ => drop(bot.brought.insert(update_id(entry))),
    });
}

impl Asked {
    /// Who asked before, and waits, hears that somebody else does. Gives the number of the question.
    fn ask(&self) -> u64 {
        let number = self.world.with_bot(&self.channel, |bot| {
            bot.questions += 1;
            bot.questions
        });
        self.world.wake();
        number
    }

    /// The kinds of updates stay wanted until others are named; no kind at all means every one.
    fn want(&self) {
        if let Some(wanted) = self.parameters.texts("allowed_updates") {
            let wanted = (!wanted.is_empty()).then_some(wanted);
            self.world.with_bot(&self.channel, |bot| bot.wanted = wanted);
        }
    }

    fn all(&self) -> Vec<Entry> {
        self.world.with_stream(&self.channel, |stream| stream.messages().cloned().collect())
    }

    /// What the bot was not told yet, in order.
    fn waiting(&self) -> Vec<Entry> {
        let all = self.all();
        self.world.with_bot(&self.channel, |bot| {
            let waits = |entry: &Entry| {
                kind_of(self.kind, entry).is_some_and(|name| bot.awaits(update_id(entry), name))
            };
            all.into_iter().filter(waits).collect()
        })
    }

    /// A place behind the end counts from there; one far ahead is none.
    fn forget_below(&self, offset: i64) {
        let all = self.all();
        let end = all.last().map_or(0, |entry| update_id(entry) + 1);
        let below = if offset < 0 {
            let kept = usize::try_from(-offset).unwrap_or(usize::MAX);
            all.get(all.len().saturating_sub(kept)).map_or(end, update_id)
        } else if offset <= end + AHEAD_MAX {
            offset
        } else {
            return;
        };
        self.world.with_bot(&self.channel, |bot| {
            bot.forgotten_below = bot.forgotten_below.max(below);
            bot.brought = bot.brought.split_off(&below);
        });
    }

    fn forget_all(&self) {
        let end = self.all().last().map_or(0, |entry| update_id(entry) + 1);
        self.forget_below(end);
    }
}
