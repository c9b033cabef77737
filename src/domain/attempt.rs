//! One attempt to send one opening, and how it may end.

use std::{fmt, time::Duration};

use super::{
    address::Address,
    id::{AttemptId, ChannelName, Fence, TaskId, TaskName},
    task::Opening,
    word::words,
};

/// No driver is longer with one message, the sign before it included. Who takes a lane over says nothing more in
/// a dialogue before the other's call is certainly over.
pub const CALL_MAX: Duration = Duration::from_secs(12);

/// The permit to send one opening: granted by the store, with the intent already committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    pub attempt: AttemptId,
    pub fence: Fence,
    pub task_id: TaskId,
    pub task: TaskName,
    pub channel: ChannelName,
    pub address: Address,
    pub variables: Vec<(String, String)>,
    pub opening: Opening,
    /// What the AI wrote, where it writes the opening.
    pub draft: Option<String>,
    /// The task's AI says of itself that it is one.
    pub disclosure: Option<String>,
    /// The same for every attempt at one opening, so that a provider can drop a repeat.
    pub key: i64,
    /// Not to be called later than this after the grant: the lease or the working hours end.
    pub valid_for: Duration,
}

/// What a driver is given to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Template { name: String, language: String, variables: Vec<String> },
}

/// What a person reads; of a template its name, because its text is with the provider.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Template { name, language, variables } => {
                write!(f, "[template {name} in {language}: {}]", variables.join(", "))
            }
        }
    }
}

words! {
    /// The class of a provider's answer. The class alone decides what happens next.
    OutcomeClass {
        Sent = "sent",
        RecipientPermanent = "recipient-permanent",
        MessagePermanent = "message-permanent",
        WindowClosed = "window-closed",
        RetryAfter = "retry-after",
        NotSent = "not-sent",
        InDoubt = "in-doubt",
        ChannelBlocked = "channel-blocked",
        OpeningsBlocked = "openings-blocked",
        CredentialRefused = "credential-refused",
        OurMistake = "our-mistake",
    }
}

/// How one attempt ended. `reason` is for people: it names the provider's code and meaning, and
/// never an address, a text or a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub class: OutcomeClass,
    /// With [`OutcomeClass::RetryAfter`]: how long the provider wants to be left alone. With
    /// [`OutcomeClass::ChannelBlocked`]: how long the block lasts, where the provider says so.
    pub after: Option<Duration>,
    pub provider_message_id: Option<String>,
    /// By what the provider knows the person, where it is not the address that was written to.
    pub known_as: Vec<Address>,
    pub reason: String,
}

impl Outcome {
    pub fn sent(provider_message_id: Option<String>) -> Self {
        Self { provider_message_id, ..Self::of(OutcomeClass::Sent, "") }
    }

    pub fn of(class: OutcomeClass, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { class, after: None, provider_message_id: None, known_as: Vec::new(), reason }
    }

    pub fn retry_after(after: Duration, reason: impl Into<String>) -> Self {
        Self { after: Some(after), ..Self::of(OutcomeClass::RetryAfter, reason) }
    }
}

impl OutcomeClass {
    /// Classes that stop the channel until a person acts, or the provider's time is over.
    pub fn stops_channel(self) -> bool {
        use OutcomeClass::{ChannelBlocked, CredentialRefused, OpeningsBlocked, OurMistake};
        matches!(self, ChannelBlocked | OpeningsBlocked | CredentialRefused | OurMistake)
    }

    /// Nothing reached the person, and the same opening is tried again.
    pub fn is_tried_again(self) -> bool {
        matches!(self, Self::RetryAfter | Self::NotSent) || self.stops_channel()
    }
}
