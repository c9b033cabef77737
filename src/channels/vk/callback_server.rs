//! The callback server of a community: where VK brings its events.

use serde::Deserialize;
use serde_json::Value;
use tracing::warn;

use super::{
    super::webhook::same,
    PROVIDER,
    api::{Said, VERSION},
    community::VkPublic,
    errors::{is_not_allowed, outcome_of},
    long_poll_settings::{EVENTS, Events},
};
use crate::domain::{
    attempt::{Outcome, OutcomeClass},
    channel::Secret,
};

/// Shown in the community's settings; VK takes up to 14 characters.
const TITLE: &str = "nuncio";

/// The status of an address that did not answer with the confirmation.
const FAILED: &str = "failed";

#[derive(Deserialize)]
struct Servers {
    items: Vec<Server>,
}

#[derive(Deserialize)]
struct Server {
    id: i64,
    url: String,
    #[serde(default)]
    secret_key: String,
    #[serde(default)]
    status: String,
}

#[derive(Deserialize)]
struct Added {
    server_id: i64,
}

#[derive(Deserialize)]
struct Confirmation {
    code: String,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    events: Events,
}

/// What the token may not do is done by a person.
enum Registering {
    Done,
    NotAllowed,
}

impl VkPublic {
    /// Has VK bring its events to `hook`: enters the address where it is not there, with the secret and the
    /// events that are read. Where the token may not, says what a person has to enter.
    pub(super) async fn register_callback(&self, hook: Option<&str>) -> Result<(), Outcome> {
        let (Some(secret), Some(confirmation)) = (&self.secret, &self.confirmation) else {
            return Err(unheard("webhooks need the credentials `secret` and `confirmation`"));
        };
        let hook = hook.ok_or_else(|| {
            unheard("webhooks need an address that VKontakte reaches: give --public-url")
        })?;
        match self.register(hook, secret, confirmation).await? {
            Registering::Done => {}
            Registering::NotAllowed => warn!(
                "the token may not look after VKontakte's callback servers; if there is none for this \
                 channel, enter {hook} in the community's settings, under API usage, with the secret key, API \
                 {VERSION} and the events {}",
                EVENTS.join(", ")
            ),
        }
        Ok(())
    }

    async fn register(
        &self,
        hook: &str,
        secret: &Secret,
        confirmation: &Secret,
    ) -> Result<Registering, Outcome> {
        let Some(Servers { items }) = self.ask("groups.getCallbackServers", &[]).await? else {
            return Ok(Registering::NotAllowed);
        };
        let server = items.into_iter().find(|server| server.url == hook);
        let is_right = |server: &Server| {
            // Where VK does not show the key, it is taken for right; a wrong one is refused and told of.
            server.secret_key.is_empty() || same(secret, &server.secret_key)
        };
        let server_id = match server {
            Some(server) if is_right(&server) && server.status != FAILED => server.id,
            other => {
                let has_failed = other.as_ref().is_some_and(|server| server.status == FAILED);
                // VK asks at once whether the address is ours.
                let Some(Confirmation { code }) =
                    self.ask("groups.getCallbackConfirmationCode", &[]).await?
                else {
                    return Ok(Registering::NotAllowed);
                };
                if !same(confirmation, &code) {
                    return Err(unheard(
                        "the credential `confirmation` is not what the community wants to read; it stands \
                         in its settings, under API usage, Callback API",
                    ));
                }
                let entry = [("url", hook), ("title", TITLE), ("secret_key", secret.reveal())];
                let id = match other {
                    None => {
                        let added = self.ask::<Added>("groups.addCallbackServer", &entry).await?;
                        added.map(|added| added.server_id)
                    }
                    Some(server) => {
                        let id = server.id.to_string();
                        let entry = [&entry[..], &[("server_id", &id)]].concat();
                        let edited = self.ask::<Value>("groups.editCallbackServer", &entry).await?;
                        edited.map(|_| server.id)
                    }
                };
                let Some(id) = id else { return Ok(Registering::NotAllowed) };
                if has_failed {
                    return Err(unheard(
                        "the address for webhooks did not answer as it should, and is asked again; does it lead \
                         here?",
                    ));
                }
                id
            }
        };
        self.switch_events_on(server_id).await
    }

    async fn switch_events_on(&self, server_id: i64) -> Result<Registering, Outcome> {
        let id = server_id.to_string();
        let server = ("server_id", id.as_str());
        let Some(Settings { events }) = self.ask("groups.getCallbackSettings", &[server]).await?
        else {
            return Ok(Registering::NotAllowed);
        };
        if events.missing().is_empty() {
            return Ok(Registering::Done);
        }
        let mut form = vec![server, ("api_version", VERSION)];
        form.extend(EVENTS.map(|name| (name, "1")));
        let set = self.ask::<Value>("groups.setCallbackSettings", &form).await?;
        Ok(set.map_or(Registering::NotAllowed, |_| Registering::Done))
    }

    /// A question about the community; `None` where the token may not ask it.
    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        method: &str,
        form: &[(&str, &str)],
    ) -> Result<Option<T>, Outcome> {
        let form = [&[("group_id", self.group_id.as_str())], form].concat();
        let (_, said) = self.api.ask(method, &form).await?;
        match said {
            Said::Response(response) => Ok(Some(response)),
            Said::Error { error_code } if is_not_allowed(error_code) => Ok(None),
            Said::Error { error_code } => Err(outcome_of(error_code)),
        }
    }
}

/// Nothing is brought, but what is to be said can be.
fn unheard(words: &str) -> Outcome {
    Outcome::of(OutcomeClass::NotSent, format!("{PROVIDER}: {words}"))
}
