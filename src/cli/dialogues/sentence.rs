//! Why nothing is happening in a dialogue, or what is: one plain sentence.

use super::words::{due, short};
use crate::{
    domain::{dialogue::DialogueState, phase::Phase},
    store::{Thread, WayOut},
};

/// The one reason that matters most: what would have to change first for the next message to leave.
pub(in crate::cli) fn why(thread: &Thread) -> String {
    let Thread { id, state, .. } = thread;
    let reason = if thread.suppressed {
        "says nothing more: the person is not to be written to".to_owned()
    } else if thread.sending.is_some() {
        "is saying something right now".to_owned()
    } else if let Some(waits) = leaving(thread) {
        waits
    } else {
        match state {
            DialogueState::Open => answering(thread),
            DialogueState::WithOperator => {
                let by = caused(thread);
                if let Some(ended) = ended(thread) {
                    format!(
                        "is with an operator ({by}), and {ended}: the AI answers for it no more"
                    )
                } else if thread.waiting_since.is_some() {
                    format!(
                        "is with an operator ({by}), and the person waits{}; the AI would answer at once after: \
                        nuncio dialogue give-back {id}",
                        since(thread)
                    )
                } else {
                    format!(
                        "is with an operator ({by}); the AI goes on after: nuncio dialogue give-back {id}"
                    )
                }
            }
            DialogueState::Blocked => format!(
                "is blocked at its spending limit (${} of ${} is spent){}{}; {}",
                thread.spent,
                thread.whole_limit(),
                reason_of(thread),
                waiting(thread),
                ended(thread)
                    .unwrap_or_else(|| format!("go on with: nuncio dialogue unblock {id}"))
            ),
            DialogueState::Succeeded => {
                let after = thread.waiting_since.map(|at| {
                    let ago = short(at, thread.now);
                    format!("; the person wrote on {ago} ago: nuncio dialogue say {id} TEXT")
                });
                format!(
                    "has succeeded ({}), and the AI says nothing more{}",
                    caused(thread),
                    after.unwrap_or_default()
                )
            }
            DialogueState::Closed => {
                format!("is closed ({}), and the AI says nothing more", caused(thread))
            }
        }
    };
    let doubt = match thread.in_doubt {
        Some(message) => {
            format!(" Whether message m{message} arrived is not known: nuncio resolve m{message}.")
        }
        None => String::new(),
    };
    format!("Dialogue {id} {reason}.{doubt}")
}

/// What has become of its task, where that is over.
fn ended(thread: &Thread) -> Option<String> {
    let Thread { task, phase, ended, .. } = thread;
    match phase {
        _ if *ended => Some(format!("its task `{task}` is deleted")),
        Phase::Completed => Some(format!("its task `{task}` is completed")),
        Phase::Awaiting | Phase::InProgress | Phase::Stopped => None,
    }
}

/// By whom it stands as it does, and why.
fn caused(thread: &Thread) -> String {
    format!("by {}{}", thread.state_by, reason_of(thread))
}

fn reason_of(thread: &Thread) -> String {
    let reason = thread.state_reason.as_deref().map(|reason| reason.trim_end_matches('.'));
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

fn since(thread: &Thread) -> String {
    let since = thread.waiting_since.map(|since| format!(" for {}", short(since, thread.now)));
    since.unwrap_or_default()
}

fn waiting(thread: &Thread) -> String {
    if thread.waiting_since.is_some() {
        format!("; the person waits{}", since(thread))
    } else {
        String::new()
    }
}

/// What holds a message up that was written already.
fn leaving(thread: &Thread) -> Option<String> {
    let message = thread.waiting_message.as_ref()?;
    if let Some(held) = held_up(thread) {
        return Some(format!("has a message to say, and {held}"));
    }
    let tried = message.reason.as_deref().map(|reason| format!(" (it was tried: {reason})"));
    Some(format!(
        "says its next message {}{}",
        due(message.ready_at, thread.now),
        tried.unwrap_or_default()
    ))
}

/// What holds everything up on the channel.
fn held_up(thread: &Thread) -> Option<String> {
    let channel = &thread.channel;
    match &thread.way_out {
        WayOut::Open => None,
        WayOut::Unled => Some("no `nuncio watch` is running that would".to_owned()),
        WayOut::Gone => Some(format!("its channel `{channel}` is not applied any more")),
        WayOut::Blocked { reason, until: Some(until) } => {
            let until = due(*until, thread.now);
            Some(format!("its channel `{channel}` is blocked: {reason}; it goes on {until}"))
        }
        WayOut::Blocked { reason, until: None } => Some(format!(
            "its channel `{channel}` is blocked: {reason}; once it is mended: nuncio unblock {channel}"
        )),
    }
}

/// What holds the AI's answer up, or that nothing is to be answered.
fn answering(thread: &Thread) -> String {
    let Thread { task, phase, phase_by, due_at, now, .. } = thread;
    let Some(due_at) = due_at else {
        return match thread.reminder_at {
            Some(at) => format!("waits for the person, who is reminded {}", due(at, *now)),
            None => "waits for the person".to_owned(),
        };
    };
    let waits = format!("has a person who waits{}", since(thread));
    if thread.ended {
        return format!("{waits}, and its task `{task}` is deleted");
    }
    match phase {
        Phase::InProgress => {}
        Phase::Awaiting => {
            return format!("{waits}, and its task is not started: nuncio start {task}");
        }
        Phase::Stopped => {
            return format!("{waits}, and its task is paused by {phase_by}: nuncio start {task}");
        }
        Phase::Completed => return format!("{waits}, and its task is completed by {phase_by}"),
    }
    if let Some(held) = held_up(thread) {
        return format!("{waits}, and {held}");
    }
    if thread.answering {
        return "is being answered right now".to_owned();
    }
    if let Some(rest) = &thread.resting {
        let (ai, reason) = (&rest.ai, rest.reason.trim_end_matches('.'));
        let again = due(rest.not_before, *now);
        return format!(
            "{waits}, and its AI `{ai}` does not answer: {reason}; it is asked again {again}"
        );
    }
    let at = due((*due_at).max(*now), *now);
    match thread.failures {
        0 => format!("is answered {at}"),
        1 => format!("{waits}; an answer failed, and is tried again {at}"),
        n => format!("{waits}; {n} answers failed, and the next is tried {at}"),
    }
}
