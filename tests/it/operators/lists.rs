//! Lists of dialogues, and what they cost.

use std::time::Duration;

use nuncio::{
    domain::dialogue::DialogueState,
    store::{DialogueFilter, DialogueLine},
};
use serde_json::{Value, json};

use super::Desk;
use crate::support::wait_until;

fn ids(listed: &Value) -> Vec<i64> {
    let all = listed["dialogues"].as_array().unwrap().iter();
    all.map(|one| one["id"].as_i64().unwrap()).collect()
}

#[test]
fn dialogues_are_listed_by_what_is_asked_for() {
    let (desk, all) = Desk::with_every_state();
    // Who is closed is owed nothing, nor who has succeeded; the others wait, the one with the AI too.
    for (peer, id) in [("1002", "b"), ("1001", "c"), ("1005", "d")] {
        desk.writes(peer, id, "Are you there?");
    }
    let listed = desk.json("dialogues");
    let states = json!({"open": 1, "with_operator": 1, "succeeded": 1, "closed": 1, "blocked": 1});
    assert_eq!((&listed["counts"], &listed["complete"]), (&states, &json!(true)), "{listed}");
    assert_eq!(listed["waiting_for_operator"], 2);
    assert_eq!((&listed["successes"], &listed["wrote_after_success"]), (&json!(1), &json!(1)));
    let of = |names: &[&str]| names.iter().map(|name| all[name].0).collect::<Vec<_>>();
    let newest = ["open", "succeeded", "closed", "with-operator", "blocked"];
    assert_eq!(ids(&listed), of(&newest), "the newest message first");
    let waiting = ["blocked", "with-operator", "open"];
    for (options, wanted) in [
        ("--waiting", &waiting[..]),
        ("--waiting --state succeeded", &["succeeded"]),
        ("--state closed", &["closed"]),
        ("--state with-operator --task sales-talk --channel vk", &["with-operator"]),
        ("--task sales-talk", &newest),
        ("--person 1003", &["blocked"]),
        ("--person 1003 --state open", &[]),
        ("--limit 2", &newest[..2]),
    ] {
        let listed = desk.json(&format!("dialogues {options}"));
        assert_eq!(ids(&listed), of(wanted), "{options}: {listed}");
        assert_eq!(listed["complete"], json!(options != "--limit 2"), "{options}");
    }
    for (options, told) in [
        ("--task sale-talk", "no task `sale-talk`\nhint: did you mean `sales-talk`?"),
        ("--task nothing", "no task `nothing`\nhint: `nuncio status` lists them"),
        ("--channel vkk --waiting", "no channel `vkk`\nhint: did you mean `vk`?"),
        ("--channel nothing", "no channel `nothing`\nhint: `nuncio status NAME` lists"),
        ("--person -7", "no dialogue with this person\nhint: write the address whole"),
        ("--person anna", "no dialogue with this person"),
    ] {
        let ended = desk.run(&format!("dialogues {options}"));
        assert_eq!((ended.code, &*ended.stdout), (1, ""), "{options}: {ended:?}");
        assert!(ended.stderr.contains(told), "{options}: {ended:?}");
    }
    let first = &listed["dialogues"][0];
    assert_eq!(first["address"], Value::Null, "no terminal, and nobody asked for it");
    assert_eq!((&first["spent"], &first["limit"]), (&json!("0.10"), &json!("0.50")));
    assert_eq!(
        (&first["last_author"], &first["last_text"]),
        (&"person".into(), &"Are you there?".into())
    );

    let human = desk.run("dialogues");
    let lines: Vec<&str> = human.stdout.lines().collect();
    assert_eq!(lines[0], "5 dialogues: 1 open, 1 with operator, 1 succeeded, 1 closed, 1 blocked");
    assert!(lines[1].starts_with("2 wait for an operator, the longest for "), "{human:?}");
    let after = "1 person wrote after a success: nuncio dialogues --waiting --state succeeded";
    assert_eq!((lines[2], lines.len()), (after, 3 + 1 + 5));
    let words = |line: &str| line.split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>();
    let success = lines.iter().find(|line| line.contains(" succeeded ")).unwrap();
    assert!(words(success)[2].starts_with('$'), "nobody waits: {success}");
    let after = desk.run("dialogues --waiting --state succeeded").stdout;
    assert!(words(after.lines().last().unwrap())[2].ends_with('s'), "{after}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{human:?}");
    assert!(human.stdout.contains("…05 < Are you there?") && !human.stdout.contains("1005"));
    let one = desk.run("dialogues --show-addresses --limit 1");
    assert!(one.stdout.contains("1005") && one.stderr.contains("… and more"), "{one:?}");
    let csv = desk.run("dialogues --output csv --show-addresses --state blocked");
    let lines: Vec<&str> = csv.stdout.lines().collect();
    assert!(lines[0].starts_with("id,state,task,channel,address,"), "{csv:?}");
    assert!(lines[1].contains(",blocked,sales-talk,vk,1003,anna,"), "{csv:?}");
    assert_eq!(lines.len(), 2);
    assert_eq!(desk.run("dialogues --state nonsense").code, 64);
}

#[test]
fn spending_is_summed_by_what_is_asked_for() {
    let (desk, _) = Desk::with_every_state();
    desk.database.run(
        "INSERT INTO spending (day, task, ai, model, n_calls, spent)
        VALUES ('2020-01-01', 'older', 'sales', 'other-model', 2, 1)",
    );
    let sums = |options: &str| {
        let told = desk.json(&format!("spending{options}"));
        let all = told["sums"].as_array().unwrap().iter();
        let shown = all.map(|one| {
            let part = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {} {}", part("task"), part("ai"), part("model"), part("spent"))
        });
        (told["total"]["spent"].as_str().unwrap().to_owned(), shown.collect::<Vec<_>>())
    };
    let whole = "0.500001".to_owned();
    let talk = "sales-talk - test-model 0.50".to_owned();
    assert_eq!(
        sums(""),
        (whole.clone(), vec![talk.clone(), "older - other-model 0.000001".to_owned()])
    );
    assert_eq!(sums(" --by ai"), (whole, vec!["- sales - 0.500001".to_owned()]));
    assert_eq!(sums(" --days 1"), ("0.50".to_owned(), vec![talk.clone()]));
    assert_eq!(sums(" --task sales-talk"), ("0.50".to_owned(), vec![talk]));
    let human = desk.run("spending --limit 1");
    assert!(human.stdout.starts_with("$0.500001 spent, in 7 calls of AIs\nDAY "), "{human:?}");
    assert!(human.stderr.contains("… and more"), "{human:?}");
    assert_eq!(Desk::new().run("spending --task sales-talk").stdout, "Nothing was spent.\n");
    let unknown = desk.run("spending --task sales-tlk");
    assert_eq!((unknown.code, &*unknown.stdout), (1, ""), "{unknown:?}");
    assert!(unknown.stderr.contains("did you mean `sales-talk`?"), "{unknown:?}");
}

/// How often a table was read from its beginning to its end, and how many of its rows were fetched by an index.
fn readings(desk: &Desk, table: &str) -> (i64, i64) {
    let read = desk.database.value(&format!(
        "SELECT seq_scan || ' ' || idx_tup_fetch FROM pg_stat_user_tables WHERE relname = '{table}'"
    ));
    let (whole, fetched) = read.split_once(' ').unwrap();
    (whole.parse().unwrap(), fetched.parse().unwrap())
}

#[test]
fn every_page_of_a_list_is_read_from_an_index_at_100_000_dialogues() {
    let desk = Desk::new();
    // Ten tasks; a few are blocked, a hundredth with an operator, and of these the person waits.
    desk.database.run(
        "INSERT INTO dialogues (task_id, task, channel, peer, manager, state, waiting_since)
        SELECT t.id, CASE n % 10 WHEN 0 THEN t.name ELSE 'task-' || n % 10 END, 'vk-' || n % 20, n::text,
            'anna', CASE WHEN n % 10000 = 0 THEN 'blocked' WHEN n % 100 = 1 THEN 'with-operator'
                WHEN n % 4 = 2 THEN 'closed' ELSE 'open' END,
            CASE WHEN n % 100 = 1 THEN now() - make_interval(secs => n) END
        FROM generate_series(1, 100000) n, tasks t;
        INSERT INTO messages (dialogue_id, channel, author, text, state)
        SELECT d.id, d.channel, CASE WHEN n = 1 THEN 'person' ELSE 'ai' END, 'Hello, how are you?',
            CASE WHEN n = 2 THEN 'sent' END
        FROM generate_series(1, 2) n, dialogues d ORDER BY n, d.peer",
    );
    desk.database.run_as_stranger("VACUUM ANALYZE dialogues");
    desk.database.run_as_stranger("VACUUM ANALYZE messages");
    assert_eq!(
        desk.database.value(
            "SELECT count(*) FROM dialogues d WHERE last_message_id
            <> (SELECT max(id) FROM messages m WHERE m.dialogue_id = d.id)"
        ),
        "0",
        "each dialogue names its last message"
    );
    let of = |change: &dyn Fn(&mut DialogueFilter)| {
        let mut filter = DialogueFilter::default();
        change(&mut filter);
        filter
    };
    let cases: [(&str, DialogueFilter, usize); 10] = [
        ("all", DialogueFilter::default(), 500),
        ("state", of(&|f| f.state = Some(DialogueState::Open)), 500),
        ("rare state", of(&|f| f.state = Some(DialogueState::Blocked)), 10),
        ("absent state", of(&|f| f.state = Some(DialogueState::Succeeded)), 0),
        ("task", of(&|f| f.task = Some("task-3".parse().unwrap())), 500),
        (
            "task and rare state",
            of(&|f| {
                f.task = Some("sales-talk".parse().unwrap());
                f.state = Some(DialogueState::Blocked);
            }),
            10,
        ),
        ("channel", of(&|f| f.channel = Some("vk-7".parse().unwrap())), 500),
        ("person", of(&|f| f.peers = Some(vec!["4711".to_owned(), "+4711".to_owned()])), 1),
        ("waiting", of(&|f| f.waiting = true), 500),
        (
            "waiting in a task",
            of(&|f| {
                f.waiting = true;
                f.task = Some("task-1".parse().unwrap());
            }),
            500,
        ),
    ];
    for (name, filter, n) in cases {
        let before = (readings(&desk, "dialogues"), readings(&desk, "messages"));
        let (first, second) = desk.runtime.block_on(async {
            // A connection of its own: what it has read is counted when it ends.
            let store = desk.database.store().await;
            let mut reader = store.read_dialogues(&filter);
            let first = reader.next_page().await.unwrap().unwrap();
            let second = reader.next_page().await.unwrap().unwrap_or_default();
            store.close().await;
            (first, second)
        });
        assert_eq!(first.len(), n, "{name}");
        assert_eq!(second.len(), if n == 500 { 500 } else { 0 }, "{name}");
        let key = |line: &DialogueLine| line.id;
        assert!(
            second.iter().all(|one| first.iter().all(|other| key(one) != key(other))),
            "{name}"
        );
        let (dialogues, messages) =
            wait_until(&format!("{name} is counted"), Duration::from_secs(10), || {
                let now = (readings(&desk, "dialogues"), readings(&desk, "messages"));
                let counted = (now.1.1 - before.1.1).cast_unsigned() >= first.len() as u64;
                (counted, (now.0, now.1))
            });
        assert_eq!(
            (dialogues.0, messages.0),
            (before.0.0, before.1.0),
            "{name} reads a whole table"
        );
        // Five states, two pages, and the rows beside them.
        let fetched = dialogues.1 - before.0.1;
        assert!(fetched <= 5 * 2 * 500 + 100, "{name} fetches {fetched} rows");
    }
    // The counts of a task or a person look at no more than theirs; only those of all look at all.
    let before = readings(&desk, "dialogues");
    desk.runtime.block_on(async {
        let store = desk.database.store().await;
        for filter in [
            of(&|f| f.task = Some("task-3".parse().unwrap())),
            of(&|f| f.peers = Some(vec!["4711".to_owned()])),
        ] {
            drop(store.count_dialogues(&filter).await.unwrap());
        }
        store.close().await;
    });
    wait_until("the counts are counted", Duration::from_secs(10), || {
        let now = readings(&desk, "dialogues");
        (now.1 > before.1, now)
    });
    assert_eq!(readings(&desk, "dialogues").0, before.0, "a count reads the whole table");
}
