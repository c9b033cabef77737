//! Commands, options and exit codes.

use std::fs;

use serde_json::Value;

use super::{Bench, Environment};
use crate::support::{Folder, PATIENCE, Program, channel, vk_task, wait_until};

#[test]
fn every_command_of_the_contract_has_help() {
    let folder = Folder::new();
    let commands = "validate plan apply watch status show history explain start pause stop delete unblock \
                    resolve reports adopt import rollback forget suppress unsuppress fmt audience forecast rehearse \
                    schema completions doctor db dialogues dialogue spending channel";
    for command in commands.split_whitespace() {
        let ended = Program::new(folder.root(), &[command, "--help"]).run();
        assert_eq!(ended.code, 0, "{command}: {}", ended.stderr);
        assert!(ended.stdout.contains(&format!("Usage: nuncio {command}")), "{}", ended.stdout);
        assert!(ended.stderr.is_empty(), "{command}: help is data");
    }
}

#[test]
fn every_option_of_the_contract_is_told_by_help() {
    let folder = Folder::new();
    let everywhere = "--tasks --database --color --quiet --log-format";
    let plan = "--out --detailed-exitcode --recreate --stop-first --target --max-delete --output \
                --json-into --summary --lock-timeout human json markdown sarif github gitlab junit concise";
    let apply = "[PLANFILE] --auto-approve --constrain --keep-going --require-unchanged --message \
                 --wait --timeout --recreate --stop-first --target --max-delete --lock-timeout";
    let validate = "[PATH] --online --output human json markdown sarif github gitlab junit concise";
    for (command, options) in [("plan", plan), ("apply", apply), ("validate", validate)] {
        let help = Program::new(folder.root(), &[command, "--help"]).run().stdout;
        let words: Vec<&str> = help.split([' ', '\n', ':']).collect();
        for option in options.split_whitespace().chain(everywhere.split(' ')) {
            assert!(words.contains(&option), "{command} {option}: {help}");
        }
        for secret in ["token", "password", "secret", "api-key"] {
            assert!(!help.to_lowercase().contains(&format!("--{secret}")), "{command}: {help}");
        }
    }
}

#[test]
fn a_plan_goes_where_its_options_say() {
    let bench = Bench::new();
    bench.task("one", "vk", "");
    bench.task("two", "vk", "");
    let told = bench.told("plan --summary --json-into plan.json --target one", 0);
    assert_eq!(
        told.stdout,
        "Plan: 4 to create, 0 to update, 0 to recreate, 0 to delete, 0 rejected, 0 blocked, 0 drifted.\n"
    );
    let text = fs::read_to_string(bench.folder.root().join("plan.json")).unwrap();
    let plan: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&plan["complete"], &plan["wishes"]["target"][0]), (&false.into(), &"one".into()));
    assert!(!text.contains("Task/two"), "{text}");
    bench.ends("plan --summary --output json", 64);
    assert!(
        bench.told("plan --json-into nowhere/plan.json", 1).stderr.contains("nowhere/plan.json")
    );
    let unknown = bench.told("plan --target three", 1);
    assert!(unknown.stderr.contains("--target: there is no task `three`"), "{}", unknown.stderr);
}

#[test]
fn an_apply_waits_no_longer_than_it_shall() {
    let bench = Bench::new();
    bench.task("one", "vk", "  state: running");
    let ended = bench.told("apply --auto-approve --wait --timeout 300ms", 1);
    assert!(ended.stderr.contains("`one` was not taken up within 300ms"), "{}", ended.stderr);
    assert_eq!(bench.database.value("SELECT count(*) FROM tasks"), "1", "it was applied");
    bench.ends("apply --timeout 1s", 64);
}

#[test]
fn validate_needs_no_database() {
    let folder = Folder::with_team();
    let task = vk_task("one", "nowhere", "[1]", "");
    let file = folder.root().join("one.yaml");
    fs::write(&file, &task).unwrap();
    let away = |arguments: &[&str]| {
        Program::new(folder.root(), arguments)
            .env("NUNCIO_DATABASE_URL", "postgres://127.0.0.1:1/x")
    };
    assert_eq!(away(&["validate"]).run().code, 0);
    assert_eq!(away(&["validate", "tasks.d/team.yaml"]).run().code, 0);
    // What it refers to is not looked for.
    assert_eq!(away(&["validate", "-"]).stdin(&file).run().code, 0);
    fs::write(&file, task.replace("  ai:", "  aii:")).unwrap();
    let ended = away(&["validate", "-", "--output", "concise"]).stdin(&file).run();
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.starts_with("<stdin>:"), "{}", ended.stdout);
}

#[test]
fn options_that_are_everywhere_win_over_the_environment() {
    let bench = Bench::new();
    let url = bench.database.url();
    let away = "postgres://127.0.0.1:1/x";
    let run = |arguments: &[&str], env: Environment<'_>| {
        let mut program = Program::new(bench.folder.root(), arguments);
        for (name, value) in env {
            program = program.env(name, value);
        }
        program.run()
    };
    let cases: [(&[&str], Environment<'_>, i32); 8] = [
        (&["plan", "--database", &url], &[("NUNCIO_DATABASE_URL", away)], 0),
        (&["plan", "--database", away], &[("NUNCIO_DATABASE_URL", &url)], 1),
        (&["plan"], &[("NUNCIO_DATABASE_URL", &url), ("DATABASE_URL", away)], 0),
        (&["plan"], &[("NUNCIO_DATABASE_URL", away), ("DATABASE_URL", &url)], 1),
        (&["plan"], &[("DATABASE_URL", &url)], 0),
        (&["validate", "--tasks", "nowhere"], &[("NUNCIO_TASKS", "tasks.d")], 1),
        (&["validate", "--tasks", "tasks.d"], &[("NUNCIO_TASKS", "nowhere")], 0),
        (&["validate"], &[("NUNCIO_TASKS", "nowhere")], 1),
    ];
    for (arguments, env, code) in cases {
        let ended = run(arguments, env);
        assert_eq!(ended.code, code, "{arguments:?} {env:?}: {}", ended.stderr);
    }
    assert_eq!(run(&["validate", "--quiet"], &[]).stderr, "");
    assert_ne!(run(&["validate"], &[]).stderr, "");
    let logged = |form: &str| {
        let env = [("NUNCIO_LOG", "trace"), ("DATABASE_URL", &*url)];
        run(&["plan", "--quiet", "--log-format", form], &env).stderr
    };
    let is_json =
        |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object());
    let (json, human) = (logged("json"), logged("human"));
    assert!(json.lines().count() > 0 && json.lines().all(is_json), "{json}");
    assert!(human.lines().count() > 0 && !human.lines().any(is_json), "{human}");
}

#[test]
fn each_exit_code_means_what_it_promises() {
    let bench = Bench::new();
    bench.task("one", "vk", "");
    bench.ends("plan", 0);
    bench.ends("plan --detailed-exitcode", 2);
    bench.ends("plan --out plan.json", 0);
    bench.ends("apply plan.json", 0);
    bench.ends("plan --detailed-exitcode", 0);
    bench.ends("apply plan.json", 4);
    bench.ends("plan --detailed-exit", 64);
    bench.folder.write("two.yaml", &channel("two", "vk-user", "token: {env: TWO}", ""));
    bench.task("one", "two", "");
    // What is rejected is so with and without the detail, and nothing of it is applied.
    bench.ends("plan --detailed-exitcode", 3);
    bench.ends("plan", 3);
    bench.ends("apply --auto-approve", 3);
    assert_eq!(bench.database.value("SELECT count(*) FROM resources WHERE name = 'two'"), "0");
    bench.ends("apply --auto-approve --keep-going", 6);
    bench.folder.write("broken.yaml", "kind: [");
    bench.ends("plan --detailed-exitcode", 1);
    bench.ends("apply --auto-approve", 1);
}

#[test]
fn a_plan_of_an_unknown_format_is_refused() {
    let bench = Bench::new();
    bench.ends("plan --out plan.json", 0);
    let path = bench.folder.root().join("plan.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"format_version\": \"1.", "\"format_version\": \"2.")).unwrap();
    let ended = bench.told("apply plan.json", 1);
    assert!(ended.stderr.contains("version 2."), "{}", ended.stderr);
    assert_eq!(bench.database.value("SELECT count(*) FROM resources"), "0");
}

#[test]
fn a_protected_task_outlives_its_file() {
    let bench = Bench::new();
    bench.task("one", "vk", "  state: completed\n  protect: {reason: the spring budget}");
    bench.ends("apply --auto-approve", 0);
    bench.folder.remove("one.yaml");
    let ended = bench.told("apply --auto-approve --stop-first --max-delete 1", 3);
    assert!(ended.stdout.contains("the spring budget"), "{}", ended.stdout);
    assert_eq!(bench.database.value("SELECT count(*) FROM tasks WHERE deleted_at IS NULL"), "1");
}

#[test]
fn a_long_load_says_every_few_seconds_how_far_it_is() {
    let bench = Bench::new();
    let people: Vec<String> = (1..=20_000).map(|id| id.to_string()).collect();
    fs::write(bench.folder.tasks().join("people.txt"), people.join("\n")).unwrap();
    bench.folder.write("one.yaml", &vk_task("one", "vk", "{file: people.txt}", ""));
    // The load is long because the table is not free, from when it is wanted, for longer than a line is apart.
    let here = "database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relation = 'contacts'::regclass";
    let hold = format!(
        "BEGIN; LOCK TABLE contacts;
        DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE {here} AND NOT granted)
            LOOP PERFORM pg_sleep(0.05); END LOOP; END $$;
        SELECT pg_sleep(3.5); COMMIT"
    );
    std::thread::scope(|scope| {
        let held = scope.spawn(|| bench.database.run(&hold));
        wait_until("the table is held", PATIENCE, || {
            let held = bench.database.value(&format!(
                "SELECT count(*) FROM pg_locks WHERE {here} AND granted AND mode = 'AccessExclusiveLock'"
            ));
            (held == "1", held)
        });
        let ended = bench.told("apply --auto-approve", 0);
        held.join().unwrap();
        assert!(ended.stderr.contains(" contacts loaded so far\n"), "{}", ended.stderr);
    });
}
