//! The forecast as data. New fields may come; none of these changes or goes within the format's major.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::outlook::{ChannelForecast, Exhausted, Forecast, TaskForecast};
use crate::domain::{
    forecast::Block,
    id::{ChannelName, TaskName},
    money::MicroUsd,
};

const FORMAT_VERSION: &str = "1.0";

/// Times are RFC 3339 in UTC; amounts are US dollars as exact decimals in text; what does not apply is
/// null.
#[derive(Debug, Serialize)]
struct Document<'a> {
    format_version: &'static str,
    from: String,
    /// Where the forecast ends.
    until: String,
    tasks: Vec<Task<'a>>,
    channels: Vec<Channel<'a>>,
    /// Of all these tasks together.
    greatest_cost: Option<String>,
}

#[derive(Debug, Serialize)]
struct Task<'a> {
    name: &'a str,
    /// `running`, `if-started-now` or `not-running`.
    part: &'static str,
    channels: Vec<&'a str>,
    daily_limit_per_channel: u32,
    remaining: u64,
    first_opening_at: Option<String>,
    last_opening_at: Option<String>,
    exhausted_at: Option<String>,
    /// Why there is no `exhausted_at`: `audience-exhausted`, `not-running`, `completed`,
    /// `channel-blocked` or `not-within-a-year`.
    never: Option<&'static str>,
    openings: Vec<DayOfOpenings>,
    /// Contacts that are left at `until`.
    left: u64,
    /// Dialogues that the task may still open; each costs at most its spending limit.
    dialogues: u64,
    spending_limit_per_dialogue: String,
    greatest_cost: Option<String>,
    /// What keeps the task from sending more a day, what binds on most days first.
    binds: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Channel<'a> {
    name: &'a str,
    daily_limit: u32,
    blocked: bool,
    /// With `blocked`: when it ends by itself.
    blocked_until: Option<String>,
    /// Openings of the first day that were sent before the forecast.
    sent_before: u32,
    /// Over all tasks, also those that are not shown.
    openings: Vec<DayOfOpenings>,
    used_percent: u64,
}

/// Days on which nothing leaves are not listed.
#[derive(Debug, Serialize)]
struct DayOfOpenings {
    day: String,
    count: u64,
}

/// Writes a forecast as one JSON value.
pub fn render_forecast_json(forecast: &Forecast) -> String {
    serde_json::to_string_pretty(&document(forecast)).expect("names of fields are texts")
}

/// A forecast as data, to stand alone or inside of other data.
fn document(forecast: &Forecast) -> Document<'_> {
    Document {
        format_version: FORMAT_VERSION,
        from: time(forecast.from),
        until: time(forecast.until),
        tasks: forecast.tasks.iter().map(|(name, task)| self::task(name, task, forecast)).collect(),
        channels: forecast
            .channels
            .iter()
            .map(|(name, channel)| self::channel(name, channel, forecast))
            .collect(),
        greatest_cost: forecast.greatest_cost().as_ref().map(MicroUsd::to_string),
    }
}

fn task<'a>(name: &'a TaskName, task: &'a TaskForecast, forecast: &Forecast) -> Task<'a> {
    let (exhausted_at, never) = match task.exhausted {
        Exhausted::At(at) => (Some(time(at)), None),
        Exhausted::Never(why) => (None, Some(why.as_str())),
    };
    Task {
        name: name.as_str(),
        part: task.part.as_str(),
        channels: task.channels.iter().map(ChannelName::as_str).collect(),
        daily_limit_per_channel: task.daily_limit_per_channel,
        remaining: task.remaining,
        first_opening_at: task.first_opening_at.map(time),
        last_opening_at: task.last_opening_at.map(time),
        exhausted_at,
        never,
        openings: days(&task.openings, forecast),
        left: task.left,
        dialogues: task.remaining,
        spending_limit_per_dialogue: task.spending_limit_per_dialogue.to_string(),
        greatest_cost: task.greatest_cost.as_ref().map(MicroUsd::to_string),
        binds: task.binds.iter().map(|binding| binding.as_str()).collect(),
    }
}

fn channel<'a>(
    name: &'a ChannelName,
    channel: &'a ChannelForecast,
    forecast: &Forecast,
) -> Channel<'a> {
    Channel {
        name: name.as_str(),
        daily_limit: channel.daily_limit,
        blocked: channel.block.is_some(),
        blocked_until: match channel.block {
            Some(Block::Until(until)) => Some(time(until)),
            Some(Block::UntilUnblocked) | None => None,
        },
        sent_before: channel.sent_before,
        openings: days(&channel.openings, forecast),
        used_percent: channel.used_percent(),
    }
}

fn days(openings: &[u64], forecast: &Forecast) -> Vec<DayOfOpenings> {
    let days = openings.iter().enumerate().filter(|(_, count)| **count > 0);
    days.map(|(index, count)| DayOfOpenings { day: forecast.day(index).to_string(), count: *count })
        .collect()
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
