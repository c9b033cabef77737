//! What is in doubt, as operators and programs read it.

use std::io::{self, IsTerminal as _};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Args;
use crate::{
    cli::{
        audience::shown,
        dialogues::{due, shown_author},
        failure::FORMAT_VERSION,
        output::{AnswerForm, Output, columns},
        sentence::wrapped_to,
    },
    clock,
    domain::phase::Phase,
    store::{Doubtful, DoubtfulReply, HeldRepeat, Store},
};

pub(super) async fn run(store: &Store, args: &Args, output: Output) -> anyhow::Result<()> {
    let shows_addresses = args.show_addresses || io::stdout().is_terminal();
    let (attempts, replies) = (store.list_doubtful().await?, store.list_doubtful_replies().await?);
    if args.output == AnswerForm::Json {
        output.json(&DoubtsJson {
            format_version: FORMAT_VERSION,
            attempts: attempts.iter().map(|one| AttemptJson::of(one, shows_addresses)).collect(),
            replies: replies.iter().map(|one| ReplyJson::of(one, shows_addresses)).collect(),
        });
        return Ok(());
    }
    if attempts.is_empty() && replies.is_empty() {
        output.note("Nothing is in doubt.");
    }
    for one in attempts {
        let who = shown(one.address.as_str(), shows_addresses);
        output.data(&entry(
            &format!(
                "{} {}: opening to {who}, task {}, channel {}",
                one.attempt,
                time(one.granted_at),
                one.task,
                one.channel
            ),
            &one.reason,
            one.held.as_ref().map(waits),
        ));
    }
    for one in replies {
        let who = shown(one.peer.as_str(), shows_addresses);
        output.data(&entry(
            &format!(
                "m{} {}: {} to {who}, dialogue {}, task {}, channel {}",
                one.message,
                time(one.sent_at),
                shown_author(one.author),
                one.dialogue,
                one.task,
                one.channel
            ),
            &one.reason,
            one.held.as_ref().map(waits),
        ));
    }
    Ok(())
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// What it is, and below it why nobody knows and what it waits for.
fn entry(line: &str, reason: &str, waits: Option<String>) -> String {
    let mut text = wrapped_to(line, columns(), 4);
    for more in [Some(reason.to_owned()), waits].into_iter().flatten() {
        if !more.is_empty() {
            text.push_str(&wrapped_to(&format!("    {more}"), columns(), 0));
        }
    }
    text
}

/// What holds a call up that would end the doubt, and the way out.
pub(super) fn waits(held: &HeldRepeat) -> String {
    match held {
        HeldRepeat::Task { task, phase: Phase::Completed } => {
            format!("not repeated while task `{task}` is completed")
        }
        HeldRepeat::Task { task, phase } => {
            format!("waits: task `{task}` is {}; nuncio start {task}", phase.shown())
        }
        HeldRepeat::Channel { channel, reason, until: Some(until) } => {
            let goes_on = due(*until, clock::now());
            format!("waits: channel `{channel}` is blocked: {reason}; it goes on {goes_on}")
        }
        HeldRepeat::Channel { channel, reason, until: None } => format!(
            "waits: channel `{channel}` is blocked: {reason}; once it is mended: nuncio unblock {channel}"
        ),
        HeldRepeat::ChannelGone { channel } => {
            format!("waits: channel `{channel}` is not applied any more")
        }
    }
}

/// What is in doubt, for programs.
#[derive(Serialize)]
struct DoubtsJson<'a> {
    format_version: &'static str,
    attempts: Vec<AttemptJson<'a>>,
    replies: Vec<ReplyJson<'a>>,
}

#[derive(Serialize)]
struct AttemptJson<'a> {
    id: i64,
    task: &'a str,
    channel: &'a str,
    /// Absent unless addresses are shown.
    address: Option<&'a str>,
    at: DateTime<Utc>,
    reason: &'a str,
    /// What its repeat waits for, where there is to be one.
    waits: Option<String>,
}

impl<'a> AttemptJson<'a> {
    fn of(doubtful: &'a Doubtful, shows_addresses: bool) -> Self {
        let Doubtful { attempt, task, channel, address, granted_at, reason, held } = doubtful;
        Self {
            id: attempt.0,
            task,
            channel,
            address: shows_addresses.then(|| address.as_str()),
            at: *granted_at,
            reason,
            waits: held.as_ref().map(waits),
        }
    }
}

#[derive(Serialize)]
struct ReplyJson<'a> {
    /// As `resolve` takes it.
    id: String,
    dialogue: i64,
    author: &'static str,
    task: &'a str,
    channel: &'a str,
    /// Absent unless addresses are shown.
    address: Option<&'a str>,
    at: DateTime<Utc>,
    reason: &'a str,
    /// What its repeat waits for, where there is to be one.
    waits: Option<String>,
}

impl<'a> ReplyJson<'a> {
    fn of(doubtful: &'a DoubtfulReply, shows_addresses: bool) -> Self {
        let DoubtfulReply { message, dialogue, task, channel, peer, author, .. } = doubtful;
        let DoubtfulReply { sent_at, reason, held, .. } = doubtful;
        Self {
            id: format!("m{message}"),
            dialogue: dialogue.0,
            author: author.as_str(),
            task,
            channel,
            address: shows_addresses.then(|| peer.as_str()),
            at: *sent_at,
            reason,
            waits: held.as_ref().map(waits),
        }
    }
}
