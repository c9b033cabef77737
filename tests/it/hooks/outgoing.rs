//! Replies on their way out: windows, doubts, and the order of parts before providers that fail.

use std::{collections::BTreeMap, fs, path::PathBuf};

use nuncio::{
    domain::{
        address::Address,
        dialogue::{Delivery, Received},
        id::DialogueId,
    },
    rehearsal::{Direction, Entry, Verdict},
    store::{Parcel, Repeat, Said, Words},
};

use super::{Stage, now, wire::cloud_message};
use crate::support::{Behaviour, Hosted, Working, channel, vk_task, wait_until};

const PARTS: [&str; 3] = ["First.", "Second.", "Third."];

/// Writes to a channel, past its webhook; no AI answers.
fn writes(hosted: &Hosted, to: &str, peer: &str) -> DialogueId {
    let what = Delivery::Message { id: format!("id-{peer}"), text: "Hello".to_owned() };
    let received = [Received::of(Address::from_stored(peer.to_owned()), None, what)];
    let channel = to.parse().unwrap();
    let parcel = Parcel { channel: &channel, received: &received, raw: None, cursor: None };
    let taken = hosted.runtime.block_on(hosted.store.receive(&parcel)).unwrap();
    assert_eq!(taken.fresh, 1);
    let theirs = format!("channel = '{to}' AND peer = '{peer}'");
    hosted.database.run(&format!("UPDATE dialogues SET due_at = NULL WHERE {theirs}"));
    let query = format!("SELECT id FROM dialogues WHERE {theirs}");
    DialogueId(hosted.database.value(&query).parse().unwrap())
}

/// What is tried again waits for seconds and minutes; here they pass at once.
const AT_ONCE: &str =
    "UPDATE messages SET ready_at = now() WHERE state = 'waiting' AND ready_at > now();
    NOTIFY nuncio_dialogues";

/// As [`AT_ONCE`], but what may have left waits for its echo longer than a test can.
const ONCE_HEARD: &str =
    "UPDATE messages m SET ready_at = now() + CASE WHEN d.peer = '80504' THEN interval '1 day' ELSE '0' END
    FROM dialogues d
    WHERE d.id = m.dialogue_id AND m.state = 'waiting' AND m.ready_at > now();
    NOTIFY nuncio_dialogues";

/// Everybody hears all parts; gives the states of the messages by person.
fn say_to_all(
    hosted: &Hosted,
    people: &[(&str, &str)],
    work: fn(&Hosted) -> Working,
    repeats: &str,
) -> BTreeMap<String, String> {
    // Before any opening is under way that they may be answering.
    let dialogues: Vec<DialogueId> =
        people.iter().map(|(to, peer)| writes(hosted, to, peer)).collect();
    let working = work(hosted);
    for dialogue in dialogues {
        let parts = PARTS.map(str::to_owned);
        let words = Words { parts: &parts, by: "boris", repeat: Repeat::Accident };
        let said = hosted.runtime.block_on(hosted.store.say(dialogue, &words)).unwrap();
        assert!(matches!(&said, Said::Accepted(said) if said.len() == PARTS.len()), "{said:?}");
    }
    let left = "SELECT count(*) FROM messages WHERE state IN ('waiting', 'sending')";
    wait_until("everything has left", super::PATIENCE, || {
        hosted.database.run(repeats);
        let waiting = hosted.database.value(left);
        (waiting == "0", waiting)
    });
    drop(working);
    let states = |(to, peer): &(&str, &str)| {
        let query = format!(
            "SELECT string_agg(m.state, ' ' ORDER BY m.id) FROM messages m JOIN dialogues d ON d.id = m.dialogue_id \
             WHERE m.author <> 'person' AND d.channel = '{to}' AND d.peer = '{peer}'"
        );
        (format!("{to} {peer}"), hosted.database.value(&query))
    };
    people.iter().map(states).collect()
}

fn delivered(hosted: &Hosted, to: &str, peer: &str) -> Vec<String> {
    let theirs =
        |entry: &Entry| entry.is_delivery() && entry.channel == to && entry.address == peer;
    let entries = hosted.rehearsal.recent().into_iter().filter(theirs);
    entries.map(|entry| entry.text).collect()
}

/// A journal in which these people have written to the channel, so that they may be answered.
fn journal_of(folder: &tempfile::TempDir, to: &str, people: &[&str]) -> PathBuf {
    let path = folder.path().join("journal.jsonl");
    let line = |(n, peer): (usize, &&str)| {
        let entry = Entry {
            direction: Direction::FromPerson,
            at: now().to_rfc3339(),
            at_ms: now().timestamp_millis(),
            provider: "waba".to_owned(),
            channel: to.to_owned(),
            address: (*peer).to_owned(),
            text: "Hello".to_owned(),
            key: None,
            attempt: None,
            verdict: Verdict::Delivered,
            fault: None,
            message_id: i64::try_from(n + 1).ok(),
            note: None,
        };
        serde_json::to_string(&entry).unwrap() + "\n"
    };
    fs::write(&path, people.iter().enumerate().map(line).collect::<String>()).unwrap();
    path
}

#[test]
fn parts_of_a_reply_stay_in_order_and_a_doubt_is_not_repeated_on_whatsapp() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = ["+79165000429", "+79165000503", "+79165000504"];
    let journal = Some(journal_of(&folder, "cloud", &cloud));
    let behaviour = Behaviour { faults: true, journal, ..Behaviour::default() };
    // Nobody of the audience is reached: it is about the replies.
    let stage = Stage::with(behaviour, "[\"+79165000404\"]");
    let gate = ["+79166000429", "+79166000503", "+79166000504"];
    let mut people: Vec<(&str, &str)> = cloud.map(|peer| ("cloud", peer)).to_vec();
    people.extend(gate.map(|peer| ("gate", peer)));
    let states = say_to_all(&stage.hosted, &people, Hosted::work, AT_ONCE);
    for (to, peer) in people {
        // A gateway's 503 says as little as no answer.
        let is_open = peer.ends_with("0504") || (to, peer) == ("gate", gate[1]);
        let wanted = if is_open { "in-doubt sent sent" } else { "sent sent sent" };
        let heard = if (to, peer) == ("gate", gate[1]) { &PARTS[1..] } else { &PARTS };
        assert_eq!(delivered(&stage.hosted, to, peer), heard, "{to} {peer}");
        assert_eq!(states[&format!("{to} {peer}")], wanted, "{to} {peer}");
    }
}

/// Everybody of the table of faults hears all parts once; gives VKontakte's calls of the one in doubt.
fn calls_in_doubt(work: fn(&Hosted) -> Working, repeats: &str) -> Vec<Entry> {
    let manifests = [
        ("vk.yaml", channel("vk", "vk-user", "token: {env: T}", "")),
        ("talk.yaml", vk_task("talk", "vk", "[70404]", "  state: running")),
    ];
    let manifests = manifests.each_ref().map(|(name, text)| (*name, text.as_str()));
    let hosted = Hosted::with(&manifests, Behaviour { faults: true, ..Behaviour::default() });
    let people = [("vk", "80429"), ("vk", "80503"), ("vk", "80504")];
    let states = say_to_all(&hosted, &people, work, repeats);
    for (to, peer) in people {
        assert_eq!(delivered(&hosted, to, peer), PARTS, "{peer}");
        assert_eq!(states[&format!("{to} {peer}")], "sent sent sent", "{peer}");
    }
    let of_doubt = |entry: &Entry| entry.address == "80504" && entry.text == PARTS[0];
    hosted.rehearsal.recent().into_iter().filter(of_doubt).collect()
}

#[test]
fn a_reply_in_doubt_is_repeated_with_its_key_where_the_provider_drops_the_repeat() {
    let calls = calls_in_doubt(Hosted::work_deaf, AT_ONCE);
    assert!(calls.len() >= 2, "{calls:?}");
    assert_eq!(calls[0].verdict, Verdict::AnswerWithheld);
    assert!(calls[1..].iter().all(|call| call.verdict == Verdict::RepeatDropped), "{calls:?}");
    assert!(calls.iter().all(|call| call.key.is_some() && call.key == calls[0].key), "{calls:?}");
}

/// As [`Hosted::work`], from when on VKontakte's news are heard: what was sent before has no echo.
fn work_listening(hosted: &Hosted) -> Working {
    let working = hosted.work();
    wait_until("it listens", super::PATIENCE, || {
        let cursors = hosted.database.value("SELECT count(*) FROM receive_cursors");
        (cursors == "1", cursors)
    });
    working
}

#[test]
fn a_reply_whose_echo_was_heard_is_not_repeated() {
    assert_eq!(calls_in_doubt(work_listening, ONCE_HEARD).len(), 1);
}

#[test]
fn after_the_window_nothing_is_called_and_an_operator_goes_on() {
    // The person is in the audience of nobody.
    let stage =
        Stage::with(Behaviour { faults: true, ..Behaviour::default() }, "[\"+79165000404\"]");
    let ago = |hours: i64| now().timestamp() - hours * 3600;
    // Long ago, and a webhook that came a day late.
    let people = [("+79167000001", ago(0)), ("+79167000002", ago(25))];
    for (peer, second) in people {
        stage.takes(&cloud_message(peer, peer, "Hello", second));
        let dialogue = stage.dialogue_with("cloud", peer);
        stage.ai_says(dialogue, "Good day!", "state, ready_at = 'waiting', now()");
    }
    stage.hosted.database.run(
        "UPDATE dialogues SET due_at = NULL;
        UPDATE messages SET at = now() - interval '24 hours', provider_at = NULL
            WHERE provider_message_id = '+79167000001'",
    );
    let working = stage.hosted.work();
    stage.wait_for("SELECT count(*) FROM messages WHERE state = 'failed'", "2");
    drop(working);
    for (peer, _) in people {
        assert_eq!(stage.calls_to(peer), 0, "{peer}");
        let why =
            format!("SELECT state || ': ' || state_reason FROM dialogues WHERE peer = '{peer}'");
        let wanted =
            "with-operator: a reply was not delivered: more than 24 hours since the person wrote";
        assert_eq!(stage.value(&why), wanted);
    }
    let lane = "SELECT count(*) FROM lanes WHERE blocked_class IS NOT NULL";
    assert_eq!(stage.value(lane), "0", "the channel goes on");
}
