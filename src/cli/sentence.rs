//! Why nothing is happening, or what is: one plain sentence a task.

use chrono::{DateTime, Utc};

use super::{
    db::standing,
    dialogues::{state_counts, wrote_after},
    look::Look,
    status::{moves, next_channel},
};
use crate::{
    domain::{
        condition::{Condition, ConditionStatus},
        phase::Phase,
    },
    store::{
        AiRest, ChannelBlock, ChannelHealth, ChannelOverview, DialogueTotals, Guard, Purpose,
        StoredCondition, TaskOverview, WatchOverview,
    },
};

/// The one reason that matters most: what would have to change first for the next opening to leave.
pub(super) fn why(look: &Look, task: &TaskOverview) -> String {
    let TaskOverview { name, phase, .. } = task;
    let phase_by = task.caused_by();
    let reason = match phase {
        Phase::Awaiting => format!("is not started; start it: nuncio start {name}"),
        Phase::Stopped => format!("is paused by {phase_by}; resume it: nuncio start {name}"),
        Phase::Completed => format!("is completed by {phase_by}; nothing more is sent"),
        Phase::InProgress if !task.outgoing => answers(look, task),
        Phase::InProgress => match next_channel(task) {
            None => "has no channel that can open a dialogue".to_owned(),
            Some(channel) if needs_watch(channel) && look.living_watches().next().is_none() => {
                format!("sends nothing, because {}", no_watch(look))
            }
            Some(channel) => match look.resting(name.as_str()) {
                Some(rest) if channel.verdict == "draft" && rest.fallback.is_none() => {
                    format!("sends nothing, because {}", rests(rest, task.now))
                }
                _ => waits_for(channel, task.now),
            },
        },
    };
    format!("`{name}` {reason}.")
}

fn no_watch(look: &Look) -> &'static str {
    if look.purpose == Some(Purpose::Rehearsal) {
        "no `nuncio watch --rehearse` is running (this database is a rehearsal's)"
    } else {
        "no `nuncio watch` is running"
    }
}

/// How a task does that only answers.
fn answers(look: &Look, task: &TaskOverview) -> String {
    let waiting = look.dialogues(task.name.as_str()).map_or(0, |totals| totals.waiting_for_ai);
    if look.living_watches().next().is_none() {
        return format!("answers nobody, because {}", no_watch(look));
    }
    if let Some(trouble) = trouble(look, task) {
        return format!("is in trouble: {trouble}");
    }
    match look.resting(task.name.as_str()).filter(|rest| rest.fallback.is_none()) {
        Some(rest) => format!("answers nobody, because {}", rests(rest, task.now)),
        None if waiting > 0 => format!("answers whoever writes; {}", people_wait(waiting)),
        None => "answers whoever writes, and nobody waits for it".to_owned(),
    }
}

/// What keeps a channel of the task from sending, or from hearing anybody.
pub(super) fn trouble(look: &Look, task: &TaskOverview) -> Option<String> {
    look.channels_of(task).find_map(|channel| {
        let ChannelHealth { name, block, unheard, .. } = channel;
        match (block, unheard) {
            (Some(ChannelBlock { reason, until: None, liftable: true }), _) => {
                Some(format!("channel `{name}` blocked: {reason}; resume: nuncio unblock {name}"))
            }
            (Some(ChannelBlock { reason, .. }), _) => {
                Some(format!("channel `{name}` blocked: {reason}"))
            }
            (None, Some((reason, since))) => {
                let since = since.format("%Y-%m-%d %H:%M UTC");
                Some(format!("nothing is received through `{name}` since {since}: {reason}"))
            }
            (None, None) => None,
        }
    })
}

fn people_wait(n: u64) -> String {
    if n == 1 { "1 person waits for it".to_owned() } else { format!("{n} people wait for it") }
}

/// Why an AI is not asked, and when it is again.
fn rests(rest: &AiRest, now: DateTime<Utc>) -> String {
    let AiRest { ai, reason, not_before, .. } = rest;
    let reason = reason.trim_end_matches('.');
    let again = if *not_before <= now {
        "with the next message or opening".to_owned()
    } else if not_before.date_naive() == now.date_naive() {
        not_before.format("at %H:%M:%S UTC").to_string()
    } else {
        not_before.format("on %Y-%m-%d at %H:%M UTC").to_string()
    };
    format!("its AI `{ai}` does not answer: {reason}; it is asked again {again}")
}

/// The dialogues of a task, who waits in them, what they cost, and an AI that rests: a line each.
pub(super) fn dialogue_lines(look: &Look, task: &TaskOverview) -> Vec<String> {
    let name = task.name.as_str();
    let mut lines = Vec::new();
    let unheard = look.channels_of(task).filter_map(|it| Some((&it.name, it.unheard.as_ref()?)));
    for (channel, (reason, since)) in unheard.filter(|_| task.outgoing) {
        let since = since.format("%Y-%m-%d %H:%M UTC");
        lines.push(format!("! nothing is received through `{channel}` since {since}: {reason}"));
    }
    if let Some(totals) = look.dialogues(name) {
        let DialogueTotals { states, successes, waiting_for_operator, waiting_for_ai, .. } = totals;
        let DialogueTotals { wrote_after_success, spent_today, spent, .. } = totals;
        let n: u64 = states.values().sum();
        let noun = if n == 1 { "dialogue" } else { "dialogues" };
        let states = state_counts(states, *successes);
        let states = if states.is_empty() { states } else { format!(": {states}") };
        lines.push(format!("{n} {noun}{states}; ${spent_today} spent today, ${spent} in all"));
        match waiting_for_operator {
            0 => {}
            1 => lines
                .push("! 1 person waits for an operator: nuncio dialogues --waiting".to_owned()),
            n => {
                lines
                    .push(format!("! {n} people wait for an operator: nuncio dialogues --waiting"));
            }
        }
        if *wrote_after_success > 0 {
            lines.push(wrote_after(*wrote_after_success));
        }
        if *waiting_for_ai > 0 && task.phase != Phase::InProgress {
            let wait = people_wait(*waiting_for_ai);
            lines.push(format!("{wait} to be answered, while it is {}", task.phase.shown()));
        }
    }
    if let Some(rest) = look.resting(name) {
        let instead = rest.fallback.as_ref();
        let instead = instead.map(|other| format!("; `{other}` answers in its place"));
        lines.push(format!("! {}{}", rests(rest, task.now), instead.unwrap_or_default()));
    }
    lines
}

/// Whether the channel would move if somebody led it.
fn needs_watch(channel: &ChannelOverview) -> bool {
    !channel.led && !matches!(&*channel.verdict, "audience-exhausted" | "guarded")
}

fn waits_for(channel: &ChannelOverview, now: DateTime<Utc>) -> String {
    let ChannelOverview { channel: name, verdict, until, blocked_reason, connectable, led } =
        channel;
    let then = until.map(|until| format!("; {}", moves(until, now))).unwrap_or_default();
    match verdict.as_str() {
        "channel-blocked" => {
            let reason = blocked_reason.as_deref().unwrap_or("no reason is known");
            let mend = match until {
                Some(_) => then,
                None if *connectable => format!("; once it is mended: nuncio unblock {name}"),
                None => "; it goes on by itself once that is mended".to_owned(),
            };
            format!("waits for its channel `{name}`, which is blocked: {reason}{mend}")
        }
        "audience-exhausted" => {
            "has come to the end of its audience; new contacts in it go on".to_owned()
        }
        "outside-working-hours" => format!("is outside its working hours{then}"),
        "daily-limit" => format!("has reached its daily limit{then}"),
        "messaging-limit" => format!("has reached the messaging limit of its portfolio{then}"),
        "pause" => format!("is sending, and pauses between two dialogues{then}"),
        "channel-rests" => format!("lets its channel `{name}` rest after a failure{then}"),
        "draft" => "waits for its AI, which writes the next opening".to_owned(),
        "retry" => format!("will try an opening again{then}"),
        "ready" if !led => format!("waits until a `nuncio watch` takes its channel `{name}` over"),
        "sending" => "is sending right now".to_owned(),
        "guarded" => "sends nothing, because the backup guard is on".to_owned(),
        _ => format!("is sending{then}"),
    }
}

/// What comes before everything else while it is so: no task sends, whatever else is said of it.
pub(super) fn guarded(guard: &Guard) -> String {
    wrapped(&format!(
        "! The backup guard is on, {}. Nothing is sent until: nuncio db guard off --reason TEXT",
        standing(guard)
    ))
}

pub(super) fn without_room(message: &str) -> String {
    wrapped(&format!(
        "! The database has no room to write: {message}. Nothing is sent, answered or kept until its disk has."
    ))
}

/// What comes first where nothing moves, whatever is said of each task.
pub(super) fn nobody_watches(look: &Look) -> Option<String> {
    if look.living_watches().next().is_some() {
        return None;
    }
    let last = look.watches.first().map(|watch| {
        let seen = watch.seen_at.format("%Y-%m-%d %H:%M UTC");
        format!("; the last, on {}, was there until {seen}", watch.host)
    });
    Some(wrapped(&format!(
        "! Nothing is sent, answered or applied: {}{}",
        no_watch(look),
        last.unwrap_or_default()
    )))
}

/// Why a task that has a manifest does not exist yet.
pub(super) fn never_applied(name: &str, sync: &Condition) -> String {
    let at = sync.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
    let reason = match sync.status {
        ConditionStatus::Held if sync.reason == "InvalidManifest" => {
            format!("its manifest is invalid{at}: ")
        }
        ConditionStatus::Rejected => format!("a rule forbids it{at}: "),
        _ => format!("it is held back{at}: "),
    };
    format!("`{name}` was never applied: {reason}{}.", sync.message.trim_end_matches('.'))
}

/// What keeps the manifest from being applied, beside whether the task sends; nothing where nothing does.
pub(super) fn sync_lines(look: &Look, task: &str) -> Vec<String> {
    let mut lines = Vec::new();
    // What has been applied since nobody has compared.
    let applied = look.tasks.iter().find(|there| there.name.as_str() == task);
    let is_current = |last: &&StoredCondition| {
        let seen = last.condition.generation;
        seen.is_none() || applied.is_none_or(|there| seen == Some(there.generation))
    };
    if let Some(last) = look.last_sync(task).filter(is_current) {
        let Condition { status, message, place, .. } = &last.condition;
        let what = match status {
            ConditionStatus::Rejected => Some("Its manifest asks for what a rule forbids"),
            ConditionStatus::Held => Some("Its manifest is held, and its last good state goes on"),
            ConditionStatus::OutOfSync => Some("It differs from its manifest"),
            _ => None,
        };
        if let Some(what) = what {
            let at = place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
            lines.push(format!("{what}{at}: {message}."));
        }
    }
    if let Some((failure, since)) = look.living_watches().find_map(|watch| watch.failure.as_ref()) {
        let since = since.format("%Y-%m-%d %H:%M UTC");
        lines.push(format!("Changes are not applied since {since}: {failure}."));
    }
    lines
}

/// Who watches, and how that stands: a line or two a watch.
pub(super) fn watch_lines(watch: &WatchOverview, now: DateTime<Utc>) -> Vec<String> {
    let WatchOverview { host, pid, folder, source, commit, dirty, .. } = watch;
    let at = match commit {
        Some(commit) => {
            let short = &commit[..commit.len().min(12)];
            format!(" at {short}{}", if *dirty == Some(true) { ", edited since" } else { "" })
        }
        None => String::new(),
    };
    let of = source.as_ref().map(|source| format!(" of {source}")).unwrap_or_default();
    if !watch.alive {
        let seen = watch.seen_at.format("%Y-%m-%d %H:%M UTC");
        return vec![format!(
            "watch: none is running; the last, on {host}, was there until {seen}"
        )];
    }
    let ago = |what: &str, at: Option<DateTime<Utc>>| match at {
        Some(at) => format!("{what} {}", ago(at, now)),
        None => format!("not {what} yet"),
    };
    let mut lines = vec![
        format!("watch: on {host} (pid {pid}), {folder}{of}{at}"),
        format!("  {}, {}", ago("compared", watch.passed_at), ago("applied", watch.applied_at)),
    ];
    if let Some((failure, since)) = &watch.failure {
        lines.push(format!("  ! since {}: {failure}", since.format("%Y-%m-%d %H:%M UTC")));
    }
    lines
}

/// How long ago, in the largest unit that fits.
fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds().max(0);
    match seconds {
        0..=99 => format!("{seconds} s ago"),
        100..=5999 => format!("{} min ago", seconds / 60),
        6000..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Breaks a line that is too long between words, and keeps what is aligned in it; the further lines stand
/// `hang` columns in.
pub(super) fn hung(line: &str, hang: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for (nth, word) in line.split(' ').enumerate() {
        let length = word.chars().count();
        if nth > 0 && column + 1 + length > WIDTH && column > hang {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out.push_str(&" ".repeat(hang));
            column = hang;
        } else if nth > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// What a terminal shows without breaking words itself.
const WIDTH: usize = 80;

/// Breaks a text between words; the further lines stand below its beginning.
pub(super) fn wrapped(text: &str) -> String {
    wrapped_to(text, WIDTH, 2)
}

/// Breaks a text between words; the further lines stand so much further in than its first.
pub(super) fn wrapped_to(text: &str, width: usize, hanging: usize) -> String {
    let indent = text.chars().take_while(|c| *c == ' ').count();
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column == 0 {
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if column + 1 + length > width {
            out.push('\n');
            out.push_str(&" ".repeat(indent + hanging));
            column = indent + hanging;
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
    out
}
