//! What a forecast says in cases that can be worked out by hand.

use super::{at, foresee, one, task};
use crate::{
    domain::{
        forecast::{Part, TaskFacts},
        money::MicroUsd,
        phase::Phase,
    },
    plan::forecast::{Exhausted, Never},
};

#[test]
fn between_tasks_that_may_at_once_the_least_recent_opening_goes_first() {
    let equal = task("09:00-18:00", 9, 3, &["a"], 15);
    let forecast = foresee(&[("a", 3)], &[("one", equal.clone()), ("two", equal)]);
    let [one, two] = ["one", "two"].map(|name| &forecast.tasks[&name.parse().unwrap()]);
    assert_eq!(one.openings[..4], [2, 1, 2, 1]);
    assert_eq!(two.openings[..4], [1, 2, 1, 2]);
}

#[test]
fn who_comes_after_an_audience_that_another_lane_exhausts_keeps_its_hours() {
    let forecast = foresee(
        &[("a", 20), ("b", 20)],
        &[
            ("ends", task("00:00-24:00", 9, 3, &["a", "b"], 1)),
            ("later", task("09:00-18:00", 9, 3, &["b"], 1)),
        ],
    );
    let later = &forecast.tasks[&"later".parse().unwrap()];
    assert_eq!(later.exhausted, Exhausted::At(at("2026-06-01T09:00:00Z")));
    let ends = &forecast.tasks[&"ends".parse().unwrap()];
    assert_eq!(ends.exhausted, Exhausted::At(at("2026-06-01T00:00:00Z")));
}

#[test]
fn each_task_says_what_binds_it() {
    for (channel_limit, facts, binds) in [
        (100, task("00:00-24:00", 30, 3, &["a"], 4_000), "daily-limit-of-the-task"),
        (20, task("00:00-24:00", 30, 3, &["a"], 4_000), "daily-limit-of-the-channel"),
        (90_000, task("00:00-24:00", 90_000, 60, &["a"], 4_000), "pause-between-dialogues"),
        (
            90_000,
            task("09:00-10:00", 90_000, 60, &["a"], 4_000),
            "pause-between-dialogues, working-hours",
        ),
        (100, task("00:00-24:00", 30, 60, &["a"], 5), "pause-between-dialogues"),
        (100, task("00:00-24:00", 30, 60, &["a"], 1), ""),
    ] {
        let words: Vec<&str> =
            one(&[("a", channel_limit)], facts).binds.iter().map(|b| b.as_str()).collect();
        assert_eq!(words.join(", "), binds);
    }
}

#[test]
fn why_nothing_can_be_said_is_said() {
    let free = &[("a", 20)][..];
    let stands = TaskFacts { part: Part::Stands, ..task("00:00-24:00", 9, 3, &["a"], 5) };
    for (facts, why, left) in [
        (task("00:00-24:00", 9, 3, &["a"], 0), Never::AudienceExhausted, 0),
        (TaskFacts { phase: Phase::Completed, ..stands.clone() }, Never::Completed, 5),
        (stands, Never::NotRunning, 5),
        (task("00:00-24:00", 9, 3, &["unknown"], 5), Never::ChannelsBlocked, 5),
        (task("00:00-24:00", 1, 3, &["a"], 400), Never::BeyondHorizon, 400 - 366),
    ] {
        let task = one(free, facts);
        assert_eq!((task.exhausted, task.left), (Exhausted::Never(why), left));
    }
}

#[test]
fn a_task_with_a_longer_pause_starves_beside_one_with_a_shorter() {
    let forecast = foresee(
        &[("a", 1_000)],
        &[
            ("patient", task("00:00-24:00", 50, 60, &["a"], 10)),
            ("quick", task("00:00-24:00", 100, 3, &["a"], 150)),
        ],
    );
    let [patient, quick] = ["patient", "quick"].map(|name| &forecast.tasks[&name.parse().unwrap()]);
    // Without an earlier opening it goes first, and then only once the other has reached its limit.
    assert_eq!(patient.first_opening_at, Some(at("2026-06-01T00:00:00Z")));
    assert_eq!(quick.first_opening_at, Some(at("2026-06-01T00:01:00Z")));
    assert_eq!(patient.exhausted, Exhausted::At(at("2026-06-01T00:14:57Z")));
    assert_eq!(quick.openings, [100, 50]);
}

#[test]
fn the_greatest_cost_is_exact_and_never_wraps() {
    let cheap = one(&[("a", 20)], task("00:00-24:00", 9, 3, &["a"], 4_812));
    assert_eq!(cheap.greatest_cost.unwrap().to_string(), "2406.00");
    let dear = TaskFacts {
        spending_limit_per_dialogue: MicroUsd::from_micros(i64::MAX),
        ..task("00:00-24:00", 9, 3, &["a"], 2)
    };
    let forecast = foresee(&[("a", 20)], &[("one", dear)]);
    assert_eq!(forecast.greatest_cost(), None);
}
