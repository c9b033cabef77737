//! The documents as they are written: serde reads them, schemars turns them into schemas.
//!
//! Every field is optional for serde and text where its digits count: what is missing or of a wrong
//! type was told by the schema before, and the rest is still read so that all mistakes are told at once.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, de::IgnoredAny};

use crate::domain::{
    kind::{ChannelKind, Format, MessengerType},
    phase::RunState,
    resource::{DialogueEvent, IntegrationKind, MaxTokensField},
};

fn words<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// The pattern of `metadata.name`, for editors; the loader's words are those of the domain.
pub(super) const NAME_PATTERN: &str = "^[a-z][a-z0-9-]{0,62}$";

const DURATION_PATTERN: &str = "^\\s*(\\d+\\s*[smh]\\s*)+$";

/// A number that is kept as it is written.
#[derive(Debug, Deserialize)]
pub(super) struct Digits(pub(super) String);

impl JsonSchema for Digits {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Digits".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["number", "string"]})
    }
}

/// A whole number from 1 on.
#[derive(Debug, Deserialize)]
pub(super) struct Count(pub(super) String);

impl JsonSchema for Count {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": i32::MAX})
    }
}

/// Where a secret is found at run time: `{env: NAME}` or `{file: PATH}`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretSource {
    pub(super) env: Option<String>,
    pub(super) file: Option<String>,
}

impl JsonSchema for SecretSource {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretSource".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where the secret is found at run time. The secret itself never stands in a manifest.",
            "examples": [{"env": "MY_TOKEN"}, {"file": "/run/secrets/token"}],
            "type": "object",
            "properties": {
                "env": {"type": "string", "description": "The name of an environment variable."},
                "file": {"type": "string", "minLength": 1, "description": "The path of a file that holds nothing else."},
            },
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
            "x-secret": true,
        })
    }
}

/// What identifies a document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Metadata {
    /// Identifies the document for ever; unique per kind over the whole folder.
    #[schemars(required, extend("pattern" = NAME_PATTERN), example = &"spring-renewals")]
    pub(super) name: Option<String>,
    /// Words to select documents by.
    #[expect(dead_code, reason = "for people and tools; nothing here selects by them yet")]
    pub(super) labels: Option<BTreeMap<String, String>>,
    /// Notes for people and tools. `nuncio/recreate` names the id of the incarnation of a task that may
    /// be replaced, once, so that its type, format or channels can change.
    #[expect(dead_code, reason = "read where the place of each is known")]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

/// A task binds a type, a format, channels, managers, one AI and an integration, and works through a
/// target audience.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TaskDocument {
    /// A free title for people.
    #[schemars(example = &"Spring renewals")]
    pub(super) title: Option<String>,
    /// The messenger. It can not be changed after creation.
    #[schemars(required, extend("enum" = words(MessengerType::ALL), "x-immutable" = true))]
    pub(super) r#type: Option<String>,
    /// Whether the task only answers, or writes first as well. It can not be changed after creation.
    #[schemars(required, extend("enum" = words(Format::ALL), "x-immutable" = true))]
    pub(super) format: Option<String>,
    /// The names of the channels, all of the task's type. They can not be changed after creation.
    #[schemars(required, length(min = 1), extend("x-immutable" = true), example = ["tg-anna", "tg-boris"])]
    pub(super) channels: Option<Vec<String>>,
    /// The names of the managers who perform the task.
    #[schemars(required, length(min = 1), example = ["anna"])]
    pub(super) managers: Option<Vec<String>>,
    /// The name of the AI that talks to clients.
    #[schemars(required, example = &"sales-ru")]
    pub(super) ai: Option<String>,
    /// The name of the integration that successful chats are reported to.
    #[schemars(example = &"crm")]
    pub(super) integration: Option<String>,
    /// US dollars, at most 6 decimals. A dialogue that reaches it is blocked.
    #[schemars(required, example = 0.5)]
    pub(super) spending_limit_per_dialogue: Option<Digits>,
    /// Present: the manifest owns the run state. Absent: operators do.
    #[schemars(extend("enum" = words(RunState::ALL)))]
    pub(super) state: Option<String>,
    /// Keeps the task from being deleted or recreated.
    pub(super) protect: Option<Protect>,
    /// How the task writes first. Required with `incoming-and-outgoing`, forbidden with `incoming`.
    pub(super) outgoing: Option<OutgoingDocument>,
}

/// Keeps a task from being deleted or recreated.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Protect {
    /// Why; shown to whoever tries.
    #[schemars(required, length(min = 1), example = &"the spring budget")]
    pub(super) reason: Option<String>,
}

/// How a task writes first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OutgoingDocument {
    /// The hours in which openings may be sent, `[from, to)`; they may wrap midnight.
    #[schemars(required, example = &"09:00-18:00", extend("pattern" = "^\\s*\\d\\d:\\d\\d\\s*-\\s*\\d\\d:\\d\\d\\s*$"))]
    pub(super) working_hours: Option<String>,
    /// The IANA time zone of the working hours; UTC when absent.
    #[schemars(example = &"Europe/Moscow")]
    pub(super) timezone: Option<String>,
    /// Openings per channel per UTC day.
    #[schemars(required, example = 30)]
    pub(super) daily_limit_per_channel: Option<Count>,
    /// The time between two openings on a channel, at least 3s.
    #[schemars(required, example = &"45s", extend("pattern" = DURATION_PATTERN))]
    pub(super) pause_between_dialogues: Option<String>,
    /// What is said first: exactly one of `text`, `template` and `writtenBy`.
    #[schemars(required, extend("minProperties" = 1, "maxProperties" = 1))]
    pub(super) opening: Option<OpeningDocument>,
    /// Whom to write to: a list, a block of lines, or `{file: PATH}`.
    #[schemars(required)]
    #[expect(dead_code, reason = "its three spellings are read from the node, with their lines")]
    pub(super) target_audience: Option<TargetAudience>,
}

/// What is said first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OpeningDocument {
    /// A text with `{{variables}}` from the audience's columns.
    #[schemars(length(min = 1), example = &"Hello {{name}}, your plan ends on {{until}}.")]
    pub(super) text: Option<String>,
    /// A template that the provider has approved.
    pub(super) template: Option<TemplateDocument>,
    /// Who writes it: only `ai`.
    #[schemars(extend("enum" = ["ai"]))]
    pub(super) written_by: Option<String>,
}

/// A template that the provider has approved.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TemplateDocument {
    /// The template's name at the provider.
    #[schemars(required, length(min = 1), example = &"spring_renewal")]
    pub(super) name: Option<String>,
    /// The language code of the template.
    #[schemars(required, length(min = 1), example = &"ru")]
    pub(super) language: Option<String>,
    /// The template's variables in order: texts with `{{variables}}` from the audience's columns.
    #[schemars(example = ["{{name}}"])]
    pub(super) variables: Option<Vec<String>>,
}

/// The members of an audience.
#[derive(Debug, Deserialize)]
pub(super) struct TargetAudience(IgnoredAny);

impl JsonSchema for TargetAudience {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TargetAudience".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["array", "string", "object"],
            "examples": [["@nickname", "+79123456789"], {"file": "audiences/spring.csv"}],
            "items": {"type": ["string", "integer"]},
            "properties": {
                "file": {
                    "type": "string",
                    "minLength": 1,
                    "description": "Plain lines, or CSV when the name ends in `.csv`; relative to this manifest.",
                },
            },
            "required": ["file"],
            "additionalProperties": false,
        })
    }
}

/// One connected account or endpoint that speaks.
// The settings of its kind are added to the schema from the table of kinds, and read by it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChannelDocument {
    /// The kind of channel. It can not be changed after creation.
    #[schemars(required, extend("enum" = words(ChannelKind::ALL), "x-immutable" = true))]
    pub(super) kind: Option<String>,
    /// Openings a day over all tasks; each kind has a cautious default, and a figure above which `validate` warns.
    #[schemars(example = 10)]
    pub(super) daily_limit: Option<Count>,
    /// Replaces the provider's own address.
    #[schemars(example = &"https://example.test")]
    pub(super) endpoint: Option<String>,
    /// The secrets of the account, each as `{env: NAME}` or `{file: PATH}`.
    pub(super) credentials: Option<BTreeMap<String, SecretSource>>,
}

/// The virtual employee who performs a task.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ManagerDocument {
    /// The name that clients read.
    #[schemars(required, length(min = 1), example = &"Anna Petrova")]
    pub(super) full_name: Option<String>,
    /// The position.
    #[schemars(example = &"Account manager")]
    pub(super) role: Option<String>,
    /// The language that the manager writes in.
    #[schemars(example = &"ru")]
    pub(super) language: Option<String>,
    /// The character, as instructions to the AI.
    #[schemars(required, length(min = 1), example = &"Friendly, brief, never pushes.")]
    pub(super) persona: Option<String>,
}

/// The model that talks to clients.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AiDocument {
    /// Any server that speaks chat completions; `https://api.openai.com/v1` when absent.
    #[schemars(example = &"https://api.openai.com/v1")]
    pub(super) endpoint: Option<String>,
    /// The model's name at the server.
    #[schemars(required, length(min = 1), example = &"gpt-5-mini")]
    pub(super) model: Option<String>,
    /// The key of the server, where it wants one.
    pub(super) api_key: Option<SecretSource>,
    /// What is sold, and the goal of a dialogue.
    #[schemars(required, length(min = 1))]
    pub(super) instructions: Option<String>,
    /// From 0 to 2; the server's default when absent.
    #[schemars(example = 0.4)]
    pub(super) temperature: Option<Digits>,
    /// The longest answer; 400 when absent.
    #[schemars(example = 400)]
    pub(super) max_output_tokens: Option<Count>,
    /// The field by which the server is told the longest answer; when absent, what is known of its host.
    #[schemars(extend("enum" = words(MaxTokensField::ALL)))]
    pub(super) max_tokens_field: Option<String>,
    /// What the server bills; the spending limit of a dialogue is reckoned with it.
    #[schemars(required)]
    pub(super) prices: Option<PricesDocument>,
    /// The name of another AI, which answers while this one fails.
    #[schemars(example = &"sales-small")]
    pub(super) fallback: Option<String>,
    /// Said in the first message of a dialogue: that an AI writes.
    #[schemars(length(min = 1), example = &"I am a virtual assistant of Example Ltd.")]
    pub(super) disclosure: Option<String>,
    /// Said when the AI's part ends: the spending limit is reached, or a person takes over. It costs nothing.
    #[schemars(length(min = 1), example = &"A colleague will write to you here.")]
    pub(super) handover: Option<String>,
    /// What is said after a silence, each after a longer one than the one before.
    pub(super) reminders: Option<Vec<ReminderDocument>>,
}

/// US dollars a million tokens, at most 6 decimals.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PricesDocument {
    /// US dollars a million tokens that are read.
    #[schemars(required, example = 0.25)]
    pub(super) input_per_million_tokens: Option<Digits>,
    /// US dollars a million tokens that are read from the server's cache; as `input` when absent.
    #[schemars(example = 0.025)]
    pub(super) cached_input_per_million_tokens: Option<Digits>,
    /// US dollars a million tokens that are written.
    #[schemars(required, example = 2.0)]
    pub(super) output_per_million_tokens: Option<Digits>,
}

/// What is said after a silence.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReminderDocument {
    /// The silence, in s, m or h: from 1m to 720h, which is 30 days.
    #[schemars(required, example = &"24h", extend("pattern" = DURATION_PATTERN))]
    pub(super) after: Option<String>,
    /// The text.
    #[schemars(required, length(min = 1))]
    pub(super) text: Option<String>,
}

/// Where successful chats are reported.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IntegrationDocument {
    /// The receiver's kind.
    #[schemars(required, extend("enum" = words(IntegrationKind::ALL)))]
    pub(super) kind: Option<String>,
    /// The receiver's address: a secret, for whoever knows it may write to it. For a
    /// `telegram-notification` a Bot API server of one's own.
    pub(super) url: Option<SecretSource>,
    /// Further secrets by name: `secret` signs the reports of a `webhook`, `token` opens `amocrm` and
    /// `telegram-notification`.
    pub(super) credentials: Option<BTreeMap<String, SecretSource>>,
    /// The chat that a `telegram-notification` goes to.
    #[schemars(example = &"-1001234567890")]
    pub(super) chat_id: Option<Digits>,
    /// What is reported; everything when absent.
    #[schemars(length(min = 1), extend("items" = serde_json::json!({"type": "string", "enum": words(DialogueEvent::ALL)})))]
    pub(super) events: Option<Vec<String>>,
}

/// People who must not be written to: exactly one of `entries` and `file`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SuppressionDocument {
    /// Phones, `@names` and VKontakte ids.
    pub(super) entries: Option<Vec<Digits>>,
    /// A file of lines; relative to this manifest.
    #[schemars(length(min = 1), example = &"audiences/do-not-write.txt")]
    pub(super) file: Option<String>,
    /// The tasks that the list holds for; `all` when absent.
    #[schemars(schema_with = "tasks")]
    #[serde(default)]
    #[expect(dead_code, reason = "its two spellings are read from the node")]
    pub(super) tasks: Option<IgnoredAny>,
}

fn tasks(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "The tasks that the list holds for: `all`, or a list of names; `all` when absent.",
        "type": ["string", "array"],
        "examples": ["all", ["spring-renewals"]],
        "items": {"type": "string"},
        "minItems": 1,
    })
}
