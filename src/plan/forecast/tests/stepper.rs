//! The rules of the domain, stepped through second by second.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Timelike as _, Utc};

use crate::domain::{
    forecast::{Block, ForecastFacts, Part, TaskFacts},
    id::{ChannelName, TaskName},
};

/// The rules as `domain.md` has them, for one second after the other. It shares nothing with the
/// forecast but its facts.
pub(super) struct Stepper {
    pub(super) facts: ForecastFacts,
    day: NaiveDate,
    /// Openings by task and day, by channel and day, and the times of each task's first and last one.
    pub(super) by_task: BTreeMap<(TaskName, NaiveDate), u64>,
    pub(super) by_channel: BTreeMap<(ChannelName, NaiveDate), u64>,
    pub(super) first: BTreeMap<TaskName, DateTime<Utc>>,
    pub(super) last: BTreeMap<TaskName, DateTime<Utc>>,
}

impl Stepper {
    pub(super) fn run(facts: &ForecastFacts, now: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        let mut stepper = Self {
            facts: facts.clone(),
            day: facts.counted_at.date_naive(),
            by_task: BTreeMap::new(),
            by_channel: BTreeMap::new(),
            first: BTreeMap::new(),
            last: BTreeMap::new(),
        };
        let channels: Vec<ChannelName> = facts.channels.keys().cloned().collect();
        let mut second = now;
        let mut open = BTreeMap::new();
        while second < until {
            if second.date_naive() != stepper.day {
                stepper.new_day(second.date_naive());
            }
            for channel in &channels {
                let Some(task) = stepper.whose_turn(channel, second, &mut open) else { continue };
                stepper.send(&task, channel, second);
            }
            second += TimeDelta::seconds(1);
        }
        stepper
    }

    fn new_day(&mut self, day: NaiveDate) {
        self.day = day;
        for channel in self.facts.channels.values_mut() {
            channel.today = 0;
        }
        for task in self.facts.tasks.values_mut() {
            for turn in task.channels.values_mut() {
                turn.today = 0;
            }
        }
    }

    fn whose_turn(
        &self,
        name: &ChannelName,
        second: DateTime<Utc>,
        open: &mut BTreeMap<TaskName, (DateTime<Utc>, i64)>,
    ) -> Option<TaskName> {
        let channel = &self.facts.channels[name];
        let is_blocked = match channel.block {
            Some(Block::UntilUnblocked) => true,
            Some(Block::Until(until)) => second < until,
            None => false,
        };
        if is_blocked
            || channel.rests_until.is_some_and(|until| second < until)
            || channel.today >= channel.daily_limit
        {
            return None;
        }
        let may = |task: &TaskFacts| {
            let turn = task.channels.get(name)?;
            let pause = task.pause.max(channel.last_pause);
            let waits = channel.last_opening_at.is_some_and(|last| second < last + pause);
            let may = task.part != Part::Stands
                && task.remaining > 0
                && turn.today < task.daily_limit_per_channel
                && !waits;
            may.then_some(turn.last_opening_at)
        };
        let waiting = self.facts.tasks.iter().filter_map(|(task, facts)| {
            let last = may(facts)?;
            is_open(facts, task, second, open).then_some((last, facts.id.is_none(), facts.id, task))
        });
        waiting.min().map(|(_, _, _, task)| task.clone())
    }

    fn send(&mut self, task: &TaskName, channel: &ChannelName, second: DateTime<Utc>) {
        let facts = self.facts.tasks.get_mut(task).unwrap();
        facts.remaining -= 1;
        let turn = facts.channels.get_mut(channel).unwrap();
        turn.today += 1;
        turn.last_opening_at = Some(second);
        let lane = self.facts.channels.get_mut(channel).unwrap();
        lane.today += 1;
        lane.last_opening_at = Some(second);
        lane.last_pause = facts.pause;
        *self.by_task.entry((task.clone(), self.day)).or_default() += 1;
        *self.by_channel.entry((channel.clone(), self.day)).or_default() += 1;
        self.first.entry(task.clone()).or_insert(second);
        self.last.insert(task.clone(), second);
    }
}

/// By the clock on the wall, which is asked once a minute: zones change at whole minutes.
pub(super) fn is_open(
    task: &TaskFacts,
    name: &TaskName,
    second: DateTime<Utc>,
    clocks: &mut BTreeMap<TaskName, (DateTime<Utc>, i64)>,
) -> bool {
    let minute = second - TimeDelta::seconds(i64::from(second.second()));
    let known = clocks.get(name).filter(|(of, _)| *of == minute).map(|(_, clock)| *clock);
    let at_minute = known.unwrap_or_else(|| {
        let clock = i64::from(minute.with_timezone(&task.timezone).num_seconds_from_midnight());
        clocks.insert(name.clone(), (minute, clock));
        clock
    });
    let clock = at_minute + i64::from(second.second());
    let from = i64::from(task.working_hours.from_minute()) * 60;
    let to = i64::from(task.working_hours.to_minute()) * 60;
    // Hours close a second early.
    match (from, to) {
        (0, 86_400) => true,
        _ if from < to => from <= clock && clock < to - 1,
        _ => from <= clock || clock < to - 1,
    }
}
