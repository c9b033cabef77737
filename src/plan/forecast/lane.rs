//! A lane as it moves through a day: whose turn it is, and when. The rule by which permits are granted.

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
    /// Whose turn is due first stands first: the least recent opening, then the task's id.
    pub(super) seats: Vec<Seat>,
}

/// A task on a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) sender: usize,
    pub(super) today: u32,
    pub(super) last_opening: Option<Micros>,
}

/// The next opening of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) at: Micros,
    pub(super) seat: usize,
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
        // Nobody may before this; whoever may then needs no comparison with those behind.
        let earliest = self.free_after(0).max(day.span.from);
        if earliest >= day.span.to {
            return None;
        }
        let mut next: Option<Turn> = None;
        for (index, seat) in self.seats.iter().enumerate() {
            let sender = &senders[seat.sender];
            if sender.remaining == 0 || seat.today >= sender.daily_limit {
                continue;
            }
            let free = self.free_after(sender.pause).max(day.span.from);
            let Some(at) = first_open(&day.open[sender.hours], free) else { continue };
            if next.is_none_or(|next| at < next.at) {
                next = Some(Turn { at, seat: index });
                if at == earliest {
                    break;
                }
            }
        }
        next
    }

    /// How many openings of one seat follow each other from a turn on, each a pause after the one before,
    /// because nobody else has a seat.
    pub(super) fn run_of(&self, turn: Turn, senders: &[Sender], day: &Day) -> u32 {
        let sender = &senders[self.seats[turn.seat].sender];
        if self.seats.len() > 1 {
            return 1;
        }
        let end = day.open[sender.hours]
            .iter()
            .find(|span| turn.at < span.to)
            .map_or(turn.at + 1, |span| span.to);
        let fitting = (end - 1 - turn.at) / sender.pause + 1;
        let room =
            (self.daily_limit - self.today).min(sender.daily_limit - self.seats[turn.seat].today);
        u32::try_from(fitting).unwrap_or(u32::MAX).min(room)
    }

    /// Notes `n` openings of a seat, the last of them at `at`, and lets the others go before it.
    pub(super) fn note(&mut self, seat: usize, at: Micros, pause: Micros, n: u32) {
        self.today += n;
        self.last_opening = Some(at);
        self.last_pause = pause;
        let mut moved = self.seats.remove(seat);
        moved.today += n;
        moved.last_opening = Some(at);
        let behind = self.seats.iter().rposition(|other| other.order() < moved.order());
        self.seats.insert(behind.map_or(0, |index| index + 1), moved);
    }
}

impl Seat {
    pub(super) fn order(&self) -> (Option<Micros>, usize) {
        (self.last_opening, self.sender)
    }
}

/// The first moment from `at` on that is open.
fn first_open(open: &[Span], at: Micros) -> Option<Micros> {
    open.iter().find(|span| at < span.to).map(|span| span.from.max(at))
}
