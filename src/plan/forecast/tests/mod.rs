//! The forecast's tests: the rules, what is read of it, and manifests laid over it.

mod overlay;
mod pictures;
mod rules;
mod situations;
mod stepped;
mod stepper;

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{Forecast, TaskForecast, forecast};
use crate::domain::{
    forecast::{ChannelFacts, ForecastFacts, Part, TaskFacts, TurnFacts},
    money::MicroUsd,
    phase::Phase,
};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn task(hours: &str, limit: u32, pause: u64, channels: &[&str], remaining: u64) -> TaskFacts {
    TaskFacts {
        id: None,
        phase: Phase::InProgress,
        part: Part::Runs,
        working_hours: hours.parse().unwrap(),
        timezone: Tz::UTC,
        daily_limit_per_channel: limit,
        pause: Duration::from_secs(pause),
        channels: channels.iter().map(|c| (c.parse().unwrap(), TurnFacts::default())).collect(),
        remaining,
        spending_limit_per_dialogue: MicroUsd::from_micros(500_000),
    }
}

fn foresee(channels: &[(&str, u32)], tasks: &[(&str, TaskFacts)]) -> Forecast {
    forecast(&facts(channels, tasks), at("2026-06-01T00:00:00Z"))
}

fn facts(channels: &[(&str, u32)], tasks: &[(&str, TaskFacts)]) -> ForecastFacts {
    ForecastFacts {
        counted_at: at("2026-06-01T00:00:00Z"),
        channels: channels
            .iter()
            .map(|(name, limit)| (name.parse().unwrap(), ChannelFacts::unused(*limit)))
            .collect(),
        tasks: tasks.iter().map(|(name, task)| (name.parse().unwrap(), task.clone())).collect(),
    }
}

fn one(channels: &[(&str, u32)], facts: TaskFacts) -> TaskForecast {
    foresee(channels, &[("one", facts)]).tasks.into_values().next().unwrap()
}

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(prefix: &str, index: usize) -> T {
    format!("{prefix}-{index}").parse().unwrap()
}
