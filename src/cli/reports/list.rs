//! What integrations and the systems behind `api` channels were not told, as people and programs read it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Args;
use crate::{
    cli::{
        failure::FORMAT_VERSION,
        output::{AnswerForm, Output, columns},
        sentence::wrapped_to,
    },
    domain::report::ReportState,
    store::{
        Callbacks, ListedCallback, ListedReport, REPORTS_MAX, SilentIntegration, SilentReceiver,
        Store,
    },
};

/// Everything that is listed, of about one moment.
struct Listed {
    reports: Vec<ListedReport>,
    callbacks: Vec<ListedCallback>,
    integrations: Vec<SilentIntegration>,
    receivers: Vec<SilentReceiver>,
}

pub(super) async fn run(store: &Store, args: &Args, output: Output) -> anyhow::Result<()> {
    let states: &[ReportState] = match (args.dead, args.sent) {
        (true, _) => &[ReportState::Dead],
        (_, true) => &[ReportState::Sent],
        _ => &[ReportState::Waiting, ReportState::Dead],
    };
    let listed = Listed {
        reports: store.list_reports(states).await?,
        callbacks: match (args.dead, args.sent) {
            (true, _) => store.list_callbacks(Callbacks::GivenUp).await?,
            // The message itself is the record of one that was taken.
            (_, true) => Vec::new(),
            _ => store.list_callbacks(Callbacks::NotTaken).await?,
        },
        integrations: store.list_silent_integrations().await?,
        receivers: store.list_silent_receivers().await?,
    };
    if args.output == AnswerForm::Json {
        output.json(&ListedJson::of(&listed));
        return Ok(());
    }
    let Listed { reports, callbacks, integrations, receivers } = &listed;
    if reports.is_empty() && callbacks.is_empty() {
        output.note(match (args.dead, args.sent) {
            (true, _) => "Nothing was given up.",
            (_, true) => "No report has arrived yet.",
            _ => "Everything has arrived.",
        });
    }
    for report in reports {
        output.data(&of_report(report));
    }
    for callback in callbacks {
        output.data(&of_callback(callback));
    }
    for silent in integrations {
        output.error(&about(silent));
        output.hint(match silent.gone_at {
            Some(_) => "change its manifest, or let `nuncio reports replay --all` ask it again",
            None => "its reports wait until a manifest brings it back",
        });
    }
    for SilentReceiver { channel, at, reason } in receivers {
        output.error(&format!(
            "nothing is posted to the `callbackUrl` of channel `{channel}` since {}: {reason}",
            time(*at)
        ));
        output.hint("name another address, or let `nuncio reports replay --all` ask it again");
    }
    Ok(())
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn times(tries: i32) -> String {
    if tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") }
}

/// What it is, and below it how it stands.
fn entry(line: &str, how: &str) -> String {
    let mut text = wrapped_to(line, columns(), 4);
    text.push_str(&wrapped_to(&format!("    {how}"), columns(), 0));
    text
}

fn of_report(report: &ListedReport) -> String {
    let ListedReport { id, task, dialogue, integration, event, at, state, tries, .. } = report;
    let ListedReport { ready_at, settled_at, reason, remote_id, .. } = report;
    let what = format!("{event} of dialogue {dialogue}, task {task}, to {integration}");
    let settled = time(settled_at.unwrap_or(*at));
    let how = match state {
        ReportState::Sent => {
            let remote = remote_id.as_ref().map(|remote| format!(", as {remote}"));
            let line = format!("{settled}: {what}{}", remote.unwrap_or_default());
            return wrapped_to(&line, columns(), 4);
        }
        // The one before it in its dialogue goes first.
        ReportState::Waiting if *tries == 0 => format!("waits until {}", time(*ready_at)),
        ReportState::Waiting => {
            format!("waits until {} after {}", time(*ready_at), times(*tries))
        }
        ReportState::Dead => format!("given up {settled} after {}", times(*tries)),
    };
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    entry(&format!("{id} {what}"), &format!("since {}; {how}{reason}", time(*at)))
}

fn of_callback(callback: &ListedCallback) -> String {
    let ListedCallback { position, channel, dialogue, message, since, tries, due_at, reason } =
        callback;
    let message = message.map(|message| format!("message m{message}"));
    let message = message.unwrap_or_else(|| "a message".to_owned());
    let how = match due_at {
        Some(due_at) => format!("waits until {} after {}", time(*due_at), times(*tries)),
        None => format!("given up after {}", times(*tries)),
    };
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    entry(
        &format!("c{position} {message} of dialogue {dialogue}, posted by channel {channel}"),
        &format!("since {}; {how}{reason}", time(*since)),
    )
}

fn about(silent: &SilentIntegration) -> String {
    let SilentIntegration { name, gone_at, reason, n_waiting } = silent;
    match gone_at {
        Some(at) => format!(
            "integration `{name}` is told nothing since {}: {} ({n_waiting} waiting)",
            time(*at),
            reason.as_deref().unwrap_or("it is gone")
        ),
        None => format!("integration `{name}` has no manifest ({n_waiting} reports waiting)"),
    }
}

/// The list for programs.
#[derive(Serialize)]
struct ListedJson<'a> {
    format_version: &'static str,
    reports: Vec<ReportJson<'a>>,
    callbacks: Vec<CallbackJson<'a>>,
    /// Integrations that are told nothing.
    silent_integrations: Vec<SilentJson<'a>>,
    /// Channels to whose `callbackUrl` nothing is posted.
    silent_channels: Vec<SilentJson<'a>>,
    /// There are no more than these.
    complete: bool,
}

#[derive(Serialize)]
struct ReportJson<'a> {
    id: String,
    task: &'a str,
    dialogue: i64,
    integration: &'a str,
    event: &'static str,
    at: DateTime<Utc>,
    state: &'static str,
    /// Since it was there or replayed.
    tries: i32,
    next_try_at: Option<DateTime<Utc>>,
    settled_at: Option<DateTime<Utc>>,
    reason: Option<&'a str>,
    /// What the receiver calls it.
    remote_id: Option<&'a str>,
}

#[derive(Serialize)]
struct CallbackJson<'a> {
    /// As `replay` takes it.
    id: String,
    channel: &'a str,
    dialogue: i64,
    message: Option<String>,
    state: &'static str,
    since: DateTime<Utc>,
    tries: i32,
    next_try_at: Option<DateTime<Utc>>,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct SilentJson<'a> {
    name: &'a str,
    /// Absent where it has no manifest.
    since: Option<DateTime<Utc>>,
    reason: Option<&'a str>,
}

impl<'a> ListedJson<'a> {
    fn of(listed: &'a Listed) -> Self {
        let Listed { reports, callbacks, integrations, receivers } = listed;
        let most = usize::try_from(REPORTS_MAX).unwrap_or(usize::MAX);
        Self {
            format_version: FORMAT_VERSION,
            reports: reports.iter().map(ReportJson::of).collect(),
            callbacks: callbacks.iter().map(CallbackJson::of).collect(),
            silent_integrations: integrations
                .iter()
                .map(|silent| SilentJson {
                    name: &silent.name,
                    since: silent.gone_at,
                    reason: silent.reason.as_deref(),
                })
                .collect(),
            silent_channels: receivers
                .iter()
                .map(|silent| SilentJson {
                    name: &silent.channel,
                    since: Some(silent.at),
                    reason: Some(&silent.reason),
                })
                .collect(),
            complete: reports.len() < most && callbacks.len() < most,
        }
    }
}

impl<'a> ReportJson<'a> {
    fn of(report: &'a ListedReport) -> Self {
        let ListedReport { id, task, dialogue, integration, event, at, state, tries, .. } = report;
        let ListedReport { ready_at, settled_at, reason, remote_id, .. } = report;
        Self {
            id: id.to_string(),
            task,
            dialogue: dialogue.0,
            integration,
            event: event.as_str(),
            at: *at,
            state: state.as_str(),
            tries: *tries,
            next_try_at: (*state == ReportState::Waiting).then_some(*ready_at),
            settled_at: *settled_at,
            reason: reason.as_deref(),
            remote_id: remote_id.as_deref(),
        }
    }
}

impl<'a> CallbackJson<'a> {
    fn of(callback: &'a ListedCallback) -> Self {
        let ListedCallback { position, channel, dialogue, message, since, tries, due_at, reason } =
            callback;
        Self {
            id: format!("c{position}"),
            channel,
            dialogue: dialogue.0,
            message: message.map(|message| format!("m{message}")),
            state: if due_at.is_some() { "waiting" } else { "dead" },
            since: *since,
            tries: *tries,
            next_try_at: *due_at,
            reason: reason.as_deref(),
        }
    }
}
