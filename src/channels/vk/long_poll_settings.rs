//! The switch of a community's long poll, and of the events that it tells of.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tracing::warn;

use super::{
    super::reading::integer,
    PROVIDER,
    api::{Said, VERSION},
    community::VkPublic,
    errors::{is_not_allowed, outcome_of},
};
use crate::domain::attempt::{Outcome, OutcomeClass};

/// The events that are read. Without the first, nobody is heard.
pub(super) const EVENTS: [&str; 4] =
    ["message_new", "message_reply", "message_allow", "message_deny"];

const WHERE: &str = "in the community's settings, under API usage";

#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    is_enabled: bool,
    #[serde(default)]
    events: Events,
}

/// Which events are told of: 0 or 1 each.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Events(BTreeMap<String, Value>);

impl Events {
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let is_on = |name: &str| match self.0.get(name) {
            Some(Value::Bool(on)) => *on,
            value => integer(value) == Some(1),
        };
        EVENTS.into_iter().filter(|name| !is_on(name)).collect()
    }
}

impl VkPublic {
    pub(super) async fn switch_long_poll_on(&self) -> Result<(), Outcome> {
        let until = self.api.http.deadline();
        let form = [("group_id", self.group_id.as_str())];
        let settings =
            match self.api.call::<Settings>("groups.getLongPollSettings", &form, until).await? {
                Said::Response(settings) => settings,
                // Whether it is on, the poll itself will show.
                Said::Error { error_code } if is_not_allowed(error_code) => return Ok(()),
                Said::Error { error_code } => return Err(outcome_of(error_code)),
            };
        let missing = settings.events.missing();
        if settings.is_enabled && missing.is_empty() {
            return Ok(());
        }
        let mut form = vec![("enabled", "1"), ("api_version", VERSION)];
        form.push(("group_id", self.group_id.as_str()));
        form.extend(EVENTS.map(|name| (name, "1")));
        match self.api.call::<Value>("groups.setLongPollSettings", &form, until).await? {
            Said::Response(_) => Ok(()),
            Said::Error { error_code } if !is_not_allowed(error_code) => {
                Err(outcome_of(error_code))
            }
            Said::Error { .. } if settings.is_enabled && missing.first() != EVENTS.first() => {
                warn!(
                    "VKontakte's long poll does not tell of {}: a person with more rights than the token has \
                     to switch these events on, {WHERE}",
                    missing.join(", ")
                );
                Ok(())
            }
            Said::Error { .. } => {
                let reason = format!(
                    "{PROVIDER}: the long poll is off, and the token may not switch it on; do it {WHERE}, \
                     with the events {}",
                    EVENTS.join(", ")
                );
                // What is to be said can be; and it is looked for again.
                Err(Outcome::of(OutcomeClass::NotSent, reason))
            }
        }
    }
}
