//! An account: how it is reached, and whether its token is its own.

use std::collections::BTreeMap;

use reqwest::{
    RequestBuilder, Url,
    header::{AUTHORIZATION, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{
        connecting::{Unconnectable, below, credential_header, endpoint},
        driver::Examined,
        http::{Http, exchange},
        meta::Application,
        reading::id,
    },
    errors::{PROVIDER, read},
};
use crate::domain::{
    attempt::{Outcome, OutcomeClass},
    channel::{ChannelSpec, Secret},
};

/// Of the Graph API, which an account that is linked to a Page is reached through.
const PAGE_HOST: &str = "graph.facebook.com";

#[derive(Debug)]
pub struct Instagram {
    pub(super) http: Http,
    /// With the version of the API.
    base: Url,
    pub(super) login: Login,
    authorization: HeaderValue,
    /// By which webhooks name the account.
    pub(super) account_id: String,
    pub(in super::super) application: Application,
}

/// Whose token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// The account's own.
    Instagram,
    /// That of the Page to which the account is linked.
    Page,
}

#[derive(Deserialize)]
struct Named {
    id: Option<Value>,
}

#[derive(Deserialize)]
struct Me {
    user_id: Option<Value>,
    instagram_business_account: Option<Named>,
}

impl Login {
    /// Where the token's own account tells by which id webhooks name it.
    fn fields(self) -> &'static str {
        match self {
            Self::Instagram => "user_id",
            Self::Page => "instagram_business_account",
        }
    }
}

impl Instagram {
    pub(in super::super) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        let setting = |name| spec.setting(name).ok_or(Unconnectable::MissingSetting(name));
        let endpoint = endpoint(spec)?;
        let login = match endpoint.host_str() {
            Some(PAGE_HOST) => Login::Page,
            _ => Login::Instagram,
        };
        Ok(Self {
            http: http.clone(),
            base: below(&endpoint, &[setting("apiVersion")?]),
            login,
            authorization: credential_header(secrets, "token", "Bearer ")?,
            account_id: setting("accountId")?.to_owned(),
            application: Application::connect(secrets)?,
        })
    }

    /// The same, as if it were reached through its Page, whose host nobody else has.
    #[cfg(test)]
    pub(in super::super) fn through_its_page(self) -> Self {
        Self { login: Login::Page, ..self }
    }

    /// `me` is the account of the token, or its Page. An id of ours in its place would make the error of a wrong
    /// id look like that of a person who is gone.
    pub(super) fn url(&self, edge: &[&str]) -> Url {
        below(&below(&self.base, &["me"]), edge)
    }

    pub(super) fn get(&self, url: Url) -> RequestBuilder {
        self.http.get(url).header(AUTHORIZATION, self.authorization.clone())
    }

    pub(super) fn post(&self, url: Url) -> RequestBuilder {
        self.http.post(url).header(AUTHORIZATION, self.authorization.clone())
    }

    /// As `me`, by the id that the manifest names.
    pub(super) fn account_url(&self, edge: &[&str]) -> Url {
        below(&below(&self.base, &[&self.account_id]), edge)
    }

    /// The application that the token was given to.
    pub(super) fn application_url(&self) -> Url {
        below(&self.base, &["app"])
    }

    /// The token must be in order, and of the account that the manifest names: webhooks of another one would be
    /// taken for nobody's.
    pub(in super::super) async fn examine(&self) -> Examined {
        let mut url = self.url(&[]);
        url.query_pairs_mut().append_pair("fields", self.login.fields());
        let answer = match exchange(self.get(url), self.http.deadline()).await {
            Ok(answer) => answer,
            Err(failure) => return Examined::of(failure.outcome(PROVIDER)),
        };
        Examined::of(match read::<Me>(&answer) {
            Err(outcome) => outcome,
            Ok(me) => self.compared(&me),
        })
    }

    fn compared(&self, me: &Me) -> Outcome {
        let Me { user_id, instagram_business_account } = me;
        let named = match self.login {
            Login::Instagram => id(user_id.as_ref()),
            Login::Page => {
                instagram_business_account.as_ref().and_then(|account| id(account.id.as_ref()))
            }
        };
        let mistaken =
            |words| Outcome::of(OutcomeClass::OurMistake, format!("{PROVIDER}: {words}"));
        match (named, self.login) {
            (Some(named), _) if named == self.account_id => Outcome::sent(None),
            (Some(_), _) => mistaken("the token is of another account than `accountId`"),
            (None, Login::Page) => mistaken("the Page of the token has no Instagram account"),
            (None, Login::Instagram) => Outcome::sent(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{fields::FieldValue, kind::ChannelKind};

    fn account(endpoint: Option<&str>) -> Instagram {
        let text = |text: &str| FieldValue::Text(text.to_owned());
        let spec = ChannelSpec {
            kind: ChannelKind::Instagram,
            daily_limit: None,
            endpoint: endpoint.map(str::to_owned),
            credentials: BTreeMap::new(),
            settings: BTreeMap::from([
                ("accountId".to_owned(), text("17841400000000001")),
                ("apiVersion".to_owned(), text("v23.0")),
            ]),
        };
        let secrets = BTreeMap::from([("token".to_owned(), Secret::new("t".to_owned()))]);
        Instagram::connect(&spec, &secrets, &Http::new().unwrap()).unwrap()
    }

    #[test]
    fn the_endpoint_says_whose_token_it_is() {
        for (endpoint, login, url) in [
            (None, Login::Instagram, "https://graph.instagram.com/v23.0/me/messages"),
            (
                Some("https://graph.facebook.com"),
                Login::Page,
                "https://graph.facebook.com/v23.0/me/messages",
            ),
            (
                Some("http://127.0.0.1:9/x/"),
                Login::Instagram,
                "http://127.0.0.1:9/x/v23.0/me/messages",
            ),
        ] {
            let account = account(endpoint);
            assert_eq!((account.login, account.url(&["messages"]).as_str()), (login, url));
        }
    }

    #[test]
    fn a_token_of_another_account_is_our_mistake() {
        let ours = json!("17841400000000001");
        let page = Some("https://graph.facebook.com");
        for (endpoint, me, class) in [
            (None, json!({ "user_id": ours }), OutcomeClass::Sent),
            (None, json!({ "user_id": 17_841_400_000_000_001_i64 }), OutcomeClass::Sent),
            (None, json!({ "user_id": "5" }), OutcomeClass::OurMistake),
            // An answer without the field says nothing of it.
            (None, json!({ "id": "5" }), OutcomeClass::Sent),
            (page, json!({ "instagram_business_account": { "id": ours } }), OutcomeClass::Sent),
            (
                page,
                json!({ "instagram_business_account": { "id": "5" } }),
                OutcomeClass::OurMistake,
            ),
            (page, json!({ "id": ours }), OutcomeClass::OurMistake),
        ] {
            let read: Me = serde_json::from_value(me.clone()).unwrap();
            assert_eq!(account(endpoint).compared(&read).class, class, "{me}");
        }
    }
}
