//! Managers, AIs, integrations and suppression lists as manifests describe them.

use std::{collections::BTreeSet, fmt, time::Duration};

use super::{
    address::Address,
    channel::{ChannelSpec, SecretReference},
    fields::{FieldValue, Fields},
    id::{ChannelName, ResourceName, TaskName},
    money::MicroUsd,
    word::words,
};

words! {
    /// The kinds of document beside `Task`.
    ResourceKind {
        Channel = "Channel", Manager = "Manager", Ai = "Ai", Integration = "Integration",
        SuppressionList = "SuppressionList",
    }

    /// Where successful chats are reported.
    IntegrationKind {
        Webhook = "webhook", Bitrix24 = "bitrix24", Amocrm = "amocrm",
        TelegramNotification = "telegram-notification",
    }

    /// The field by which a server is told the longest answer: not every server knows the newer one.
    MaxTokensField { MaxCompletionTokens = "max_completion_tokens", MaxTokens = "max_tokens" }

    /// What is reported of a dialogue.
    DialogueEvent {
        Success = "success", ContactObtained = "contact-obtained", Interest = "interest",
    }
}

/// The kind and name of a resource: unique over the whole folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    pub kind: ResourceKind,
    pub name: String,
}

impl ResourceKey {
    pub fn channel(name: &ChannelName) -> Self {
        Self { kind: ResourceKind::Channel, name: name.to_string() }
    }

    pub fn new(kind: ResourceKind, name: &ResourceName) -> Self {
        Self { kind, name: name.to_string() }
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)
    }
}

/// The virtual employee who performs a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerSpec {
    pub full_name: String,
    pub role: Option<String>,
    pub language: Option<String>,
    pub persona: String,
}

/// The model that talks to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AiSpec {
    pub endpoint: String,
    pub model: String,
    pub api_key: Option<SecretReference>,
    pub instructions: String,
    /// The exact text of the number.
    pub temperature: Option<String>,
    pub max_output_tokens: u32,
    /// Absent: as its server is known to read it.
    pub max_tokens_field: Option<MaxTokensField>,
    pub prices: Prices,
    /// Another AI, which answers while this one fails.
    pub fallback: Option<ResourceName>,
    pub disclosure: Option<String>,
    /// Said when the AI's part ends: the limit is reached, or a person takes over. No AI is asked for it.
    pub handover: Option<String>,
    pub reminders: Vec<Reminder>,
}

/// US dollars a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    pub input: MicroUsd,
    pub cached_input: MicroUsd,
    pub output: MicroUsd,
}

/// What is said after a silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reminder {
    pub after: Duration,
    pub text: String,
}

/// Where successful chats are reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrationSpec {
    pub kind: IntegrationKind,
    pub url: Option<SecretReference>,
    /// Further credentials by name, such as a token or a signing secret.
    pub credentials: Vec<(String, SecretReference)>,
    /// Where a `telegram-notification` goes.
    pub chat_id: Option<String>,
    pub events: BTreeSet<DialogueEvent>,
}

/// People who must not be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuppressionSpec {
    pub entries: BTreeSet<Address>,
    /// `None`: every task.
    pub tasks: Option<BTreeSet<TaskName>>,
}

/// A document beside the tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    Channel(ChannelSpec),
    Manager(ManagerSpec),
    Ai(AiSpec),
    Integration(IntegrationSpec),
    SuppressionList(SuppressionSpec),
}

impl Resource {
    pub fn kind(&self) -> ResourceKind {
        match self {
            Self::Channel(_) => ResourceKind::Channel,
            Self::Manager(_) => ResourceKind::Manager,
            Self::Ai(_) => ResourceKind::Ai,
            Self::Integration(_) => ResourceKind::Integration,
            Self::SuppressionList(_) => ResourceKind::SuppressionList,
        }
    }

    pub fn fields(&self) -> Fields {
        match self {
            Self::Channel(spec) => spec.fields(),
            Self::Manager(spec) => spec.fields(),
            Self::Ai(spec) => spec.fields(),
            Self::Integration(spec) => spec.fields(),
            Self::SuppressionList(spec) => spec.fields(),
        }
    }
}

impl ManagerSpec {
    pub fn fields(&self) -> Fields {
        let Self { full_name, role, language, persona } = self;
        Fields::default()
            .text("fullName", full_name)
            .text_if("role", role.as_ref())
            .text_if("language", language.as_ref())
            .text("persona", persona)
    }

    /// Takes back what [`Self::fields`] gave; `None` if it is no manager's.
    pub fn from_fields(fields: &Fields) -> Option<Self> {
        let word = |path: &str| fields.get(path).map(ToString::to_string);
        Some(Self {
            full_name: word("fullName")?,
            role: word("role"),
            language: word("language"),
            persona: word("persona")?,
        })
    }
}

impl AiSpec {
    pub fn fields(&self) -> Fields {
        let Self {
            endpoint,
            model,
            api_key,
            instructions,
            temperature,
            max_output_tokens,
            max_tokens_field,
            prices: Prices { input, cached_input, output },
            fallback,
            disclosure,
            handover,
            reminders,
        } = self;
        let mut fields = Fields::default()
            .text("endpoint", endpoint)
            .text("model", model)
            .text_if("apiKey", api_key.as_ref())
            .text("instructions", instructions)
            .number("maxOutputTokens", max_output_tokens)
            .text_if("maxTokensField", max_tokens_field.as_ref())
            .number("prices.inputPerMillionTokens", input)
            .number("prices.cachedInputPerMillionTokens", cached_input)
            .number("prices.outputPerMillionTokens", output)
            .text_if("fallback", fallback.as_ref())
            .text_if("disclosure", disclosure.as_ref())
            .text_if("handover", handover.as_ref());
        if let Some(temperature) = temperature {
            fields = fields.number("temperature", temperature);
        }
        for (index, Reminder { after, text }) in reminders.iter().enumerate() {
            fields = fields
                .text(&format!("reminders.{index}.after"), humantime::format_duration(*after))
                .text(&format!("reminders.{index}.text"), text);
        }
        fields
    }

    /// Takes back what [`Self::fields`] gave; `None` if it is no AI's. What an older version stored lacks the
    /// newer fields, and means their defaults.
    pub fn from_fields(fields: &Fields) -> Option<Self> {
        let word = |path: &str| fields.get(path).map(ToString::to_string);
        let money = |path: &str| word(path)?.parse().ok();
        let mut reminders = Vec::new();
        while let Some(after) = word(&format!("reminders.{}.after", reminders.len())) {
            let text = word(&format!("reminders.{}.text", reminders.len()))?;
            reminders.push(Reminder { after: humantime::parse_duration(&after).ok()?, text });
        }
        Some(Self {
            endpoint: word("endpoint")?,
            model: word("model")?,
            api_key: word("apiKey").map(|reference| reference.parse()).transpose().ok()?,
            instructions: word("instructions")?,
            temperature: word("temperature"),
            max_output_tokens: word("maxOutputTokens")?.parse().ok()?,
            max_tokens_field: word("maxTokensField").map(|field| field.parse()).transpose().ok()?,
            prices: Prices {
                input: money("prices.inputPerMillionTokens")?,
                cached_input: money("prices.cachedInputPerMillionTokens")?,
                output: money("prices.outputPerMillionTokens")?,
            },
            fallback: word("fallback").map(|name| name.parse()).transpose().ok()?,
            disclosure: word("disclosure"),
            handover: word("handover"),
            reminders,
        })
    }
}

impl IntegrationSpec {
    pub fn fields(&self) -> Fields {
        let Self { kind, url, credentials, chat_id, events } = self;
        let mut fields = Fields::default()
            .text("kind", kind)
            .text_if("url", url.as_ref())
            .text_if("chatId", chat_id.as_ref())
            .list("events", events);
        for (name, reference) in credentials {
            fields = fields.text(&format!("credentials.{name}"), reference);
        }
        fields
    }

    /// Takes back what [`Self::fields`] gave; `None` if it is no integration's.
    pub fn from_fields(fields: &Fields) -> Option<Self> {
        let word = |path: &str| fields.get(path).map(ToString::to_string);
        let FieldValue::List(events) = fields.get("events")? else { return None };
        let mut credentials = Vec::new();
        for (path, value) in fields.iter() {
            if let Some(name) = path.strip_prefix("credentials.") {
                credentials.push((name.to_owned(), value.to_string().parse().ok()?));
            }
        }
        Some(Self {
            kind: word("kind")?.parse().ok()?,
            url: word("url").map(|url| url.parse()).transpose().ok()?,
            credentials,
            chat_id: word("chatId"),
            events: events.iter().map(|event| event.parse().ok()).collect::<Option<_>>()?,
        })
    }
}

impl SuppressionSpec {
    pub fn fields(&self) -> Fields {
        let Self { entries, tasks } = self;
        let fields = Fields::default().list("entries", entries);
        match tasks {
            None => fields.text("tasks", "all"),
            Some(tasks) => fields.list("tasks", tasks),
        }
    }
}
