//! What will happen: the answer of a forecast.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};

use crate::domain::{
    forecast::{Block, Part},
    id::{ChannelName, TaskName},
    money::MicroUsd,
    word::words,
};

words! {
    /// Why no time can be said at which a task's audience will be exhausted.
    Never {
        AudienceExhausted = "audience-exhausted", NotRunning = "not-running", Completed = "completed",
        ChannelsBlocked = "channel-blocked", BeyondHorizon = "not-within-a-year",
    }

    /// What keeps a task from sending more a day, for whoever would change it.
    Binding {
        DailyLimit = "daily-limit-of-the-task", ChannelLimit = "daily-limit-of-the-channel",
        Pause = "pause-between-dialogues", WorkingHours = "working-hours",
        SharedChannel = "channel-shared-with-other-tasks",
    }
}

/// What will happen if nothing fails and nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// When the facts were read; the forecast may begin later.
    pub counted_at: DateTime<Utc>,
    pub from: DateTime<Utc>,
    /// Where the forecast ends, whatever is left then.
    pub until: DateTime<Utc>,
    pub tasks: BTreeMap<TaskName, TaskForecast>,
    pub channels: BTreeMap<ChannelName, ChannelForecast>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskForecast {
    pub part: Part,
    pub channels: Vec<ChannelName>,
    pub daily_limit_per_channel: u32,
    pub remaining: u64,
    pub first_opening_at: Option<DateTime<Utc>>,
    pub last_opening_at: Option<DateTime<Utc>>,
    pub exhausted: Exhausted,
    /// Openings by UTC day from the day of the forecast; nothing follows the last one.
    pub openings: Vec<u64>,
    /// Contacts that are left when the forecast ends.
    pub left: u64,
    pub spending_limit_per_dialogue: MicroUsd,
    /// The limit times every remaining contact; `None` where no amount can say so much.
    pub greatest_cost: Option<MicroUsd>,
    /// What binds on most days comes first.
    pub binds: Vec<Binding>,
}

/// When the last remaining contact is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    At(DateTime<Utc>),
    Never(Never),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelForecast {
    pub daily_limit: u32,
    pub block: Option<Block>,
    /// Openings of the first day that were sent before the forecast.
    pub sent_before: u32,
    /// Openings by UTC day over all tasks, from the day of the forecast.
    pub openings: Vec<u64>,
}

impl Forecast {
    /// The UTC day of an index into `openings`.
    pub fn day(&self, index: usize) -> NaiveDate {
        let days = u64::try_from(index).unwrap_or(u64::MAX);
        self.from.date_naive().checked_add_days(chrono::Days::new(days)).unwrap_or(NaiveDate::MAX)
    }

    /// The same forecast with fewer tasks, and the channels that they have.
    #[must_use]
    pub fn only(mut self, wanted: impl Fn(&TaskName) -> bool) -> Self {
        self.tasks.retain(|name, _| wanted(name));
        let tasks = &self.tasks;
        self.channels
            .retain(|channel, _| tasks.values().any(|task| task.channels.contains(channel)));
        self
    }

    /// The most that all remaining dialogues together can cost.
    pub fn greatest_cost(&self) -> Option<MicroUsd> {
        self.tasks
            .values()
            .try_fold(MicroUsd::from_micros(0), |sum, task| sum.checked_add(task.greatest_cost?))
    }
}

impl ChannelForecast {
    /// The share of the daily limit that the openings use from the forecast's day to the last day with
    /// one, in whole percent. What was sent before is not in it, as it is not in the openings.
    pub fn used_percent(&self) -> u64 {
        let days = self.openings.len().max(1) as u128;
        let openings = u128::from(self.openings.iter().sum::<u64>());
        let most = (u128::from(self.daily_limit) * days).max(1);
        u64::try_from((openings * 100 + most / 2) / most).unwrap_or(u64::MAX)
    }
}
