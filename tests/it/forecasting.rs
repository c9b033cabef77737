//! What is forecast is what happens.

use std::time::Duration;

use chrono::{DateTime, Utc};
use nuncio::domain::kind::ChannelKind;
use serde_json::Value;

use crate::support::{
    Folder, PATIENCE, Program, Providers, TestDatabase, channel, vk_task, wait_until,
};

/// The least that a manifest can say; `vk_task` says it.
const PAUSE_S: i64 = 3;

/// The forecast as data, of what it is asked for.
fn forecast(program: Program) -> Value {
    let ended = program.run();
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn an_audience_is_exhausted_within_a_pause_of_the_forecast() {
    let folder = Folder::with_team();
    let database = TestDatabase::new();
    let providers = Providers::start(Duration::ZERO, false);
    let endpoint = format!("  endpoint: {}\n", providers.endpoint(ChannelKind::VkUser));
    for name in ["vk-a", "vk-b"] {
        let token = format!("token: {{env: {}}}", name.replace('-', "_").to_uppercase());
        folder.write(&format!("{name}.yaml"), &channel(name, "vk-user", &token, &endpoint));
    }
    // Two lanes share an audience, and one of them another task's too.
    folder.write("a.yaml", &vk_task("both", "vk-a, vk-b", "[1, 2, 3, 4, 5]", "  state: running"));
    folder.write("b.yaml", &vk_task("beside", "vk-b", "[6, 7]", "  state: running"));
    let program = |arguments: &[&str]| {
        Program::new(folder.root(), arguments)
            .database(&database)
            .env("VK_A", Providers::secret("vk-a", "token"))
            .env("VK_B", Providers::secret("vk-b", "token"))
    };
    assert_eq!(program(&["apply", "--auto-approve"]).run().code, 0);
    let watch = program(&["watch"]).start();
    wait_until("the first openings leave", PATIENCE, || {
        let n = providers.deliveries().len();
        (n >= 2, n)
    });
    let foreseen = forecast(program(&["forecast", "--output", "json"]));
    wait_until("everybody is written to", PATIENCE, || {
        let n = database.value("SELECT count(*) FROM attempts WHERE outcome = 'sent'");
        (n == "7", n)
    });
    drop(watch);
    // It lets no call take time, and no program be late; on a busy machine both do.
    let late_ms: i64 = database
        .value(&format!(
            "SELECT ceil(1000 * max(late_s))::int FROM (
                SELECT sum(extract(epoch FROM finished_at - granted_at) + greatest(0, gap_s - {PAUSE_S})) AS late_s
                FROM (
                    SELECT *, coalesce(extract(epoch FROM granted_at - lag(finished_at)
                        OVER (PARTITION BY channel ORDER BY id)), 0) AS gap_s
                    FROM attempts
                ) a
                GROUP BY channel
            ) lane"
        ))
        .parse()
        .unwrap();
    let tasks = foreseen["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 2);
    for task in tasks {
        let last = database.value(&format!(
            "SELECT to_char(max(granted_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')
            FROM attempts WHERE task = '{}'",
            task["name"].as_str().unwrap()
        ));
        let last: DateTime<Utc> = last.parse().unwrap();
        let apart = (last - time(&task["exhausted_at"])).abs();
        assert!(
            apart.num_milliseconds() <= PAUSE_S * 1000 + late_ms,
            "{task:#} was exhausted at {last}"
        );
    }
}

#[test]
fn a_forecast_is_of_what_was_applied_and_says_what_it_cannot_know() {
    let folder = Folder::with_team();
    let database = TestDatabase::new();
    let audience: Vec<String> = (1..=90).map(|n| n.to_string()).collect();
    let audience = format!("[{}]", audience.join(", "));
    folder.write("a.yaml", &vk_task("runs", "vk", &audience, "  state: running"));
    folder.write("b.yaml", &vk_task("waits", "vk", "[1, 2]", ""));
    let answers = vk_task("answers", "vk", "[1]", "");
    let answers = answers.replace("incoming-and-outgoing", "incoming");
    folder.write("c.yaml", answers.split("  outgoing:").next().unwrap());
    let program = |arguments: &[&str]| Program::new(folder.root(), arguments).database(&database);
    assert_eq!(program(&["apply", "--auto-approve"]).run().code, 0);

    // A day that is over, with contacts that are tried again: what remains is what `status` says.
    database.run("UPDATE lanes SET day_count = 13, day = utc_day(now()) - 1");
    database.run("UPDATE audiences SET waiting = waiting - 1 WHERE total = 90");
    database.run(
        "INSERT INTO retries (opening, task_id, position, address, key, tries, ready_at, in_doubt)
        SELECT 1, id, 1, '1', 1, 1, now(), false FROM tasks WHERE name = 'runs'",
    );
    assert!(program(&["status", "runs"]).run().stdout.contains("90 of 90"));
    let later = ["--at", "2099-06-01T00:00:00Z", "--output", "json"];
    let foreseen = forecast(program(&[&["forecast"], &later[..]].concat()));
    let tasks = foreseen["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 1, "a task that does not run is only forecast by its name");
    assert_eq!(tasks[0]["remaining"], 90);
    assert_eq!(tasks[0]["exhausted_at"], "2099-06-05T00:00:27Z");
    assert_eq!(tasks[0]["greatest_cost"], "45.00");
    assert_eq!(tasks[0]["openings"][4]["count"], 10);
    let named = forecast(program(&[&["forecast", "waits"], &later[..]].concat()));
    assert_eq!(named["tasks"][0]["part"], "if-started-now");
    assert_eq!(named["tasks"][0]["left"], 0);
    // A block that only a person can lift.
    database.run("UPDATE lanes SET blocked_class = 'channel-blocked', blocked_reason = 'banned'");
    let blocked = forecast(program(&[&["forecast"], &later[..]].concat()));
    assert_eq!(blocked["tasks"][0]["never"], "channel-blocked");
    assert_eq!(blocked["tasks"][0]["left"], 90);

    let picture = || program(&["forecast", "--output", "svg", "--at", later[1]]).run().stdout;
    assert!(picture().starts_with("<svg ") && picture() == picture());
    for (arguments, code, says) in [
        (&["forecast", "nobody"][..], 1, "there is no task `nobody`"),
        (&["forecast", "answers"], 1, "the task `answers` only answers: it opens no dialogue"),
        (
            &["forecast", "--at", "2020-01-01T00:00:00Z"],
            64,
            "is in the past; a forecast begins now",
        ),
        (&["forecast", "--at", "tomorrow"], 64, "tomorrow"),
    ] {
        let ended = program(arguments).run();
        assert_eq!(ended.code, code, "{}", ended.stderr);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    }
}
