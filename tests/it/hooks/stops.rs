//! STOP at any moment: nothing is sent with a later permit, in any task and on any channel.

use std::{collections::BTreeMap, sync::Mutex, thread, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use super::{
    Stage, now,
    wire::{cloud_message, gate_message},
};
use crate::support::Behaviour;

/// When a person says STOP.
#[derive(Clone, Copy, Debug)]
enum Moment {
    BeforeAnything,
    OpeningInFlight,
    AfterTheOpening,
    AtOnceAfterTheirWords,
    AnswerInTheMaking,
    ReplyOnItsWay,
    ReplyWasHeard,
}

const MOMENTS: [Moment; 7] = [
    Moment::ReplyWasHeard,
    Moment::ReplyOnItsWay,
    Moment::AnswerInTheMaking,
    Moment::OpeningInFlight,
    Moment::AfterTheOpening,
    Moment::AtOnceAfterTheirWords,
    Moment::BeforeAnything,
];

fn person(n: usize) -> String {
    format!("+791630000{n:02}")
}

impl Moment {
    /// Waits for it; a person who is to write first, writes on `gate`.
    fn come(self, stage: &Stage, peer: &str) {
        let writes = || {
            let hook =
                gate_message(peer, &format!("{peer}-1"), "Hello, who is this?", now().timestamp());
            stage.takes(&hook);
        };
        let attempts = |what: &str| {
            format!("SELECT count(*) > 0 FROM attempts WHERE address = '{peer}' AND {what}")
        };
        // Each is waited for by what stays true of it: a moment may pass between two looks.
        let replies = |what: &str| {
            format!(
                "SELECT count(*) > 0 FROM messages m JOIN dialogues d ON d.id = m.dialogue_id \
                 WHERE d.peer = '{peer}' AND m.author = 'ai' AND {what}"
            )
        };
        match self {
            Self::BeforeAnything => {}
            Self::OpeningInFlight => stage.wait_for(&attempts("true"), "true"),
            Self::AfterTheOpening => stage.wait_for(&attempts("outcome = 'sent'"), "true"),
            Self::AtOnceAfterTheirWords => writes(),
            Self::AnswerInTheMaking => {
                writes();
                let held = format!(
                    "SELECT count(*) > 0 FROM dialogues WHERE peer = '{peer}' AND held_fence IS NOT NULL"
                );
                let begun = format!("SELECT ({held}) OR ({})", replies("true"));
                stage.wait_for(&begun, "true");
            }
            Self::ReplyOnItsWay => {
                writes();
                stage.wait_for(&replies("m.state IN ('waiting', 'sending', 'sent')"), "true");
            }
            Self::ReplyWasHeard => {
                writes();
                stage.wait_for(&replies("m.state = 'sent'"), "true");
                let more = gate_message(peer, &format!("{peer}-2"), "And then?", now().timestamp());
                stage.takes(&more);
            }
        }
    }
}

#[test]
fn nothing_is_sent_with_a_permit_that_is_later_than_the_stop() {
    let people: Vec<String> = (0..MOMENTS.len() * 2).map(person).collect();
    let audience = format!("[\"{}\"]", people.join("\", \""));
    let delay = Duration::from_millis(250);
    let stage = Stage::with(Behaviour { answer_delay: delay, ..Behaviour::default() }, &audience);
    let working = stage.hosted.work();
    let stopped: Mutex<BTreeMap<String, DateTime<Utc>>> = Mutex::default();
    thread::scope(|scope| {
        for (n, peer) in people.iter().enumerate() {
            let (stage, stopped) = (&stage, &stopped);
            scope.spawn(move || {
                MOMENTS[n / 2].come(stage, peer);
                let stop = if n % 2 == 0 { gate_message } else { cloud_message };
                stage.takes(&stop(peer, &format!("stop-{peer}"), "STOP", now().timestamp() + 1));
                stopped.lock().unwrap().insert(peer.clone(), now());
            });
        }
    });
    // Whatever would come, has come.
    stage.wait_for("SELECT bool_and(verdict = 'audience-exhausted') FROM turns", "true");
    stage.wait_for(
        "SELECT (SELECT count(*) FROM messages WHERE state IN ('waiting', 'sending')) \
         + (SELECT count(*) FROM attempts WHERE outcome IS NULL) \
         + (SELECT count(*) FROM dialogues WHERE due_at IS NOT NULL OR held_fence IS NOT NULL)",
        "0",
    );
    drop(working);
    let stopped = stopped.into_inner().unwrap();
    let mut heard_something = 0;
    for (peer, at) in &stopped {
        let later = format!("> to_timestamp({}::numeric / 1000000)", at.timestamp_micros());
        let permits = format!(
            "SELECT (SELECT count(*) FROM attempts WHERE address = '{peer}' AND granted_at {later}) \
             + (SELECT count(*) FROM messages m JOIN dialogues d ON d.id = m.dialogue_id \
                WHERE d.peer = '{peer}' AND m.sending_at {later} AND m.state <> 'discarded')"
        );
        assert_eq!(stage.value(&permits), "0", "{peer}");
        let n_permits = stage.value(&format!(
            "SELECT (SELECT count(*) FROM attempts WHERE address = '{peer}') \
             + (SELECT count(*) FROM messages m JOIN dialogues d ON d.id = m.dialogue_id WHERE d.peer = '{peer}' \
                AND m.author = 'ai' AND m.state IN ('sent', 'delivered', 'read', 'failed', 'in-doubt'))"
        ));
        let heard: Vec<_> =
            stage.sent().into_iter().filter(|entry| &entry.address == peer).collect();
        assert_eq!(heard.len().to_string(), n_permits, "every message has its permit: {peer}");
        heard_something += usize::from(!heard.is_empty());
    }
    assert!(heard_something >= 8, "the moments were what they are named: {heard_something}");
    let stands = "SELECT count(*) FROM opt_outs WHERE by = 'person' AND language = 'en'";
    assert_eq!(stage.value(stands), people.len().to_string());
    let open = "SELECT count(*) FROM dialogues WHERE state <> 'closed'";
    assert_eq!(stage.value(open), "0");
}

#[test]
fn a_stop_ends_reminders_retries_and_what_waits_also_in_closed_dialogues() {
    let stage = Stage::new();
    let peer = "+79164000001";
    let second = now().timestamp();
    stage.takes(&gate_message(peer, "AAAA", "Hello", second));
    stage.takes(&cloud_message(peer, "wamid.1", "Hello", second));
    let (one, other) = (stage.dialogue_with("gate", peer), stage.dialogue_with("cloud", peer));
    stage.hosted.database.run(&format!(
        "UPDATE dialogues SET due_at = NULL, reminder_at = now() - interval '1 s', reminder_text = 'Still there?'
            WHERE id = {one};
        UPDATE dialogues SET due_at = NULL, state = 'closed' WHERE id = {other};
        INSERT INTO retries (opening, task_id, position, address, key, tries, ready_at, in_doubt)
            SELECT 999, task_id, position, '{peer}', 1, 1, now(), false FROM contacts LIMIT 1"
    ));
    stage.ai_says(other, "All the best!", "state, ready_at = 'waiting', now()");
    stage.ai_says(one, "One more thing", "state, ready_at = 'waiting', now()");
    stage.takes(&gate_message(peer, "AAAB", "Не пишите мне больше.", second + 1));
    let left = "SELECT string_agg(DISTINCT state, ' ') FROM messages WHERE author = 'ai'";
    assert_eq!(stage.value(left), "discarded");
    let stand = "SELECT string_agg(state || ' ' || (reminder_at IS NULL) || ' ' || (due_at IS NULL), ', ') FROM dialogues";
    assert_eq!(stage.value(stand), "closed true true, closed true true");
    // What comes later of the same person opens nothing.
    stage.takes(&cloud_message(peer, "wamid.2", "And by the way", second + 2));
    let working = stage.hosted.work();
    // Everybody else is written to.
    stage.wait_for("SELECT bool_and(verdict = 'audience-exhausted') FROM turns", "true");
    drop(working);
    assert_eq!(stage.calls_to(peer), 0);
    assert!(stage.hosted.rehearsal.recent_ai().is_empty());
}

#[test]
fn a_person_who_says_stop_on_two_channels_at_once_is_heard_on_both() {
    let stage = Stage::new();
    let second = now().timestamp();
    let people: Vec<String> = (0..20).map(person).collect();
    for peer in &people {
        stage.takes(&gate_message(peer, peer, "Hello", second));
        stage.takes(&cloud_message(peer, peer, "Hello", second));
    }
    let stops = people.iter().flat_map(|peer| {
        let id = format!("stop-{peer}");
        [gate_message(peer, &id, "STOP", second + 1), cloud_message(peer, &id, "stop", second + 1)]
    });
    let answers = stops.map(async |hook| stage.brings(&hook).await);
    let answers = stage.hosted.runtime.block_on(join_all(answers));
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    assert_eq!(stage.value("SELECT count(*) FROM dialogues WHERE state = 'closed'"), "40");
    assert_eq!(stage.value("SELECT count(*) FROM opt_outs"), "20");
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "80");
}
