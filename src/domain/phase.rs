//! The life of a task: its phases, and which act leads from which to which.

use chrono::{DateTime, Utc};

use super::word::words;

words! {
    /// Where a task is in its life. *Stopped* is what the Pause button causes; Stop completes.
    Phase {
        Awaiting = "awaiting", InProgress = "in-progress", Stopped = "stopped",
        Completed = "completed",
    }

    /// The run state that a manifest may ask for.
    RunState { Running = "running", Paused = "paused", Completed = "completed" }

    /// An act of an operator, or of a manifest's `state`, on a task.
    Act { Start = "start", Pause = "pause", Stop = "stop" }
}

/// What an act does to a task in some phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    To(Phase),
    /// The task is there already.
    Already,
    /// No act leads out of the phase, or the act means nothing in it; the text says why.
    Refused(&'static str),
}

impl Phase {
    /// The user's word for the phase.
    pub fn shown(self) -> &'static str {
        match self {
            Self::InProgress => "in progress",
            other => other.as_str(),
        }
    }

    pub fn after(self, act: Act) -> Transition {
        match (self, act) {
            (Self::Awaiting | Self::Stopped, Act::Start) => Transition::To(Self::InProgress),
            (Self::InProgress, Act::Pause) => Transition::To(Self::Stopped),
            (Self::Awaiting | Self::InProgress | Self::Stopped, Act::Stop) => {
                Transition::To(Self::Completed)
            }
            (Self::InProgress, Act::Start)
            | (Self::Stopped, Act::Pause)
            | (Self::Completed, Act::Stop) => Transition::Already,
            (Self::Awaiting, Act::Pause) => Transition::Refused("it was not started yet"),
            (Self::Completed, Act::Start | Act::Pause) => {
                Transition::Refused("a completed task does not run again; recreate it")
            }
        }
    }

    /// What leads from here to the run state of a manifest.
    pub fn towards(self, state: RunState) -> Transition {
        match (self, state) {
            (_, RunState::Running) => self.after(Act::Start),
            // A new task that shall be paused waits: it is not running, which is what was asked.
            (Self::Awaiting, RunState::Paused) => Transition::Already,
            (_, RunState::Paused) => self.after(Act::Pause),
            (_, RunState::Completed) => self.after(Act::Stop),
        }
    }
}

/// Who paused a task, why, and until when: `anna: the call centre is full, until 2026-11-24 10:00 UTC`.
pub fn paused_by(by: &str, reason: Option<&str>, resume_at: Option<DateTime<Utc>>) -> String {
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let until = resume_at.map(|at| at.format(", until %Y-%m-%d %H:%M UTC").to_string());
    format!("{by}{reason}{}", until.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_completed_and_only_stop_leads_there() {
        for phase in Phase::ALL {
            for act in Act::ALL {
                let next = phase.after(*act);
                if *phase == Phase::Completed {
                    assert!(!matches!(next, Transition::To(_)));
                }
                if next == Transition::To(Phase::Completed) {
                    assert_eq!(*act, Act::Stop);
                }
            }
        }
    }
}
