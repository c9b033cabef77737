//! A lane as it moves through a day: whose turn it is, and when. The rule by which permits are granted.

use std::collections::VecDeque;

use super::windows::Span;

/// Moments and spans of time are microseconds, as the database has them.
pub(super) type Micros = i64;

/// A task as its lanes share it, by its index in the order of task ids.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) remaining: u64,
    pub(super) daily_limit: u32,
    pub(super) pause: Micros,
    /// Which of the day's lists of open spans is this task's.
    pub(super) hours: usize,
}

/// A lane that may send, now or once a block has ended.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) daily_limit: u32,
    pub(super) today: u32,
    /// Not before this: now, a rest after a failure, the end of a block.
    pub(super) free_from: Micros,
    pub(super) last_opening: Option<Micros>,
    pub(super) last_pause: Micros,
    pub(super) benches: Vec<Bench>,
}

/// The tasks of a lane that have the same hours and pause: they always may at the same moment, so that
/// only the first of them has to be looked at, however many there are.
#[derive(Clone, Debug)]
pub(super) struct Bench {
    hours: usize,
    pause: Micros,
    /// Whose turn is due first stands first: the least recent opening, then the task's id.
    pub(super) seats: VecDeque<Seat>,
}

/// A task on a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) sender: usize,
    pub(super) last_opening: Option<Micros>,
    /// Openings of the day that began at `counted_on`.
    pub(super) count: u32,
    pub(super) counted_on: Micros,
}

/// The next opening of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) at: Micros,
    bench: usize,
    seat: usize,
}

/// One UTC day.
#[derive(Clone, Debug)]
pub(super) struct Day {
    pub(super) span: Span,
    /// By [`Sender::hours`].
    pub(super) open: Vec<Vec<Span>>,
}

impl Lane {
    /// When a pause of this length has passed on the lane: it counts over all tasks, and the longer one of
    /// the last opening's task and of this one wins.
    fn free_after(&self, pause: Micros) -> Micros {
        match self.last_opening {
            Some(last) => self.free_from.max(last.saturating_add(self.last_pause.max(pause))),
            None => self.free_from,
        }
    }

    /// Who speaks next on this day. The first that may is granted; between those that may at the same
    /// moment, the one whose last opening here is the least recent.
    pub(super) fn next_turn(&self, senders: &[Sender], day: &Day) -> Option<Turn> {
        if self.today >= self.daily_limit {
            return None;
        }
        let mut next: Option<(Micros, (Option<Micros>, usize), Turn)> = None;
        for (index, bench) in self.benches.iter().enumerate() {
            let free = self.free_after(bench.pause).max(day.span.from);
            let Some(at) = first_open(&day.open[bench.hours], free) else { continue };
            if next.is_some_and(|(earliest, ..)| earliest < at) {
                continue;
            }
            let Some(seat) = bench.seats.iter().position(|seat| {
                let sender = &senders[seat.sender];
                sender.remaining > 0 && seat.today(day) < sender.daily_limit
            }) else {
                continue;
            };
            let order = bench.seats[seat].order();
            if next.is_none_or(|(earliest, first, _)| (at, order) < (earliest, first)) {
                next = Some((at, order, Turn { at, bench: index, seat }));
            }
        }
        next.map(|(_, _, turn)| turn)
    }

    pub(super) fn sender_of(&self, turn: Turn) -> usize {
        self.benches[turn.bench].seats[turn.seat].sender
    }

    /// How many openings of one task follow each other from a turn on, each a pause after the one before,
    /// because nobody else has a seat.
    pub(super) fn run_of(&self, turn: Turn, senders: &[Sender], day: &Day) -> u32 {
        let [Bench { hours, pause, seats }] = &self.benches[..] else { return 1 };
        if seats.len() > 1 {
            return 1;
        }
        let end = day.open[*hours]
            .iter()
            .find(|span| turn.at < span.to)
            .map_or(turn.at + 1, |span| span.to);
        let fitting = (end - 1 - turn.at) / pause + 1;
        let (seat, limit) = (&seats[turn.seat], senders[seats[turn.seat].sender].daily_limit);
        let room = (self.daily_limit - self.today).min(limit - seat.today(day));
        u32::try_from(fitting).unwrap_or(u32::MAX).min(room)
    }

    /// Notes `n` openings of a turn, the last of them at `at`, and lets the others go before its task.
    pub(super) fn note(&mut self, turn: Turn, at: Micros, n: u32, day: &Day) {
        let bench = &mut self.benches[turn.bench];
        self.today += n;
        self.last_opening = Some(at);
        self.last_pause = bench.pause;
        let Some(mut moved) = bench.seats.remove(turn.seat) else { return };
        moved.count = moved.today(day) + n;
        moved.counted_on = day.span.from;
        moved.last_opening = Some(at);
        let ahead = bench.seats.iter().rposition(|other| other.order() < moved.order());
        bench.seats.insert(ahead.map_or(0, |index| index + 1), moved);
    }

    /// Takes a task off the lane.
    pub(super) fn remove(&mut self, sender: usize) {
        for bench in &mut self.benches {
            bench.seats.retain(|seat| seat.sender != sender);
        }
        self.benches.retain(|bench| !bench.seats.is_empty());
    }
}

impl Bench {
    /// Puts the tasks of a lane where they belong.
    pub(super) fn arrange(mut seats: Vec<Seat>, senders: &[Sender]) -> Vec<Self> {
        let kind = |seat: &Seat| (senders[seat.sender].hours, senders[seat.sender].pause);
        seats.sort_by_key(|seat| (kind(seat), seat.order()));
        seats
            .chunk_by(|one, other| kind(one) == kind(other))
            .map(|alike| {
                let (hours, pause) = kind(&alike[0]);
                Self { hours, pause, seats: alike.iter().copied().collect() }
            })
            .collect()
    }
}

impl Seat {
    /// Openings of a day.
    pub(super) fn today(&self, day: &Day) -> u32 {
        if self.counted_on == day.span.from { self.count } else { 0 }
    }

    fn order(&self) -> (Option<Micros>, usize) {
        (self.last_opening, self.sender)
    }
}

/// The first moment from `at` on that is open.
fn first_open(open: &[Span], at: Micros) -> Option<Micros> {
    open.iter().find(|span| at < span.to).map(|span| span.from.max(at))
}
