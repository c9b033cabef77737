//! The commands of the database, of audiences and of rehearsals.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use crate::support::{Ended, Folder, Program, TestDatabase, vk_task};

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
