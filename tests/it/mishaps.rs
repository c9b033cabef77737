//! Mishaps: hands in the database, lists that are forgotten, and acts that cross each other.

use crate::support::{Bench, Ended, PATIENCE, Program, vk_task, wait_until};

impl Bench {
    /// The task `one` of `one.yaml`.
    fn one(&self, spec: &str, limit: u32) {
        let text = vk_task("one", "vk", "[1, 2, 3]", spec);
        let limit = format!("dailyLimitPerChannel: {limit}");
        self.folder.write("one.yaml", &text.replace("dailyLimitPerChannel: 20", &limit));
    }

    fn limit(&self) -> String {
        self.database.value("SELECT daily_limit FROM tasks WHERE deleted_at IS NULL")
    }
}

fn list(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: nuncio/v1\nkind: SuppressionList\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
    )
}

#[test]
fn an_act_on_a_task_does_not_make_its_drift_look_applied() {
    let bench = Bench::new();
    bench.one("", 10);
    bench.apply();
    for act in [&["start", "one"][..], &["pause", "one", "--for", "1h", "--reason", "lunch"]] {
        bench.database.run_as_stranger("UPDATE tasks SET daily_limit = 500");
        bench.ok(act);
        assert_eq!(bench.plan()["summary"]["drifted"], 1, "{act:?}");
        bench.apply();
        assert_eq!(bench.limit(), "10");
        assert!(bench.ok(&["plan"]).contains("Nothing to do"));
    }
    bench.database.run_as_stranger(
        "UPDATE tasks SET daily_limit = 500;
        UPDATE tasks SET resume_at = now()",
    );
    let watch = Program::new(bench.folder.root(), &["watch"]).database(&bench.database).start();
    let state = || bench.database.value("SELECT phase || ' ' || daily_limit FROM tasks");
    wait_until("the pause ends and the limit is put back", PATIENCE, || {
        (state() == "in-progress 10", state())
    });
    drop(watch);
}

#[test]
fn a_pause_that_git_took_over_does_not_end_by_the_clock() {
    let bench = Bench::new();
    bench.one("", 10);
    bench.apply();
    bench.ok(&["start", "one"]);
    bench.ok(&["pause", "one", "--for", "1h", "--reason", "lunch"]);
    bench.one("  state: paused", 10);
    bench.apply();
    assert_eq!(bench.database.value("SELECT phase FROM tasks"), "stopped");
    assert_eq!(bench.database.value("SELECT resume_at FROM tasks"), "NULL");
}

#[test]
fn a_drift_that_the_manifest_adopted_is_what_was_applied() {
    let bench = Bench::new();
    bench.one("", 10);
    bench.apply();
    bench.database.run_as_stranger("UPDATE tasks SET daily_limit = 17");
    bench.one("", 17);
    bench.apply();
    bench.database.run_as_stranger("UPDATE tasks SET daily_limit = 500");
    let plan = bench.plan();
    assert_eq!(plan["drift"][0]["fields"][0]["after"], 17, "{plan:#}");
    bench.apply();
    assert_eq!(bench.limit(), "17");
    // History knows it, and can go back to it.
    bench.one("", 30);
    bench.apply();
    bench.ok(&["rollback", "one", "--to", "2", "--auto-approve"]);
    assert_eq!(bench.limit(), "17");
}

#[test]
fn a_drift_is_told_where_something_else_keeps_it_from_being_put_back() {
    let bench = Bench::new();
    bench.one("", 10);
    bench.apply();
    bench.one("", 30);
    bench.apply();
    bench.ok(&["rollback", "one", "--to", "1", "--auto-approve"]);
    bench.database.run_as_stranger("UPDATE tasks SET daily_limit = 500");
    let held = bench.ok(&["plan"]);
    assert!(held.contains("outgoing.dailyLimitPerChannel") && held.contains("500"), "{held}");
    // The way out that it names.
    bench.ok(&["rollback", "one", "--to", "1", "--auto-approve"]);
    assert_eq!(bench.limit(), "10");
    let held = bench.ok(&["plan"]);
    assert!(held.contains("rolled back") && !held.contains("500"), "{held}");

    bench.database.run_as_stranger("UPDATE tasks SET daily_limit = 500");
    bench.folder.write(
        "one.yaml",
        &vk_task("one", "vk", "[1, 2, 3]", "")
            .replace("format: incoming-and-outgoing", "format: incoming"),
    );
    let rejected = bench.run(&["plan"]);
    assert!(rejected.stdout.contains("500"), "{}{}", rejected.stdout, rejected.stderr);
}

#[test]
fn a_target_comes_with_the_lists_that_protect_people_from_it() {
    let bench = Bench::new();
    bench.one("", 10);
    bench.folder.write("stop.yaml", &list("stop", "entries: [1]"));
    bench.folder.write("own.yaml", &list("own", "entries: [2], tasks: [one]"));
    bench.folder.write("two.yaml", &vk_task("two", "vk", "[1]", ""));
    bench.folder.write("others.yaml", &list("others", "entries: [3], tasks: [two]"));
    bench.ok(&["apply", "--auto-approve", "--target", "one"]);
    assert_eq!(
        bench.database.value("SELECT string_agg(list, ' ' ORDER BY list) FROM suppressions"),
        "own stop"
    );
    assert_eq!(bench.database.value("SELECT string_agg(name, ' ') FROM tasks"), "one");
}

#[test]
fn a_new_task_waits_for_a_list_that_cannot_be_read() {
    let bench = Bench::new();
    bench.one("  state: running", 10);
    bench.folder.write("stop.yaml", &list("stop", "entries: [1, nonsense entry]"));
    let ended = bench.run(&["apply", "--auto-approve", "--keep-going"]);
    assert_eq!(bench.database.value("SELECT count(*) FROM tasks"), "0", "{}", ended.stdout);
    assert!(ended.stdout.contains("SuppressionList"), "{}{}", ended.stdout, ended.stderr);
    bench.folder.write("stop.yaml", &list("stop", "entries: [1]"));
    bench.apply();
    assert_eq!(bench.database.value("SELECT count(*) FROM tasks"), "1");
}

#[test]
fn a_rollback_lets_nobody_who_is_suppressed_be_written_to() {
    let bench = Bench::new();
    bench.one("", 10);
    for (spec, suppressed) in [
        ("entries: [1], tasks: [one]", "1:one"),
        ("entries: [1, 2], tasks: [one]", "1:one 2:one"),
        ("entries: [1, 2]", "1: 2:"),
    ] {
        bench.folder.write("stop.yaml", &list("stop", spec));
        bench.apply();
        let there =
            "SELECT string_agg(address || ':' || task, ' ' ORDER BY address) FROM suppressions";
        assert_eq!(bench.database.value(there), suppressed);
        for to in ["1", "2"] {
            let ended =
                bench.run(&["rollback", "SuppressionList/stop", "--to", to, "--auto-approve"]);
            assert_eq!(bench.database.value(there), suppressed, "{}", ended.stderr);
        }
    }
    let refused = bench.run(&["rollback", "SuppressionList/stop", "--to", "1", "--auto-approve"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    // More protection is another matter.
    bench.folder.write("stop.yaml", &list("stop", "entries: [1]"));
    bench.apply();
    bench.ok(&["rollback", "SuppressionList/stop", "--to", "3", "--auto-approve"]);
}

#[test]
fn no_output_steers_the_terminal() {
    let bench = Bench::new();
    let sly = r#""a\e[2Jb\u202Ec\u009B1md\u2066e\bf""#;
    let texts = |limit: u32| {
        let text = vk_task("one", "vk", "[1, 2, 3]", &format!("  title: {sly}"));
        let text = text.replace("text: Hello!", &format!("text: {sly}"));
        bench.folder.write(
            "one.yaml",
            &text.replace("dailyLimitPerChannel: 20", &format!("dailyLimitPerChannel: {limit}")),
        );
    };
    texts(10);
    let message = "m\u{1b}[2J\u{202e}\u{9b}1m";
    let mut outputs = vec![bench.run(&["plan"]), bench.run(&["validate"])];
    outputs.push(bench.run(&["apply", "--auto-approve", "--message", message]));
    bench.ok(&["start", "one"]);
    bench.ok(&["pause", "one", "--reason", message]);
    bench.database.run_as_stranger(
        "SET application_name = 'psql'; UPDATE tasks SET daily_limit = 500,
        opening = jsonb_build_object('text', E'x\\u001b[2J\\u202e')",
    );
    for arguments in [
        &["plan"][..],
        &["plan", "--output", "markdown"],
        &["plan", "--output", "github"],
        &["plan", "--output", "concise"],
        &["history"],
        &["history", "one"],
        &["show", "1"],
        &["show", "one"],
        &["status"],
        &["status", "one"],
        &["forecast"],
        &["adopt", "one", "--diff"],
        &["rollback", "one", "--to", "1"],
        &["plan", "--color", "always"],
        &["history", "--color", "always"],
    ] {
        outputs.push(bench.run(arguments));
    }
    for Ended { stdout, stderr, .. } in outputs {
        for text in [stdout, stderr] {
            let steers = |c: &char| {
                c.is_control() && !matches!(c, '\n' | '\u{1b}')
                    || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            assert_eq!(text.chars().find(steers), None, "{text:?}");
            assert!(!text.contains("\u{1b}[2J"), "{text:?}");
        }
    }
}

#[test]
fn a_renamed_task_writes_to_nobody_again_although_its_audience_grew() {
    let bench = Bench::new();
    bench.folder.write("one.yaml", &vk_task("one", "vk", "[1, 2, 3]", "  state: running"));
    bench.apply();
    bench.database.run(
        "INSERT INTO ledger (task, address, opening, channel)
        VALUES ('one', '1', 1, 'vk'), ('one', '2', 2, 'vk')",
    );
    bench.folder.write("one.yaml", &vk_task("two", "vk", "[1, 2, 3, 4]", "  state: running"));
    let ended = bench.run(&["apply", "--auto-approve", "--keep-going"]);
    assert_eq!(bench.database.value("SELECT string_agg(name, ' ') FROM tasks"), "one");
    let told = "it is task `one` under a new name: 3 contacts of the same audience";
    assert!(ended.stdout.contains(told), "{}", ended.stdout);
    // Other people, or a person in common: another task.
    bench.folder.write("one.yaml", &vk_task("three", "vk", "[2, 8, 9]", ""));
    let ended = bench.run(&["apply", "--auto-approve", "--keep-going"]);
    assert!(!ended.stdout.contains("under a new name"), "{}", ended.stdout);
    assert_eq!(bench.database.value("SELECT count(*) FROM tasks"), "2");
}

#[test]
fn garbage_in_a_row_is_put_back_like_any_other_drift() {
    let bench = Bench::new();
    bench.one("", 10);
    bench.folder.write("two.yaml", &vk_task("two", "vk", "[1]", ""));
    bench.apply();
    bench.ok(&["start", "two"]);
    let one = |set: &str| format!("UPDATE tasks SET {set} WHERE name = 'one'");
    let all = "SELECT jsonb_agg(to_jsonb(t) - '{generation,updated_at,applied_mark}'::text[]
        ORDER BY name) FROM tasks t";
    let before = bench.database.value(all);
    for garbage in [
        one("fields = '[]'"),
        one(r#"fields = '{"type": 5}'"#),
        one(r#"opening = '{"x": 1}'"#),
        one("hours_from_s = 1, hours_to_s = 86399, timezone = 'Nowhere/Land'"),
        one("outgoing = false, hours_from_s = NULL, hours_to_s = NULL, timezone = NULL,
            daily_limit = NULL, pause_ms = NULL, opening = NULL, audience_digest = NULL"),
        "UPDATE resources SET fields = '7' WHERE kind = 'Channel'".to_owned(),
        r#"UPDATE resources SET fields = '{"dailyLimit": {"number": "many"}}' WHERE kind = 'Channel'"#
            .to_owned(),
        "UPDATE resources SET fields = '{}' WHERE kind = 'Ai'".to_owned(),
    ] {
        bench.database.run_as_stranger(&garbage);
        let plan = bench.run(&["plan"]);
        assert!(plan.stdout.contains("1 drifted"), "{garbage}: {}{}", plan.stdout, plan.stderr);
        assert!(!plan.stdout.contains("exhausted\n"), "{garbage}: {}", plan.stdout);
        bench.apply();
        assert_eq!(bench.database.value(all), before, "{garbage}");
        assert!(bench.ok(&["plan"]).contains("Nothing to do"), "{garbage}");
        bench.ok(&["status"]);
    }
}

#[test]
fn a_plan_is_not_saved_over_a_manifest() {
    let bench = Bench::new();
    bench.one("", 10);
    for arguments in [
        &["plan", "--out", "tasks.d/one.yaml"][..],
        &["plan", "--out", "tasks.d/../tasks.d/new.yaml"],
        &["plan", "--json-into", "tasks.d/one.yaml"],
    ] {
        let ended = bench.run(arguments);
        assert_eq!(ended.code, 1, "{}", ended.stdout);
        assert!(ended.stderr.contains("stands among the manifests"), "{}", ended.stderr);
    }
    bench.ok(&["plan", "--out", "plan.json"]);
    bench.ok(&["apply", "plan.json"]);
}

#[test]
fn a_rollback_brings_no_opening_back_that_cannot_be_said() {
    let bench = Bench::new();
    let greet = |opening: &str, audience: &str| {
        let text = vk_task("one", "vk", audience, "");
        bench.folder.write("one.yaml", &text.replace("{text: Hello!}", opening));
        bench.ok(&["apply", "--auto-approve", "--allow-shrink", "one"]);
    };
    std::fs::write(bench.folder.tasks().join("people.csv"), "address,name\n1,Anna\n2,Boris\n")
        .unwrap();
    greet(r#"{text: "Hello {{name}}!"}"#, "{file: people.csv}");
    greet("{text: Hello!}", "{file: people.csv}");
    bench.ok(&["rollback", "one", "--to", "1", "--auto-approve"]);
    greet("{text: Good day!}", "[1, 2, 3]");
    let ended = bench.run(&["rollback", "one", "--to", "1", "--auto-approve"]);
    assert_eq!(ended.code, 3, "{}", ended.stdout);
    assert!(ended.stderr.contains("its opening needs `name`, and 3 contacts"), "{}", ended.stderr);
    let opening = "SELECT opening ->> 'text' FROM tasks";
    assert_eq!(bench.database.value(opening), "Good day!");
    bench.ok(&["rollback", "one", "--to", "2", "--auto-approve"]);
    assert_eq!(bench.database.value(opening), "Hello!");
}

#[test]
fn a_rollback_stands_as_long_as_the_manifest_means_the_same() {
    let bench = Bench::new();
    bench.one("", 10);
    bench.apply();
    bench.one("", 30);
    bench.apply();
    let held = |limit: &str| {
        bench.apply();
        assert_eq!(bench.limit(), limit);
        assert_eq!(bench.plan()["held"].as_array().unwrap().len(), 1);
    };
    bench.ok(&["rollback", "one", "--to", "1", "--auto-approve"]);
    held("10");
    // There and back.
    bench.ok(&["rollback", "one", "--to", "2", "--auto-approve"]);
    bench.ok(&["rollback", "one", "--to", "1", "--auto-approve"]);
    held("10");
    // Another file, formatted otherwise, with a comment.
    let text = std::fs::read_to_string(bench.folder.tasks().join("one.yaml")).unwrap();
    bench.folder.remove("one.yaml");
    bench.folder.write("moved.yaml", &format!("# the same\n{}", text.replace("3s", "\"3 s\"")));
    held("10");
    bench.ok(&["fmt"]);
    held("10");
    // Broken, it goes on; whole again, it is held again.
    bench.folder.write("moved.yaml", &text.replace("ai: sales", "ai: [sales"));
    assert_eq!(bench.run(&["apply", "--auto-approve", "--keep-going"]).code, 6);
    assert_eq!(bench.limit(), "10");
    bench.folder.write("moved.yaml", &text);
    held("10");
    // An operator's act is none of the manifest's.
    bench.ok(&["start", "one"]);
    held("10");
    // People more are a change of the manifest.
    bench.folder.write("moved.yaml", &text.replace("[1, 2, 3]", "[1, 2, 3, 4]"));
    bench.apply();
    assert_eq!(bench.limit(), "30");
}

#[test]
fn a_manifest_that_was_moved_and_broken_at_once_deletes_nothing() {
    let bench = Bench::new();
    bench.one("  state: completed", 10);
    bench.apply();
    let text = std::fs::read_to_string(bench.folder.tasks().join("one.yaml")).unwrap();
    bench.folder.remove("one.yaml");
    bench.folder.remove("team.yaml");
    bench.folder.write("moved.yaml", &text.replace("ai: sales", "ai: [sales"));
    let ended = bench.run(&["apply", "--auto-approve", "--keep-going"]);
    assert_eq!(ended.code, 6, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("may stand in this file"), "{}", ended.stdout);
    let left = "SELECT (SELECT count(*) FROM tasks WHERE deleted_at IS NULL) || ' ' ||
        (SELECT count(*) FROM resources)";
    assert_eq!(bench.database.value(left), "1 3");
    // Whole, it says what is gone.
    bench.folder.remove("moved.yaml");
    bench.apply();
    assert_eq!(bench.database.value(left), "0 1");
}

#[test]
fn people_who_were_taken_off_a_list_by_hand_are_put_back() {
    let bench = Bench::new();
    bench.one("", 10);
    bench.folder.write("other.yaml", &vk_task("other", "vk", "[1]", ""));
    bench.folder.write("all.yaml", &list("all", "entries: [7, 8, 10, 9]"));
    bench.folder.write("some.yaml", &list("some", "entries: [1, 2], tasks: [one, other]"));
    bench.apply();
    let all =
        "SELECT string_agg(concat_ws(' ', list, address, task), ',' ORDER BY list, address, task)
        FROM suppressions";
    let before = bench.database.value(all);
    for (hand, n_drifted) in [
        ("DELETE FROM suppressions WHERE address = '8'", 1),
        ("DELETE FROM suppressions WHERE address = '2' AND task = 'one'", 1),
        ("UPDATE suppressions SET address = '77' WHERE address = '7'", 1),
        ("INSERT INTO suppressions (address, list) VALUES ('5', 'all')", 1),
        ("TRUNCATE suppressions", 2),
    ] {
        bench.database.run_as_stranger(hand);
        let plan = bench.plan();
        assert_eq!(plan["summary"]["drifted"], n_drifted, "{hand}: {plan:#}");
        bench.apply();
        assert_eq!(bench.database.value(all), before, "{hand}");
        assert!(bench.ok(&["plan"]).contains("Nothing to do"), "{hand}");
    }
}
