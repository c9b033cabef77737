//! From a channel as it is written to its specification, with the defaults of its kind filled in.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{diagnostic::listed, document::ChannelDocument, lower::Lowering, node::Node};
use crate::domain::{
    channel::{ChannelSpec, SecretReference},
    colour::Colour,
    fields::FieldValue,
    id::ChannelName,
    kind::{
        ALLOWED_ORIGINS, ChannelKind, KindFacts, MESSAGING_LIMIT, PORTFOLIO, RECEIVE_SETTING,
        Receive, SettingShape, UNLIMITED,
    },
    origin::SiteOrigin,
    resource::Resource,
};

/// They stand in one header of every answer, and proxies take 4 KB of all headers together.
const ORIGINS_BYTES_MAX: usize = 2048;

impl Lowering<'_> {
    pub(super) fn channel(&mut self, document: &ChannelDocument) -> Option<Resource> {
        let ChannelDocument { kind, daily_limit, endpoint, credentials } = document;
        let kind = self.parse::<ChannelKind>("kind", kind.as_deref());
        let limit = daily_limit.as_ref().map(|limit| limit.0.as_str());
        let daily_limit = self.parse_if("dailyLimit", limit);
        let given = endpoint.is_some();
        let endpoint = match kind {
            Some(ChannelKind::TelegramCloud) => self.address_of_socket(endpoint.as_deref()),
            _ => self.address_of_server("endpoint", endpoint.as_deref()),
        };
        let credentials = self.secrets(credentials.as_ref());
        let facts = kind?.facts();
        let mut settings = BTreeMap::new();
        for setting in facts.settings {
            let node = self.spec.get(setting.name);
            let text = node.and_then(Node::text);
            let value = match setting.shape {
                SettingShape::Text { default } => {
                    text.or(default).map(|text| FieldValue::Text(text.to_owned()))
                }
                SettingShape::Word(words) => {
                    Some(FieldValue::Text(text.unwrap_or(words[0]).to_owned()))
                }
                SettingShape::Digits => {
                    if let Some(text) = text
                        && (text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()))
                    {
                        self.bad(
                            setting.name,
                            format!("`{text}` is not a number made of digits only"),
                            None,
                        );
                    }
                    text.map(|text| FieldValue::Text(text.to_owned()))
                }
                SettingShape::Texts => node
                    .map(|node| {
                        node.items().iter().filter_map(Node::text).map(str::to_owned).collect()
                    })
                    .filter(|items: &Vec<String>| !items.is_empty())
                    .map(FieldValue::List),
                SettingShape::Limit(limits) => {
                    if let Some(text) = text
                        && text != UNLIMITED
                        && !limits.iter().any(|limit| limit.to_string() == text)
                    {
                        let known = limits.iter().map(ToString::to_string);
                        let known = listed(known.chain([UNLIMITED.to_owned()]));
                        let hint = Some(format!("one of {known}"));
                        self.bad(
                            setting.name,
                            format!("`{text}` is none of the provider's limits"),
                            hint,
                        );
                    }
                    text.map(|text| FieldValue::Text(text.to_owned()))
                }
            };
            if let Some(value) = value {
                settings.insert(setting.name.to_owned(), value);
            }
        }
        self.check_hosted(&settings, credentials.as_ref());
        self.check_proofs(facts, &settings, credentials.as_ref());
        self.check_portfolio(&settings);
        Some(Resource::Channel(ChannelSpec {
            kind: facts.kind,
            daily_limit: daily_limit?.or(facts.daily_limit.map(|limit| limit.default)),
            endpoint: if given { Some(endpoint?) } else { facts.endpoint.map(str::to_owned) },
            credentials: credentials?,
            settings,
        }))
    }

    /// A limit counts for a portfolio, and a portfolio is there to share one.
    fn check_portfolio(&mut self, settings: &BTreeMap<String, FieldValue>) {
        let (portfolio, limit) = (settings.get(PORTFOLIO), settings.get(MESSAGING_LIMIT));
        if portfolio.is_some() != limit.is_some() {
            let (there, missing) = if limit.is_some() {
                (MESSAGING_LIMIT, PORTFOLIO)
            } else {
                (PORTFOLIO, MESSAGING_LIMIT)
            };
            let hint = format!("the two go together: a `{PORTFOLIO}` and its `{MESSAGING_LIMIT}`");
            self.bad(there, format!("it needs a `{missing}` beside it"), Some(hint));
        }
        if let Some(FieldValue::Text(name)) = portfolio
            && let Err(error) = name.parse::<ChannelName>()
        {
            self.bad(PORTFOLIO, error.to_string(), None);
        }
    }

    /// Accounts of Telegram speak no HTTP.
    fn address_of_socket(&mut self, text: Option<&str>) -> Option<String> {
        let text = text?.trim();
        let address = text.strip_prefix("tcp://").map(|rest| rest.trim_end_matches('/'));
        if let Some(address) = address.and_then(|address| address.parse::<SocketAddr>().ok()) {
            return Some(format!("tcp://{address}"));
        }
        let message = "it is not an address such as `tcp://149.154.167.40:443`, with an IP address";
        self.bad("endpoint", message, None);
        None
    }

    /// Who has webhooks brought needs what proves them.
    fn check_proofs(
        &mut self,
        facts: &KindFacts,
        settings: &BTreeMap<String, FieldValue>,
        credentials: Option<&BTreeMap<String, SecretReference>>,
    ) {
        let webhook = FieldValue::Text(Receive::Webhook.to_string());
        if settings.get(RECEIVE_SETTING) != Some(&webhook) {
            return;
        }
        for proof in facts.proofs() {
            let name = proof.name;
            if credentials.is_some_and(|all| !all.contains_key(name)) {
                let hint = format!(
                    "name a `{name}` in `credentials`, or let the channel ask: `receive: polling`"
                );
                self.bad(
                    RECEIVE_SETTING,
                    "no webhook could be proven to be the provider's",
                    Some(hint),
                );
            }
        }
    }

    /// What only channels have that nuncio hosts itself.
    fn check_hosted(
        &mut self,
        settings: &BTreeMap<String, FieldValue>,
        credentials: Option<&BTreeMap<String, SecretReference>>,
    ) {
        let text = |name: &str| match settings.get(name) {
            Some(FieldValue::Text(text)) => Some(text.clone()),
            _ => None,
        };
        if let Some(accent) = text("accent")
            && Colour::parse(&accent).is_none()
        {
            let hint =
                "write it as CSS does, such as `#1f5fd6` or `teal`; nothing may shine through";
            self.bad("accent", format!("`{accent}` is no colour"), Some(hint.to_owned()));
        }
        if let Some(FieldValue::List(origins)) = settings.get(ALLOWED_ORIGINS) {
            self.check_origins(origins);
        }
        if let Some(url) = text("callbackUrl") {
            let is_address = self.address_of_server("callbackUrl", Some(&url)).is_some();
            if is_address && credentials.is_some_and(|all| !all.contains_key("callbackSecret")) {
                let hint = "callbacks are signed: name a `callbackSecret` in `credentials`";
                self.bad("callbackUrl", "nothing could be posted there", Some(hint.to_owned()));
            }
        }
    }

    fn check_origins(&mut self, origins: &[String]) {
        for (index, text) in origins.iter().enumerate() {
            if let Err(error) = text.parse::<SiteOrigin>() {
                // A password may stand in it: it is not repeated.
                let path = format!("{ALLOWED_ORIGINS}.{index}");
                self.bad(&path, &error, Some(error.way_out()));
            }
        }
        let length: usize = origins.iter().map(|text| text.len() + 1).sum();
        if length > ORIGINS_BYTES_MAX {
            let hint = "name all sites below a domain of yours at once: `https://*.shop.example`";
            let message = format!("these are longer than {ORIGINS_BYTES_MAX} characters together");
            self.bad(ALLOWED_ORIGINS, message, Some(hint.to_owned()));
        }
    }
}
