//! What a forecast starts from: the lanes and the tasks as they stand, and as a manifest would have them.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{
    hours::WorkingHours,
    id::{ChannelName, TaskId, TaskName},
    money::MicroUsd,
    phase::{Phase, Transition},
    task::TaskSpec,
    word::words,
};

words! {
    /// Which part a task plays in a forecast.
    Part {
        Runs = "running", IfStarted = "if-started-now", Stands = "not-running",
    }
}

/// Everything that decides who will be written to, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForecastFacts {
    /// By the database's clock: when the facts were read, and the UTC day that counts of `today` belong to.
    pub counted_at: DateTime<Utc>,
    pub channels: BTreeMap<ChannelName, ChannelFacts>,
    /// Only tasks that write first.
    pub tasks: BTreeMap<TaskName, TaskFacts>,
}

/// A channel's lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelFacts {
    /// Openings a UTC day, over all tasks.
    pub daily_limit: u32,
    pub today: u32,
    pub last_opening_at: Option<DateTime<Utc>>,
    /// The pause of the task that the last opening was for.
    pub last_pause: Duration,
    pub block: Option<Block>,
    /// After a failure: not before this.
    pub rests_until: Option<DateTime<Utc>>,
}

/// How long a channel stays blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    Until(DateTime<Utc>),
    /// A person must act.
    UntilUnblocked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFacts {
    /// Settles whose turn it is between tasks that never opened; a task that has none yet comes last.
    pub id: Option<TaskId>,
    pub phase: Phase,
    pub part: Part,
    pub working_hours: WorkingHours,
    pub timezone: Tz,
    pub daily_limit_per_channel: u32,
    pub pause: Duration,
    pub channels: BTreeMap<ChannelName, TurnFacts>,
    /// Contacts that were not reached yet.
    pub remaining: u64,
    pub spending_limit_per_dialogue: MicroUsd,
}

/// A task on one of its channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnFacts {
    pub today: u32,
    pub last_opening_at: Option<DateTime<Utc>>,
}

impl ChannelFacts {
    /// A channel that nothing was sent through yet.
    pub fn unused(daily_limit: u32) -> Self {
        Self {
            daily_limit,
            today: 0,
            last_opening_at: None,
            last_pause: Duration::ZERO,
            block: None,
            rests_until: None,
        }
    }
}

impl ForecastFacts {
    /// Lets a task that does not run take part, as if it were started now. A completed one stays out.
    pub fn assume_started(&mut self, name: &TaskName) {
        if let Some(task) = self.tasks.get_mut(name)
            && task.part == Part::Stands
            && task.phase != Phase::Completed
        {
            task.part = Part::IfStarted;
        }
    }

    /// The facts with a channel as its manifest would have it: what was sent through it stays.
    #[must_use]
    pub fn with_channel(mut self, name: &ChannelName, daily_limit: u32) -> Self {
        let channel =
            self.channels.entry(name.clone()).or_insert_with(|| ChannelFacts::unused(daily_limit));
        channel.daily_limit = daily_limit;
        self
    }

    /// The facts with a task as its manifest would have it: what it has sent today stays. A task that
    /// only answers is left out. A channel that is not known counts as one without a cap of its own; give
    /// new ones to [`Self::with_channel`].
    ///
    /// A `state` in the manifest decides whether the task runs; without one a task stays as it is, and
    /// one that does not run takes part as if it were started now.
    #[must_use]
    pub fn with_task(mut self, name: &TaskName, spec: &TaskSpec, remaining: u64) -> Self {
        let before = self.tasks.remove(name);
        let Some(outgoing) = &spec.outgoing else { return self };
        let phase = before.as_ref().map_or(Phase::Awaiting, |task| task.phase);
        let phase = match spec.state.map(|state| phase.towards(state)) {
            Some(Transition::To(next)) => next,
            Some(Transition::Already | Transition::Refused(_)) | None => phase,
        };
        let part = match phase {
            Phase::InProgress => Part::Runs,
            Phase::Awaiting | Phase::Stopped => Part::IfStarted,
            Phase::Completed => Part::Stands,
        };
        let turn = |channel: &ChannelName| {
            before.as_ref().and_then(|task| task.channels.get(channel)).copied().unwrap_or_default()
        };
        let task = TaskFacts {
            id: before.as_ref().and_then(|task| task.id),
            phase,
            part,
            working_hours: outgoing.working_hours,
            timezone: outgoing.timezone,
            daily_limit_per_channel: outgoing.daily_limit_per_channel,
            pause: outgoing.pause_between_dialogues,
            channels: spec.channels.iter().map(|name| (name.clone(), turn(name))).collect(),
            remaining,
            spending_limit_per_dialogue: spec.spending_limit_per_dialogue,
        };
        for channel in &spec.channels {
            self.channels.entry(channel.clone()).or_insert_with(|| ChannelFacts::unused(u32::MAX));
        }
        self.tasks.insert(name.clone(), task);
        self
    }
}
