//! Saved plans, guard rails, consent, drift and history, through the program.

use serde_json::Value;

use crate::support::{Bench, PATIENCE, Program, channel, vk_task, wait_until};

impl Bench {
    /// A task `name` of `name.yaml` with five contacts and a daily limit.
    fn task(&self, name: &str, limit: u32) {
        let text = vk_task(name, "vk", "[1, 2, 3, 4, 5]", "");
        let text =
            text.replace("dailyLimitPerChannel: 20", &format!("dailyLimitPerChannel: {limit}"));
        assert!(text.contains(&format!("dailyLimitPerChannel: {limit}")), "{text}");
        self.folder.write(&format!("{name}.yaml"), &text);
    }

    fn limits(&self) -> String {
        self.database.value(
            "SELECT string_agg(name || ' ' || daily_limit, ', ' ORDER BY name) FROM tasks
            WHERE deleted_at IS NULL",
        )
    }
}

#[test]
fn a_saved_plan_is_applied_as_reviewed_whatever_happens_to_others() {
    let bench = Bench::new();
    bench.task("one", 10);
    bench.task("two", 10);
    bench.apply();
    bench.task("one", 11);
    bench.ok(&["plan", "--out", "plan.json"]);
    // Another task is changed and applied meanwhile, and a third manifest breaks.
    bench.task("two", 12);
    bench.ok(&["apply", "--auto-approve", "--target", "two"]);
    bench.folder.write("three.yaml", "kind: [");
    bench.ok(&["apply", "plan.json"]);
    assert_eq!(bench.limits(), "one 11, two 12");
    // Applied once: the same plan again says so, also after an operator acted.
    bench.ok(&["start", "one"]);
    let again = bench.run(&["apply", "plan.json"]);
    assert_eq!(again.code, 4, "{}", again.stderr);
    assert!(
        again.stderr.contains("this plan was applied already, as revision 3\n"),
        "{}",
        again.stderr
    );
    // What the same task was made since is another story.
    bench.task("one", 13);
    bench.folder.remove("three.yaml");
    bench.ok(&["apply", "--auto-approve", "--target", "one"]);
    bench.task("one", 14);
    let again = bench.run(&["apply", "plan.json"]);
    assert_eq!(again.code, 4, "{}", again.stderr);
    assert!(again.stderr.contains("its manifest or its audience changed"), "{}", again.stderr);
}

#[test]
fn what_is_not_what_was_reviewed_is_not_applied() {
    type Meddle = fn(&Bench);
    let cases: [(&str, &[&str], Meddle, &str); 7] = [
        (
            "the manifest is edited after the review",
            &["apply", "plan.json"],
            |bench| bench.task("one", 99),
            "Task/one: its manifest or its audience changed",
        ),
        (
            "its audience is",
            &["apply", "plan.json"],
            |bench| {
                let text = vk_task("one", "vk", "[1, 2, 3, 4, 5, 6]", "")
                    .replace("dailyLimitPerChannel: 20", "dailyLimitPerChannel: 11");
                bench.folder.write("one.yaml", &text);
            },
            "Task/one: its manifest or its audience changed",
        ),
        (
            "an operator acts on it",
            &["apply", "plan.json"],
            |bench| drop(bench.ok(&["start", "one"])),
            "(revision 2: start by tester",
        ),
        (
            "somebody edits the database",
            &["apply", "plan.json"],
            |bench| bench.database.run_as_stranger("UPDATE tasks SET pause_ms = 5000"),
            "Task/one: it was changed since",
        ),
        (
            "the file is edited",
            &["apply", "plan.json"],
            |bench| {
                let path = bench.folder.root().join("plan.json");
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::write(&path, text.replace("11", "12")).unwrap();
            },
            "it was changed after it was saved",
        ),
        (
            "another manifest is edited",
            &["apply", "plan.json", "--require-unchanged"],
            |bench| bench.task("two", 12),
            "Task/two: the reviewed plan does not change it",
        ),
        (
            "more would be done than the bound allows",
            &["apply", "--constrain", "plan.json", "--auto-approve"],
            |bench| bench.task("two", 12),
            "Task/two: the reviewed plan does not change it",
        ),
    ];
    for (what, arguments, meddle, told) in cases {
        let bench = Bench::new();
        bench.task("one", 10);
        bench.task("two", 10);
        bench.apply();
        bench.task("one", 11);
        bench.ok(&["plan", "--out", "plan.json"]);
        meddle(&bench);
        let ended = bench.run(arguments);
        let code = if what == "the file is edited" { 1 } else { 4 };
        assert_eq!(ended.code, code, "{what}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{what}: {}", ended.stderr);
        assert_eq!(bench.limits(), "one 10, two 10", "{what}");
    }
}

#[test]
fn a_constrained_apply_may_do_less_and_starts_from_anywhere() {
    let bench = Bench::new();
    bench.task("one", 10);
    bench.task("two", 10);
    bench.apply();
    bench.task("one", 11);
    bench.task("two", 11);
    bench.ok(&["plan", "--out", "plan.json"]);
    bench.ok(&["apply", "--auto-approve", "--target", "two"]);
    bench.ok(&["start", "one"]);
    bench.ok(&["apply", "--constrain", "plan.json", "--auto-approve"]);
    assert_eq!(bench.limits(), "one 11, two 11");
}

#[test]
fn plans_of_the_same_input_are_the_same_bytes() {
    let bench = Bench::new();
    for n in 0..20 {
        bench.task(&format!("task-{n}"), 10 + n);
    }
    for output in ["json", "human", "markdown"] {
        let plan = || bench.ok(&["plan", "--output", output]);
        assert_eq!(plan(), plan());
    }
    bench.ok(&["plan", "--out", "one.plan"]);
    bench.ok(&["plan", "--out", "two.plan", "--json-into", "two.json"]);
    let read = |file: &str| std::fs::read_to_string(bench.folder.root().join(file)).unwrap();
    assert_eq!(read("one.plan"), read("two.plan"));
    assert_eq!(read("two.json"), bench.ok(&["plan", "--output", "json"]));
}

#[test]
fn drift_is_apart_from_changes_and_put_back_with_who_and_when() {
    let bench = Bench::new();
    bench.task("one", 10);
    bench.apply();
    bench.database.run_as_stranger(
        "SET application_name = 'psql'; UPDATE tasks SET daily_limit = 500, pause_ms = 3500;
        UPDATE lanes SET daily_limit = 77",
    );
    // The manifest changes the pause itself: that is a change, not drift.
    let text = std::fs::read_to_string(bench.folder.tasks().join("one.yaml")).unwrap();
    bench
        .folder
        .write("one.yaml", &text.replace("pauseBetweenDialogues: 3s", "pauseBetweenDialogues: 4s"));
    let human = bench.ok(&["plan"]);
    for told in [
        "outgoing.pauseBetweenDialogues      3s 500ms → 4s",
        "Drifted from what was applied",
        "? Task `one`  changed by ",
        "outgoing.dailyLimitPerChannel       500 → 10",
        "? Channel `vk`  changed by ",
        " with psql at ",
        "0 to create, 1 to update, 0 to recreate, 0 to delete, 0 rejected, 0 blocked, 2 drifted.",
    ] {
        assert!(human.contains(told), "{told}: {human}");
    }
    let json = bench.plan();
    assert_eq!(json["summary"]["drifted"], 2);
    assert_eq!(json["drift"][0]["fields"][0]["path"], "dailyLimit");
    assert_eq!(json["drift"][1]["fields"][0]["after"], 10);
    assert_eq!(bench.run(&["plan", "--detailed-exitcode"]).code, 2);
    bench.apply();
    assert_eq!(bench.database.value("SELECT daily_limit || ' ' || pause_ms FROM tasks"), "10 4000");
    assert_eq!(
        bench.database.value("SELECT daily_limit <> 77 FROM lanes WHERE channel = 'vk'"),
        "true"
    );
    assert!(bench.ok(&["plan"]).contains("Nothing to do"));
}

#[test]
fn counters_and_operators_are_no_drift_and_a_run_state_of_git_is() {
    let bench = Bench::new();
    bench.task("one", 10);
    bench.apply();
    bench.ok(&["start", "one"]);
    bench.database.run_as_stranger(
        "UPDATE task_channels SET day = current_date, day_count = 3, n_sent = 3;
        UPDATE lanes SET day = current_date, day_count = 3, last_opening_at = now();
        UPDATE audiences SET waiting = 2",
    );
    assert!(bench.ok(&["plan"]).contains("Nothing to do"));
    bench.folder.write("one.yaml", &vk_task("one", "vk", "[1]", "  state: running"));
    bench.ok(&["apply", "--auto-approve", "--allow-shrink", "one"]);
    bench.database.run_as_stranger("UPDATE tasks SET phase = 'stopped'");
    let plan = bench.ok(&["plan"]);
    assert!(plan.contains("▶ stopped → in progress") && plan.contains("1 drifted"), "{plan}");
    bench.apply();
    assert_eq!(bench.database.value("SELECT phase FROM tasks"), "in-progress");
}

#[test]
fn too_much_at_once_is_rejected_until_it_is_allowed() {
    let bench = Bench::new();
    for n in 0..6 {
        bench.task(&format!("task-{n}"), 10);
    }
    bench.task("shrinking", 10);
    bench.apply();
    for n in 0..4 {
        bench.folder.remove(&format!("task-{n}.yaml"));
    }
    bench.folder.write("shrinking.yaml", &vk_task("shrinking", "vk", "[1, 2]", ""));
    let plan = bench.run(&["plan", "--stop-first"]);
    assert_eq!(plan.code, 3);
    for told in [
        "it is one of 4 tasks of 7 that would be deleted at once; 3 may be  [too-many-deletions]",
        "nuncio apply --stop-first --max-delete 4",
        "its audience would lose 3 of 5 contacts, which is more than half  [audience-shrinks]",
        "nuncio apply --stop-first --allow-shrink shrinking",
    ] {
        assert!(plan.stdout.contains(told), "{told}: {}", plan.stdout);
    }
    bench.ok(&[
        "apply",
        "--stop-first",
        "--max-delete",
        "4",
        "--allow-shrink",
        "shrinking",
        "--auto-approve",
    ]);
    assert_eq!(bench.limits(), "shrinking 20, task-4 10, task-5 10");
    // All of it gone looks like a volume that is not there.
    for file in ["task-4.yaml", "task-5.yaml", "shrinking.yaml", "team.yaml", "vk.yaml"] {
        bench.folder.remove(file);
    }
    let emptied = bench.run(&["apply", "--stop-first", "--auto-approve"]);
    assert_eq!(emptied.code, 1);
    assert!(emptied.stderr.contains("--max-delete 3"), "{}", emptied.stderr);
    bench.ok(&["apply", "--stop-first", "--max-delete", "3", "--auto-approve"]);
    assert_eq!(bench.limits(), "NULL");
}

#[test]
fn a_consent_in_git_works_once() {
    let bench = Bench::new();
    bench.folder.write("vk2.yaml", &channel("vk-two", "vk-user", "token: {env: T}", ""));
    bench.task("one", 10);
    bench.apply();
    let id = || bench.database.value("SELECT id FROM tasks WHERE deleted_at IS NULL");
    let consenting = |channel: &str, id: &str| {
        let text = vk_task("one", channel, "[1, 2, 3, 4, 5]", "");
        let consent = format!("name: one, annotations: {{nuncio/recreate: \"{id}\"}}");
        assert!(text.contains("name: one"), "{text}");
        bench.folder.write("one.yaml", &text.replacen("name: one", &consent, 1));
    };
    let first = id();
    consenting("vk-two", &first);
    bench.apply();
    let second = id();
    assert_ne!(first, second);
    assert!(bench.ok(&["plan"]).contains("Nothing to do"));
    // The same approval again names an incarnation that is gone.
    consenting("vk", &first);
    let plan = bench.run(&["plan"]);
    assert_eq!(plan.code, 3);
    assert!(
        plan.stdout.contains(&format!("its annotation consents to replace {first}")),
        "{}",
        plan.stdout
    );
    for (bad, told) in [("x", "names the id of the task"), ("", "names the id of the task")] {
        consenting("vk", bad);
        let validate = bench.run(&["validate"]);
        assert!(validate.code == 1 && validate.stderr.contains(told), "{}", validate.stderr);
    }
}

#[test]
fn what_is_allowed_goes_on_when_it_shall_keep_going() {
    let bench = Bench::new();
    bench.task("one", 10);
    bench.apply();
    bench.task("one", 11);
    bench.folder.write("broken.yaml", &vk_task("broken", "nobody", "[1]", ""));
    assert_eq!(bench.run(&["apply", "--auto-approve"]).code, 1);
    let ended = bench.run(&["apply", "--auto-approve", "--keep-going"]);
    assert_eq!(ended.code, 6, "{}", ended.stderr);
    assert_eq!(bench.limits(), "one 11");
}

#[test]
fn history_tells_who_changed_what_and_a_rollback_stands_until_the_manifest_changes() {
    let bench = Bench::new();
    bench.task("one", 10);
    bench.apply();
    bench.task("one", 30);
    bench.ok(&["apply", "--auto-approve", "--message", "more on weekends"]);
    bench.ok(&["start", "one"]);
    let history = bench.ok(&["history", "one"]);
    for told in
        ["    3  ", "start by tester", "    2  ", "apply by tester: 1 updated", "more on weekends"]
    {
        assert!(history.contains(told), "{told}: {history}");
    }
    let show = bench.ok(&["show", "2"]);
    assert!(show.contains("outgoing.dailyLimitPerChannel       10 → 30"), "{show}");
    let json: Value = serde_json::from_str(&bench.ok(&["history", "--output", "json"])).unwrap();
    assert_eq!(json["revisions"][1]["changes"][0]["fields"][0]["after"], "30");
    assert_eq!(json["revisions"][0]["changes"][0]["phase"]["to"], "in-progress");

    let watch = Program::new(bench.folder.root(), &["watch"]).database(&bench.database).start();
    assert_eq!(bench.run(&["rollback", "one", "--to", "9"]).code, 1);
    assert_eq!(bench.run(&["rollback", "one", "--to", "1"]).code, 1, "nobody can be asked");
    bench.ok(&["rollback", "one", "--to", "1", "--auto-approve", "-m", "complaints"]);
    assert_eq!(bench.limits(), "one 10");
    // A look at the folder that certainly came after the rollback: another task is applied by it.
    bench.task("two", 20);
    let applied = || (bench.limits() == "one 10, two 20", bench.limits());
    wait_until("watch applies the other task", PATIENCE, applied);
    let plan = bench.ok(&["plan"]);
    assert!(plan.contains("it was rolled back in revision 4"), "{plan}");
    bench.apply();
    assert_eq!(bench.limits(), "one 10, two 20");
    // The manifest changes: it counts again.
    bench.task("one", 31);
    let applied = || (bench.limits() == "one 31, two 20", bench.limits());
    wait_until("watch applies the new manifest", PATIENCE, applied);
    drop(watch);
}

#[test]
fn what_is_live_is_adopted_into_the_manifest_and_nothing_else_of_it_changes() {
    let bench = Bench::new();
    bench.task("one", 10);
    let path = bench.folder.tasks().join("one.yaml");
    let read = || std::fs::read_to_string(&path).unwrap();
    let commented = read().replace(
        "    dailyLimitPerChannel: 10",
        "    # careful\n    dailyLimitPerChannel: 10 # a day",
    );
    bench.folder.write("one.yaml", &commented);
    bench.apply();
    bench
        .database
        .run_as_stranger("UPDATE tasks SET daily_limit = 17; UPDATE lanes SET daily_limit = 18");
    assert!(
        bench.ok(&["adopt", "one", "--diff"]).contains("+    dailyLimitPerChannel: 17 # a day")
    );
    assert_eq!(read(), commented);
    bench.ok(&["adopt", "one"]);
    assert_eq!(read(), commented.replace("dailyLimitPerChannel: 10", "dailyLimitPerChannel: 17"));
    bench.ok(&["adopt", "Channel/vk"]);
    let plan = bench.ok(&["plan"]);
    assert!(plan.contains("Nothing to do"), "{plan}");
    bench.apply();
    assert_eq!(
        bench.database.value("SELECT bool_or(live_mark(t) <> applied_mark) FROM tasks t"),
        "false"
    );
    assert!(bench.ok(&["adopt", "one"]).is_empty());
    // What a rollback brought back is adopted as well.
    bench.ok(&["rollback", "one", "--to", "1", "--auto-approve"]);
    bench.ok(&["adopt", "one"]);
    assert_eq!(read(), commented);
    assert!(bench.ok(&["plan"]).contains("Nothing to do"));
}

#[test]
fn show_prints_a_saved_plan_and_what_is_live() {
    let bench = Bench::new();
    bench.task("one", 10);
    bench.ok(&["plan", "--out", "plan.json"]);
    assert!(bench.ok(&["show", "plan.json"]).contains("+ Task `one`  tasks.d/one.yaml:1:1"));
    assert_eq!(bench.run(&["show", "1"]).code, 1);
    let applied = bench.ok(&["apply", "plan.json", "--output", "json"]);
    let applied: Value = serde_json::from_str(&applied).unwrap();
    assert_eq!((&applied["revision"], &applied["contacts"]), (&1.into(), &5.into()));
    assert_eq!(applied["plan"]["changes"].as_array().map(Vec::len), Some(4));
    let stale = bench.run(&["apply", "plan.json", "--output", "json"]);
    let told: Value = serde_json::from_str(&stale.stdout).unwrap();
    assert_eq!((stale.code, &told["error"]["code"]), (4, &"stale".into()));
    let manifest = bench.ok(&["show", "one"]);
    assert!(manifest.contains("dailyLimitPerChannel: 10"), "{manifest}");
    assert!(bench.ok(&["show", "Manager/anna"]).contains("fullName: Anna Petrova"));
    let ended = bench.run(&["show", "no such thing"]);
    assert!(ended.code == 64 || ended.code == 1, "{}", ended.stderr);
}

#[test]
fn a_role_that_may_only_read_can_plan() {
    let bench = Bench::new();
    bench.task("one", 10);
    bench.apply();
    let role = format!("reader_{}", std::process::id());
    bench.database.run(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    let url = bench.database.url();
    let (scheme, rest) = url.split_once("://").unwrap();
    let url = format!("{scheme}://{role}@{}", rest.split_once('@').unwrap().1);
    let run = |arguments: &[&str]| {
        Program::new(bench.folder.root(), arguments).env("NUNCIO_DATABASE_URL", &url).run()
    };
    bench.task("one", 11);
    let plan = run(&["plan"]);
    let apply = run(&["apply", "--auto-approve"]);
    bench.database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    assert!(plan.stdout.contains("10 → 11"), "{}", plan.stdout);
    assert_eq!(apply.code, 1, "{}", apply.stderr);
    assert!(apply.stderr.contains("permission denied"), "{}", apply.stderr);
    assert_eq!(bench.limits(), "one 10");
}
