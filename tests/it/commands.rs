//! The commands of the database, of audiences and of rehearsals.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use crate::support::{
    Ended, Folder, PATIENCE, Program, TestDatabase, channel, vk_task, wait_until,
};

fn program(folder: &Folder, arguments: &[&str]) -> Program {
    Program::new(folder.root(), arguments)
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// A folder below which the private server can live, and its data folder.
fn with_data() -> (Folder, std::path::PathBuf) {
    let folder = Folder::with_team();
    // Root's server runs as another user, who has to pass.
    fs::set_permissions(folder.root(), fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.root().join("data");
    (folder, data)
}

#[test]
fn a_pipeline_migrates_and_is_told_what_was_done() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    database.run("DO $$ BEGIN DROP SCHEMA public CASCADE; CREATE SCHEMA public; END $$");
    let run = |arguments: &[&str]| program(&folder, arguments).database(&database).run();
    let status = || json(&run(&["db", "status", "--output", "json"]));
    let before = status();
    assert_eq!((&before["schema"], &before["contents"]), (&json!("empty"), &Value::Null));
    // The look has made nothing.
    assert_eq!(status(), before);

    let migrated = json(&run(&["db", "migrate", "--output", "json"]));
    let versions: Vec<i64> = migrated["migrated"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["version"].as_i64().unwrap())
        .collect();
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/migrations"));
    assert_eq!(versions.len(), files.unwrap().count());
    assert!(versions.is_sorted(), "{versions:?}");
    let again = run(&["db", "migrate"]);
    assert!(again.stdout.starts_with("Nothing to do"), "{again:?}");

    database.run("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1");
    assert_eq!(status()["schema"], "foreign");
    assert_eq!(run(&["db", "migrate"]).code, 1);
}

#[test]
fn the_database_is_shown_in_numbers() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    folder.write("a.yaml", &vk_task("a", "vk", "[1, 2, 3]", "  state: running"));
    folder.write("b.yaml", &vk_task("b", "vk", "[4]", ""));
    let run = |arguments: &[&str]| program(&folder, arguments).database(&database).run();
    assert_eq!(run(&["apply", "--auto-approve"]).code, 0);
    let shown = json(&run(&["db", "status", "--output", "json"]));
    assert_eq!(
        shown["contents"],
        json!({
            "purpose": null, "guarded": false, "living_watches": 0, "living_executors": 0,
            "tasks": 2, "running_tasks": 1, "contacts": 4, "in_doubt": 0,
        })
    );
    assert_eq!(shown["schema"], "current");
    let human = run(&["db", "status"]);
    assert!(human.stdout.contains("tasks     2, 1 of them in progress"), "{}", human.stdout);
}

#[test]
fn psql_runs_on_the_same_database_and_finds_no_other() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    let psql = |arguments: &[&str]| {
        let arguments = [&["db", "psql", "--"], arguments].concat();
        // Words of the environment that would lead elsewhere.
        let elsewhere = program(&folder, &arguments).env("PGHOSTADDR", "192.0.2.1");
        elsewhere.env("PGSERVICE", "nowhere").env("PGDATABASE", "nowhere").database(&database).run()
    };
    let name = psql(&["-XAtc", "SELECT current_database()"]);
    let wanted = database.value("SELECT current_database()");
    assert_eq!((name.code, name.stdout.trim()), (0, wanted.as_str()), "{name:?}");
    // psql's own 3 would read as "rejected".
    let failed = psql(&["-X", "-v", "ON_ERROR_STOP=1", "-c", "SELECT nonsense"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    let missing = program(&folder, &["db", "psql"]).database(&database).env("PATH", "").run();
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("postgresql-client"), "{}", missing.stderr);
}

#[test]
fn a_private_server_is_looked_at_only_once_it_is_there() {
    let (folder, data) = with_data();
    let run = |arguments: &[&str]| program(&folder, arguments).env("NUNCIO_DATA", &data).run();
    let status = || json(&run(&["db", "status", "--output", "json"]));
    assert_eq!(status()["schema"], "absent");
    assert!(!data.exists());
    let migrated = run(&["db", "migrate"]);
    assert_eq!(migrated.code, 0, "{migrated:?}");
    assert_eq!(
        (&status()["schema"], &status()["server"]["kind"]),
        (&json!("current"), &json!("private"))
    );
    let answer = run(&["db", "psql", "--", "-XAtc", "SELECT count(*) FROM installation"]);
    assert_eq!(answer.stdout.trim(), "1", "{answer:?}");
}

#[test]
fn while_the_guard_is_on_nobody_has_a_turn() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    folder.write("a.yaml", &vk_task("a", "vk", "[1, 2, 3]", "  state: running"));
    let run = |arguments: &[&str]| program(&folder, arguments).database(&database).run();
    assert_eq!(run(&["apply", "--auto-approve"]).code, 0);
    let verdict = || database.value("SELECT verdict FROM turns");
    assert_eq!(verdict(), "ready");

    let on = json(&run(&["db", "guard", "on", "--reason", "a drill", "--output", "json"]));
    assert_eq!((&on["guarded"], &on["changed"]), (&json!(true), &json!(true)), "{on}");
    assert_eq!(verdict(), "guarded");
    // The first reason stands.
    let again = json(&run(&["db", "guard", "on", "--reason", "other", "--output", "json"]));
    assert_eq!((&again["changed"], &again["reason"]), (&json!(false), &json!("a drill")));
    let status = run(&["status"]);
    assert!(status.stdout.starts_with("! The backup guard is on, since"), "{}", status.stdout);
    let status = json(&run(&["status", "--output", "json"]));
    assert_eq!(status["guard"]["reason"], "a drill");
    assert_eq!(status["tasks"][0]["why"], "`a` sends nothing, because the backup guard is on.");

    // Whoever lets it go says why.
    assert_eq!(run(&["db", "guard", "off"]).code, 64);
    assert_eq!(run(&["db", "guard", "off", "--reason", ""]).code, 64);
    assert_eq!(verdict(), "guarded");
    assert_eq!(run(&["db", "guard", "off", "--reason", "the drill is over"]).code, 0);
    assert_eq!(verdict(), "ready");
    let acts = "SELECT string_agg(by || ': ' || reason, ', ' ORDER BY number) FROM guard_acts";
    assert_eq!(database.value(acts), "tester: a drill, tester: the drill is over");
}

/// A task whose contacts have met everything that can become of one.
fn with_fates() -> (Folder, TestDatabase) {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    let list = "apiVersion: nuncio/v1
kind: SuppressionList
metadata: {name: stop}
spec: {entries: [4, 9], tasks: all}
";
    folder.write("stop.yaml", list);
    let audience = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]";
    folder.write("a.yaml", &vk_task("a", "vk", audience, "  state: running"));
    let applied = program(&folder, &["apply", "--auto-approve"]).database(&database).run();
    assert_eq!(applied.code, 0, "{applied:?}");
    let attempt = |position: i64, outcome: &str, reason: &str| {
        format!(
            "INSERT INTO attempts (id, opening, tries, task_id, task, channel, position, address, key, fence,
                granted_at, finished_at, outcome, reason)
            SELECT nextval('attempt_ids'), {position}, 1, id, 'a', 'vk', {position}, '{position}', 1, 1,
                now(), CASE WHEN {outcome} IS NOT NULL THEN now() END, {outcome}, {reason} FROM tasks;"
        )
    };
    let ledger = |position: i64| {
        format!(
            "INSERT INTO ledger (task, address, opening, channel) VALUES ('a', '{position}', {position}, 'vk');"
        )
    };
    let retry = |position: i64| {
        format!(
            "INSERT INTO retries (opening, task_id, position, address, key, tries, channel, ready_at, in_doubt)
            SELECT {position}, id, {position}, '{position}', 1, 1, 'vk', now(), false FROM tasks;"
        )
    };
    database.run(
        &[
            "UPDATE audiences SET cursor_position = 9, waiting = 2;".to_owned(),
            attempt(1, "'sent'", "NULL") + &ledger(1),
            attempt(2, "'recipient-permanent'", "'nobody there'"),
            attempt(3, "'in-doubt'", "'no answer'") + &ledger(3),
            // 4 is on the list.
            attempt(5, "'not-sent'", "'away'") + &ledger(5) + &retry(5),
            attempt(6, "NULL", "NULL") + &ledger(6),
            // Of an earlier incarnation.
            ledger(7),
            attempt(8, "'in-doubt'", "'resolved as dropped by anna'") + &ledger(8),
            // 9 was written to before it came onto the list.
            attempt(9, "'sent'", "NULL") + &ledger(9),
        ]
        .concat(),
    );
    (folder, database)
}

#[test]
fn an_audience_is_shown_with_what_became_of_each() {
    let (folder, database) = with_fates();
    let run = |more: &[&str]| {
        let arguments = [&["audience", "a"], more].concat();
        program(&folder, &arguments).database(&database).run()
    };
    let all = json(&run(&["--output", "json", "--show-addresses"]));
    let states: Vec<(&str, &str)> = all["contacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["address"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    assert_eq!(
        states,
        [
            ("1", "written"),
            ("2", "failed"),
            ("3", "in-doubt"),
            ("4", "suppressed"),
            ("5", "remaining"),
            ("6", "remaining"),
            ("7", "written"),
            ("8", "failed"),
            ("9", "written"),
            ("10", "remaining"),
            ("11", "remaining"),
        ]
    );
    let counts = json!({"remaining": 4, "written": 3, "suppressed": 1, "failed": 2, "in_doubt": 1});
    assert_eq!((&all["counts"], &all["complete"]), (&counts, &json!(true)));
    assert_eq!(all["contacts"][1]["reason"], "nobody there");
    assert_eq!(all["contacts"][3]["reason"], "on the list stop");

    // Each state lists exactly those that are counted.
    for (state, n) in counts.as_object().unwrap() {
        let state = state.replace('_', "-");
        let some = json(&run(&["--output", "json", "--state", &state]));
        let listed = some["contacts"].as_array().unwrap();
        assert_eq!(listed.len() as u64, n.as_u64().unwrap(), "{state}");
        assert!(listed.iter().all(|one| one["state"] == *state), "{some}");
        // Not a terminal, and nobody asked for addresses.
        let is_masked = |one: &Value| {
            let address = one["address"].as_str().unwrap();
            address.starts_with('…') && address.chars().count() <= 2
        };
        assert!(listed.iter().all(is_masked), "{some}");
    }
    let short = json(&run(&["--output", "json", "--limit", "2"]));
    assert_eq!(
        (short["contacts"].as_array().unwrap().len(), &short["complete"]),
        (2, &json!(false))
    );

    let human = run(&["--limit", "1", "--state", "remaining"]);
    assert!(human.stdout.starts_with("a: 11 contacts: 4 remaining, 3 written"), "{human:?}");
    assert!(human.stderr.contains("… and 3 more"), "{human:?}");
    assert!(human.stderr.contains("--show-addresses shows them"), "{human:?}");
    let csv = run(&["--output", "csv", "--state", "failed", "--show-addresses"]);
    let lines: Vec<&str> = csv.stdout.lines().collect();
    assert_eq!(lines[0], "position,address,state,channel,at,reason");
    assert!(
        lines[1].starts_with("2,2,failed,vk,") && lines[1].ends_with(",nobody there"),
        "{csv:?}"
    );
    assert_eq!(lines.len(), 3);

    let unknown =
        program(&folder, &["audience", "b", "--output", "json"]).database(&database).run();
    assert_eq!((unknown.code, json(&unknown)["error"]["exit_code"].clone()), (1, json!(1)));
}

#[test]
fn an_audience_of_many_pages_is_read_to_its_end() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    folder.write("a.yaml", &vk_task("a", "vk", "{file: many.txt}", ""));
    let many: Vec<String> = (1..=20_000).map(|n| n.to_string()).collect();
    folder.write("many.txt", &many.join("\n"));
    let run = |arguments: &[&str]| program(&folder, arguments).database(&database).run();
    assert_eq!(run(&["apply", "--auto-approve"]).code, 0);
    let csv = run(&["audience", "a", "--output", "csv", "--show-addresses"]);
    let addresses: Vec<&str> =
        csv.stdout.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    assert!(addresses == many, "{} lines", addresses.len());
    assert!(csv.stderr.contains("20000 contacts: 20000 remaining"), "{}", csv.stderr);
}

/// A task with a person of each kind, on two channels of which one is banned.
fn with_faults() -> Folder {
    let folder = Folder::with_team();
    folder.write("banned.yaml", &channel("vk-banned", "vk-user", "token: {env: NOT_SET}", ""));
    folder.write("runs.yaml", &vk_task("runs", "vk", "[1, 10404, 2]", "  state: running"));
    folder.write("stuck.yaml", &vk_task("stuck", "vk-banned", "[3]", "  state: running"));
    folder.write("awaits.yaml", &vk_task("awaits", "vk", "[4]", ""));
    folder
}

#[test]
fn a_rehearsal_sends_for_real_and_leaves_nothing_behind() {
    let (folder, database) = (with_faults(), TestDatabase::new());
    let databases = |name: &str| {
        let like = format!("SELECT count(*) FROM pg_database WHERE datname LIKE '{name}'");
        database.value(&like)
    };
    let contents = "SELECT (SELECT count(*) FROM tasks) || ' ' || coalesce((SELECT purpose FROM installation), '-')";
    let arguments = ["rehearse", "--until-exhausted", "--for", "50s", "--output", "json"];
    // No credentials are there.
    let ended = program(&folder, &arguments).database(&database).run();
    assert_eq!(ended.code, 0, "{ended:?}");
    let report = json(&ended);
    assert_eq!(report["ended"], "idle", "{report}");
    let runs = &report["tasks"][0];
    assert_eq!(
        (&runs["task"], &runs["total"], &runs["remaining"]),
        (&json!("runs"), &json!(3), &json!(0))
    );
    let vk = &runs["channels"][0];
    assert_eq!((&vk["sent"], &vk["verdict"]), (&json!(2), &json!("audience-exhausted")), "{vk}");
    assert_eq!(vk["faults"][0]["outcome"], "recipient-permanent");
    let stuck = &report["tasks"][1]["channels"][0];
    assert_eq!(
        (&stuck["sent"], &stuck["verdict"]),
        (&json!(0), &json!("channel-blocked")),
        "{stuck}"
    );
    assert_eq!(report["not_rehearsed"][0]["task"], "awaits");
    // The real database is as it was, and the other is gone.
    assert_eq!(database.value(contents), "0 -");
    let name = ended.stderr.split('`').find(|word| word.starts_with("nuncio_rehearsal_"));
    assert_eq!(databases(name.unwrap()), "0");

    // So it is after Ctrl-C.
    let arguments = ["rehearse", "--until-exhausted", "--all"];
    let running = program(&folder, &arguments).database(&database).start();
    let like = format!("nuncio\\_rehearsal\\_{}\\_%", running.id());
    wait_until("the rehearsal has a database", PATIENCE, || {
        let n = databases(&like);
        (n == "1", n)
    });
    assert_eq!(running.interrupt(PATIENCE), 130);
    assert_eq!(databases(&like), "0");
}

#[test]
fn without_a_server_a_rehearsal_makes_one_and_removes_it() {
    let folder = with_faults();
    let temporary = folder.root().join("tmp");
    fs::create_dir(&temporary).unwrap();
    for path in [folder.root(), &temporary] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let data = folder.root().join("data");
    let night =
        vk_task("night", "vk", "[5]", "  state: running").replace("00:00-24:00", &closed_hours());
    for name in ["runs.yaml", "stuck.yaml", "awaits.yaml"] {
        folder.remove(name);
    }
    folder.write("night.yaml", &night);
    let run = || {
        let rehearsal = program(&folder, &["rehearse", "--for", "30s"]);
        rehearsal.env("TMPDIR", &temporary).env("NUNCIO_DATA", &data).run()
    };
    let ended = run();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.stderr.contains("`night` can send nothing now: it is outside"),
        "{}",
        ended.stderr
    );
    assert!(ended.stdout.contains("night: 1 of 1 remain"), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("nothing more would be sent within its time"),
        "{}",
        ended.stdout
    );
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    assert!(!data.exists());

    folder.write("night.yaml", "kind: [");
    let invalid = run();
    assert_eq!(invalid.code, 1, "{invalid:?}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

/// Hours of UTC that are far from now.
fn closed_hours() -> String {
    let hour = |ahead: i64| {
        (chrono::Utc::now() + chrono::TimeDelta::hours(ahead)).format("%H:00").to_string()
    };
    format!("{}-{}", hour(10), hour(12))
}

/// The one note that a `watch` keeps of its database.
fn note_of(folder: &Folder) -> Option<std::path::PathBuf> {
    let entries = fs::read_dir(folder.root().join("data")).ok()?;
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths.find(|path| path.extension().is_some_and(|extension| extension == "json"))
}

#[test]
fn a_restored_database_sends_nothing_until_somebody_confirms_it() {
    let (folder, database) = with_fates();
    let watch = || program(&folder, &["watch"]).database(&database).start();
    let guarded = || database.value("SELECT guarded FROM installation");
    let watched = |wanted: &str| {
        // An executor is made known after the note was looked at.
        let executors = || database.value("SELECT count(*) FROM executors");
        let before = executors();
        let running = watch();
        wait_until("the watch is ready to send", PATIENCE, || {
            let n = executors();
            (n != before, n)
        });
        assert_eq!(guarded(), wanted);
        assert_eq!(running.interrupt(PATIENCE), 130);
    };
    watched("false");
    let note = note_of(&folder).unwrap();
    let kept: Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
    let last = database.value("SELECT max(id) FROM attempts");
    assert_eq!(kept["last_attempt"].to_string(), last);
    watched("false");

    let forget = |change: Value| {
        let mut newer = serde_json::from_slice::<Value>(&fs::read(&note).unwrap()).unwrap();
        newer.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        fs::write(&note, newer.to_string()).unwrap();
    };
    // What was noted of the database, and is no more so after a restore.
    for (change, reason) in [
        (json!({"last_attempt": 999}), "attempt 999 was made"),
        (json!({"system": "1"}), "a copy on another server"),
        (json!({"database": 1}), "a copy beside"),
    ] {
        forget(change);
        watched("true");
        let status = program(&folder, &["status"]).database(&database).run();
        assert!(status.stdout.starts_with("! The backup guard is on"), "{}", status.stdout);
        let shown = program(&folder, &["db", "guard"]).database(&database).run();
        assert!(shown.stdout.contains(reason), "{reason}: {}", shown.stdout);
        // It stays on until it is confirmed, and that is the last word.
        watched("true");
        let arguments = ["db", "guard", "off", "--reason", "looked at"];
        assert_eq!(program(&folder, &arguments).database(&database).run().code, 0);
        watched("false");
    }
    fs::write(&note, "{").unwrap();
    watched("true");
}
