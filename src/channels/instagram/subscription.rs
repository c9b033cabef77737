//! The account's subscription: without it the application gets no webhook of it. Where webhooks go is entered by
//! hand, in the application; that it gets them is said here.

use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{http::exchange, reading::id},
    account::{Instagram, Login},
    errors::{PROVIDER, read},
};
use crate::domain::attempt::{Outcome, OutcomeClass};

/// Which events an account brings is said in the application, for all of its accounts alike; one must be named.
const FIELDS: &str = "messages,message_reactions,messaging_postbacks,messaging_seen";

/// Of a Page any field has the account's events brought. This one takes no right to the Page's own messages.
const PAGE_FIELDS: &str = "feed";

#[derive(Deserialize)]
struct Done {
    #[serde(default)]
    success: bool,
}

#[derive(Deserialize)]
struct Named {
    id: Option<Value>,
}

#[derive(Deserialize)]
struct Subscribed {
    #[serde(default)]
    data: Vec<Subscriber>,
}

#[derive(Deserialize)]
struct Subscriber {
    id: Option<Value>,
    #[serde(default)]
    subscribed_fields: Vec<Value>,
}

impl Instagram {
    pub(in super::super) async fn arrange(&self) -> Result<(), Outcome> {
        match self.login {
            // To subscribe again changes nothing.
            Login::Instagram => {
                let mut url = self.account_url(&["subscribed_apps"]);
                url.query_pairs_mut().append_pair("subscribed_fields", FIELDS);
                self.subscribe(url).await
            }
            // Here it would replace the fields that the application has for another purpose.
            Login::Page if self.is_subscribed().await? => Ok(()),
            Login::Page => {
                let mut url = self.url(&["subscribed_apps"]);
                url.query_pairs_mut().append_pair("subscribed_fields", PAGE_FIELDS);
                self.subscribe(url).await
            }
        }
    }

    async fn subscribe(&self, url: reqwest::Url) -> Result<(), Outcome> {
        let answer = exchange(self.post(url), self.http.deadline())
            .await
            .map_err(|failure| failure.outcome(PROVIDER))?;
        match read(&answer)? {
            Done { success: true } => Ok(()),
            Done { success: false } => {
                let reason =
                    format!("{PROVIDER}: the account could not be subscribed to its events");
                Err(Outcome::of(OutcomeClass::OurMistake, reason))
            }
        }
    }

    /// Whether the application of the token has any field of the Page.
    async fn is_subscribed(&self) -> Result<bool, Outcome> {
        let ask = async |url| {
            exchange(self.get(url), self.http.deadline())
                .await
                .map_err(|failure| failure.outcome(PROVIDER))
        };
        let application: Named = read(&ask(self.application_url()).await?)?;
        let Subscribed { data } = read(&ask(self.url(&["subscribed_apps"])).await?)?;
        Ok(is_among(&application, &data))
    }
}

fn is_among(application: &Named, subscribers: &[Subscriber]) -> bool {
    let ours = id(application.id.as_ref());
    subscribers.iter().any(|Subscriber { id: named, subscribed_fields }| {
        ours.is_some() && id(named.as_ref()) == ours && !subscribed_fields.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_tokens_own_application_counts() {
        let application = |id: Value| serde_json::from_value(json!({ "id": id })).unwrap();
        let all = json!({ "data": [
            { "id": "5", "subscribed_fields": ["feed"] }, { "id": "6", "subscribed_fields": [] },
            { "id": "7" }, { "name": "nameless", "subscribed_fields": ["feed"] },
        ] });
        let Subscribed { data } = serde_json::from_value(all).unwrap();
        for (id, is_subscribed) in [
            (json!("5"), true),
            (json!(5), true),
            (json!("6"), false),
            (json!("7"), false),
            (json!("8"), false),
            (json!(null), false),
        ] {
            assert_eq!(is_among(&application(id.clone()), &data), is_subscribed, "{id}");
        }
    }
}
