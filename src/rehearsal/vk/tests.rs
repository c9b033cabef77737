//! A community of the fake VK refuses what a real one refuses.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    domain::kind::ChannelKind,
    rehearsal::{
        Rehearsal,
        tests::{body_of, rehearsal_with, request},
    },
};

async fn ask(rehearsal: &Rehearsal, method: &str, body: &str) -> Value {
    let token = Rehearsal::secret("one", "token");
    let headers = format!(
        "Authorization: Bearer {}\r\nContent-Type: application/x-www-form-urlencoded",
        token.reveal()
    );
    let endpoint = rehearsal.endpoint(ChannelKind::VkPublic).unwrap();
    let (line, body) = (format!("POST /method/{method}"), format!("v=5.199&{body}"));
    body_of(&request(&endpoint, &line, &headers, &body).await)
}

#[tokio::test]
async fn a_community_tells_what_it_was_switched_on_for_and_of_itself_alone() {
    let rehearsal = rehearsal_with(false, None, None).await;
    let group = "group_id=200500100";
    let switch = format!("{group}&enabled=1&message_new=1");
    let server = json!({ "server": "elsewhere", "url": "ftp://a.example" });
    for (method, body, place, value) in [
        ("users.get", "", "/error/error_code", json!(3)),
        ("groups.getById", "", "/response/groups/0/id", json!(200_500_100)),
        ("groups.getLongPollServer", "", "/error/error_code", json!(100)),
        ("groups.getLongPollServer", group, "/error/error_code", json!(100)),
        ("groups.getLongPollSettings", group, "/response/is_enabled", json!(false)),
        ("groups.setLongPollSettings", "group_id=5&enabled=1", "/error/error_code", json!(15)),
        ("groups.setLongPollSettings", &switch, "/response", json!(1)),
        ("groups.getLongPollSettings", group, "/response/events/message_new", json!(1)),
        ("groups.getLongPollSettings", group, "/response/events/message_reply", json!(0)),
        ("groups.getLongPollServer", group, "/response/ts", json!("0")),
        ("groups.addCallbackServer", group, "/error/error_code", json!(100)),
        (
            "groups.addCallbackServer",
            &format!("{group}&url={}&title=a", server["url"].as_str().unwrap()),
            "/error/error_code",
            json!(100),
        ),
        (
            "groups.setCallbackSettings",
            &format!("{group}&server_id=9"),
            "/error/error_code",
            json!(104),
        ),
    ] {
        let answer = ask(&rehearsal, method, body).await;
        assert_eq!(answer.pointer(place), Some(&value), "{method} {body}: {answer}");
    }
}

#[tokio::test]
async fn a_community_writes_only_to_who_wrote_to_it() {
    let rehearsal = rehearsal_with(false, Some(Duration::ZERO), None).await;
    let send = "peer_id=12340909&random_id=7&message=a";
    let refused = ask(&rehearsal, "messages.send", send).await;
    assert_eq!(refused["error"]["error_code"], json!(901));
    rehearsal.person_writes(ChannelKind::VkPublic, "one", "12340909", "Hello");
    let sent = ask(&rehearsal, "messages.send", send).await;
    assert_eq!(sent["response"], json!(2));

    // Of what was said, it is told what its settings name; a picture comes without words.
    let group = "group_id=200500100";
    ask(&rehearsal, "groups.setLongPollSettings", &format!("{group}&enabled=1&message_new=1"))
        .await;
    rehearsal.person_writes(ChannelKind::VkPublic, "one", "12340909", "[picture]");
    let endpoint = rehearsal.endpoint(ChannelKind::VkPublic).unwrap();
    let line = "GET /longpoll/one?act=a_check&wait=0&key=key.0&ts=0";
    let news = body_of(&request(&endpoint, line, "Accept: */*", "").await);
    let told = news["updates"].as_array().unwrap();
    let messages: Vec<_> = told.iter().map(|event| &event["object"]["message"]).collect();
    assert!(told.iter().all(|event| event["type"] == json!("message_new")), "{news}");
    assert_eq!(messages[0]["text"], json!("Hello"));
    let picture = messages.iter().find(|message| message["text"] == json!("")).unwrap();
    assert_eq!(picture["attachments"][0]["type"], json!("photo"));
}
