//! The forecast against the rules that are stepped through.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use chrono_tz::Tz;
use proptest::prelude::*;

use super::{
    at, name,
    situations::{HOURS, STARTS, situation},
    stepper::{Stepper, is_open},
    task,
};
use crate::{
    domain::forecast::TaskFacts,
    plan::forecast::{
        Exhausted, forecast,
        windows::{DAY_S, MICROS, open_spans},
    },
};

/// Further ahead the stepper would take too long.
const N_DAYS: usize = 4;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_forecast_is_what_the_rules_do((facts, now) in situation()) {
        let until = (now.date_naive() + chrono::Days::new(N_DAYS as u64))
            .and_hms_opt(0, 0, 0).unwrap().and_utc();
        let stepped = Stepper::run(&facts, now, until);
        let foreseen = forecast(&facts, now);
        for day in 0..N_DAYS {
            let date = foreseen.day(day);
            for (name, task) in &foreseen.tasks {
                let seen = stepped.by_task.get(&(name.clone(), date)).copied().unwrap_or(0);
                let n = task.openings.get(day).copied().unwrap_or(0);
                prop_assert_eq!(n, seen, "{} on {}", name, date);
            }
            for (name, channel) in &foreseen.channels {
                let seen = stepped.by_channel.get(&(name.clone(), date)).copied().unwrap_or(0);
                let n = channel.openings.get(day).copied().unwrap_or(0);
                prop_assert_eq!(n, seen, "{} on {}", name, date);
            }
        }
        for (name, task) in &foreseen.tasks {
            let before = &facts.tasks[name];
            prop_assert_eq!(task.openings.iter().sum::<u64>() + task.left, before.remaining);
            // To the second, which is within any pause.
            let first = task.first_opening_at.filter(|at| *at < until);
            prop_assert_eq!(first.as_ref(), stepped.first.get(name), "{}", name);
            let is_over = stepped.facts.tasks[name].remaining == 0 && before.remaining > 0;
            match task.exhausted {
                Exhausted::At(at) if at < until => {
                    prop_assert!(is_over);
                    prop_assert_eq!(Some(&at), stepped.last.get(name), "{}", name);
                }
                _ => prop_assert!(!is_over, "{}", name),
            }
        }
    }
}

#[test]
fn open_spans_are_what_the_clock_on_the_wall_says() {
    // The first two are of one zone.
    let zones = [Tz::UTC].into_iter().chain(STARTS[1..].iter().map(|(_, zone)| *zone));
    for (zone, hours) in zones.flat_map(|zone| HOURS.iter().map(move |hours| (zone, *hours))) {
        let task = TaskFacts { timezone: zone, ..task(hours, 1, 3, &[], 1) };
        let mut clocks = BTreeMap::new();
        for start in STARTS.iter().flat_map(|(day, _)| [at(day), at(day) + TimeDelta::days(1)]) {
            let spans = open_spans(task.working_hours, zone, start.timestamp());
            assert!(spans.windows(2).all(|pair| pair[0].to < pair[1].from), "{spans:?}");
            for minute in 0..DAY_S / 60 {
                for second in [0, 58, 59] {
                    let at = start + TimeDelta::seconds(minute * 60 + second);
                    let micros = at.timestamp() * MICROS;
                    let is_inside = spans.iter().any(|s| s.from <= micros && micros < s.to);
                    let is_open = is_open(&task, &name("task", 0), at, &mut clocks);
                    assert_eq!(is_inside, is_open, "{hours} {zone} at {at}");
                }
            }
        }
    }
}
