//! Why there is no completion, by what the caller does next.

use std::time::Duration;

/// `reason` is for people: it names the status and the code, and never a text, an address or a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AiFailure {
    /// The server asks to be left alone for a while. Nothing was used.
    #[error("{reason}")]
    Waits { after: Option<Duration>, reason: String },
    /// The account has nothing left; waiting does not help.
    #[error("{reason}")]
    Quota { reason: String },
    #[error("{reason}")]
    CredentialRefused { reason: String },
    /// The manifest, or this program: the same call fails again.
    #[error("{reason}")]
    OurMistake { reason: String },
    /// A shorter history may pass.
    #[error("{reason}")]
    TooLong { reason: String },
    /// Nothing was used, and the same call may pass in a moment.
    #[error("{reason}")]
    Unavailable { reason: String },
    /// The server may have made a completion, and may bill it.
    #[error("{reason}")]
    Unanswered { reason: String },
}

impl AiFailure {
    pub(super) fn unanswered(reason: impl Into<String>) -> Self {
        Self::Unanswered { reason: reason.into() }
    }

    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into() }
    }

    /// Whether the call may be billed although it has no answer.
    pub fn may_have_cost(&self) -> bool {
        matches!(self, Self::Unanswered { .. })
    }
}
