//! A forecast of a million contacts on one channel, and of a thousand tasks over a thousand lanes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that meets an error ends"
)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use nuncio::{
    clock,
    domain::{
        forecast::{ChannelFacts, ForecastFacts, Part, TaskFacts, TurnFacts},
        money::MicroUsd,
        phase::Phase,
    },
    plan::forecast::forecast,
};

/// A situation in which every task is alike: on `lanes_each` of the lanes, beginning with its own number.
struct Situation {
    n_tasks: usize,
    n_lanes: usize,
    lanes_each: usize,
    limit: u32,
    pause_s: u64,
    remaining: u64,
}

fn main() {
    let alone = Situation {
        n_tasks: 1,
        n_lanes: 1,
        lanes_each: 1,
        limit: 1_000_000,
        pause_s: 3,
        remaining: 1_000_000,
    };
    let many = Situation {
        n_tasks: 1_000,
        n_lanes: 1_000,
        lanes_each: 5,
        limit: 20,
        pause_s: 45,
        remaining: 7_000,
    };
    for (what, situation) in [
        ("a million contacts, one channel, a pause of 3 s", &alone),
        ("the same over ten channels", &Situation { n_lanes: 10, lanes_each: 10, ..alone }),
        (
            "the same, two tasks that take turns",
            &Situation { n_tasks: 2, remaining: 500_000, ..alone },
        ),
        ("a thousand tasks, each on 5 of a thousand channels, for a year", &many),
        (
            "a thousand tasks, each on all of a thousand channels, for a year",
            &Situation { lanes_each: 1_000, ..many },
        ),
    ] {
        run(what, situation);
    }
}

fn run(what: &str, situation: &Situation) {
    let Situation { n_tasks, n_lanes, lanes_each, limit, pause_s, remaining } = *situation;
    let now = clock::now();
    let lane = |index: usize| format!("lane-{:04}", index % n_lanes).parse().unwrap();
    let task = |index: usize| {
        let facts = TaskFacts {
            id: None,
            phase: Phase::InProgress,
            part: Part::Runs,
            working_hours: ["00:00-24:00", "09:00-18:00"][index % 2].parse().unwrap(),
            timezone: [chrono_tz::UTC, chrono_tz::Europe::Berlin][index / 2 % 2],
            daily_limit_per_channel: limit,
            pause: Duration::from_secs(pause_s),
            channels: (0..lanes_each).map(|n| (lane(index + n), TurnFacts::default())).collect(),
            remaining,
            spending_limit_per_dialogue: MicroUsd::from_micros(500_000),
        };
        (format!("task-{index:04}").parse().unwrap(), facts)
    };
    let facts = ForecastFacts {
        counted_at: now,
        channels: (0..n_lanes).map(|n| (lane(n), ChannelFacts::unused(limit))).collect(),
        tasks: (0..n_tasks).map(task).collect::<BTreeMap<_, _>>(),
    };
    let started = Instant::now();
    let foreseen = forecast(&facts, now);
    let took = started.elapsed();
    let openings: u64 = foreseen.tasks.values().flat_map(|task| &task.openings).sum();
    println!("{what}: {openings} openings foreseen in {:.0} ms", took.as_secs_f64() * 1000.0);
}
