//! VK's callbacks: who is believed, what is answered, and what is kept of them.

use serde_json::{Value, json};

use super::{
    super::{Driver, Http, Receives, Webhook, WebhookHeaders, WebhookRefused},
    stage::clock,
    subject::Subject,
};
use crate::{
    channels::Brought,
    domain::{channel::Secret, dialogue::Delivery},
    rehearsal::Rehearsal,
};

const ENDPOINT: &str = "http://127.0.0.1:9";

fn receiver(lacks: &str) -> Driver {
    let subject = Subject::of("vk-public-pushed");
    let mut secrets = subject.secrets("one");
    secrets.remove(lacks);
    Driver::connect(&subject.spec(ENDPOINT), &secrets, &Http::new().unwrap()).unwrap()
}

fn read(receiver: &Driver, body: &[u8]) -> Result<Brought, WebhookRefused> {
    let headers = WebhookHeaders::default();
    receiver.read_webhook(&Webhook { headers: &headers, token: None, body, at: clock() })
}

fn message(secret: &Value) -> Value {
    json!({
        "type": "message_new", "group_id": 200_500_100, "event_id": "e1", "v": "5.199", "secret": secret,
        "object": { "message": {
            "id": 7, "peer_id": 12_345_678, "from_id": 12_345_678, "date": 1_790_000_000, "text": "Привет",
        } },
    })
}

fn confirmation(secret: &Value, group_id: i64) -> Value {
    json!({ "type": "confirmation", "group_id": group_id, "v": "5.199", "secret": secret })
}

#[test]
fn only_who_knows_the_secret_is_believed_also_when_an_address_is_confirmed() {
    use WebhookRefused::{NotConfigured, SignatureMissing, SignatureWrong, Unreadable};
    let one = receiver("");
    let right = json!(Rehearsal::secret("one", "secret").reveal());
    let brought = read(&one, message(&right).to_string().as_bytes()).unwrap();
    let said = Delivery::Message { id: "7".to_owned(), text: "Привет".to_owned() };
    assert_eq!(brought.received.len(), 1);
    assert_eq!(brought.received[0].what, said);
    assert_eq!(brought.answer.as_deref(), Some("ok"));

    let code = Rehearsal::secret("one", "confirmation").reveal().to_owned();
    let asked = confirmation(&right, 200_500_100).to_string();
    let confirmed = read(&one, asked.as_bytes()).unwrap();
    assert_eq!((confirmed.answer, confirmed.received), (Some(code), Vec::new()));
    let foreign = confirmation(&right, 1).to_string();
    assert_eq!(read(&one, foreign.as_bytes()), Err(Unreadable));

    for (secret, refused) in [
        (json!("wrong"), SignatureWrong),
        (json!(""), SignatureWrong),
        (json!(5), SignatureMissing),
        (json!(null), SignatureMissing),
    ] {
        for event in [message(&secret), confirmation(&secret, 200_500_100)] {
            assert_eq!(read(&one, event.to_string().as_bytes()), Err(refused), "{event}");
        }
    }
    for unreadable in ["", "<html>", "{", &"[".repeat(100_000)] {
        assert_eq!(read(&one, unreadable.as_bytes()), Err(Unreadable), "{unreadable:.9}");
    }
    for odd in ["[]", "null", "5", "{}", "\"secret\""] {
        assert_eq!(read(&one, odd.as_bytes()), Err(SignatureMissing), "{odd}");
    }
    // Without its credentials a channel believes nobody, and confirms nothing.
    let without = receiver("secret");
    assert_eq!(without.receives(), Receives::Nothing);
    assert_eq!(read(&without, message(&right).to_string().as_bytes()), Err(NotConfigured));
    let without = receiver("confirmation");
    assert_eq!(without.receives(), Receives::Webhook);
    assert_eq!(read(&without, asked.as_bytes()), Err(NotConfigured));
    assert!(read(&without, message(&right).to_string().as_bytes()).is_ok());
}

#[test]
fn a_webhook_is_kept_without_its_secret_and_what_is_not_read_is_taken() {
    let one = receiver("");
    let secret = Rehearsal::secret("one", "secret");
    let mut event = message(&json!(secret.reveal()));
    let kept = read(&one, event.to_string().as_bytes()).unwrap().kept.unwrap();
    let text = String::from_utf8(kept.clone()).unwrap();
    assert!(!text.contains(secret.reveal()) && !text.contains("secret"), "{text}");
    let mut without = event.clone();
    without.as_object_mut().unwrap().remove("secret");
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), without);

    for kind in ["message_typing_state", "wall_post_new", "confirmation2"] {
        event["type"] = json!(kind);
        let brought = read(&one, event.to_string().as_bytes()).unwrap();
        assert_eq!(
            (brought.received, brought.answer.as_deref()),
            (Vec::new(), Some("ok")),
            "{kind}"
        );
    }
    event["type"] = json!("message_new");
    event["group_id"] = json!(1);
    assert_eq!(read(&one, event.to_string().as_bytes()).unwrap().received, []);
}

#[test]
fn a_secret_in_a_file_with_a_line_feed_is_the_same_secret() {
    let subject = Subject::of("vk-public-pushed");
    let mut secrets = subject.secrets("one");
    secrets.insert("secret".to_owned(), Secret::new("s3cret\n".to_owned()));
    let http = Http::new().unwrap();
    let one = Driver::connect(&subject.spec(ENDPOINT), &secrets, &http).unwrap();
    let event = message(&json!("s3cret")).to_string();
    assert_eq!(read(&one, event.as_bytes()).unwrap().received.len(), 1);
}
