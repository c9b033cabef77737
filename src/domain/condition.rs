//! Conditions: how something stands in one respect, and why.

use std::time::Duration;

use super::{id::Generation, phase::Phase, word::words};

words! {
    /// What a condition is about.
    ConditionKind { Task = "task", Channel = "channel", Watch = "watch" }

    /// In which respect.
    ConditionType { Sync = "sync", Health = "health" }

    /// How something stands: the first five are of `sync`, the others of `health`.
    ConditionStatus {

        Synced = "Synced",
        OutOfSync = "OutOfSync", Rejected = "Rejected", Held = "Held", Unknown = "Unknown",
        Healthy = "Healthy", Progressing = "Progressing", Degraded = "Degraded",
        Suspended = "Suspended",
    }
}

/// A provider that is away for a moment is no change of health.
pub const UNHEARD_TOLD: Duration = Duration::from_mins(1);

/// What a condition belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConditionKey {
    pub kind: ConditionKind,
    pub name: String,
    pub of: ConditionType,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub status: ConditionStatus,
    /// One word in `CamelCase`, for programs.
    pub reason: String,
    /// A sentence, for people; empty where the reason says it all.
    pub message: String,
    /// Where in the manifests, if it is there.
    pub place: Option<String>,
    /// Of the task that was compared.
    pub generation: Option<Generation>,
}

impl Condition {
    pub fn new(status: ConditionStatus, reason: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            message: message.into(),
            place: None,
            generation: None,
        }
    }

    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }
}

/// What the health of a task is decided from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vitals {
    pub phase: Phase,
    /// Who caused the phase; of a pause also why, and until when.
    pub phase_by: String,
    pub outgoing: bool,
    pub n_channels: u64,
    pub n_exhausted: u64,
    /// The first of its channels that is blocked, and why.
    pub blocked: Option<(String, String)>,
    /// The first of its channels that has not heard its people for a while, and why.
    pub unheard: Option<(String, String)>,
    /// Its AI, where that has not answered for a while and nothing does in its place, and why.
    pub resting: Option<(String, String)>,
}

impl Vitals {
    /// How the task does. What passes by itself, such as hours, limits and pauses, is no change of health.
    pub fn health(&self) -> Condition {
        use ConditionStatus::{Degraded, Healthy, Progressing, Suspended};
        let Self { phase, phase_by, outgoing, n_channels, n_exhausted, blocked, unheard, resting } =
            self;
        match phase {
            Phase::Awaiting => Condition::new(Suspended, "NotStarted", "not started"),
            Phase::Stopped => Condition::new(Suspended, "Paused", format!("paused by {phase_by}")),
            Phase::Completed => {
                Condition::new(Healthy, "Completed", format!("completed by {phase_by}"))
            }
            Phase::InProgress => match blocked {
                Some((channel, why)) => Condition::new(
                    Degraded,
                    "ChannelBlocked",
                    format!("channel `{channel}` blocked: {why}"),
                ),
                None if let Some((ai, why)) = resting => {
                    Condition::new(Degraded, "AiRests", format!("AI `{ai}` does not answer: {why}"))
                }
                None if let Some((channel, why)) = unheard => {
                    let message = format!("nothing is received through channel `{channel}`: {why}");
                    Condition::new(Degraded, "NotReceiving", message)
                }
                None if !outgoing => Condition::new(Healthy, "IncomingOnly", ""),
                None if *n_channels == 0 => {
                    Condition::new(Degraded, "NoChannel", "no channel can open a dialogue")
                }
                None if n_exhausted == n_channels => {
                    Condition::new(Healthy, "AudienceExhausted", "everybody was reached")
                }
                None => Condition::new(Progressing, "ContactsRemain", "contacts remain"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_follows_from_phase_and_channels() {
        let vitals = |phase, n_exhausted, blocked: bool| Vitals {
            phase,
            phase_by: "anna".to_owned(),
            outgoing: true,
            n_channels: 2,
            n_exhausted,
            blocked: blocked.then(|| ("vk".to_owned(), "banned".to_owned())),
            unheard: None,
            resting: None,
        };
        let resting = Some(("sales".to_owned(), "the quota is used up".to_owned()));
        let cases = [
            (vitals(Phase::Awaiting, 0, true), "Suspended NotStarted not started"),
            (vitals(Phase::Stopped, 0, false), "Suspended Paused paused by anna"),
            (vitals(Phase::Completed, 0, true), "Healthy Completed completed by anna"),
            (vitals(Phase::InProgress, 1, false), "Progressing ContactsRemain contacts remain"),
            (
                vitals(Phase::InProgress, 2, false),
                "Healthy AudienceExhausted everybody was reached",
            ),
            (
                vitals(Phase::InProgress, 1, true),
                "Degraded ChannelBlocked channel `vk` blocked: banned",
            ),
            (
                Vitals { n_channels: 0, ..vitals(Phase::InProgress, 0, false) },
                "Degraded NoChannel no channel can open a dialogue",
            ),
            (
                Vitals { outgoing: false, ..vitals(Phase::InProgress, 0, false) },
                "Healthy IncomingOnly ",
            ),
            (
                Vitals {
                    outgoing: false,
                    resting: resting.clone(),
                    ..vitals(Phase::InProgress, 0, false)
                },
                "Degraded AiRests AI `sales` does not answer: the quota is used up",
            ),
            (
                Vitals {
                    outgoing: false,
                    unheard: Some(("tg".to_owned(), "another program asks".to_owned())),
                    ..vitals(Phase::InProgress, 0, false)
                },
                "Degraded NotReceiving nothing is received through channel `tg`: another program asks",
            ),
            (
                Vitals { resting, ..vitals(Phase::Stopped, 0, false) },
                "Suspended Paused paused by anna",
            ),
        ];
        for (vitals, wanted) in cases {
            let Condition { status, reason, message, .. } = vitals.health();
            assert_eq!(format!("{status} {reason} {message}"), wanted);
        }
    }
}
