//! `status --output json`: how everything stands, for programs.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    look::{Look, StoredOr},
    sentence,
};
use crate::{
    domain::{condition::ConditionType, dialogue::DialogueState, id::TaskName},
    store::{
        AiRest, ChannelOverview, DialogueTotals, Guard, HeldBack, StoredCondition, TaskOverview,
        WatchOverview,
    },
};

/// Readers refuse a major version that they do not know; a minor one only adds fields.
const FORMAT_VERSION: &str = "1.1";

#[derive(Serialize)]
struct Report<'a> {
    format_version: &'static str,
    /// `live` or `rehearsal`, once a `watch` has sent from the database.
    purpose: Option<&'static str>,
    /// The backup guard, while it is on: nothing is sent.
    guard: Option<Guarded<'a>>,
    /// What the database says that has no room to write: nothing is sent, answered or kept. Since 1.1.
    lacks_room: Option<&'a str>,
    watches: Vec<Watch<'a>>,
    tasks: Vec<Task<'a>>,
    not_applied: Vec<NotApplied<'a>>,
}

#[derive(Serialize)]
struct Guarded<'a> {
    since: DateTime<Utc>,
    by: &'a str,
    reason: &'a str,
}

/// A program that follows a folder, or the last one that did.
#[derive(Serialize)]
struct Watch<'a> {
    alive: bool,
    host: &'a str,
    pid: u32,
    folder: &'a str,
    /// The repository, where the watch keeps its own checkout.
    source: Option<&'a str>,
    commit: Option<&'a str>,
    /// Whether files differ from the commit; absent if that is not known.
    dirty: Option<bool>,
    started_at: DateTime<Utc>,
    seen_at: DateTime<Utc>,
    last_pass_at: Option<DateTime<Utc>>,
    last_applied_at: Option<DateTime<Utc>>,
    /// Why it does not reconcile now.
    failure: Option<Failure<'a>>,
    last_failure: Option<Failure<'a>>,
}

#[derive(Serialize)]
struct Failure<'a> {
    message: &'a str,
    since: DateTime<Utc>,
}

#[derive(Serialize)]
struct Task<'a> {
    name: &'a str,
    /// The sentence that `status NAME` begins with.
    why: String,
    /// As Kubernetes has them: the generation of the task, and the one that was compared last.
    generation: Option<i64>,
    #[serde(rename = "observedGeneration")]
    observed_generation: Option<i64>,
    conditions: Vec<TypedCondition>,
    /// Absent for a task that was never applied.
    #[serde(flatten)]
    applied: Option<AppliedTask<'a>>,
}

#[derive(Serialize)]
struct AppliedTask<'a> {
    id: String,
    file: &'a str,
    phase: &'static str,
    phase_by: &'a str,
    /// Of a pause: why.
    phase_reason: Option<&'a str>,
    /// Of a pause that ends by itself: when, RFC 3339.
    resume_at: Option<String>,
    total: u64,
    remaining: u64,
    sent: u64,
    failed: u64,
    in_doubt: u64,
    channels: Vec<Channel<'a>>,
    dialogues: Dialogues,
    /// Why its AI is not asked, while that is so.
    ai_rest: Option<Rest<'a>>,
}

/// The dialogues of a task, over all of its incarnations.
#[derive(Serialize)]
struct Dialogues {
    open: u64,
    with_operator: u64,
    succeeded: u64,
    closed: u64,
    blocked: u64,
    successes: u64,
    waiting_for_operator: u64,
    waiting_for_ai: u64,
    wrote_after_success: u64,
    /// In US dollars, exact.
    spent_today: String,
    spent: String,
}

#[derive(Serialize)]
struct Rest<'a> {
    ai: &'a str,
    /// Who answers in its place.
    fallback: Option<&'a str>,
    class: &'a str,
    reason: &'a str,
    since: DateTime<Utc>,
    not_before: DateTime<Utc>,
}

#[derive(Serialize)]
struct TypedCondition {
    #[serde(rename = "type")]
    of: &'static str,
    status: &'static str,
    reason: String,
    message: String,
    place: Option<String>,
    since: Option<DateTime<Utc>>,
    commit: Option<String>,
}

#[derive(Serialize)]
struct Channel<'a> {
    channel: &'a str,
    verdict: &'a str,
    until: Option<DateTime<Utc>>,
    blocked_reason: Option<&'a str>,
    /// Whether an executor holds its lane.
    led: bool,
}

#[derive(Serialize)]
struct NotApplied<'a> {
    subject: &'a str,
    place: &'a str,
    message: &'a str,
    since: Option<DateTime<Utc>>,
}

/// The report of all tasks, or of one.
pub(super) fn render(look: &Look, only: Option<&TaskName>) -> serde_json::Result<String> {
    let is_wanted = |name: &str| only.is_none_or(|only| only.as_str() == name);
    let mut tasks: Vec<Task<'_>> = look
        .tasks
        .iter()
        .filter(|task| is_wanted(task.name.as_str()))
        .map(|overview| task(look, overview))
        .collect();
    for (name, stored) in look.never_applied().filter(|(name, _)| is_wanted(name)) {
        tasks.push(Task {
            name,
            why: sentence::never_applied(name, &stored.condition),
            generation: None,
            observed_generation: None,
            conditions: vec![typed(ConditionType::Sync, look.sync(name))],
            applied: None,
        });
    }
    tasks.sort_by_key(|task| task.name);
    let report = Report {
        format_version: FORMAT_VERSION,
        purpose: look.purpose.map(crate::store::Purpose::as_str),
        guard: look.guard.as_ref().map(guarded),
        lacks_room: look.lacks_room.as_deref(),
        watches: look.watches.iter().map(watch).collect(),
        tasks,
        not_applied: look.held.iter().map(not_applied).collect(),
    };
    serde_json::to_string_pretty(&report)
}

fn task<'a>(look: &'a Look, task: &'a TaskOverview) -> Task<'a> {
    let name = task.name.as_str();
    let observed = look.last_sync(name).and_then(|last| last.condition.generation);
    Task {
        name,
        why: sentence::why(look, task),
        generation: Some(task.generation.0),
        observed_generation: observed.map(|generation| generation.0),
        conditions: vec![
            typed(ConditionType::Sync, look.sync(name)),
            typed(ConditionType::Health, look.health(task)),
        ],
        applied: Some(AppliedTask {
            id: task.id.to_string(),
            file: &task.file,
            phase: task.phase.as_str(),
            phase_by: &task.phase_by,
            phase_reason: task.phase_reason.as_deref(),
            resume_at: task.resume_at.map(|at| at.to_rfc3339()),
            total: task.total,
            remaining: task.remaining,
            sent: task.sent,
            failed: task.failed,
            in_doubt: task.in_doubt,
            channels: task.channels.iter().map(channel).collect(),
            dialogues: dialogues(look.dialogues(name)),
            ai_rest: look.resting(name).map(rest),
        }),
    }
}

fn typed(of: ConditionType, condition: StoredOr) -> TypedCondition {
    let (condition, since, commit) = match condition {
        StoredOr::Stored(StoredCondition { condition, since, commit }) => {
            (condition, Some(since), commit)
        }
        StoredOr::News(condition) => (condition, None, None),
    };
    TypedCondition {
        of: of.as_str(),
        status: condition.status.as_str(),
        reason: condition.reason,
        message: condition.message,
        place: condition.place,
        since,
        commit,
    }
}

fn channel(channel: &ChannelOverview) -> Channel<'_> {
    let ChannelOverview { channel, verdict, until, blocked_reason, connectable: _, led } = channel;
    let blocked_reason = blocked_reason.as_deref();
    Channel { channel, verdict, until: *until, blocked_reason, led: *led }
}

fn dialogues(totals: Option<&DialogueTotals>) -> Dialogues {
    let none = DialogueTotals::default();
    let totals = totals.unwrap_or(&none);
    let of = |state| totals.states.get(&state).copied().unwrap_or(0);
    Dialogues {
        open: of(DialogueState::Open),
        with_operator: of(DialogueState::WithOperator),
        succeeded: of(DialogueState::Succeeded),
        closed: of(DialogueState::Closed),
        blocked: of(DialogueState::Blocked),
        successes: totals.successes,
        waiting_for_operator: totals.waiting_for_operator,
        waiting_for_ai: totals.waiting_for_ai,
        wrote_after_success: totals.wrote_after_success,
        spent_today: totals.spent_today.to_string(),
        spent: totals.spent.to_string(),
    }
}

fn rest(rest: &AiRest) -> Rest<'_> {
    let AiRest { ai, fallback, class, reason, since, not_before, lasts: _ } = rest;
    let fallback = fallback.as_deref();
    Rest { ai, fallback, class, reason, since: *since, not_before: *not_before }
}

fn watch(watch: &WatchOverview) -> Watch<'_> {
    Watch {
        alive: watch.alive,
        host: &watch.host,
        pid: watch.pid,
        folder: &watch.folder,
        source: watch.source.as_deref(),
        commit: watch.commit.as_deref(),
        dirty: watch.dirty,
        started_at: watch.started_at,
        seen_at: watch.seen_at,
        last_pass_at: watch.passed_at,
        last_applied_at: watch.applied_at,
        failure: watch.failure.as_ref().map(failed),
        last_failure: watch.last_failure.as_ref().map(failed),
    }
}

fn failed((message, since): &(String, DateTime<Utc>)) -> Failure<'_> {
    Failure { message, since: *since }
}

fn guarded(guard: &Guard) -> Guarded<'_> {
    let Guard { since, by, reason } = guard;
    Guarded { since: *since, by, reason }
}

fn not_applied(held: &HeldBack) -> NotApplied<'_> {
    let HeldBack { subject, place, message, since } = held;
    NotApplied { subject, place, message, since: *since }
}
