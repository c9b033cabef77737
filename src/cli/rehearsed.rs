//! What a rehearsal showed: per task and channel what was sent, and which faults were met.

use std::{fmt::Write as _, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{ExitStatus, failure::FORMAT_VERSION, rehearse::is_rehearsed, status::why};
use crate::{
    domain::phase::Phase,
    store::{ChannelOverview, OutcomeTally, TaskOverview},
};

/// Why a rehearsal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Everybody was written to who can be.
    Exhausted,
    /// Nothing more would be sent in its time.
    Idle,
    Time,
    Signal(ExitStatus),
}

impl Ending {
    fn word(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Idle => "idle",
            Self::Time => "time",
            Self::Signal(_) => "interrupted",
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Exhausted => "everybody was written to who can be",
            Self::Idle => "nothing more would be sent within its time",
            Self::Time => "its time is over; --for TIME gives it more",
            Self::Signal(_) => "it was interrupted",
        }
    }
}

pub(super) struct Rehearsed<'a> {
    pub(super) ending: Ending,
    pub(super) took: Duration,
    pub(super) tasks: &'a [TaskOverview],
    pub(super) outcomes: &'a [OutcomeTally],
}

/// The report as JSON.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    format_version: &'static str,
    /// `exhausted`, `idle`, `time` or `interrupted`.
    ended: &'static str,
    seconds: f64,
    tasks: Vec<Task<'a>>,
    /// Tasks that did not run.
    not_rehearsed: Vec<NotRehearsed<'a>>,
}

#[derive(Serialize)]
struct Task<'a> {
    task: &'a str,
    total: u64,
    remaining: u64,
    channels: Vec<Channel<'a>>,
}

#[derive(Serialize)]
struct Channel<'a> {
    channel: &'a str,
    sent: u64,
    /// What else became of attempts. One contact may have several.
    faults: Vec<Fault<'a>>,
    verdict: &'a str,
    until: Option<DateTime<Utc>>,
    blocked_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Fault<'a> {
    /// Absent for a call that was not answered before the end.
    outcome: Option<&'a str>,
    reason: Option<&'a str>,
    attempts: u64,
}

#[derive(Serialize)]
struct NotRehearsed<'a> {
    task: &'a str,
    why: String,
}

const SENT: &str = "sent";

impl<'a> Rehearsed<'a> {
    fn of(&self, task: &str, channel: &str) -> impl Iterator<Item = &'a OutcomeTally> {
        self.outcomes.iter().filter(move |tally| tally.task == task && tally.channel == channel)
    }

    fn sent(&self, task: &str, channel: &str) -> u64 {
        let sent = self.of(task, channel).filter(|tally| tally.outcome.as_deref() == Some(SENT));
        sent.map(|tally| tally.n).sum()
    }

    fn faults(&self, task: &str, channel: &str) -> Vec<Fault<'a>> {
        self.of(task, channel)
            .filter(|tally| tally.outcome.as_deref() != Some(SENT))
            .map(|tally| Fault {
                outcome: tally.outcome.as_deref(),
                reason: tally.reason.as_deref(),
                attempts: tally.n,
            })
            .collect()
    }

    fn not_rehearsed(&self) -> Vec<NotRehearsed<'a>> {
        let others = self.tasks.iter().filter(|task| !is_rehearsed(task));
        others.map(|task| NotRehearsed { task: task.name.as_str(), why: why_not(task) }).collect()
    }

    pub(super) fn answer(&self) -> Answer<'a> {
        let task = |task: &'a TaskOverview| {
            let name = task.name.as_str();
            let channels = task.channels.iter().map(|channel| Channel {
                channel: &channel.channel,
                sent: self.sent(name, &channel.channel),
                faults: self.faults(name, &channel.channel),
                verdict: &channel.verdict,
                until: channel.until,
                blocked_reason: channel.blocked_reason.as_deref(),
            });
            Task {
                task: name,
                total: task.total,
                remaining: task.remaining,
                channels: channels.collect(),
            }
        };
        Answer {
            format_version: FORMAT_VERSION,
            ended: self.ending.word(),
            seconds: self.took.as_secs_f64(),
            tasks: self.tasks.iter().filter(|task| is_rehearsed(task)).map(task).collect(),
            not_rehearsed: self.not_rehearsed(),
        }
    }

    pub(super) fn shown(&self) -> String {
        let mut text = String::new();
        let mut line = |line: &str| {
            writeln!(text, "{line}").expect("a String takes all text");
        };
        for task in self.tasks.iter().filter(|task| is_rehearsed(task)) {
            let name = task.name.as_str();
            line(&format!("{name}: {} of {} remain", task.remaining, task.total));
            for channel in &task.channels {
                let sent = self.sent(name, &channel.channel);
                // Nobody leads a lane after the end, and that says nothing.
                let led = ChannelOverview { led: true, ..channel.clone() };
                let why = why(&led, task.now);
                let prefix = format!("channel `{}` ", channel.channel);
                let why = why.strip_prefix(&prefix).unwrap_or(&why);
                line(&format!("  {}: {sent} sent; {why}", channel.channel));
                for Fault { outcome, reason, attempts } in self.faults(name, &channel.channel) {
                    let outcome = outcome.unwrap_or("not answered before the end");
                    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                    line(&format!("    ! {attempts} × {outcome}{reason}"));
                }
            }
        }
        for NotRehearsed { task, why } in self.not_rehearsed() {
            line(&format!("{task}: not rehearsed; {why}"));
        }
        let seconds = self.took.as_secs();
        line(&format!(
            "Rehearsed for {seconds} s: {}. Nothing left this machine.",
            self.ending.told()
        ));
        text
    }
}

fn why_not(task: &TaskOverview) -> String {
    match task.phase {
        _ if !task.outgoing => "it only answers".to_owned(),
        Phase::Completed => "it is completed".to_owned(),
        _ => "it does not run; --all starts it".to_owned(),
    }
}
