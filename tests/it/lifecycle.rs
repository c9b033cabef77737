//! Plan, apply, status and the acts, through the program.

use std::time::Duration;

use nuncio::{
    domain::{
        kind::ChannelKind,
        revision::{Cause, Provenance},
    },
    store::Patience,
};

use crate::support::{
    Bench, Ended, LEAVING, PATIENCE, Program, Providers, TEAM, begin_within_a_day, channel,
    vk_task, wait_until,
};

fn last_line(ended: &Ended) -> &str {
    ended.stdout.trim_end().lines().last().unwrap_or_default()
}

#[test]
fn a_plan_after_its_apply_has_nothing_to_do() {
    let bench = Bench::new();
    bench.folder.write("a.yaml", &vk_task("renewals", "vk", "[100, 200, 300]", ""));
    let before = bench.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(before.code, 2, "{}", before.stderr);
    assert_eq!(
        last_line(&before),
        "Plan: 4 to create, 0 to update, 0 to recreate, 0 to delete, 0 rejected, 0 blocked, 0 drifted."
    );
    bench.apply();
    let after = bench.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(after.code, 0, "{}", after.stdout);
    assert!(after.stdout.starts_with("Nothing to do"), "{}", after.stdout);
    // Moving a document to another file, comments and the order of keys are no changes either.
    bench.folder.remove("a.yaml");
    bench.folder.write(
        "b/c.yaml",
        &format!("# moved\n{}", vk_task("renewals", "vk", "[100, 200, 300]", "")),
    );
    assert_eq!(bench.run(&["plan", "--detailed-exitcode"]).code, 0);
}

/// What will happen depends on the day of the test.
fn without_forecast(plan: &str) -> String {
    let (changes, rest) = plan.split_once("What will happen then:\n").unwrap();
    let is_next = |line: &&str| !line.is_empty() && !line.starts_with(' ');
    let rest: Vec<&str> = rest.lines().skip_while(|line| !is_next(line)).collect();
    format!("{changes}{}\n", rest.join("\n"))
}

#[test]
fn what_changes_is_shown_and_nothing_else() {
    let bench = Bench::new();
    bench.folder.write("a.yaml", &vk_task("renewals", "vk", "[100, 200, 300]", ""));
    bench.apply();
    let task = vk_task("renewals", "vk", "[200, 300, 400, 500]", "  state: running")
        .replace("0.50", "0.75")
        .replace("{text: Hello!}", "{text: \"Hello!\\nSecond line\"}");
    bench.folder.write("a.yaml", &task);
    let plan = bench.run(&["plan"]);
    insta::assert_snapshot!(without_forecast(&plan.stdout), @r#"
      ~ Task `renewals`  tasks.d/a.yaml:1:1
          outgoing.opening.text
            - Hello!
            + Hello!
            + Second line
          spendingLimitPerDialogue            0.50 → 0.75
          state                               (absent) → running
          outgoing.targetAudience             3 → 4 contacts
            + 2 (400, 500)
            - 1 (100)
          ▶ awaiting → in progress

    Plan: 0 to create, 1 to update, 0 to recreate, 0 to delete, 0 rejected, 0 blocked, 0 drifted.
    "#);
    bench.apply();
    assert_eq!(bench.run(&["plan", "--detailed-exitcode"]).code, 0);
    assert_eq!(
        bench.database.value("SELECT string_agg(address, ',' ORDER BY position) FROM contacts"),
        "200,300,400,500"
    );
}

#[test]
fn a_forbidden_edit_is_rejected_and_nothing_is_written() {
    let bench = Bench::new();
    bench.folder.write("vk2.yaml", &channel("vk-two", "vk-user", "token: {env: T}", ""));
    bench.folder.write("a.yaml", &vk_task("renewals", "vk", "[100, 200, 300]", ""));
    bench.folder.write("b.yaml", &vk_task("others", "vk", "[1]", ""));
    bench.apply();
    let generation = || {
        bench.database.value("SELECT string_agg(name || generation, ',' ORDER BY name) FROM tasks")
    };
    let before = generation();

    bench.folder.write("a.yaml", &vk_task("renewals", "vk-two", "[100, 200, 300]", ""));
    bench.folder.write("b.yaml", &vk_task("others", "vk", "[1]", "  title: Others"));
    let plan = bench.run(&["plan"]);
    assert_eq!(plan.code, 3);
    let id = bench.database.value("SELECT id FROM tasks WHERE name = 'renewals'");
    insta::assert_snapshot!(without_forecast(&plan.stdout).replace(&id, "[id]"), @r#"
      ~ Task `others`  tasks.d/b.yaml:1:1
          title                               (absent) → Others

    Rejected by rule:

      ! Task `renewals`  tasks.d/a.yaml:7:13
          `channels` is fixed when a task is created  [forbidden-edit]
          channels                            [vk] → [vk-two]
          The way there, with your consent:
            1. stop: awaiting → completed
            2. delete: 3 contacts that were not reached yet leave the old task
            3. create: from tasks.d/a.yaml, with a new id
          3 contacts not reached yet
          hint: nuncio apply --recreate renewals
          hint: or in the manifest: metadata: {name: renewals, annotations: {nuncio/recreate: "[id]"}}

    Plan: 0 to create, 1 to update, 0 to recreate, 0 to delete, 1 rejected, 0 blocked, 0 drifted.
    "#);
    assert_eq!(bench.run(&["apply", "--auto-approve"]).code, 3);
    assert_eq!(generation(), before, "a rejected apply wrote something");
}

#[test]
fn type_and_format_are_forbidden_edits_too() {
    let bench = Bench::new();
    let task = vk_task("renewals", "vk", "[100]", "");
    bench.folder.write("a.yaml", &task);
    bench.apply();
    let incoming =
        task.split("  outgoing:").next().unwrap().replace("incoming-and-outgoing", "incoming");
    bench.folder.write("a.yaml", &incoming);
    let plan = bench.run(&["plan"]);
    assert_eq!(plan.code, 3, "{}{}", plan.stdout, plan.stderr);
    assert!(plan.stdout.contains("tasks.d/a.yaml:6:11"), "{}", plan.stdout);
    assert!(plan.stdout.contains("incoming-and-outgoing → incoming"), "{}", plan.stdout);

    bench.folder.write("wa.yaml", &channel("wa", "whatsapp-web", "apiKey: {env: K}", ""));
    let other = task
        .replace("type: vkontakte", "type: whatsapp")
        .replace("channels: [vk]", "channels: [wa]")
        .replace("[100]", "[\"+79161234501\"]");
    bench.folder.write("a.yaml", &other);
    let plan = bench.run(&["plan"]);
    assert_eq!(plan.code, 3, "{}{}", plan.stdout, plan.stderr);
    assert!(plan.stdout.contains("vkontakte → whatsapp"), "{}", plan.stdout);
    let recreated = bench.run(&["apply", "--recreate", "renewals", "--auto-approve"]);
    assert_eq!(recreated.code, 0, "{}", recreated.stderr);
    assert_eq!(bench.run(&["plan", "--detailed-exitcode"]).code, 0);
}

#[test]
fn a_recreated_task_writes_to_nobody_a_second_time() {
    let bench = Bench::new();
    let providers = Providers::start(Duration::ZERO, false);
    let endpoint = format!("  endpoint: {}\n", providers.endpoint(ChannelKind::VkUser));
    for name in ["vk", "vk-two"] {
        let text = channel(name, "vk-user", "token: {env: VK_TOKEN}", &endpoint);
        bench.folder.write(&format!("{name}.yaml"), &text);
    }
    let audience = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]";
    begin_within_a_day(PATIENCE);
    let task = vk_task("renewals", "vk", audience, "  state: running");
    bench.folder.write("a.yaml", &task.replace("PerChannel: 20", "PerChannel: 5"));
    bench.apply();
    bench.database.run("UPDATE tasks SET pause_ms = 100");
    let watch = || {
        Program::new(bench.folder.root(), &["watch"])
            .database(&bench.database)
            .env("VK_TOKEN", Providers::secret("vk", "token"))
            .start()
    };
    let running = watch();
    wait_until("some are written to", PATIENCE, || {
        let verdict = bench.database.value(
            "SELECT verdict || (SELECT count(*) FROM lanes WHERE in_flight IS NOT NULL) FROM turns",
        );
        (verdict == "daily-limit0", verdict)
    });
    assert_eq!(running.interrupt(LEAVING), 130);
    assert_eq!(providers.deliveries().len(), 5);

    bench.folder.write("a.yaml", &vk_task("renewals", "vk-two", audience, "  state: running"));
    let old_id = bench.database.value("SELECT id FROM tasks WHERE deleted_at IS NULL");
    let apply = bench.run(&["apply", "--recreate", "renewals", "--auto-approve"]);
    assert_eq!(apply.code, 0, "{}{}", apply.stdout, apply.stderr);
    assert!(apply.stdout.contains("-/+ Task `renewals`"), "{}", apply.stdout);
    assert_ne!(bench.database.value("SELECT id FROM tasks WHERE deleted_at IS NULL"), old_id);
    bench.database.run("UPDATE tasks SET pause_ms = 100 WHERE deleted_at IS NULL");

    let running = watch();
    wait_until("everybody is written to", PATIENCE, || {
        let n = providers.deliveries().len();
        (n >= 12, n)
    });
    // Nothing more comes: the audience is exhausted.
    wait_until("the audience is exhausted", PATIENCE, || {
        let verdict = bench.database.value("SELECT verdict FROM turns");
        (verdict == "audience-exhausted", verdict)
    });
    drop(running);
    let mut addresses: Vec<String> =
        providers.deliveries().into_iter().map(|entry| entry.address).collect();
    addresses.sort();
    let n = addresses.len();
    addresses.dedup();
    assert_eq!((n, addresses.len()), (12, 12), "somebody was written to twice");
}

#[test]
fn a_task_in_progress_is_not_deleted_with_its_manifest() {
    let bench = Bench::new();
    bench.folder.write("a.yaml", &vk_task("renewals", "vk", "[100, 200]", "  state: running"));
    bench.apply();
    bench.folder.remove("a.yaml");
    let plan = bench.run(&["plan"]);
    assert_eq!(plan.code, 3);
    insta::assert_snapshot!(plan.stdout, @r"
    Deletions that are blocked:

      ! Task `renewals`  blocked, was in tasks.d/a.yaml
          its manifest is gone, and only a completed task can be deleted: it is in progress  [blocked]
          2 contacts not reached yet
          hint: nuncio apply --stop-first
          hint: or bring the manifest back with `state: completed`, apply it, and delete it then

    Plan: 0 to create, 0 to update, 0 to recreate, 0 to delete, 0 rejected, 1 blocked, 0 drifted.
    ");
    assert_eq!(bench.run(&["apply", "--auto-approve"]).code, 3);
    let applied = bench.run(&["apply", "--stop-first", "--auto-approve"]);
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    assert_eq!(
        bench.database.value("SELECT phase || (deleted_at IS NOT NULL) FROM tasks"),
        "completedtrue"
    );
    assert_eq!(bench.database.value("SELECT count(*) FROM contacts"), "0");
}

#[test]
fn operators_act_unless_git_owns_the_run_state() {
    let bench = Bench::new();
    bench.folder.write("a.yaml", &vk_task("ours", "vk", "[100]", ""));
    bench.folder.write("b.yaml", &vk_task("gits", "vk", "[100]", "  state: running"));
    bench.apply();
    let refused = bench.run(&["pause", "gits"]);
    assert_eq!(refused.code, 3);
    assert!(refused.stderr.contains("b.yaml:11"), "{}", refused.stderr);

    for (act, code, phase) in [
        ("pause", 3, "awaiting"),
        ("start", 0, "in-progress"),
        ("start", 0, "in-progress"),
        ("pause", 0, "stopped"),
        ("start", 0, "in-progress"),
        ("stop", 0, "completed"),
        ("start", 3, "completed"),
    ] {
        let ended = bench.run(&[act, "ours"]);
        assert_eq!(ended.code, code, "{act}: {}", ended.stderr);
        assert_eq!(bench.database.value("SELECT phase FROM tasks WHERE name = 'ours'"), phase);
    }
    assert_eq!(bench.run(&["delete", "ours"]).code, 3, "its manifest is still there");
    // What operators decide is no drift.
    assert_eq!(bench.run(&["plan", "--detailed-exitcode"]).code, 0);
    bench.folder.remove("a.yaml");
    assert_eq!(bench.run(&["delete", "ours"]).code, 0);
    assert_eq!(bench.run(&["start", "nobody"]).code, 1);
    let status = bench.run(&["status"]);
    assert!(status.stdout.contains("gits") && !status.stdout.contains("ours"), "{}", status.stdout);
}

#[test]
fn a_channel_that_is_still_used_stays() {
    let bench = Bench::new();
    bench.folder.write("a.yaml", &vk_task("renewals", "vk", "[100]", "  state: running"));
    bench.apply();
    bench.folder.remove("a.yaml");
    bench.folder.remove("vk.yaml");
    let plan = bench.run(&["plan"]);
    assert_eq!(plan.code, 3);
    assert!(plan.stdout.contains("task `renewals` still uses it"), "{}", plan.stdout);
    assert_eq!(bench.run(&["apply", "--stop-first", "--auto-approve"]).code, 0);
    assert_eq!(bench.database.value("SELECT count(*) FROM resources WHERE kind = 'Channel'"), "0");
}

#[test]
fn nobody_is_asked_where_nobody_can_answer() {
    let bench = Bench::new();
    let ended = bench.run(&["apply"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("--auto-approve"), "{}", ended.stderr);
    assert_eq!(bench.database.value("SELECT count(*) FROM resources"), "0");
}

#[test]
fn a_second_writer_waits_and_then_says_who_holds_the_lock() {
    let bench = Bench::new();
    let holder = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap()
                    .block_on(async {
                        let store = bench.database.store().await;
                        let provenance = Provenance::new(Cause::Apply, "anna");
                        let patience = Patience::silent(Duration::ZERO);
                        let writing = store.begin_writing(&provenance, patience).await.unwrap();
                        let folder = bench.folder.root().to_owned();
                        let url = bench.database.url();
                        let ended = tokio::task::spawn_blocking(move || {
                            Program::new(
                                &folder,
                                &["apply", "--auto-approve", "--lock-timeout", "300ms"],
                            )
                            .env("NUNCIO_DATABASE_URL", url)
                            .run()
                        })
                        .await
                        .unwrap();
                        drop(writing);
                        ended
                    })
            })
            .join()
            .unwrap()
    });
    assert_eq!(holder.code, 5, "{}", holder.stderr);
    for told in ["waiting for `nuncio apply by anna`", "lock: `nuncio apply by anna` of database"] {
        assert!(holder.stderr.contains(told), "{}", holder.stderr);
    }
    bench.apply();
}

#[test]
fn every_default_written_out_is_no_change() {
    let bench = Bench::new();
    bench.folder.write("a.yaml", &vk_task("renewals", "vk", "[100]", ""));
    bench.apply();
    bench.folder.write(
        "vk.yaml",
        &channel(
            "vk",
            "vk-user",
            "token: {env: VK_TOKEN}",
            "  dailyLimit: 20\n  endpoint: https://api.vk.ru\n",
        ),
    );
    bench.folder.write(
        "team.yaml",
        &TEAM
            .replace(
                "  model:",
                "  endpoint: https://api.openai.com/v1\n  maxOutputTokens: 400\n  model:",
            )
            .replace("Tokens: 1,", "Tokens: 1.00, cachedInputPerMillionTokens: 1,"),
    );
    let task = vk_task("renewals", "vk", "[100]", "")
        .replace("    daily", "    timezone: UTC\n    daily")
        .replace("0.50", "\"0.500000\"")
        .replace("3s", "3000ms");
    bench.folder.write("a.yaml", &task.replace("3000ms", "0m 3s"));
    let plan = bench.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{}{}", plan.stdout, plan.stderr);
}

#[test]
fn consent_that_nothing_needs_changes_nothing() {
    let bench = Bench::new();
    bench.folder.write("a.yaml", &vk_task("renewals", "vk", "[100, 200]", "  state: running"));
    bench.apply();
    let ended = bench.run(&["apply", "--recreate", "renewals", "--auto-approve"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.starts_with("Nothing to do"), "{}", ended.stdout);
    assert_eq!(bench.database.value("SELECT count(*) FROM tasks"), "1");
    assert_eq!(bench.run(&["plan", "--recreate", "nobody"]).code, 1);
}

#[test]
fn an_edit_that_breaks_the_rest_of_the_manifest_is_told_as_what_it_is() {
    let bench = Bench::new();
    let task = vk_task("renewals", "vk", "[100, 200]", "");
    bench.folder.write("a.yaml", &task);
    bench.folder.write("b.yaml", &vk_task("others", "vk", "[1]", ""));
    bench.folder.write("bot.yaml", &channel("bot", "telegram-bot", "token: {env: T}", ""));
    bench.apply();
    bench.folder.write("b.yaml", &vk_task("others", "vk", "[1]", "  title: Others"));
    for (edit, shown) in [
        (task.replace("type: vkontakte", "type: telegram"), "vkontakte → telegram"),
        (task.replace("incoming-and-outgoing", "incoming"), "incoming-and-outgoing → incoming"),
        (task.replace("channels: [vk]", "channels: [bot]"), "[vk] → [bot]"),
    ] {
        bench.folder.write("a.yaml", &edit);
        let plan = bench.run(&["plan"]);
        assert_eq!(plan.code, 3, "{}{}", plan.stdout, plan.stderr);
        for words in
            [shown, "[forbidden-edit]", "nuncio apply --recreate renewals", "(absent) → Others"]
        {
            assert!(plan.stdout.contains(words), "{words}:\n{}", plan.stdout);
        }
        assert_eq!(bench.run(&["apply", "--auto-approve"]).code, 3);
        // With the mistakes inside, consent cannot be carried out.
        assert_eq!(bench.run(&["apply", "--recreate", "renewals", "--auto-approve"]).code, 1);
    }
    // Another mistake, elsewhere, and nothing is planned.
    bench.folder.write("b.yaml", &vk_task("others", "vk", "[0]", ""));
    assert_eq!(bench.run(&["plan"]).code, 1);
    assert_eq!(bench.database.value("SELECT count(*) FROM tasks WHERE generation > 1"), "0");
}

#[test]
fn a_renamed_task_does_not_write_to_everybody_again() {
    let bench = Bench::new();
    bench.folder.write("a.yaml", &vk_task("renewals", "vk", "[100, 200]", ""));
    bench.apply();
    bench.folder.write("a.yaml", &vk_task("renewals-two", "vk", "[100, 200]", ""));
    // Not a race with the first opening: both would write.
    let ended = bench.run(&["apply", "--auto-approve", "--keep-going"]);
    assert!(ended.stdout.contains("would be written to by both  [renamed-task]"), "{ended:?}");
    assert_eq!(bench.database.value("SELECT string_agg(name, ' ') FROM tasks"), "renewals");
    bench.database.run(
        "INSERT INTO ledger (task, address, opening, channel) VALUES ('renewals', '100', 1, 'vk')",
    );
    for arguments in
        [&["plan"][..], &["apply", "--auto-approve"], &["apply", "--auto-approve", "--stop-first"]]
    {
        let ended = bench.run(arguments);
        assert_eq!(ended.code, 3, "{}{}", ended.stdout, ended.stderr);
        assert!(
            ended.stdout.contains("it is task `renewals` under a new name"),
            "{}",
            ended.stdout
        );
    }
    // Deliberately: the old one is ended first.
    assert_eq!(bench.run(&["stop", "renewals"]).code, 0);
    assert_eq!(bench.run(&["plan"]).code, 3);
    assert_eq!(bench.run(&["delete", "renewals"]).code, 0);
    bench.apply();
}

#[test]
fn a_pause_ends_by_itself_and_is_in_the_history() {
    let bench = Bench::new();
    bench.folder.write("a.yaml", &vk_task("renewals", "vk", "[1]", ""));
    bench.apply();
    for arguments in [
        &["start", "renewals"][..],
        &["pause", "renewals", "--for", "1h", "--reason", "the call centre is full"],
        &["pause", "renewals", "--for", "1s", "--reason", "a minute more"],
    ] {
        let ended = bench.run(arguments);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    assert_eq!(bench.run(&["pause", "renewals", "--for", "0s"]).code, 64);
    assert_eq!(bench.database.value("SELECT phase_reason FROM tasks"), "a minute more");
    let status = bench.run(&["status", "renewals"]).stdout;
    assert!(status.contains("`renewals` is paused by tester: a minute more, until 2"), "{status}");
    let watch = Program::new(bench.folder.root(), &["watch"]).database(&bench.database).start();
    let history = "SELECT string_agg(cause || coalesce(' ' || message, ''), ', ' ORDER BY number)
        FROM revisions";
    wait_until("the pause ends", Duration::from_secs(20), || {
        let history = bench.database.value(history);
        (history.ends_with("resume the pause is over"), history)
    });
    assert_eq!(
        bench.database.value(history),
        "apply, start, pause the call centre is full, pause a minute more, resume the pause is over"
    );
    assert_eq!(bench.database.value("SELECT phase FROM tasks"), "in-progress");
    drop(watch);
}
