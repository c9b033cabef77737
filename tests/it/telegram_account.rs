//! An account of Telegram over the wire: it opens, is answered and answers, and remembers whom it has met.

use nuncio::domain::kind::ChannelKind;

use crate::support::{Behaviour, Hosted, PATIENCE, Program, channel, vk_task, wait_until};

fn hosted(audience: &str) -> Hosted {
    let credentials = "apiId: {env: A}, apiHash: {env: B}, phone: {env: C}";
    let account = channel("tg-anna", "telegram-cloud", credentials, "");
    let task = vk_task("talk", "tg-anna", audience, "  state: running");
    let task = task.replace("type: vkontakte", "type: telegram");
    let behaviour = Behaviour { people: true, faults: true, ..Behaviour::default() };
    Hosted::with(&[("account.yaml", &account), ("talk.yaml", &task)], behaviour)
}

#[test]
fn people_are_written_to_once_and_their_answers_are_answered() {
    // The answer to the second opening comes too late, and it is repeated with its key.
    let hosted = hosted("[\"@anna_petrova1\", \"+79123450504\"]");
    let value = |query: &str| hosted.database.value(query);
    let working = hosted.work();
    let said = "SELECT string_agg(author || ' ' || state, ', ' ORDER BY id) FROM messages WHERE dialogue_id =
        (SELECT id FROM dialogues WHERE peer = '@anna_petrova1')";
    wait_until("the person agrees and is answered", PATIENCE, || {
        let said = value(said);
        (said.matches("ai sent").count() + said.matches("ai read").count() >= 2, said)
    });
    let repeated =
        "SELECT count(*) FROM attempts WHERE address = '+79123450504' AND outcome = 'sent'";
    wait_until("the doubt has ended", PATIENCE, || (value(repeated) == "1", value(repeated)));
    drop(working);

    // By name, by number, and by the number that Telegram gave them.
    let met = "SELECT count(*) FROM telegram_people WHERE channel = 'tg-anna' AND address = '@anna_petrova1'";
    assert_eq!(value(met), "1");
    let by_id = "SELECT count(*) FROM telegram_people WHERE address LIKE 'telegram:%'";
    assert!(value(by_id).parse::<u32>().unwrap() >= 2);
    let opened = "SELECT count(*) FROM attempts WHERE outcome = 'sent'";
    assert_eq!(value(opened), "2");
    // Nobody was taken for the account's owner.
    assert_eq!(value("SELECT count(*) FROM dialogues WHERE state = 'with-operator'"), "0");

    let forgotten = run(&hosted, &["forget", "@anna_petrova1", "--auto-approve"]);
    assert_eq!(forgotten.code, 0, "{forgotten:?}");
    assert_eq!(value(met), "0");
}

#[test]
fn what_the_owner_types_in_the_app_takes_the_dialogue_over() {
    let hosted = hosted("[\"+79123450001\"]");
    let working = hosted.work();
    let state = "SELECT coalesce(string_agg(state, ','), 'none') FROM dialogues";
    let value = |query: &str| hosted.database.value(query);
    wait_until("the person has answered", PATIENCE, || (value(state) == "open", value(state)));
    let kind = ChannelKind::TelegramCloud;
    hosted.rehearsal.owner_writes(kind, "tg-anna", "+79123450001", "It is me, Anna.");
    wait_until("the AI is silent", PATIENCE, || (value(state) == "with-operator", value(state)));
    drop(working);
}

#[test]
fn a_session_that_was_ended_stops_the_lane_and_is_told_with_the_way_out() {
    let hosted = hosted("[\"+79123450001\"]");
    hosted.rehearsal.end_telegram_session("tg-anna");
    let working = hosted.work();
    let block = "SELECT coalesce(max(blocked_class || ': ' || blocked_reason), 'none') FROM lanes";
    let value = |query: &str| hosted.database.value(query);
    wait_until("the lane is stopped", PATIENCE, || {
        let block = value(block);
        (block.starts_with("credential-refused: Telegram AUTH_KEY_UNREGISTERED"), block)
    });
    assert!(value(block).contains("nuncio channel login"));
    let told = run(&hosted, &["channel", "status", "tg-anna"]);
    assert!(told.stdout.contains("! account: refused, Telegram AUTH_KEY_UNREGISTERED"), "{told:?}");
    drop(working);
}

#[test]
fn strangers_that_are_too_many_end_the_openings_and_no_dialogue() {
    let hosted = hosted("[\"+79123450730\", \"+79123450001\"]");
    let working = hosted.work();
    let value = |query: &str| hosted.database.value(query);
    let class = "SELECT coalesce(max(blocked_class), 'none') FROM lanes";
    wait_until("the openings are blocked", PATIENCE, || {
        (value(class) == "openings-blocked", value(class))
    });
    let kind = ChannelKind::TelegramCloud;
    let _entered = hosted.runtime.enter();
    hosted.rehearsal.person_writes(kind, "tg-anna", "+79123450002", "What does it cost?");
    let answered =
        "SELECT count(*) FROM messages WHERE author = 'ai' AND state IN ('sent', 'read')";
    wait_until("who writes is answered", PATIENCE, || (value(answered) != "0", value(answered)));
    assert_eq!(value(class), "openings-blocked");
    assert_eq!(value("SELECT count(*) FROM attempts WHERE outcome = 'sent'"), "0");
    drop(working);
    let lifted = run(&hosted, &["unblock", "tg-anna"]);
    assert_eq!((lifted.code, value(class)), (0, "none".to_owned()), "{lifted:?}");
}

#[test]
fn what_an_account_lacks_is_named_where_it_is_signed_out() {
    let hosted = hosted("[]");
    hosted.database.run(
        "INSERT INTO telegram_sessions (channel, sealed, user_id, signed_in_by) VALUES ('tg-anna', '', 1, 'anna')",
    );
    let logout = run(&hosted, &["channel", "logout", "tg-anna"]);
    assert_eq!(logout.code, 1, "{logout:?}");
    assert!(logout.stderr.contains("channel `tg-anna` cannot be connected: `api"), "{logout:?}");
    assert!(logout.stderr.contains("the environment variable"), "{logout:?}");
    let kept = "SELECT count(*) FROM telegram_sessions";
    assert_eq!(hosted.database.value(kept), "1", "it is Telegram's still");
}

#[test]
fn nobody_signs_in_without_a_terminal() {
    let hosted = hosted("[]");
    let login = run(&hosted, &["channel", "login", "tg-anna"]);
    assert_eq!(login.code, 1, "{login:?}");
    assert!(login.stderr.contains("stdin is no terminal"), "{login:?}");
    assert!(login.stderr.contains("run `nuncio channel login tg-anna` in a terminal"), "{login:?}");
    let logout = run(&hosted, &["channel", "logout", "tg-anna"]);
    assert_eq!(logout.code, 0, "{logout:?}");
    assert!(logout.stderr.contains("Nobody is signed in"), "{logout:?}");
    let status = run(&hosted, &["channel", "status", "tg-anna"]);
    assert_eq!(status.code, 0, "{status:?}");
    // Its session would be Telegram's own, in a database that is none of its watch's.
    hosted.database.run("UPDATE installation SET purpose = 'rehearsal'");
    let rehearsed = run(&hosted, &["channel", "logout", "tg-anna"]);
    assert!(rehearsed.stderr.contains("this database is a rehearsal's"), "{rehearsed:?}");
}

fn run(hosted: &Hosted, arguments: &[&str]) -> crate::support::Ended {
    Program::new(hosted.folder.root(), arguments).database(&hosted.database).run()
}
