//! People whom WhatsApp names by another number than the one that was dialled, or by an id: one person each.

use std::time::Duration;

use nuncio::{
    domain::address::Address,
    store::{Patience, Whom},
};
use serde_json::{Value, json};

use super::{
    Stage, now,
    wire::{cloud_event, cloud_message, cloud_move, cloud_status, gate_event, gate_message},
};
use crate::support::Behaviour;

/// As they are dialled today, and the accounts that WhatsApp has for them.
const PEOPLE: [(&str, &str); 3] = [
    ("+525555123451", "+5215555123451"),
    ("+541123456781", "+5491123456781"),
    ("+5562981234561", "+556281234561"),
];
const DIALLED: &str = r#"["+525555123451", "+541123456781", "+5562981234561"]"#;

const HIDDEN: &str = "88001122334455@lid";
const USER_ID: &str = "MX.13491208655302741918";

fn talking() -> Behaviour {
    Behaviour { people: true, ..Behaviour::default() }
}

/// The peers of all dialogues, by channel.
fn dialogues(stage: &Stage) -> String {
    stage.value(
        "SELECT string_agg(channel || ' ' || peer, ', ' ORDER BY channel, peer) FROM dialogues",
    )
}

fn suppressed(stage: &Stage, addresses: &[&str]) -> Vec<String> {
    let is = |address: &&str| stage.value(&format!("SELECT is_suppressed('{address}', 'any')"));
    addresses.iter().map(is).collect()
}

#[test]
fn whoever_answers_under_another_number_answers_in_the_dialogue_that_was_opened() {
    let stage = Stage::with(talking(), DIALLED);
    let working = stage.hosted.work();
    // The opening, two answers of the AI, and what the person says to each.
    stage.wait_for("SELECT count(*) FROM messages WHERE author = 'person'", "18");
    stage.wait_for("SELECT count(*) FROM messages WHERE state IN ('waiting', 'sending')", "0");
    drop(working);
    let wanted: Vec<String> = ["cloud", "gate"]
        .iter()
        .flat_map(|channel| PEOPLE.map(|(dialled, _)| format!("{channel} {dialled}")))
        .collect();
    let mut wanted = wanted;
    wanted.sort();
    assert_eq!(dialogues(&stage), wanted.join(", "));
    let begun = "SELECT count(*) FROM messages WHERE author = 'opening' AND state <> 'in-doubt'";
    assert_eq!(stage.value(begun), "6");
    let heard = stage.heard();
    assert_eq!(heard.len(), 3, "everybody by their account: {heard:?}");
    for (_, account) in PEOPLE {
        assert!(heard[account].len() >= 6, "{account}: {heard:?}");
    }
    let undone = "SELECT count(*) FROM attempts WHERE outcome <> 'sent' OR delivery <> 'read'";
    assert_eq!(stage.value(undone), "0", "the news of the openings found them");
}

#[test]
fn a_stop_under_another_number_holds_for_the_number_that_an_audience_has() {
    let stage = Stage::new();
    for (dialled, account) in PEOPLE {
        stage.takes(&gate_message(account, "AAAA", "STOP", now().timestamp()));
        assert_eq!(suppressed(&stage, &[dialled, account]), ["true", "true"]);
    }
    let manifest = "apiVersion: nuncio/v1\nkind: Task\nmetadata: {name: later}";
    let task = std::fs::read_to_string(stage.hosted.folder.tasks().join("gate-talk.yaml")).unwrap();
    let task =
        task.replace("name: gate-talk", "name: later").replace("+79160000000", "+525555123451");
    assert!(task.contains(manifest.lines().next().unwrap()) && task.contains("+5255"));
    stage.hosted.folder.write("later.yaml", &task);
    stage.hosted.apply();
    let working = stage.hosted.work();
    stage.wait_for("SELECT bool_and(verdict = 'audience-exhausted') FROM turns", "true");
    drop(working);
    assert_eq!(stage.calls_to(PEOPLE[0].1), 0);
}

#[test]
fn an_opening_whose_answer_was_lost_is_told_by_its_status_whom_it_reached() {
    let stage = Stage::with(Behaviour::default(), DIALLED);
    let (dialled, _) = PEOPLE[0];
    // No form of the number that could be guessed.
    let account = "+5219999999999";
    let granted = "INSERT INTO attempts (id, opening, tries, task_id, task, channel, position, address, key, fence,
            granted_at, finished_at, outcome)
        SELECT 77, 1, 1, id, name, 'cloud', 1, '{dialled}', opening_key(name, '{dialled}'), 1, now(), now(),
            'in-doubt' FROM tasks WHERE name = 'cloud-talk';
        INSERT INTO ledger (task, address, opening, channel) VALUES ('cloud-talk', '{dialled}', 1, 'cloud')";
    stage.hosted.database.run(&granted.replace("{dialled}", dialled));
    stage.takes(&cloud_status(account, "wamid.9", "delivered", Some("77")));
    assert_eq!(stage.value("SELECT outcome || ' ' || delivery FROM attempts"), "sent delivered");
    stage.takes(&cloud_message(account, "wamid.10", "Who is this?", now().timestamp()));
    assert_eq!(dialogues(&stage), format!("cloud {dialled}"));
    // Whoever else sends from the number has references of their own.
    stage.takes(&cloud_status("+79169999999", "wamid.11", "delivered", Some("77")));
    assert_eq!(suppressed(&stage, &["+79169999999"]), ["false"]);
    let strangers = "SELECT count(*) FROM aliases WHERE address = '+79169999999'";
    assert_eq!(stage.value(strangers), "0");
}

#[test]
fn a_hidden_id_is_the_person_once_a_phone_was_told_with_it() {
    let stage = Stage::with(talking(), "[\"+79160000009\"]");
    let phone = "+79160000009";
    let second = now().timestamp();
    // The gateway tells the phone with the first message only.
    stage.takes(&gate_event(
        HIDDEN,
        "AAAA",
        "Hello",
        second,
        &json!({ "Info": { "SenderAlt": "79160000009@s.whatsapp.net" } }),
    ));
    stage.takes(&gate_event(HIDDEN, "AAAB", "Are you there?", second + 1, &json!({})));
    assert_eq!(dialogues(&stage), format!("gate {phone}"));
    // What is said next goes to where the person wrote from last.
    assert_eq!(stage.value("SELECT reply_to FROM dialogues"), HIDDEN);
    stage.takes(&gate_message(phone, "AAAC", "It is me", second + 2));
    assert_eq!(stage.value("SELECT coalesce(reply_to, peer) FROM dialogues"), phone);
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "3");
    stage.takes(&gate_event(HIDDEN, "AAAD", "STOP", second + 3, &json!({})));
    assert_eq!(suppressed(&stage, &[phone, HIDDEN]), ["true", "true"]);
    assert_eq!(stage.value("SELECT count(*) FROM opt_outs"), "1", "one word, of one person");
    let working = stage.hosted.work();
    stage.wait_for("SELECT bool_and(verdict = 'audience-exhausted') FROM turns", "true");
    drop(working);
    assert_eq!(stage.calls_to(phone), 0);
}

#[test]
fn whoever_hides_their_phone_later_goes_on_in_their_dialogue_and_is_answered_there() {
    let stage = Stage::with(talking(), "[\"+79160000404\"]");
    let (phone, second) = ("+79161234569", now().timestamp());
    let user_id = "RU.979161234569";
    stage.takes(&cloud_event(
        &json!({ "from": "79161234569", "from_user_id": user_id, "id": "wamid.1" }),
        "Hello",
        second,
    ));
    stage.takes(&cloud_event(
        &json!({ "from_user_id": user_id, "id": "wamid.2" }),
        "Well?",
        second + 1,
    ));
    assert_eq!(dialogues(&stage), format!("cloud {phone}"));
    assert_eq!(stage.value("SELECT reply_to FROM dialogues"), user_id);
    // Another business has another id of the same person.
    stage.takes(&cloud_event(
        &json!({ "from": "79161234569", "from_user_id": USER_ID, "id": "wamid.3" }),
        "Well?",
        second + 2,
    ));
    stage.takes(&cloud_event(
        &json!({ "from_user_id": USER_ID, "id": "wamid.4" }),
        "stop",
        second + 3,
    ));
    assert_eq!(dialogues(&stage), format!("cloud {phone}"));
    assert_eq!(suppressed(&stage, &[phone, user_id, USER_ID]), ["true", "true", "true"]);
}

#[test]
fn whoever_hides_their_phone_talks_as_anybody_and_is_left_alone_once_they_ask_to_be() {
    let phones = ["+79123450910", "+79123450911"];
    let stage = Stage::with(talking(), "[\"+79123450910\", \"+79123450911\"]");
    stage.hosted.database.run("DELETE FROM task_channels WHERE channel = 'gate'");
    let working = stage.hosted.work();
    // The opening, two answers of the AI, and what the person says to each; the other says one word.
    stage.wait_for("SELECT count(*) FROM messages WHERE author = 'person'", "4");
    stage.wait_for("SELECT count(*) FROM messages WHERE state <> 'read'", "0");
    drop(working);
    let wanted = phones.map(|phone| format!("cloud {phone}"));
    assert_eq!(dialogues(&stage), wanted.join(", "));
    let ways: Vec<_> = stage.sent().into_iter().map(|entry| (entry.address, entry.note)).collect();
    let by_id = Some("by id".to_owned());
    let [talks, stops] = phones.map(str::to_owned);
    let answer = (talks.clone(), by_id);
    assert_eq!(ways, [(talks, None), (stops, None), answer.clone(), answer]);
    assert_eq!(suppressed(&stage, &phones), ["false", "true"]);
    assert_eq!(suppressed(&stage, &["RU.979123450910", "RU.979123450911"]), ["false", "true"]);
}

#[test]
fn whoever_moves_is_answered_where_they_are_now_and_their_stop_moves_with_them() {
    let stage = Stage::with(talking(), "[\"+79160000404\"]");
    let (phone, new_phone, second) = ("+79161234569", "+79161234570", now().timestamp());
    let (first, then, last) = ("RU.1", "RU.2", "RU.3");
    let says = |named: Value, id: &str, text: &str, after: i64| {
        let mut event = named;
        event["id"] = json!(id);
        stage.takes(&cloud_event(&event, text, second + after));
    };
    let goes_to = || stage.value("SELECT coalesce(reply_to, peer) FROM dialogues");
    says(json!({ "from": "79161234569", "from_user_id": first }), "wamid.1", "Hello", 0);
    assert_eq!(goes_to(), phone);
    let to_number = json!({
        "type": "user_changed_number", "wa_id": "79161234570", "user_id": then, "previous_user_id": first,
    });
    let moved = cloud_move("79161234569", &to_number, second + 1);
    stage.takes(&moved);
    assert_eq!(goes_to(), new_phone);
    // Where the new number may not be told, there is an id and nothing else.
    let to_id =
        json!({ "type": "user_changed_user_id", "user_id": last, "previous_user_id": then });
    stage.takes(&cloud_move("", &to_id, second + 3));
    assert_eq!(goes_to(), last);
    says(json!({ "from_user_id": last }), "wamid.2", "Still here", 4);
    // What is brought late is older than their own word.
    let before = stage.everything();
    stage.takes(&moved);
    assert_eq!(stage.everything(), before);
    assert_eq!(dialogues(&stage), format!("cloud {phone}"));
    says(json!({ "from_user_id": last }), "wamid.3", "STOP", 5);
    assert_eq!(suppressed(&stage, &[phone, new_phone, first, then, last]), ["true"; 5]);
}

#[test]
fn two_who_were_met_apart_are_one_person_once_somebody_tells_so() {
    let stage = Stage::new();
    let (phone, second) = ("+79161234569", now().timestamp());
    stage.takes(&gate_event(HIDDEN, "AAAA", "Hello", second, &json!({})));
    stage.takes(&gate_message(phone, "AAAB", "Hello from here", second + 1));
    assert_eq!(dialogues(&stage), format!("gate {phone}, gate {HIDDEN}"));
    let told = json!({ "key": { "remoteJidAlt": "79161234569@s.whatsapp.net" } });
    stage.takes(&gate_event(HIDDEN, "AAAC", "STOP", second + 2, &told));
    let open = "SELECT count(*) FROM dialogues WHERE state <> 'closed'";
    assert_eq!(stage.value(open), "0");
    assert_eq!(suppressed(&stage, &[phone, HIDDEN]), ["true", "true"]);
}

#[test]
fn a_person_is_forgotten_under_every_address_and_news_names_none_of_them_again() {
    let stage = Stage::new();
    let (phone, second) = ("+79161234569", now().timestamp());
    let told = json!({ "Info": { "SenderAlt": "79161234569@s.whatsapp.net" } });
    stage.takes(&gate_event(HIDDEN, "AAAA", "Hello", second, &told));
    stage.takes(&cloud_message(phone, "wamid.1", "Hello", second));
    let by_phone = Whom::Everywhere(vec![Address::from_stored(phone.to_owned())]);
    let patience = Patience::silent(Duration::ZERO);
    let forgotten = stage
        .hosted
        .runtime
        .block_on(stage.hosted.store.forget(&by_phone, "test", patience))
        .unwrap();
    let erased = forgotten.erased;
    assert_eq!(
        (erased.addresses, erased.dialogues, erased.messages, erased.deliveries),
        (2, 2, 2, 2)
    );
    let left =
        "SELECT count(*) FROM (SELECT address FROM aliases UNION ALL SELECT peer FROM dialogues) t";
    assert_eq!(stage.value(left), "0");
    assert_eq!(suppressed(&stage, &[phone, HIDDEN]), ["true", "true"]);
    let before = stage.everything();
    stage.takes(&cloud_status(phone, "wamid.8", "read", None));
    assert_eq!((stage.everything(), stage.value(left)), (before, "0".to_owned()));
}

#[test]
fn a_task_that_has_both_numbers_of_a_person_writes_to_one_of_them() {
    let stage = Stage::with(Behaviour::default(), r#"["+541123456781", "+5491123456781"]"#);
    let working = stage.hosted.work();
    stage.wait_for("SELECT bool_and(verdict = 'audience-exhausted') FROM turns", "true");
    stage.wait_for("SELECT count(*) FROM attempts WHERE outcome IS NULL", "0");
    drop(working);
    assert_eq!(stage.calls_to("+5491123456781"), 2, "once by each task");
}
