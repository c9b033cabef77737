//! Working hours as moments: when in one UTC day openings may leave.

use chrono::{DateTime, Offset as _, TimeZone as _, Utc};
use chrono_tz::Tz;

use crate::domain::hours::WorkingHours;

pub(super) const MICROS: i64 = 1_000_000;
pub(super) const DAY_S: i64 = 86_400;

/// A half-open span of time, in microseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: i64,
    pub(super) to: i64,
}

/// When the hours are open in the UTC day that begins at `day` (seconds since the epoch), in order.
///
/// Permits compare the clock on the wall, so a day on which clocks are turned is cut where they are.
/// Hours close a second early, as permits have it.
pub(super) fn open_spans(hours: WorkingHours, zone: Tz, day: i64) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::with_capacity(2);
    for (from, to, offset) in pieces(zone, day) {
        // The local days that the piece touches, and their hours, moved back to UTC.
        for local_day in (from + offset).div_euclid(DAY_S)..=(to - 1 + offset).div_euclid(DAY_S) {
            for (opens, closes) in wall_hours(hours) {
                let start = (local_day * DAY_S + opens - offset).max(from);
                let end = (local_day * DAY_S + closes - offset).min(to);
                if start >= end {
                    continue;
                }
                match spans.last_mut() {
                    Some(last) if last.to == start * MICROS => last.to = end * MICROS,
                    _ => spans.push(Span { from: start * MICROS, to: end * MICROS }),
                }
            }
        }
    }
    spans
}

/// Seconds of the day in which the clock on the wall says open, in order.
fn wall_hours(hours: WorkingHours) -> impl Iterator<Item = (i64, i64)> {
    let (from, to) = (i64::from(hours.from_minute()) * 60, i64::from(hours.to_minute()) * 60);
    let spans = if from == 0 && to == DAY_S {
        [(0, DAY_S), (0, 0)]
    } else if from < to {
        [(from, to - 1), (0, 0)]
    } else {
        [(0, to - 1), (from, DAY_S)]
    };
    spans.into_iter().filter(|(opens, closes)| opens < closes)
}

/// The UTC day cut where the zone's offset changes: from, to, and seconds to add for the wall's clock.
fn pieces(zone: Tz, day: i64) -> Vec<(i64, i64, i64)> {
    let end = day + DAY_S;
    let (before, after) = (offset(zone, day), offset(zone, end - 1));
    if before == after {
        return vec![(day, end, before)];
    }
    // Zones change once in a day at the most: the first second with the later offset.
    let (mut old, mut new) = (day, end - 1);
    while new - old > 1 {
        let middle = i64::midpoint(old, new);
        if offset(zone, middle) == before { old = middle } else { new = middle }
    }
    vec![(day, new, before), (new, end, after)]
}

fn offset(zone: Tz, at: i64) -> i64 {
    let at = DateTime::<Utc>::from_timestamp(at, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc())
}
