//! `nuncio status`: the table of tasks.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::{Common, ExitStatus, output::Output};
use crate::{
    domain::{id::TaskName, phase::Phase},
    service::Database,
    store::{ChannelOverview, HeldBack, TaskOverview},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Only this task, with each of its channels
    name: Option<TaskName>,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let tasks = database.store.read_overview().await?;
    let held = database.store.list_held_back().await?;
    match &args.name {
        Some(name) => {
            let Some(task) = tasks.iter().find(|task| task.name == *name) else {
                anyhow::bail!("no task `{name}` was applied; `nuncio status` lists them");
            };
            output.data(&one(task));
        }
        None if tasks.is_empty() => output.note("No task was applied yet."),
        None => output.data(&table(&tasks)),
    }
    if !held.is_empty() {
        output.data(&format!("\nNot applied:\n{}", held_lines(&held)));
    }
    Ok(ExitStatus::Success)
}

fn held_lines(held: &[HeldBack]) -> String {
    let mut text = String::new();
    for HeldBack { subject, place, message, since } in held {
        let since = since.map(|at| at.format(" since %Y-%m-%d %H:%M UTC").to_string());
        let since = since.unwrap_or_default();
        writeln!(text, "  ! {place}: {subject}{since}\n      {message}")
            .expect("a String takes all text");
    }
    text
}

/// Three lines a task: what it is, how it stands, and its numbers.
fn table(tasks: &[TaskOverview]) -> String {
    let rows: Vec<[String; 5]> = tasks.iter().map(cells).collect();
    let head = ["NAME", "TYPE", "AI", "MANAGERS", "REMAINING"].map(str::to_owned);
    let mut widths = [0; 5];
    for row in rows.iter().chain([&head]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 5]| {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut text = line(&head);
    text.push('\n');
    for (task, row) in tasks.iter().zip(&rows) {
        let TaskOverview { id, sent, failed, in_doubt, .. } = task;
        // Suppressed, or written to by an earlier incarnation.
        let passed_over = task.total.saturating_sub(task.remaining + sent + failed + in_doubt);
        write!(text, "{}\n  {}\n  id {id}", line(row), standing(task))
            .expect("a String takes all text");
        if task.outgoing {
            write!(text, "  {sent} sent, {failed} failed, {in_doubt} in doubt")
                .expect("a String takes all text");
            if passed_over > 0 {
                write!(text, ", {passed_over} passed over").expect("a String takes all text");
            }
        }
        text.push('\n');
    }
    text
}

/// Names may have 63 characters; a table for people has not the room.
const CELL_MAX: usize = 26;

fn cells(task: &TaskOverview) -> [String; 5] {
    let field = |path: &str| task.fields.get(path).map(ToString::to_string).unwrap_or_default();
    let managers = field("managers");
    let short = |text: String| {
        if text.chars().count() <= CELL_MAX {
            return text;
        }
        text.chars().take(CELL_MAX - 1).chain(['…']).collect()
    };
    let remaining = if task.outgoing {
        format!("{} of {}", task.remaining, task.total)
    } else {
        "-".to_owned()
    };
    [
        short(task.name.to_string()),
        field("type"),
        short(field("ai")),
        short(managers.trim_matches(['[', ']']).to_owned()),
        remaining,
    ]
}

fn symbol(phase: Phase) -> &'static str {
    match phase {
        Phase::InProgress => "▶",
        Phase::Awaiting | Phase::Stopped => "‖",
        Phase::Completed => "■",
    }
}

/// The user's status, its reason, and when it moves next.
fn standing(task: &TaskOverview) -> String {
    let phase = format!("{} {}", symbol(task.phase), task.phase.shown());
    let reason = match task.phase {
        Phase::Awaiting => "not started".to_owned(),
        Phase::Stopped => format!("paused by {}", task.phase_by),
        Phase::Completed => format!("completed by {}", task.phase_by),
        Phase::InProgress if !task.outgoing => {
            "incoming only; this version does not answer yet".to_owned()
        }
        Phase::InProgress => match next_channel(task) {
            Some(channel) => why(channel, task.now),
            None => "no channel can open a dialogue".to_owned(),
        },
    };
    format!("{phase}: {reason}")
}

/// The channel that will move first; with none, the first that says why.
fn next_channel(task: &TaskOverview) -> Option<&ChannelOverview> {
    let soonest = task.channels.iter().filter(|channel| channel.until.is_some());
    soonest.min_by_key(|channel| channel.until).or_else(|| task.channels.first())
}

fn why(channel: &ChannelOverview, now: DateTime<Utc>) -> String {
    let ChannelOverview { channel: name, verdict, until, blocked_reason, connectable, led } =
        channel;
    let reason = match verdict.as_str() {
        "channel-blocked" => {
            let reason = blocked_reason.as_deref().unwrap_or("no reason is known");
            return match until {
                Some(until) => {
                    format!("channel `{name}` blocked: {reason}; {}", moves(*until, now))
                }
                // What is missing is looked for again and again; what a provider refused is not.
                None if *connectable => {
                    format!("channel `{name}` blocked: {reason}; resume: nuncio unblock {name}")
                }
                None => format!("channel `{name}` blocked: {reason}"),
            };
        }
        "audience-exhausted" => return "audience exhausted".to_owned(),
        "outside-working-hours" => "outside working hours",
        "daily-limit" => "daily limit reached",
        "pause" => "pause between dialogues",
        "channel-rests" => "the channel rests after a failure",
        "retry" => "an opening will be tried again",
        "sending" => return "sending".to_owned(),
        _ => "ready",
    };
    match until {
        _ if !led => format!("{reason}; no `nuncio watch` is running"),
        Some(until) => format!("{reason}; {}", moves(*until, now)),
        None => reason.to_owned(),
    }
}

/// When something moves: in seconds while that is soon, else by the clock.
fn moves(until: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (until - now).num_seconds();
    match seconds {
        ..=0 => "next opening any moment".to_owned(),
        1..=120 => format!("next opening in {seconds} s"),
        _ if until.date_naive() == now.date_naive() => {
            until.format("next opening at %H:%M UTC").to_string()
        }
        _ => until.format("next opening on %Y-%m-%d at %H:%M UTC").to_string(),
    }
}

fn one(task: &TaskOverview) -> String {
    let mut text = table(std::slice::from_ref(task));
    writeln!(text, "  manifest {}", task.file).expect("a String takes all text");
    for channel in &task.channels {
        let reason = why(channel, task.now);
        let prefix = format!("channel `{}` ", channel.channel);
        let reason = reason.strip_prefix(&prefix).unwrap_or(&reason);
        writeln!(text, "  channel {}: {reason}", channel.channel).expect("a String takes all text");
    }
    text
}
