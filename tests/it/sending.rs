//! What decides whether an opening leaves, and what becomes of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use nuncio::{
    domain::{id::ExecutorId, kind::ChannelKind},
    rehearsal::Entry,
};

use crate::support::{
    Folder, LEAVING, PATIENCE, Program, Providers, Proxy, Running, TestDatabase,
    begin_within_a_day, channel, vk_task, wait_until,
};

/// A folder with `vk-user` channels, their providers and a database.
struct Stage {
    folder: Folder,
    database: TestDatabase,
    providers: Providers,
    channels: Vec<&'static str>,
}

impl Stage {
    fn new(channels: &[&'static str], faults: bool) -> Self {
        Self::with_delay(channels, faults, Duration::ZERO)
    }

    /// With providers that think before they answer.
    fn with_delay(channels: &[&'static str], faults: bool, delay: Duration) -> Self {
        let folder = Folder::with_team();
        let providers = Providers::start(delay, faults);
        for name in channels {
            let token = format!("token: {{env: {}}}", variable(name));
            let endpoint = format!("  endpoint: {}\n", providers.endpoint(ChannelKind::VkUser));
            folder.write(&format!("{name}.yaml"), &channel(name, "vk-user", &token, &endpoint));
        }
        Self { folder, database: TestDatabase::new(), providers, channels: channels.to_vec() }
    }

    /// Applies a running task, and lets it pause for milliseconds.
    fn apply(&self, file: &str, task: &str) {
        self.folder.write(file, task);
        let applied = self.program(&["apply", "--auto-approve"]).run();
        assert_eq!(applied.code, 0, "{}{}", applied.stdout, applied.stderr);
        self.database.run("UPDATE tasks SET pause_ms = 20");
    }

    fn program(&self, arguments: &[&str]) -> Program {
        let mut program = Program::new(self.folder.root(), arguments).database(&self.database);
        for name in &self.channels {
            program = program.env(&variable(name), Providers::secret(name, "token"));
        }
        program
    }

    fn watch(&self) -> Running {
        self.program(&["watch"]).start()
    }

    /// From when on the echoes of `channel` are heard: of what was sent before, nobody tells.
    fn watch_listening(&self, channel: &str) -> Running {
        self.database.run(CLOSED);
        let watch = self.watch();
        let listens = format!("SELECT count(*) FROM receive_cursors WHERE channel = '{channel}'");
        self.wait_for(&listens, "1");
        self.database.run(OPEN);
        watch
    }

    #[track_caller]
    fn wait_for(&self, query: &str, wanted: &str) {
        wait_until(query, PATIENCE, || {
            let value = self.database.value(query);
            (value == wanted, value)
        });
    }

    /// Deliveries by address.
    fn delivered(&self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for Entry { address, .. } in self.providers.deliveries() {
            *all.entry(address).or_default() += 1;
        }
        all
    }

    fn outcomes(&self, address: &str) -> String {
        self.database.value(&format!(
            "SELECT string_agg(outcome, ', ' ORDER BY id) FROM attempts WHERE address = '{address}'"
        ))
    }
}

fn variable(channel: &str) -> String {
    format!("TOKEN_{}", channel.replace('-', "_").to_uppercase())
}

fn running(name: &str, channels: &str, audience: &str) -> String {
    vk_task(name, channels, audience, "  state: running")
}

/// Hours that opened twelve hours ago and closed an hour ago.
const CLOSED: &str = "UPDATE tasks SET
    hours_from_s = (extract(epoch FROM (now() AT TIME ZONE 'UTC')::time)::int + 43200) % 86400,
    hours_to_s = 1 + (extract(epoch FROM (now() AT TIME ZONE 'UTC')::time)::int + 82799) % 86400";
const OPEN: &str = "UPDATE tasks SET hours_from_s = 0, hours_to_s = 86400; NOTIFY nuncio";

/// Nobody is left, and the last call has ended too.
const EXHAUSTED: &str = "SELECT bool_and(verdict = 'audience-exhausted')
    AND NOT EXISTS (SELECT FROM lanes WHERE in_flight IS NOT NULL) FROM turns";

/// The same of one task.
fn exhausted(task: &str) -> String {
    format!("{EXHAUSTED} WHERE task = '{task}'")
}

#[test]
fn hours_are_half_open_wrap_midnight_and_follow_daylight_saving() {
    let database = TestDatabase::new();
    let hour = |h: i32, m: i32| h * 3600 + m * 60;
    let (nine, six) = (hour(9, 0), hour(18, 0));
    let (late, early) = (hour(23, 0), hour(8, 0));
    for (from, to, zone, at, open) in [
        (nine, six, "UTC", "2026-06-01 08:59:59.999Z", false),
        (nine, six, "UTC", "2026-06-01 09:00Z", true),
        (nine, six, "UTC", "2026-06-01 17:59:59.999Z", true),
        (nine, six, "UTC", "2026-06-01 18:00Z", false),
        (nine, six, "Europe/Moscow", "2026-06-01 06:00Z", true),
        (nine, six, "Europe/Moscow", "2026-06-01 15:00Z", false),
        (late, early, "UTC", "2026-06-01 23:00Z", true),
        (late, early, "UTC", "2026-06-01 07:59Z", true),
        (late, early, "UTC", "2026-06-01 08:00Z", false),
        (0, hour(24, 0), "UTC", "2026-06-01 23:59:59.999Z", true),
        // Berlin is UTC+1 in winter and UTC+2 in summer.
        (nine, six, "Europe/Berlin", "2026-01-15 07:30Z", false),
        (nine, six, "Europe/Berlin", "2026-07-15 07:30Z", true),
    ] {
        let seen = database.value(&format!("SELECT hours_open({from}, {to}, '{zone}', '{at}')"));
        assert_eq!(seen, open.to_string(), "{from}-{to} {zone} at {at}");
    }
    for (from, zone, at, opens) in [
        (nine, "UTC", "2026-06-01 18:00Z", "2026-06-02 09:00:00+00"),
        (nine, "UTC", "2026-06-01 08:00Z", "2026-06-01 09:00:00+00"),
        (nine, "Europe/Moscow", "2026-06-01 20:00Z", "2026-06-02 06:00:00+00"),
        // The night in which Berlin's clocks go forward.
        (nine, "Europe/Berlin", "2026-03-28 20:00Z", "2026-03-29 07:00:00+00"),
    ] {
        let seen = database.value(&format!("SELECT hours_open_at({from}, '{zone}', '{at}')"));
        assert_eq!(seen, opens, "{from} {zone} at {at}");
    }
}

#[test]
fn nothing_leaves_outside_hours_and_the_rest_leaves_when_they_open() {
    let stage = Stage::new(&["vk-a"], false);
    stage.apply("a.yaml", &running("closed", "vk-a", "[1, 2, 3]"));
    stage.database.run(CLOSED);
    let watch = stage.watch();
    stage.wait_for("SELECT count(*) FROM lanes WHERE channel = 'vk-a' AND owner IS NOT NULL", "1");
    stage.wait_for("SELECT verdict FROM turns", "outside-working-hours");
    let status = stage.program(&["status"]).run();
    assert!(
        status.stdout.contains("in progress: outside working hours; next opening"),
        "{}",
        status.stdout
    );
    assert!(stage.delivered().is_empty());
    stage.database.run(OPEN);
    stage.wait_for(EXHAUSTED, "true");
    drop(watch);
    assert_eq!(stage.delivered().len(), 3);
}

#[test]
fn every_fault_ends_as_its_class_says() {
    begin_within_a_day(PATIENCE);
    let stage = Stage::new(&["vk-a"], true);
    // Blocked, unknown, throttled once, away once, delivered without an answer, and two ordinary ones.
    stage
        .apply("a.yaml", &running("faults", "vk-a", "[10403, 10404, 10429, 10503, 11, 10504, 12]"));
    let watch = stage.watch();
    stage.wait_for(EXHAUSTED, "true");
    drop(watch);
    assert_eq!(stage.outcomes("10403"), "recipient-permanent");
    assert_eq!(stage.outcomes("10404"), "recipient-permanent");
    assert_eq!(stage.outcomes("10429"), "retry-after, sent");
    assert_eq!(stage.outcomes("10503"), "in-doubt, sent");
    // Its answer never came; its echo tells that it arrived.
    assert_eq!(stage.outcomes("10504"), "sent");
    let keys = "SELECT count(DISTINCT key) FROM attempts WHERE address = '10504'";
    assert_eq!(stage.database.value(keys), "1");
    let once: BTreeMap<String, usize> =
        ["10429", "10503", "11", "10504", "12"].map(|who| (who.to_owned(), 1)).into();
    assert_eq!(stage.delivered(), once);
    // Who certainly was not written to is not in the ledger; everybody else is.
    assert_eq!(stage.database.value("SELECT count(*) FROM ledger"), "5");
    assert_eq!(
        stage
            .database
            .value("SELECT n_sent || '/' || n_failed || '/' || n_in_doubt FROM task_channels"),
        "5/2/0"
    );
    // Seven openings count against the day, however often they were tried.
    assert_eq!(stage.database.value("SELECT day_count FROM lanes WHERE channel = 'vk-a'"), "7");
}

#[test]
fn an_outcome_that_the_database_refuses_holds_up_no_other_lane() {
    let stage = Stage::new(&["vk-a", "vk-b", "vk-c"], true);
    stage.apply("a.yaml", &running("one", "vk-a", "[10403]"));
    stage.apply("b.yaml", &running("two", "vk-b", "[21, 22, 23]"));
    stage.apply("c.yaml", &running("three", "vk-c", "[31]"));
    // Of the last one not even a doubt.
    stage.database.run(
        "ALTER TABLE attempts ADD CONSTRAINT refused CHECK (outcome <> 'recipient-permanent'),
            ADD CONSTRAINT never CHECK (outcome IS NULL OR address <> '31')",
    );
    let watch = stage.watch();
    stage.wait_for("SELECT count(*) FROM attempts WHERE outcome = 'sent'", "3");
    // Nobody can say any more what became of it, and that is said.
    let kept = "SELECT outcome || ': ' || reason FROM attempts WHERE address = '10403' ORDER BY id LIMIT 1";
    wait_until("the other is in doubt", PATIENCE, || {
        let kept = stage.database.value(kept);
        let told =
            "in-doubt: it ended as recipient-permanent, which the database refuses to keep: ";
        (kept.starts_with(told), kept)
    });
    // It is not forgotten that the call was made.
    let last =
        "SELECT string_agg(coalesce(outcome, 'none'), ', ') FROM attempts WHERE address = '31'";
    stage.wait_for(last, "none");
    stage.database.run("ALTER TABLE attempts DROP CONSTRAINT never");
    stage.wait_for(last, "sent");
    drop(watch);
    assert_eq!(stage.delivered()["31"], 1);
}

#[test]
fn a_banned_account_stops_and_another_takes_its_contact_over() {
    let stage = Stage::new(&["vk-a", "vk-banned"], true);
    stage.apply("a.yaml", &running("both", "vk-a, vk-banned", "[1, 2, 3, 4, 5, 6]"));
    let watch = stage.watch();
    wait_until("everybody is written to", PATIENCE, || {
        let n = stage.delivered().len();
        (n == 6, n)
    });
    stage.wait_for("SELECT verdict FROM turns WHERE channel = 'vk-banned'", "channel-blocked");
    let status = stage.program(&["status", "both"]).run();
    assert!(
        status.stdout.contains("channel vk-banned: blocked: VKontakte error 37"),
        "{}",
        status.stdout
    );
    assert!(stage.delivered().values().all(|n| *n == 1));
    // A person may let it try again; it is banned still, and one contact more is not lost by it.
    assert_eq!(stage.program(&["unblock", "vk-banned"]).run().code, 0);
    drop(watch);
}

#[test]
fn a_suppressed_person_is_never_written_to() {
    let stage = Stage::new(&["vk-a"], false);
    stage.folder.write(
        "stop.yaml",
        "apiVersion: nuncio/v1
kind: SuppressionList
metadata: {name: everywhere}
spec: {entries: [2]}
---
apiVersion: nuncio/v1
kind: SuppressionList
metadata: {name: elsewhere}
spec: {entries: [3], tasks: [other]}
",
    );
    stage.folder.write("b.yaml", &vk_task("other", "vk-a", "[1, 2, 3]", ""));
    stage.apply("a.yaml", &running("one", "vk-a", "[1, 2, 3]"));
    let watch = stage.watch();
    stage.wait_for(&exhausted("one"), "true");
    assert_eq!(stage.delivered().into_keys().collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!(stage.program(&["start", "other"]).run().code, 0);
    stage.wait_for(&exhausted("other"), "true");
    drop(watch);
    // `1` belongs to two tasks; nobody else gained anything.
    assert_eq!(stage.delivered(), [("1".to_owned(), 2), ("3".to_owned(), 1)].into());
}

#[test]
fn the_lower_of_two_daily_limits_wins_and_holds_over_tasks() {
    begin_within_a_day(PATIENCE);
    let stage = Stage::new(&["vk-a"], false);
    let audience: Vec<String> = (1..=30).map(|n| n.to_string()).collect();
    let audience = format!("[{}]", audience.join(", "));
    stage.folder.write(
        "b.yaml",
        &running("second", "vk-a", &audience).replace("PerChannel: 20", "PerChannel: 7"),
    );
    stage.apply(
        "a.yaml",
        &running("first", "vk-a", &audience).replace("PerChannel: 20", "PerChannel: 200"),
    );
    let watch = stage.watch();
    stage.wait_for(
        "SELECT bool_and(verdict = 'daily-limit')
            AND NOT EXISTS (SELECT FROM lanes WHERE in_flight IS NOT NULL) FROM turns",
        "true",
    );
    let status = stage.program(&["status"]).run();
    assert!(status.stdout.contains("daily limit reached; next opening"), "{}", status.stdout);
    assert_eq!(stage.providers.deliveries().len(), 20, "the kind's default over all tasks");
    let second =
        "SELECT n_sent FROM task_channels JOIN tasks ON id = task_id WHERE name = 'second'";
    assert_eq!(stage.database.value(second), "7");
    // The next UTC day, everything may go on.
    stage.database.run("UPDATE lanes SET day = day - 1; ");
    stage.database.run("UPDATE task_channels SET day = day - 1");
    stage.database.run("NOTIFY nuncio");
    wait_until("the next day goes on", PATIENCE, || {
        let n = stage.providers.deliveries().len();
        (n == 40, n)
    });
    drop(watch);
}

#[test]
fn a_channel_without_its_secret_waits_and_the_others_go_on() {
    let stage = Stage::new(&["vk-a"], false);
    let endpoint = format!("  endpoint: {}\n", stage.providers.endpoint(ChannelKind::VkUser));
    let secret = stage.folder.root().join("secret");
    let credential = format!("token: {{file: {}}}", secret.display());
    stage.folder.write("c.yaml", &channel("vk-c", "vk-user", &credential, &endpoint));
    stage.folder.write("b.yaml", &running("waits", "vk-c", "[7, 8]"));
    stage.apply("a.yaml", &running("goes", "vk-a", "[1, 2, 3]"));
    let watch = stage.watch();
    stage.wait_for(&exhausted("goes"), "true");
    stage.wait_for("SELECT verdict FROM turns WHERE task = 'waits'", "channel-blocked");
    let status = stage.program(&["status"]).run();
    assert!(
        status.stdout.contains("channel `vk-c` blocked: `token`: the file"),
        "{}",
        status.stdout
    );
    std::fs::write(&secret, Providers::secret("vk-c", "token")).unwrap();
    stage.database.run("NOTIFY nuncio");
    stage.wait_for(&exhausted("waits"), "true");
    drop(watch);
    assert_eq!(stage.delivered().len(), 5);
}

#[test]
fn an_operator_settles_what_is_in_doubt() {
    let folder = Folder::with_team();
    let database = TestDatabase::new();
    let providers = Providers::start(Duration::ZERO, true);
    let endpoint =
        format!("  phoneNumberId: 1\n  endpoint: {}\n", providers.endpoint(ChannelKind::Waba));
    folder.write("w.yaml", &channel("wa", "waba", "token: {env: TOKEN}", &endpoint));
    let audience = "[\"+79161230504\", \"+79162230504\", \"+79163230504\"]";
    let task = vk_task("doubts", "wa", audience, "  state: running")
        .replace("vkontakte", "whatsapp")
        .replace("{text: Hello!}", "{template: {name: hello, language: en, variables: []}}");
    folder.write("a.yaml", &task);
    let program = |arguments: &[&str]| {
        Program::new(folder.root(), arguments)
            .database(&database)
            .env("TOKEN", Providers::secret("wa", "token"))
    };
    assert_eq!(program(&["apply", "--auto-approve"]).run().code, 0);
    database.run("UPDATE tasks SET pause_ms = 20");
    let watch = program(&["watch"]).start();
    for n in 1..=3 {
        // Each waits for the client's deadline, and the lane rests longer each time.
        wait_until("one more is in doubt", Duration::from_secs(40), || {
            let seen = database.value("SELECT count(*) FROM attempts WHERE outcome = 'in-doubt'");
            (seen == n.to_string(), seen)
        });
        database.run("UPDATE lanes SET not_before = NULL");
        database.run("NOTIFY nuncio");
    }
    let listed = program(&["resolve"]).run();
    let firsts = listed.stdout.lines().filter(|line| !line.starts_with(' '));
    let ids: Vec<String> = firsts.map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 3, "{}", listed.stdout);
    for (id, word) in ids.iter().zip(["sent", "retry", "drop"]) {
        assert_eq!(program(&["resolve", id, word]).run().code, 0, "{word}");
        assert_eq!(program(&["resolve", id, "sent"]).run().code, 3, "{word} is final");
    }
    // The retried one is written to again, because a person said that it did not arrive.
    wait_until("the retry is sent", PATIENCE, || {
        let sent = database
            .value("SELECT n_sent || '/' || n_failed || '/' || n_in_doubt FROM task_channels");
        (sent == "2/1/0", sent)
    });
    drop(watch);
    assert!(program(&["resolve"]).run().stdout.is_empty());
    assert_eq!(providers.deliveries().len(), 4);
}

#[test]
fn cut_connections_are_survived() {
    let stage = Stage::new(&["vk-a", "vk-b"], false);
    let audience: Vec<String> = (1..=36).map(|n| n.to_string()).collect();
    stage.apply("a.yaml", &running("cut", "vk-a, vk-b", &format!("[{}]", audience.join(", "))));
    stage.database.run("UPDATE tasks SET pause_ms = 100");
    let watch = stage.watch();
    for n in [3, 9, 18] {
        wait_until("some more are sent", PATIENCE, || {
            let seen = stage.delivered().len();
            (seen >= n, seen)
        });
        stage.database.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
    stage.wait_for(EXHAUSTED, "true");
    assert_eq!(watch.interrupt(LEAVING), 130);
    assert_eq!(stage.delivered().len(), 36);
    assert!(stage.delivered().values().all(|n| *n == 1), "{:?}", stage.delivered());
}

#[test]
fn an_answer_that_came_while_the_database_was_away_is_recorded() {
    let folder = Folder::with_team();
    let database = TestDatabase::new();
    let providers = Providers::start(Duration::from_millis(1500), false);
    let endpoint = format!("  endpoint: {}\n", providers.endpoint(ChannelKind::WhatsappWeb));
    folder.write("w.yaml", &channel("wa", "whatsapp-web", "apiKey: {env: KEY}", &endpoint));
    let task = vk_task("slow", "wa", "[\"+79161234501\", \"+79161234502\"]", "  state: running")
        .replace("vkontakte", "whatsapp");
    folder.write("a.yaml", &task);
    let program = |arguments: &[&str]| {
        Program::new(folder.root(), arguments)
            .database(&database)
            .env("KEY", Providers::secret("wa", "apiKey"))
    };
    assert_eq!(program(&["apply", "--auto-approve"]).run().code, 0);
    let watch = program(&["watch"]).start();
    wait_until("a call runs", PATIENCE, || {
        let n = database.value("SELECT count(*) FROM lanes WHERE in_flight IS NOT NULL");
        (n == "1", n)
    });
    // The executor's session goes too: its lease is lost while the provider still thinks.
    database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    wait_until("both are sent", PATIENCE, || {
        let n = database.value("SELECT n_sent || '/' || n_in_doubt FROM task_channels");
        (n == "2/0", n)
    });
    drop(watch);
    assert_eq!(providers.deliveries().len(), 2);
}

#[test]
fn a_doubt_counts_against_the_day() {
    let stage = Stage::new(&["vk-a"], true);
    // Delivered without an answer: the echo tells of it, and it is one opening in one place.
    let one = |name: &str, who: &str| {
        running(name, "vk-a", who).replace("PerChannel: 20", "PerChannel: 1")
    };
    begin_within_a_day(PATIENCE);
    stage.apply("a.yaml", &one("doubtful", "[10504, 10505]"));
    let watch = stage.watch_listening("vk-a");
    stage.wait_for("SELECT verdict FROM turns", "daily-limit");
    wait_until("the doubt is over", PATIENCE, || {
        let outcomes = stage.outcomes("10504");
        (outcomes == "sent", outcomes)
    });
    stage.wait_for("SELECT verdict FROM turns", "daily-limit");
    drop(watch);
    assert_eq!(stage.database.value("SELECT day_count FROM lanes WHERE channel = 'vk-a'"), "1");
    assert_eq!(stage.providers.deliveries().len(), 1);
}

#[test]
fn an_audience_that_lost_its_tail_is_exhausted() {
    let stage = Stage::new(&["vk-a"], false);
    stage.folder.write("a.yaml", &running("tail", "vk-a", "[1, 2, 3]"));
    assert_eq!(stage.program(&["apply", "--auto-approve"]).run().code, 0);
    // A pause of 3 s leaves time to take the last one out.
    let watch = stage.watch();
    stage.wait_for("SELECT n_sent FROM task_channels", "1");
    stage.folder.write("a.yaml", &running("tail", "vk-a", "[1, 2]"));
    stage.wait_for(EXHAUSTED, "true");
    drop(watch);
    assert_eq!(stage.delivered().len(), 2);
    let status = stage.program(&["status"]).run();
    assert!(status.stdout.contains("0 of 2"), "{}", status.stdout);
}

#[test]
fn a_contact_is_not_lost_when_its_task_is_recreated_during_the_call() {
    let stage = Stage::new(&["vk-a", "vk-b"], true);
    // Throttled at the first call, which takes long enough for a recreation to overtake it.
    stage.apply("a.yaml", &running("swift", "vk-a", "[10504, 2]"));
    let watch = stage.watch_listening("vk-a");
    stage.wait_for("SELECT count(*) FROM lanes WHERE in_flight IS NOT NULL", "1");
    stage.folder.write("a.yaml", &running("swift", "vk-b", "[10504, 2]"));
    let recreated = stage.program(&["apply", "--recreate", "swift", "--auto-approve"]).run();
    assert_eq!(recreated.code, 0, "{}", recreated.stderr);
    stage.wait_for(EXHAUSTED, "true");
    stage.wait_for("SELECT count(*) FROM lanes WHERE in_flight IS NOT NULL", "0");
    stage.wait_for("SELECT count(*) FROM retries", "0");
    drop(watch);
    // Its task is gone, and the echo ends the doubt all the same: nothing is left for an operator.
    let listed = stage.program(&["resolve", "--show-addresses"]).run();
    assert!(!listed.stdout.contains("10504"), "{}", listed.stdout);
    assert_eq!(stage.outcomes("10504"), "sent");
    assert_eq!(stage.delivered(), [("10504".to_owned(), 1), ("2".to_owned(), 1)].into());
}

#[test]
fn a_higher_limit_does_not_lift_a_providers_block() {
    let stage = Stage::new(&["vk-banned"], true);
    stage.apply("a.yaml", &running("one", "vk-banned", "[1, 2]"));
    let watch = stage.watch();
    stage.wait_for("SELECT verdict FROM turns", "channel-blocked");
    drop(watch);
    let endpoint = stage.providers.endpoint(ChannelKind::VkUser);
    let token = format!("token: {{env: {}}}", variable("vk-banned"));
    let change = |more: &str| {
        stage.folder.write("vk-banned.yaml", &channel("vk-banned", "vk-user", &token, more));
        assert_eq!(stage.program(&["apply", "--auto-approve"]).run().code, 0);
        stage.database.value("SELECT verdict FROM turns")
    };
    assert_eq!(change(&format!("  endpoint: {endpoint}\n  dailyLimit: 5\n")), "channel-blocked");
    assert_eq!(stage.program(&["unblock", "vk-banned"]).run().code, 0);
    assert_ne!(stage.database.value("SELECT verdict FROM turns"), "channel-blocked");
}

#[test]
fn a_refusal_that_came_after_a_recreation_loses_nobody() {
    let stage = Stage::with_delay(&["vk-a", "vk-b"], true, Duration::from_millis(1500));
    stage.apply("a.yaml", &running("swift", "vk-a", "[10429, 2, 3]"));
    let watch = stage.watch();
    stage.wait_for("SELECT count(*) FROM lanes WHERE in_flight IS NOT NULL", "1");
    stage.folder.write("a.yaml", &running("swift", "vk-b", "[10429, 2, 3]"));
    let recreated = stage.program(&["apply", "--recreate", "swift", "--auto-approve"]).run();
    assert_eq!(recreated.code, 0, "{}", recreated.stderr);
    wait_until("everybody is written to", PATIENCE, || {
        let delivered = stage.delivered();
        (delivered.len() == 3, delivered)
    });
    stage.wait_for(EXHAUSTED, "true");
    stage.wait_for("SELECT count(*) FROM lanes WHERE in_flight IS NOT NULL", "0");
    drop(watch);
    assert!(stage.delivered().values().all(|n| *n == 1));
    let status = stage.program(&["status"]).run();
    assert!(
        status.stdout.contains("0 of 3") && status.stdout.contains(" sent, 0 failed"),
        "{}",
        status.stdout
    );
    // On a busy machine the old incarnation may have tried again before the apply.
    let sent = "SELECT sum(n_sent) FROM task_channels";
    assert_eq!(stage.database.value(sent), "3");
}

#[test]
fn no_opening_arrives_after_the_hours_closed() {
    let stage = Stage::new(&["vk-a", "vk-b", "vk-c"], false);
    let audience: Vec<String> = (1..=3000).map(|n| n.to_string()).collect();
    for name in &stage.channels {
        let endpoint = stage.providers.endpoint(ChannelKind::VkUser);
        let token = format!("token: {{env: {}}}", variable(name));
        let more = format!("  endpoint: {endpoint}\n  dailyLimit: 5000\n");
        stage.folder.write(&format!("{name}.yaml"), &channel(name, "vk-user", &token, &more));
    }
    let task = running("closing", "vk-a, vk-b, vk-c", &format!("[{}]", audience.join(", ")));
    stage.apply("a.yaml", &task.replace("PerChannel: 20", "PerChannel: 5000"));
    let watch = stage.watch();
    wait_until("it sends", PATIENCE, || {
        let n = stage.delivered().len();
        (n > 0, n)
    });
    // Hours that began an hour ago and end within seconds, in the database's clock.
    stage.database.run(
        "UPDATE tasks SET
            hours_from_s = (extract(epoch FROM (now() AT TIME ZONE 'UTC')::time)::int + 82800) % 86400,
            hours_to_s = 1 + (extract(epoch FROM (now() AT TIME ZONE 'UTC')::time)::int + 3) % 86400",
    );
    let closes_at_ms: i64 = stage
        .database
        .value(
            "SELECT (extract(epoch FROM now()) * 1000 + 1000 * hours_left_s(hours_from_s, hours_to_s, 'UTC', now()))::bigint
            FROM tasks",
        )
        .parse()
        .unwrap();
    stage.wait_for("SELECT bool_and(verdict = 'outside-working-hours') FROM turns", "true");
    stage.wait_for("SELECT count(*) FROM lanes WHERE in_flight IS NOT NULL", "0");
    // Well past the end.
    std::thread::sleep(Duration::from_millis(1500));
    drop(watch);
    let deliveries = stage.providers.deliveries();
    let late = deliveries.iter().filter(|entry| entry.at_ms >= closes_at_ms).count();
    assert_eq!(late, 0, "of {} deliveries", deliveries.len());
}

#[test]
fn connections_that_went_silent_are_given_up() {
    let stage = Stage::new(&["vk-a", "vk-b"], false);
    let Some(proxy) = Proxy::start() else { return };
    let audience: Vec<String> = (1..=40).map(|n| n.to_string()).collect();
    let task = running("silent", "vk-a, vk-b", &format!("[{}]", audience.join(", ")));
    stage.apply("a.yaml", &task);
    stage.database.run("UPDATE tasks SET pause_ms = 150");
    let watch =
        stage.program(&["watch"]).env("NUNCIO_DATABASE_URL", proxy.url(&stage.database)).start();
    wait_until("some are sent", PATIENCE, || {
        let n = stage.delivered().len();
        (n >= 6, n)
    });
    proxy.silence();
    // A deadline of 15 s ends the statement that hangs; the lease has run out by then.
    wait_until("it goes on over new connections", Duration::from_secs(120), || {
        let n = stage.delivered().len();
        (n == 40, n)
    });
    assert_eq!(watch.interrupt(LEAVING), 130);
    assert!(stage.delivered().values().all(|n| *n == 1));
}

#[test]
fn lanes_that_waited_longest_are_granted_first() {
    let stage = Stage::new(&["vk-a"], false);
    stage.apply("a.yaml", &running("many", "vk-a", "[1]"));
    // More lanes than one statement grants; those at the end of the alphabet waited longest.
    stage.database.run(
        "WITH t AS (SELECT id FROM tasks), lane AS (
            INSERT INTO lanes (channel, daily_limit, drops_repeats)
            SELECT 'x-' || to_char(n, 'FM0000'), 10, true FROM generate_series(1, 150) n
        ), turn AS (
            INSERT INTO task_channels (task_id, channel, last_opening_at)
            SELECT id, 'x-' || to_char(n, 'FM0000'), now() - n * interval '1 minute'
            FROM t, generate_series(1, 150) n
        ), people AS (
            INSERT INTO contacts (task_id, position, address)
            SELECT id, n, n::text FROM t, generate_series(2, 200) n
        )
        UPDATE audiences SET last_position = 200, total = 200, waiting = 200",
    );
    stage.database.run("DELETE FROM lanes WHERE channel NOT LIKE 'x-%'");
    let channels = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let store = stage.database.store().await;
            let executor = ExecutorId(uuid::Uuid::new_v4());
            let _presence = store.register_executor(executor, "test", 1).await.unwrap();
            drop(store.sweep_lanes(executor).await.unwrap());
            stage.database.let_no_lease_end();
            let permits = store.grant_permits(executor).await.unwrap();
            permits.into_iter().map(|permit| permit.channel.to_string()).collect::<BTreeSet<_>>()
        });
    assert_eq!(channels.len(), 100);
    assert_eq!(
        channels.first().map(String::as_str),
        Some("x-0051"),
        "the longest waits are from 51 on"
    );
}

#[test]
fn a_long_run_of_people_who_may_not_be_written_to_is_passed_over_in_few_looks() {
    let stage = Stage::new(&["vk-a"], false);
    let audience: Vec<String> = (1..=1500).map(|n| n.to_string()).collect();
    stage.apply("a.yaml", &running("again", "vk-a", &format!("[{}]", audience.join(", "))));
    stage.database.run(
        "INSERT INTO ledger (task, address, opening, channel)
        SELECT 'again', n::text, n, 'vk-a' FROM generate_series(2, 1499) n;
        UPDATE audiences SET waiting = 2",
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let granted: Vec<Vec<String>> = runtime.block_on(async {
        let store = stage.database.store().await;
        let executor = ExecutorId(uuid::Uuid::new_v4());
        let _presence = store.register_executor(executor, "test", 1).await.unwrap();
        drop(store.sweep_lanes(executor).await.unwrap());
        stage.database.let_no_lease_end();
        let mut granted = Vec::new();
        for _ in 0..5 {
            let permits = store.grant_permits(executor).await.unwrap();
            granted.push(permits.iter().map(|permit| permit.address.to_string()).collect());
            let free = "UPDATE lanes SET in_flight = NULL, in_flight_granted_at = NULL, last_opening_at = NULL";
            let mut connection = stage.database.connection().await;
            sqlx::raw_sql(free).execute(&mut connection).await.unwrap();
        }
        granted
    });
    assert_eq!(granted, [vec!["1"], vec![], vec![], vec![], vec!["1500"]]);
    let left = "SELECT waiting || ' ' || (last_position - cursor_position) FROM audiences";
    assert_eq!(stage.database.value(left), "0 0");
}
