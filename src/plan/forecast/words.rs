//! A forecast in sentences, for every picture of it alike.

use std::fmt::Display;

use chrono::{DateTime, Utc};

use super::outlook::{Binding, ChannelForecast, Exhausted, Forecast, Never, TaskForecast};
use crate::domain::{
    forecast::{Block, Part},
    id::TaskName,
    money::MicroUsd,
};

/// What stands before the colon: who, and under which assumption.
pub(super) fn heading(name: &TaskName, task: &TaskForecast) -> String {
    match task.part {
        Part::IfStarted => format!("{name}, if it were started now"),
        Part::Runs | Part::Stands => name.to_string(),
    }
}

/// What every forecast takes for granted.
pub(super) const ASSUMPTION: &str =
    "This holds while `nuncio watch` runs, no call fails and nothing is changed.";

/// What will happen to a task, in one sentence.
pub(super) fn sentence(name: &TaskName, task: &TaskForecast, forecast: &Forecast) -> String {
    let contacts = counted(task.remaining, "contact");
    let limit = grouped(u64::from(task.daily_limit_per_channel));
    let rate = match task.channels.len() {
        1 => format!("{limit} a day on 1 channel"),
        n => format!("{limit} a day on each of {n} channels"),
    };
    let end = match task.exhausted {
        Exhausted::Never(Never::AudienceExhausted) => {
            return "its audience is exhausted".to_owned();
        }
        Exhausted::Never(Never::NotRunning) => {
            return format!(
                "{contacts}; it does not run: start it, or see `nuncio forecast {name}`"
            );
        }
        Exhausted::Never(Never::Completed) => {
            return format!("{contacts}; it is completed, and opens no dialogue any more");
        }
        Exhausted::At(at) => format!("exhausted {}", when(at, forecast.from, forecast.counted_at)),
        Exhausted::Never(Never::ChannelsBlocked) => {
            "never exhausted: no channel can send".to_owned()
        }
        Exhausted::Never(Never::BeyondHorizon) => format!(
            "not exhausted within a year: {} left on {}",
            counted(task.left, "contact"),
            forecast.until.format("%Y-%m-%d")
        ),
    };
    format!("{contacts}, at most {rate}: {end}; {}", cost(task.greatest_cost))
}

fn when(at: DateTime<Utc>, from: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let clock = at.format("%H:%M UTC");
    let is_from_today = from.date_naive() == now.date_naive();
    match (at.date_naive() - from.date_naive()).num_days() {
        0 if is_from_today => format!("today at {clock}"),
        1 if is_from_today => format!("tomorrow at {clock}"),
        0 => format!("on {} at {clock}", at.format("%Y-%m-%d")),
        days => format!("on {} at {clock} ({days} days)", at.format("%Y-%m-%d")),
    }
}

pub(super) fn cost(cost: Option<MicroUsd>) -> String {
    cost.map_or_else(
        || "it can cost more than can be counted".to_owned(),
        |cost| {
            let text = cost.to_string();
            let (whole, decimals) = text.split_once('.').unwrap_or((&text, "00"));
            format!("at most ${}.{decimals}", grouped_digits(whole))
        },
    )
}

/// What all tasks together can cost.
pub(super) fn total(forecast: &Forecast) -> String {
    let dialogues = forecast.tasks.values().map(|task| task.remaining).fold(0, u64::saturating_add);
    format!(
        "All together: {}; {}",
        counted(dialogues, "new dialogue"),
        cost(forecast.greatest_cost())
    )
}

/// What keeps a task from sending more a day; `None` where nothing does.
pub(super) fn held_by(task: &TaskForecast) -> Option<String> {
    let binds: Vec<&str> = task
        .binds
        .iter()
        .map(|binding| match binding {
            Binding::DailyLimit => "the task's daily limit",
            Binding::ChannelLimit => "the channels' own daily limit",
            Binding::Pause => "the pause between dialogues",
            Binding::WorkingHours => "the working hours",
            Binding::SharedChannel => "channels shared with other tasks",
        })
        .collect();
    (!binds.is_empty()).then(|| format!("held by {}", binds.join(", then ")))
}

/// What a channel is used for.
pub(super) fn usage(channel: &ChannelForecast, forecast: &Forecast) -> String {
    let block = match channel.block {
        Some(Block::UntilUnblocked) => return "blocked until it is unblocked".to_owned(),
        Some(Block::Until(until)) => until.format("; blocked until %Y-%m-%d %H:%M UTC").to_string(),
        None => String::new(),
    };
    let limit = grouped(u64::from(channel.daily_limit));
    match channel.openings.len() {
        0 => format!("nothing to send{block}"),
        n => {
            let openings = counted(channel.openings.iter().sum(), "opening");
            let beside = match channel.sent_before {
                0 => String::new(),
                sent => format!(" beside {} of today", grouped(sent)),
            };
            let average = if n > 1 { "on average " } else { "" };
            let (until, percent) = (forecast.day(n - 1), channel.used_percent());
            format!(
                "{openings}{beside} until {until}, {average}{percent} % of its {limit} a day{block}"
            )
        }
    }
}

fn counted(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{} {noun}s", grouped(n)) }
}

pub(super) fn grouped(n: impl Display) -> String {
    grouped_digits(&n.to_string())
}

fn grouped_digits(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
