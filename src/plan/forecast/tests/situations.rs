//! Any situation that a forecast may start from.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::{
    collection::{btree_set, vec},
    option,
    prelude::*,
    sample::select,
};
use uuid::Uuid;

use super::{at, name};
use crate::domain::{
    forecast::{Block, ChannelFacts, ForecastFacts, Part, TaskFacts, TurnFacts},
    id::TaskId,
    money::MicroUsd,
    phase::Phase,
};

/// Days before the turns of daylight saving, of Lord Howe's half hour too, and ordinary ones.
pub(super) const STARTS: &[(&str, Tz)] = &[
    ("2026-03-28T00:00:00Z", Tz::Europe__Berlin),
    ("2026-10-24T00:00:00Z", Tz::Europe__Berlin),
    ("2026-11-01T00:00:00Z", Tz::America__New_York),
    ("2026-04-04T00:00:00Z", Tz::Australia__Lord_Howe),
    ("2026-06-15T00:00:00Z", Tz::Asia__Kolkata),
];
pub(super) const HOURS: &[&str] = &[
    "00:00-24:00",
    "09:00-18:00",
    "23:00-08:00",
    "01:30-02:45",
    "18:00-24:00",
    "02:00-02:01",
    "23:59-00:01",
    "00:00-00:01",
];

fn channel_facts(now: DateTime<Utc>) -> impl Strategy<Value = ChannelFacts> {
    let block = prop_oneof![
        4 => Just(None),
        1 => (0..90_000i64).prop_map(move |s| Some(Block::Until(now + TimeDelta::seconds(s)))),
        1 => Just(Some(Block::UntilUnblocked)),
    ];
    let ago = option::of(0..4_000i64);
    (1..60u32, 0..20u32, ago, 3..4_000u64, block, option::of(0..4_000i64)).prop_map(
        move |(daily_limit, today, ago, pause, block, rest)| ChannelFacts {
            daily_limit,
            today,
            last_opening_at: ago.map(|s| now - TimeDelta::seconds(s)),
            last_pause: Duration::from_secs(pause),
            block,
            rests_until: rest.map(|s| now + TimeDelta::seconds(s)),
        },
    )
}

fn task_facts(
    now: DateTime<Utc>,
    zone: Tz,
    index: usize,
    n_channels: usize,
) -> impl Strategy<Value = TaskFacts> {
    // Some that end in the last second of a minute.
    let pause = prop_oneof![3..10u64, 10..3_000u64, Just(59u64), Just(60u64), 3_000..100_000u64];
    let channels = btree_set(0..n_channels, 1..=n_channels);
    let turns = vec((0..8u32, option::of(0..9_000i64)), n_channels);
    let part = select(&[Part::Runs, Part::Runs, Part::Runs, Part::IfStarted, Part::Stands][..]);
    (
        select(HOURS),
        select(vec![zone, zone, Tz::UTC]),
        1..40u32,
        pause,
        channels,
        turns,
        0..90u64,
        part,
    )
        .prop_map(
            move |(
                hours,
                timezone,
                daily_limit_per_channel,
                pause,
                channels,
                turns,
                remaining,
                part,
            )| {
                let turn = |c: usize| TurnFacts {
                    today: turns[c].0,
                    last_opening_at: turns[c].1.map(|s| now - TimeDelta::seconds(s)),
                };
                TaskFacts {
                    // Ids in another order than names; the last has none.
                    id: (index > 0).then(|| TaskId(Uuid::from_u128(10 - index as u128))),
                    phase: Phase::InProgress,
                    part,
                    working_hours: hours.parse().unwrap(),
                    timezone,
                    daily_limit_per_channel,
                    pause: Duration::from_secs(pause),
                    channels: channels.iter().map(|c| (name("channel", *c), turn(*c))).collect(),
                    remaining,
                    spending_limit_per_dialogue: MicroUsd::from_micros(500_000),
                }
            },
        )
}

pub(super) fn situation() -> impl Strategy<Value = (ForecastFacts, DateTime<Utc>)> {
    let start = (select(STARTS), 0..86_400i64)
        .prop_map(|((day, zone), s)| (at(day) + TimeDelta::seconds(s), zone));
    (start, 1..4usize, 1..5usize).prop_flat_map(|((now, zone), n_channels, n_tasks)| {
        let tasks: Vec<_> = (0..n_tasks).map(|i| task_facts(now, zone, i, n_channels)).collect();
        (vec(channel_facts(now), n_channels), tasks).prop_map(move |(channels, tasks)| {
            let facts = ForecastFacts {
                counted_at: now,
                channels: (0..).zip(channels).map(|(i, c)| (name("channel", i), c)).collect(),
                tasks: (0..).zip(tasks).map(|(i, t)| (name("task", i), t)).collect(),
            };
            (facts, now)
        })
    })
}
