//! A bot that speaks for the account of a business: its own words, the owner's hand, and the person's.

use nuncio::{domain::kind::ChannelKind::TelegramBusiness, rehearsal::Rehearsal};
use serde_json::{Value, json};

use super::{PATIENCE, PERSON, Stage, message, now, signs};
use crate::support::wait_until;

/// A message in a chat of the business.
fn said(changes: &Value) -> Value {
    let connection = Rehearsal::secret("shop", "connectionId");
    let mut message = message(&json!({ "business_connection_id": connection.reveal() }));
    message.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    json!({ "update_id": 5, "business_message": message })
}

fn owner() -> Value {
    json!({ "id": 4_000_000_002_i64, "is_bot": false, "first_name": "Owner" })
}

#[test]
fn a_reply_whose_answer_never_came_is_settled_when_it_is_seen() {
    let stage = Stage::new();
    let person = "telegram:700000504";
    stage.writes(TelegramBusiness, "shop", person, "Hello! What does it cost?");
    let working = stage.hosted.work();
    // Delivered, and the call is never answered; then Telegram shows the message.
    wait_until("the answer", PATIENCE, || {
        let heard = stage.heard("shop", person);
        (heard.len() == 1, heard)
    });
    stage.wait_for("SELECT state FROM messages WHERE author = 'ai'", "sent");
    let told =
        "SELECT provider_message_id ~ '^700000504:[0-9]+$' FROM messages WHERE author = 'ai'";
    assert_eq!(stage.value(told), "true");
    assert_eq!(stage.heard("shop", person).len(), 1, "it was not sent again");
    assert_eq!(stage.value("SELECT state FROM dialogues"), "open");
    // It was read, and typed.
    assert_eq!(signs(&stage, "shop"), ["read", "typing"]);
    drop(working);
}

#[test]
fn the_owners_hand_takes_the_dialogue_over_and_our_own_words_do_not() {
    let stage = Stage::new();
    stage.writes(TelegramBusiness, "shop", PERSON, "Hello! What does it cost?");
    let working = stage.hosted.work();
    wait_until("the answer", PATIENCE, || {
        let heard = stage.heard("shop", PERSON);
        (heard.len() == 1, heard)
    });
    stage.wait_for("SELECT state FROM messages WHERE author = 'ai'", "sent");
    // The echo of ours was polled with everything else.
    let position = "SELECT cursor FROM receive_cursors WHERE channel = 'shop'";
    stage.wait_for(position, "100000003");
    assert_eq!(stage.value("SELECT state FROM dialogues"), "open");
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "2");

    // What a rule of the account says is nobody's turn, and another account is another channel's.
    stage.takes(
        "shop",
        &said(&json!({ "message_id": 80, "from": owner(), "is_from_offline": true })),
    );
    let elsewhere = said(&json!({ "message_id": 81, "business_connection_id": "other" }));
    stage.takes("shop", &elsewhere);
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "2");

    let by_hand =
        said(&json!({ "message_id": 82, "from": owner(), "text": "Anna here, in person." }));
    for _ in 0..2 {
        stage.takes("shop", &by_hand);
    }
    assert_eq!(stage.value("SELECT state FROM dialogues"), "with-operator");
    stage.takes("shop", &said(&json!({ "message_id": 83, "date": now(), "text": "Oh, hello!" })));
    let authors = "SELECT string_agg(author, ' ' ORDER BY id) FROM messages";
    assert_eq!(stage.value(authors), "person ai operator person");
    assert_eq!(stage.value("SELECT count(*) FROM dialogues WHERE due_at IS NOT NULL"), "0");
    assert_eq!(stage.heard("shop", PERSON).len(), 1, "the AI is silent");
    drop(working);
}
