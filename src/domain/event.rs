//! What is told outward: something was applied, or stands otherwise than before.

use chrono::{DateTime, Utc};

use super::condition::{Condition, ConditionKey, ConditionKind, ConditionStatus, ConditionType};

/// A condition that is another one than it was. `before` is absent for what was not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionChange {
    pub key: ConditionKey,
    pub before: Option<Condition>,
    pub after: Condition,
    /// Absent where the database could not date it.
    pub at: Option<DateTime<Utc>>,
}

/// One thing to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A state of the folder was applied; the summary is the last line of its plan.
    Applied {
        commit: Option<String>,
        summary: String,
    },
    Changed(ConditionChange),
}

impl Event {
    /// The word by which programs tell events apart.
    pub fn name(&self) -> &'static str {
        let Self::Changed(ConditionChange { key, after, .. }) = self else { return "applied" };
        let is_good = after.status == ConditionStatus::Healthy;
        match (key.kind, key.of) {
            (ConditionKind::Channel, _) if is_good => "channel-unblocked",
            (ConditionKind::Channel, _) => "channel-blocked",
            (ConditionKind::Watch, _) if is_good => "reconciled-again",
            (ConditionKind::Watch, _) => "not-reconciled",
            (ConditionKind::Task, ConditionType::Sync) => "sync-changed",
            (ConditionKind::Task, ConditionType::Health) => "health-changed",
        }
    }

    /// One line for a chat.
    pub fn text(&self) -> String {
        let change = match self {
            Self::Applied { commit: Some(commit), summary } => {
                return format!("applied {}: {summary}", &commit[..commit.len().min(12)]);
            }
            Self::Applied { commit: None, summary } => return format!("applied: {summary}"),
            Self::Changed(change) => change,
        };
        let ConditionChange { key, before, after, at: _ } = change;
        let name = &key.name;
        let mut text = match self.name() {
            "channel-blocked" => format!("channel `{name}` is blocked"),
            "channel-unblocked" => format!("channel `{name}` is not blocked any more"),
            "reconciled-again" => format!("{name} reconciles again"),
            "not-reconciled" => format!("{name} does not reconcile"),
            _ => {
                let was = before.as_ref().map(|before| format!(", was {}", before.status));
                format!("task `{name}` is {}{}", after.status, was.unwrap_or_default())
            }
        };
        if !after.message.is_empty() {
            text.push_str(": ");
            text.push_str(&after.message);
        }
        if let Some(place) = &after.place {
            text = format!("{text} ({place})");
        }
        text
    }

    /// What is as it should be, and was not known before, is no news.
    pub fn is_news(&self) -> bool {
        let Self::Changed(ConditionChange { before: None, after, .. }) = self else { return true };
        !matches!(
            after.status,
            ConditionStatus::Synced
                | ConditionStatus::Healthy
                | ConditionStatus::Progressing
                | ConditionStatus::Suspended
        )
    }
}
