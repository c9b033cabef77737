//! Both ways in which a bot hears: it asks, or is told; and what never reaches a dialogue.

use nuncio::domain::kind::ChannelKind::TelegramBot;
use serde_json::json;

use super::{PATIENCE, PERSON, Stage, message, now, signs};
use crate::support::wait_until;

#[test]
fn who_presses_start_is_answered_by_the_bot_that_asks() {
    let stage = Stage::new();
    // Before anybody asks, it waits with Telegram.
    stage.writes(TelegramBot, "bot", PERSON, "[start: rehearsal]");
    let working = stage.hosted.work();
    let heard = wait_until("the first answer", PATIENCE, || {
        let heard = stage.heard("bot", PERSON);
        (heard.len() == 1, heard)
    });
    assert!(heard[0].starts_with("I am a virtual assistant."), "{heard:?}");
    stage.writes(TelegramBot, "bot", PERSON, "I agree. Call me: +7 912 345-67-89");
    stage.wait_for("SELECT state FROM dialogues WHERE channel = 'bot'", "succeeded");
    wait_until("the second answer", PATIENCE, || {
        let heard = stage.heard("bot", PERSON);
        (heard.len() == 2, heard)
    });
    stage.wait_for(
        "SELECT string_agg(state, ' ' ORDER BY id) FROM messages WHERE channel = 'bot' AND author = 'ai'",
        "sent sent",
    );
    let said = "SELECT string_agg(text, '|' ORDER BY id) FROM messages
        WHERE channel = 'bot' AND author = 'person'";
    assert_eq!(stage.value(said), "[start: rehearsal]|I agree. Call me: +7 912 345-67-89");
    // Each is known by its chat and its number in it.
    let ids = "SELECT bool_and(provider_message_id ~ '^7000000001:[0-9]+$') FROM messages
        WHERE channel = 'bot'";
    assert_eq!(stage.value(ids), "true");
    assert_eq!(signs(&stage, "bot"), ["typing", "typing"]);
    // Everything was asked for once: the place is kept with what was received.
    assert_eq!(stage.asks(TelegramBot, "bot", "getWebhookInfo")["pending_update_count"], json!(0));
    let place: i64 =
        stage.value("SELECT cursor FROM receive_cursors WHERE channel = 'bot'").parse().unwrap();
    assert!(place > 100_000_000);

    // The account that is refused stops its own lane, and no other.
    stage.wait_for(
        "SELECT string_agg(channel, ' ') FROM lanes WHERE blocked_class = 'credential-refused'",
        "expired",
    );
    drop(working);
}

#[test]
fn a_bot_that_is_pushed_to_tells_telegram_where_and_believes_nobody_else() {
    let stage = Stage::new();
    let working = stage.hosted.work();
    let url = json!(stage.hosted.url("/hooks/pushed"));
    let info = wait_until("the webhook is set", PATIENCE, || {
        let info = stage.asks(TelegramBot, "pushed", "getWebhookInfo");
        (info["url"] == url, info)
    });
    let wanted = json!(["message", "edited_message", "my_chat_member"]);
    assert_eq!(info["allowed_updates"], wanted);
    assert_eq!(stage.asks(TelegramBot, "bot", "getWebhookInfo")["url"], json!(""));

    let hello = json!({ "update_id": 5, "message": message(&json!({})) });
    let before = stage.value("SELECT count(*) FROM deliveries");
    for secret in ["", "wrong", "rehearsal_bot_webhookSecret"] {
        assert_eq!(stage.brings("pushed", secret, &hello), 401);
    }
    // A bot without a secret is pushed nothing.
    assert_eq!(stage.brings("bot", "rehearsal_bot_webhookSecret", &hello), 403);
    assert_eq!(stage.brings("nowhere", "x", &hello), 404);
    assert_eq!(stage.value("SELECT count(*) FROM deliveries"), before);
    drop(working);
}

#[test]
fn what_is_brought_again_is_one_message_and_a_correction_another() {
    let stage = Stage::new();
    let hello = json!({ "update_id": 5, "message": message(&json!({})) });
    for _ in 0..3 {
        stage.takes("pushed", &hello);
    }
    // The same number in another chat is another message.
    let other = json!({ "id": 7_000_000_002_i64, "type": "private", "first_name": "Boris" });
    let from = json!({ "id": 7_000_000_002_i64, "is_bot": false, "first_name": "Boris" });
    let other = message(&json!({ "chat": other, "from": from, "text": "And I?" }));
    stage.takes("pushed", &json!({ "update_id": 6, "message": other }));
    let corrected = message(&json!({ "text": "What does the blue one cost?", "edit_date": now() }));
    let corrected = json!({ "update_id": 7, "edited_message": corrected });
    for _ in 0..2 {
        stage.takes("pushed", &corrected);
    }
    // Nothing of these is anybody's words to us.
    for (name, passed_over) in [
        ("message", message(&json!({ "chat": { "id": -100, "type": "group", "title": "G" } }))),
        ("message", message(&json!({ "chat": { "id": 777_000, "type": "private" } }))),
        ("channel_post", message(&json!({ "chat": { "id": -5, "type": "channel" } }))),
        ("message", message(&json!({ "text": null, "pinned_message": {} }))),
    ] {
        stage.takes("pushed", &json!({ "update_id": 8, name: passed_over }));
    }
    let said = "SELECT string_agg(peer || ' ' || text, '|' ORDER BY m.id) FROM messages m
        JOIN dialogues d ON d.id = m.dialogue_id";
    assert_eq!(
        stage.value(said),
        "telegram:7000000001 Hello! What does it cost?|telegram:7000000002 And I?|\
         telegram:7000000001 What does the blue one cost?\n[edited]"
    );
}

#[test]
fn a_stop_that_is_said_to_a_bot_holds_for_the_persons_name_too() {
    let stage = Stage::new();
    let chat = json!({ "id": 7_000_000_001_i64, "type": "private", "username": "Anna_P" });
    let stop = message(&json!({ "text": "/stop", "chat": chat }));
    stage.takes("pushed", &json!({ "update_id": 5, "message": stop }));
    for address in ["@anna_p", PERSON] {
        let suppressed = format!("SELECT is_suppressed('{address}', 'any')");
        assert_eq!(stage.value(&suppressed), "true", "{address}");
    }
    assert_eq!(stage.value("SELECT state FROM dialogues"), "closed");
}

#[test]
fn who_blocks_the_bot_is_left_alone_until_they_write_again() {
    let stage = Stage::new();
    stage.takes("pushed", &json!({ "update_id": 5, "message": message(&json!({})) }));
    let began = now();
    stage.hosted.database.run(
        "UPDATE dialogues SET reminder_at = now(), reminder_text = 'Still there?';
        INSERT INTO messages (dialogue_id, channel, author, text, state, ready_at, turn)
            SELECT id, channel, author, 'Hello', 'waiting', now(), turn
            FROM dialogues CROSS JOIN unnest(ARRAY['ai', 'operator']) author",
    );
    let standing = |status: &str, date: i64| {
        json!({ "update_id": 6, "my_chat_member": message(&json!({
            "text": null, "date": date, "old_chat_member": { "status": "member" },
            "new_chat_member": { "status": status },
        })) })
    };
    let state = "SELECT concat_ws(' ', state, turn, due_at IS NULL, reminder_at IS NULL,
        waiting_since IS NULL) FROM dialogues";
    assert_eq!(stage.value(state), "open 1 f f f");
    stage.takes("pushed", &standing("kicked", began + 1));
    assert_eq!(stage.value(state), "open 2 t t t");
    // What a person of ours has to say is theirs to give up.
    let waiting = "SELECT string_agg(author || ' ' || state, ', ' ORDER BY id) FROM messages
        WHERE author <> 'person'";
    assert_eq!(stage.value(waiting), "ai discarded, operator waiting");
    assert_eq!(
        stage.value("SELECT string_agg(event || ' ' || by, ',') FROM dialogue_events"),
        "barred person"
    );
    // Told once more, and taken back: neither is news.
    stage.takes("pushed", &standing("kicked", began + 1));
    stage.takes("pushed", &standing("member", began + 2));
    assert_eq!(stage.value(state), "open 2 t t t");

    let again = message(&json!({ "message_id": 9, "date": began + 3, "text": "/start" }));
    stage.takes("pushed", &json!({ "update_id": 7, "message": again }));
    assert_eq!(stage.value(state), "open 3 f t f");
    // An old word that comes late undoes nothing.
    stage.takes("pushed", &standing("kicked", began + 1));
    assert_eq!(stage.value(state), "open 3 f t f");
    // On another channel they are spoken to as before.
    assert_eq!(stage.value(&format!("SELECT is_suppressed('{PERSON}', 'any')")), "false");
}
