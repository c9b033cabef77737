//! A task as a manifest describes it.

use std::{collections::BTreeSet, time::Duration};

use chrono_tz::Tz;

use super::{
    fields::Fields,
    hours::WorkingHours,
    id::{ChannelName, ResourceName},
    kind::{Format, MessengerType},
    money::MicroUsd,
    phase::RunState,
};

/// Accounts that write faster than this are the first to be banned.
pub const PAUSE_MIN: Duration = Duration::from_secs(3);

/// A longer pause is a task that sends nothing; it also keeps every sum of times within what a clock has.
pub const PAUSE_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// The fields that a task keeps for its whole life.
pub const IMMUTABLE_FIELDS: &[&str] = &["type", "format", "channels"];

/// The annotation of a manifest that consents to a recreation: it names the id of the incarnation to be
/// replaced, so that it works once.
pub const CONSENT_ANNOTATION: &str = "nuncio/recreate";

/// The specification of a task. Its audience stands apart: see [`super::desired::DesiredAudience`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSpec {
    pub title: Option<String>,
    pub messenger: MessengerType,
    pub format: Format,
    /// Sorted: their order says nothing.
    pub channels: BTreeSet<ChannelName>,
    pub managers: BTreeSet<ResourceName>,
    pub ai: ResourceName,
    pub integration: Option<ResourceName>,
    pub spending_limit_per_dialogue: MicroUsd,
    /// Present: git owns the run state. Absent: operators do.
    pub state: Option<RunState>,
    /// The reason why the task may not be deleted or recreated.
    pub protect: Option<String>,
    pub outgoing: Option<Outgoing>,
}

/// What a task needs to write first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub working_hours: WorkingHours,
    pub timezone: Tz,
    pub daily_limit_per_channel: u32,
    pub pause_between_dialogues: Duration,
    pub opening: Opening,
}

/// What is said first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A text with `{{variables}}` from the audience's columns.
    Text(String),
    /// A template that the provider has approved; the variables are texts with `{{variables}}`.
    Template {
        name: String,
        language: String,
        variables: Vec<String>,
    },
    WrittenByAi,
}

impl TaskSpec {
    pub fn fields(&self) -> Fields {
        // Destructured so that a new field has to be considered here.
        let Self {
            title,
            messenger,
            format,
            channels,
            managers,
            ai,
            integration,
            spending_limit_per_dialogue,
            state,
            protect,
            outgoing,
        } = self;
        let fields = Fields::default()
            .text_if("title", title.as_ref())
            .text("type", messenger)
            .text("format", format)
            .list("channels", channels)
            .list("managers", managers)
            .text("ai", ai)
            .text_if("integration", integration.as_ref())
            .number("spendingLimitPerDialogue", spending_limit_per_dialogue)
            .text_if("state", state.as_ref())
            .text_if("protect.reason", protect.as_ref());
        let Some(outgoing) = outgoing else { return fields };
        let Outgoing {
            working_hours,
            timezone,
            daily_limit_per_channel,
            pause_between_dialogues,
            opening,
        } = outgoing;
        let fields = fields
            .text("outgoing.workingHours", working_hours)
            .text("outgoing.timezone", timezone)
            .number("outgoing.dailyLimitPerChannel", daily_limit_per_channel)
            .text("outgoing.pauseBetweenDialogues", shown_pause(*pause_between_dialogues));
        opening.add_to(fields)
    }
}

/// A pause as manifests and plans write it.
pub fn shown_pause(pause: Duration) -> String {
    humantime::format_duration(pause).to_string()
}

impl Opening {
    /// Adds the fields that say it.
    #[must_use]
    pub fn add_to(&self, fields: Fields) -> Fields {
        match self {
            Self::Text(text) => fields.text("outgoing.opening.text", text),
            Self::Template { name, language, variables } => fields
                .text("outgoing.opening.template.name", name)
                .text("outgoing.opening.template.language", language)
                .list("outgoing.opening.template.variables", variables),
            Self::WrittenByAi => fields.text("outgoing.opening.writtenBy", "ai"),
        }
    }
}
