//! A channel as a manifest describes it: one connected account or endpoint.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{
    fields::{FieldValue, Fields},
    kind::{ALLOWED_ORIGINS, ChannelKind, MESSAGING_LIMIT, PORTFOLIO},
    origin::SiteOrigin,
};

/// Where a secret is found at run time. The secret itself is never in a manifest or the database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretReference {
    Environment(String),
    File(String),
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret is referred to as `env:NAME` or `file:PATH`")]
pub struct InvalidSecretReference;

impl FromStr for SecretReference {
    type Err = InvalidSecretReference;

    fn from_str(text: &str) -> Result<Self, InvalidSecretReference> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Environment(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.to_owned())),
            _ => Err(InvalidSecretReference),
        }
    }
}

/// A secret's value; it shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The specification of a channel, with the defaults of its kind filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSpec {
    pub kind: ChannelKind,
    /// Openings a day over all tasks. `None` where the kind opens nothing.
    pub daily_limit: Option<u32>,
    pub endpoint: Option<String>,
    pub credentials: BTreeMap<String, SecretReference>,
    /// The fields that only some kinds have, by their name in `spec`.
    pub settings: BTreeMap<String, FieldValue>,
}

impl ChannelSpec {
    pub fn fields(&self) -> Fields {
        let Self { kind, daily_limit, endpoint, credentials, settings } = self;
        let mut fields =
            Fields::default().text("kind", kind).text_if("endpoint", endpoint.as_ref());
        if let Some(limit) = daily_limit {
            fields = fields.number("dailyLimit", limit);
        }
        for (name, reference) in credentials {
            fields = fields.text(&format!("credentials.{name}"), reference);
        }
        for (name, value) in settings {
            fields.insert(name.clone(), value.clone());
        }
        fields
    }

    /// Takes back what [`Self::fields`] gave; `None` if it is no channel's.
    pub fn from_fields(fields: &Fields) -> Option<Self> {
        let word = |path: &str| fields.get(path).map(ToString::to_string);
        let mut spec = Self {
            kind: word("kind")?.parse().ok()?,
            daily_limit: word("dailyLimit").map(|limit| limit.parse()).transpose().ok()?,
            endpoint: word("endpoint"),
            credentials: BTreeMap::new(),
            settings: BTreeMap::new(),
        };
        for (path, value) in fields.iter() {
            if let Some(name) = path.strip_prefix("credentials.") {
                spec.credentials.insert(name.to_owned(), value.to_string().parse().ok()?);
            } else if !matches!(path, "kind" | "dailyLimit" | "endpoint") {
                spec.settings.insert(path.to_owned(), value.clone());
            }
        }
        Some(spec)
    }

    /// A setting's text, or nothing.
    pub fn setting(&self, name: &str) -> Option<&str> {
        match self.settings.get(name)? {
            FieldValue::Text(text) | FieldValue::Number(text) => Some(text),
            FieldValue::List(_) => None,
        }
    }

    /// The business portfolio whose rolling limit counts for the channel, and that limit; `None` where none does.
    pub fn portfolio(&self) -> Option<(&str, u32)> {
        Some((self.setting(PORTFOLIO)?, self.setting(MESSAGING_LIMIT)?.parse().ok()?))
    }

    /// The sites that may embed the chat; a kind that is not embedded has none.
    pub fn allowed_origins(&self) -> Vec<SiteOrigin> {
        match self.settings.get(ALLOWED_ORIGINS) {
            Some(FieldValue::List(texts)) => {
                texts.iter().filter_map(|text| text.parse().ok()).collect()
            }
            _ => Vec::new(),
        }
    }
}
