//! The lanes' days, one after the other, until every audience is exhausted or the horizon is reached.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{
    lane::{Bench, Day, Lane, Micros, Seat, Sender, Turn},
    outlook::{Binding, ChannelForecast, Exhausted, Forecast, Never, TaskForecast},
    windows::{DAY_S, MICROS, Span, open_spans},
};
use crate::domain::{
    forecast::{Block, ForecastFacts, Part, TaskFacts},
    hours::WorkingHours,
    id::{ChannelName, TaskName},
    phase::Phase,
};

/// A year, and a leap day: whatever takes longer will be planned anew before, and time zones are
/// reliably known no further ahead.
pub const HORIZON_DAYS: u16 = 366;

/// What binds on fewer days than one in so many of what binds most is not worth a change.
const RARE: u64 = 10;

/// Says what will happen from `now` on if nothing fails and nothing is changed.
///
/// It follows the rule by which permits are granted (`grant_permits` and the view `turns` of the store),
/// with calls that take no time. Openings that are to be tried again count as contacts like others.
pub fn forecast(facts: &ForecastFacts, now: DateTime<Utc>) -> Forecast {
    let mut simulation = Simulation::new(facts, now);
    let first = now.timestamp().div_euclid(DAY_S) * DAY_S;
    for index in 0..i64::from(HORIZON_DAYS) {
        if simulation.lanes.iter().all(|lane| lane.lane.benches.is_empty()) {
            break;
        }
        simulation.run_day(first + index * DAY_S, days_stood_for(index));
    }
    simulation.answer(facts, now, first + i64::from(HORIZON_DAYS) * DAY_S)
}

struct Simulation<'a> {
    /// Tasks that take part, by the order of their ids.
    names: Vec<&'a TaskName>,
    senders: Vec<Sender>,
    tallies: Vec<Tally>,
    hours: Vec<(WorkingHours, Tz)>,
    lanes: Vec<LaneOfChannel<'a>>,
    /// Audiences that were exhausted so far.
    n_ended: usize,
}

struct LaneOfChannel<'a> {
    channel: &'a ChannelName,
    lane: Lane,
    openings: Vec<u64>,
}

/// What has come of a task so far.
#[derive(Clone, Debug, Default)]
struct Tally {
    lanes: Vec<usize>,
    /// The most that its lanes' daily limits allow together.
    most_a_day: u64,
    first: Option<Micros>,
    last: Option<Micros>,
    openings: Vec<u64>,
    /// Days on which a binding kept it from more, by lane, in the order of [`Binding::ALL`].
    bound: [u64; Binding::ALL.len()],
}

impl<'a> Simulation<'a> {
    fn new(facts: &'a ForecastFacts, now: DateTime<Utc>) -> Self {
        let mut tasks: Vec<(&TaskName, &TaskFacts)> = facts
            .tasks
            .iter()
            .filter(|(_, task)| task.part != Part::Stands && task.remaining > 0)
            .collect();
        tasks.sort_by_key(|(name, task)| (task.id.is_none(), task.id, *name));
        let mut hours = Vec::new();
        let senders = tasks.iter().map(|(_, task)| sender(task, &mut hours)).collect();
        let is_counted = now.date_naive() == facts.counted_at.date_naive();
        let counted_on =
            facts.counted_at.timestamp().div_euclid(DAY_S).saturating_mul(DAY_S * MICROS);
        let mut seats: BTreeMap<&ChannelName, Vec<Seat>> = BTreeMap::new();
        for (sender, (_, task)) in tasks.iter().enumerate() {
            for (channel, turn) in &task.channels {
                let last_opening = turn.last_opening_at.map(|at| at.timestamp_micros());
                let seat = Seat { sender, last_opening, count: turn.today, counted_on };
                seats.entry(channel).or_default().push(seat);
            }
        }
        let mut simulation = Self {
            names: tasks.iter().map(|(name, _)| *name).collect(),
            senders,
            tallies: vec![Tally::default(); tasks.len()],
            hours,
            lanes: Vec::new(),
            n_ended: 0,
        };
        for (channel, seats) in seats {
            let Some(facts) = facts.channels.get(channel) else { continue };
            let unblocked = match facts.block {
                Some(Block::UntilUnblocked) => continue,
                Some(Block::Until(until)) => until,
                None => now,
            };
            for seat in &seats {
                let limit = simulation.senders[seat.sender].daily_limit.min(facts.daily_limit);
                let tally = &mut simulation.tallies[seat.sender];
                tally.lanes.push(simulation.lanes.len());
                tally.most_a_day += u64::from(limit);
            }
            let free_from = now.max(unblocked).max(facts.rests_until.unwrap_or(now));
            let lane = Lane {
                daily_limit: facts.daily_limit,
                today: if is_counted { facts.today } else { 0 },
                free_from: free_from.timestamp_micros(),
                last_opening: facts.last_opening_at.map(|at| at.timestamp_micros()),
                last_pause: micros(facts.last_pause),
                benches: Bench::arrange(seats, &simulation.senders),
            };
            simulation.lanes.push(LaneOfChannel { channel, lane, openings: Vec::new() });
        }
        simulation
    }

    fn run_day(&mut self, start: i64, stands_for: u64) {
        let day = Day {
            span: Span { from: start * MICROS, to: (start + DAY_S) * MICROS },
            open: self.hours.iter().map(|(hours, zone)| open_spans(*hours, *zone, start)).collect(),
        };
        for tally in &mut self.tallies {
            tally.openings.push(0);
        }
        for lane in &mut self.lanes {
            lane.openings.push(0);
        }
        let (is_ending, is_shared) = self.find_ending(&day);
        // A lane knows of the others only by the audiences that end; without one it has its day alone.
        for index in (0..self.lanes.len()).filter(|index| !is_shared[*index]) {
            self.run_alone(index, &day);
        }
        self.run_together((0..self.lanes.len()).filter(|index| is_shared[*index]), &day);
        for lane in &mut self.lanes {
            if stands_for > 0 {
                note_bindings(&lane.lane, &self.senders, &mut self.tallies, &day, stands_for);
            }
            lane.lane.today = 0;
        }
        for sender in (0..self.senders.len()).filter(|sender| is_ending[*sender]) {
            if self.senders[sender].remaining == 0 {
                for lane in &self.tallies[sender].lanes {
                    self.lanes[*lane].lane.remove(sender);
                }
            }
        }
    }

    /// The tasks whose audience may be exhausted on this day, and the lanes that they have.
    fn find_ending(&self, day: &Day) -> (Vec<bool>, Vec<bool>) {
        let mut is_shared = vec![false; self.lanes.len()];
        let is_ending = self.senders.iter().zip(&self.tallies).map(|(sender, tally)| {
            let fitting =
                |span: &Span| ((span.to - span.from - 1) / sender.pause + 1).unsigned_abs();
            let by_hours: u64 = day.open[sender.hours].iter().map(fitting).sum();
            let most = tally.most_a_day.min(by_hours.saturating_mul(tally.lanes.len() as u64));
            let is_ending = sender.remaining > 0 && sender.remaining <= most;
            if is_ending {
                tally.lanes.iter().for_each(|lane| is_shared[*lane] = true);
            }
            is_ending
        });
        (is_ending.collect(), is_shared)
    }

    fn run_alone(&mut self, index: usize, day: &Day) {
        while let Some(turn) = self.lanes[index].lane.next_turn(&self.senders, day) {
            let n = self.lanes[index].lane.run_of(turn, &self.senders, day);
            self.open(index, turn, n, day);
        }
    }

    /// Lanes that share an audience which may end, in the order of their openings; at the same moment in
    /// the order of their channels, as permits take the last contacts.
    fn run_together(&mut self, lanes: impl Iterator<Item = usize>, day: &Day) {
        // The turns that are due, and how many audiences had ended when they were found.
        let mut turns: Vec<Option<(Turn, usize)>> = vec![None; self.lanes.len()];
        let mut due: BinaryHeap<Reverse<(Micros, usize)>> = BinaryHeap::new();
        for index in lanes {
            let next = self.lanes[index].lane.next_turn(&self.senders, day);
            turns[index] = next.map(|turn| (turn, self.n_ended));
            due.extend(next.map(|turn| Reverse((turn.at, index))));
        }
        while let Some(Reverse((_, index))) = due.pop() {
            let Some((turn, n_ended)) = turns[index] else { continue };
            // If an audience has ended since, whoever is next comes no earlier.
            if n_ended == self.n_ended {
                self.open(index, turn, 1, day);
            }
            let next = self.lanes[index].lane.next_turn(&self.senders, day);
            turns[index] = next.map(|turn| (turn, self.n_ended));
            due.extend(next.map(|turn| Reverse((turn.at, index))));
        }
    }

    /// Notes `n` openings of a lane, the first at its turn and each a pause after the one before.
    fn open(&mut self, index: usize, turn: Turn, n: u32, day: &Day) {
        let LaneOfChannel { lane, openings, .. } = &mut self.lanes[index];
        let task = lane.sender_of(turn);
        let (sender, tally) = (&mut self.senders[task], &mut self.tallies[task]);
        let last = turn.at + sender.pause * i64::from(n - 1);
        sender.remaining -= u64::from(n);
        if sender.remaining == 0 {
            self.n_ended += 1;
        }
        tally.first = Some(tally.first.map_or(turn.at, |first| first.min(turn.at)));
        tally.last = Some(tally.last.map_or(last, |before| before.max(last)));
        lane.note(turn, last, n, day);
        for openings in [openings, &mut tally.openings] {
            if let Some(today) = openings.last_mut() {
                *today += u64::from(n);
            }
        }
    }

    fn answer(self, facts: &ForecastFacts, now: DateTime<Utc>, until: i64) -> Forecast {
        let mut simulated: BTreeMap<&TaskName, (Sender, Tally)> =
            self.names.into_iter().zip(self.senders.into_iter().zip(self.tallies)).collect();
        let tasks = facts
            .tasks
            .iter()
            .map(|(name, task)| (name.clone(), task_forecast(task, simulated.remove(name), now)))
            .collect();
        let mut openings: BTreeMap<&ChannelName, Vec<u64>> =
            self.lanes.into_iter().map(|lane| (lane.channel, lane.openings)).collect();
        let is_counted = now.date_naive() == facts.counted_at.date_naive();
        let channels = facts.channels.iter().map(|(name, channel)| {
            let forecast = ChannelForecast {
                daily_limit: channel.daily_limit,
                block: channel.block,
                sent_before: if is_counted { channel.today } else { 0 },
                openings: trimmed(openings.remove(name).unwrap_or_default()),
            };
            (name.clone(), forecast)
        });
        Forecast {
            counted_at: facts.counted_at,
            from: now,
            until: moment(until * MICROS),
            tasks,
            channels: channels.collect(),
        }
    }
}

/// How many days a day stands for where it is noted what binds: each of the first week for itself, then
/// one of seven for its week. There are too many tasks on lanes to look at all of them every day.
fn days_stood_for(day: i64) -> u64 {
    match day {
        0..7 => 1,
        _ if day % 7 == 0 => 7,
        _ => 0,
    }
}

/// Notes at the end of a day what kept each task of a lane from sending more.
fn note_bindings(lane: &Lane, senders: &[Sender], tallies: &mut [Tally], day: &Day, days: u64) {
    for seat in lane.benches.iter().flat_map(|bench| &bench.seats) {
        let sender = &senders[seat.sender];
        if sender.remaining == 0 {
            continue;
        }
        let bound = &mut tallies[seat.sender].bound;
        let mut note = |binding: Binding| bound[binding as usize] += days;
        if seat.today(day) >= sender.daily_limit {
            note(Binding::DailyLimit);
            continue;
        }
        let open = &day.open[sender.hours];
        if lane.today >= lane.daily_limit {
            note(Binding::ChannelLimit);
        } else if open.iter().any(|span| span.to > lane.free_from) {
            note(Binding::Pause);
            if *open != [day.span] {
                note(Binding::WorkingHours);
            }
        } else {
            note(Binding::WorkingHours);
            continue;
        }
        if lane.today > seat.today(day) {
            note(Binding::SharedChannel);
        }
    }
}

/// Whether the hours keep a task from opening anything at this moment.
fn is_closed(facts: &TaskFacts, now: DateTime<Utc>) -> bool {
    let day = now.timestamp().div_euclid(DAY_S).saturating_mul(DAY_S);
    let at = now.timestamp_micros();
    let spans = open_spans(facts.working_hours, facts.timezone, day);
    !spans.iter().any(|span| (span.from..span.to).contains(&at))
}

fn task_forecast(
    facts: &TaskFacts,
    simulated: Option<(Sender, Tally)>,
    now: DateTime<Utc>,
) -> TaskForecast {
    let (left, tally) = match simulated {
        Some((sender, tally)) => (sender.remaining, tally),
        None => (facts.remaining, Tally::default()),
    };
    let exhausted = match tally.last {
        _ if facts.remaining == 0 => Exhausted::Never(Never::AudienceExhausted),
        _ if facts.phase == Phase::Completed => Exhausted::Never(Never::Completed),
        _ if facts.part == Part::Stands => Exhausted::Never(Never::NotRunning),
        _ if tally.lanes.is_empty() => Exhausted::Never(Never::ChannelsBlocked),
        Some(last) if left == 0 => Exhausted::At(moment(last)),
        _ => Exhausted::Never(Never::BeyondHorizon),
    };
    let bound = Binding::ALL.iter().copied().zip(tally.bound);
    let mut binds: Vec<(Binding, u64)> = bound.filter(|(_, days)| *days > 0).collect();
    binds.sort_by_key(|(binding, days)| (Reverse(*days), *binding));
    let most = binds.first().map_or(0, |(_, days)| *days);
    binds.retain(|(_, days)| *days >= most / RARE);
    // A task that is done within its first day was kept by its hours, if they have yet to open, and by
    // its pause, if it had to wait for it.
    if binds.is_empty() && facts.remaining > left {
        if is_closed(facts, now) {
            binds.push((Binding::WorkingHours, 1));
        }
        if facts.remaining - left > tally.lanes.len() as u64 {
            binds.push((Binding::Pause, 1));
        }
    }
    TaskForecast {
        part: facts.part,
        channels: facts.channels.keys().cloned().collect(),
        daily_limit_per_channel: facts.daily_limit_per_channel,
        remaining: facts.remaining,
        first_opening_at: tally.first.map(moment),
        last_opening_at: tally.last.map(moment),
        exhausted,
        openings: trimmed(tally.openings),
        left,
        spending_limit_per_dialogue: facts.spending_limit_per_dialogue,
        greatest_cost: facts.spending_limit_per_dialogue.checked_mul(facts.remaining),
        binds: binds.into_iter().map(|(binding, _)| binding).collect(),
    }
}

fn sender(task: &TaskFacts, hours: &mut Vec<(WorkingHours, Tz)>) -> Sender {
    let own = (task.working_hours, task.timezone);
    let index = hours.iter().position(|known| *known == own).unwrap_or_else(|| {
        hours.push(own);
        hours.len() - 1
    });
    Sender {
        remaining: task.remaining,
        daily_limit: task.daily_limit_per_channel,
        // A pause of nothing would be infinitely many openings at once.
        pause: micros(task.pause).max(1),
        hours: index,
    }
}

fn trimmed(mut openings: Vec<u64>) -> Vec<u64> {
    let length = openings.iter().rposition(|n| *n > 0).map_or(0, |last| last + 1);
    openings.truncate(length);
    openings
}

/// Pauses are at most a month.
fn micros(duration: std::time::Duration) -> Micros {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

fn moment(at: Micros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
