//! `nuncio status`: the table of tasks.

use std::{fmt::Write as _, path::Path};

use chrono::{DateTime, Utc};

use super::{
    Common, ExitStatus, failure::NotFound, look::Look, output::Output, sentence, status_json,
};
use crate::{
    domain::{
        condition::{Condition, ConditionStatus},
        id::TaskName,
        phase::Phase,
    },
    manifest,
    service::Database,
    store::{ChannelOverview, HeldBack, TaskOverview},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Only this task: why nothing happens with it, and each of its channels
    name: Option<TaskName>,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    #[default]
    Human,
    /// For programs: one JSON document, with the conditions of every task
    Json,
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let look = Look::at(&database.store).await?;
    let name = args.name.as_ref();
    let unapplied = name.filter(|name| look.task(name).is_none());
    let why_not = unapplied.and_then(|name| why_not_applied(&look, name, &common.tasks));
    if let Some(name) = unapplied.filter(|_| why_not.is_none()) {
        return Err(NotFound::task(name, look.tasks.iter().map(|task| &task.name)).into());
    }
    if args.output == Form::Json {
        output.data(&status_json::render(&look, name)?);
    } else if let Some(why_not) = &why_not {
        output.data(&sentence::wrapped(why_not));
    } else {
        if let Some(guard) = &look.guard {
            output.data(&sentence::guarded(guard));
        }
        if let Some(message) = &look.lacks_room {
            output.data(&sentence::without_room(message));
        }
        show(&look, name, &common.tasks, output);
    }
    Ok(ExitStatus::Success)
}

fn show(look: &Look, name: Option<&TaskName>, folder: &Path, output: Output) {
    let mut now = None;
    if name.is_none()
        && !look.tasks.is_empty()
        && let Some(line) = sentence::nobody_watches(look)
    {
        output.data(&line);
    }
    if let Some(name) = name {
        let Some(task) = look.task(name) else { return };
        output.data(&one(look, task, folder));
        now = Some(task.now);
    } else if look.tasks.is_empty() {
        output.note("No task was applied yet.");
    } else {
        output.data(&table(look, &look.tasks));
    }
    if name.is_none() && !look.held.is_empty() {
        let by = match look.living_watches().next() {
            Some(_) => "",
            None => ", as the last `nuncio watch` saw it",
        };
        output.data(&format!("\nNot applied{by}:\n{}", held_lines(&look.held)));
    }
    let watches = look.watches.iter();
    // One that is gone matters only while none is there, which is said first where all tasks are shown.
    let is_shown = |alive: bool| alive || (name.is_some() && !look.watches[0].alive);
    let shown = watches.filter(|watch| is_shown(watch.alive)).take(WATCHES_SHOWN);
    for (nth, watch) in shown.enumerate() {
        if nth == 0 {
            output.data("");
        }
        let now = now.or_else(|| look.tasks.first().map(|task| task.now));
        for line in sentence::watch_lines(watch, now.unwrap_or(watch.seen_at)) {
            output.data(sentence::wrapped(&line).trim_end());
        }
        if !watch.alive {
            break;
        }
    }
}

/// Several watch one database for safety; more are shown to programs.
const WATCHES_SHOWN: usize = 5;

/// What is known of a task that is not in the database: from a watch that tried, or from the folder here.
fn why_not_applied(look: &Look, name: &TaskName, folder: &Path) -> Option<String> {
    if let Some((name, stored)) = look.never_applied().find(|(other, _)| *other == name.as_str()) {
        return Some(sentence::never_applied(name, &stored.condition));
    }
    let loaded = manifest::load(folder).ok()?;
    if loaded.desired.tasks.contains_key(name) {
        return Some(format!(
            "`{name}` was not applied yet; its manifest is there: nuncio apply, or nuncio watch."
        ));
    }
    let invalid = loaded.desired.unreadable.tasks.get(name)?;
    let found = loaded.diagnostics.iter().find(|found| invalid.mistakes.contains(&found.place))?;
    let held = Condition::new(ConditionStatus::Held, "InvalidManifest", &*found.message);
    Some(sentence::never_applied(name.as_str(), &held.at(found.place.to_string())))
}

fn held_lines(held: &[HeldBack]) -> String {
    let mut text = String::new();
    for HeldBack { subject, place, message, since } in held {
        let since = since.map(|at| at.format(" since %Y-%m-%d %H:%M UTC").to_string());
        let since = since.unwrap_or_default();
        text.push_str(&sentence::wrapped(&format!("  ! {place}: {subject}{since}")));
        text.push_str(&sentence::wrapped(&format!("      {message}")));
    }
    text
}

/// A few lines a task: what it is, how it stands, its numbers, and its dialogues where there are any.
fn table(look: &Look, tasks: &[TaskOverview]) -> String {
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
        let standing = sentence::wrapped(&format!("  {}", standing(look, task)));
        let mut numbers = format!("  id {id}");
        if task.outgoing {
            write!(numbers, "  {sent} sent, {failed} failed, {in_doubt} in doubt")
                .expect("a String takes all text");
            if passed_over > 0 {
                write!(numbers, ", {passed_over} passed over").expect("a String takes all text");
            }
        }
        let numbers = sentence::hung(&numbers, 4);
        writeln!(text, "{}\n{standing}{numbers}", line(row)).expect("a String takes all text");
        for line in sentence::dialogue_lines(look, task) {
            text.push_str(&sentence::wrapped(&format!("  {line}")));
        }
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
fn standing(look: &Look, task: &TaskOverview) -> String {
    let phase = format!("{} {}", symbol(task.phase), task.phase.shown());
    let reason = match task.phase {
        Phase::Awaiting => "not started".to_owned(),
        Phase::Stopped => format!("paused by {}", task.caused_by()),
        Phase::Completed => format!("completed by {}", task.phase_by),
        Phase::InProgress if !task.outgoing && look.living_watches().next().is_none() => {
            "answers nobody; no `nuncio watch` is running".to_owned()
        }
        Phase::InProgress if !task.outgoing => {
            sentence::trouble(look, task).unwrap_or_else(|| "answers whoever writes".to_owned())
        }
        Phase::InProgress => match next_channel(task) {
            Some(channel) => why(channel, task.now),
            None => "no channel can open a dialogue".to_owned(),
        },
    };
    format!("{phase}: {reason}")
}

/// The channel that will move first; with none, the first that says why.
pub(super) fn next_channel(task: &TaskOverview) -> Option<&ChannelOverview> {
    let soonest = task.channels.iter().filter(|channel| channel.until.is_some());
    soonest.min_by_key(|channel| channel.until).or_else(|| task.channels.first())
}

/// Why a channel does not send now, or that it does.
pub(super) fn why(channel: &ChannelOverview, now: DateTime<Utc>) -> String {
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
        "messaging-limit" => "messaging limit of the portfolio reached",
        "pause" => "pause between dialogues",
        "channel-rests" => "the channel rests after a failure",
        "retry" => "an opening will be tried again",
        "draft" => "the AI writes the opening",
        "sending" => return "sending".to_owned(),
        "guarded" => return "the backup guard is on".to_owned(),
        _ => "ready",
    };
    match until {
        _ if !led => format!("{reason}; no `nuncio watch` is running"),
        Some(until) => format!("{reason}; {}", moves(*until, now)),
        None => reason.to_owned(),
    }
}

/// When something moves: in seconds while that is soon, else by the clock.
pub(super) fn moves(until: DateTime<Utc>, now: DateTime<Utc>) -> String {
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

fn one(look: &Look, task: &TaskOverview, folder: &Path) -> String {
    let mut text = sentence::wrapped(&sentence::why(look, task));
    for line in sentence::sync_lines(look, task.name.as_str()) {
        text.push_str(&sentence::wrapped(&line));
    }
    text.push('\n');
    text.push_str(&table(look, std::slice::from_ref(task)));
    let manifest = folder.join(&task.file);
    writeln!(text, "  manifest {}", manifest.display()).expect("a String takes all text");
    for channel in &task.channels {
        let reason = why(channel, task.now);
        let prefix = format!("channel `{}` ", channel.channel);
        let reason = reason.strip_prefix(&prefix).unwrap_or(&reason);
        let line = format!("  channel {}: {reason}", channel.channel);
        text.push_str(&sentence::wrapped(&line));
    }
    text
}
