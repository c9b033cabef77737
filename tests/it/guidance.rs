//! What somebody meets who is new to the program: warnings in time, hints that lead somewhere.

use crate::support::{Bench, Folder, Program, vk_task};

impl Bench {
    /// Both streams of a command that goes well.
    #[track_caller]
    fn said(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended.stdout + &ended.stderr
    }

    fn people(&self, name: &str, audience: &str) {
        self.folder.write(&format!("{name}.yaml"), &vk_task(name, "vk", audience, ""));
    }
}

#[track_caller]
fn assert_told(text: &str, told: &[&str]) {
    for told in told {
        assert!(text.contains(told), "{told:?} is not in:\n{text}");
    }
}

#[test]
fn two_tasks_with_the_same_people_are_told_of() {
    let bench = Bench::new();
    bench.people("autumn", "[1, 2, 3]");
    assert!(!bench.said(&["apply", "--auto-approve"]).contains("shared-audience"));
    bench.folder.write("people.txt", "4\n3\n5\n");
    // A copied file; one with a person in common; one of whom the other has nobody.
    for (audience, told) in [
        ("[3, 2, 1]", "3 of 3 contacts are also in `autumn`"),
        ("{file: people.txt}", "1 of 3 contacts is also in `autumn`"),
        ("[4]", ""),
    ] {
        bench.people("winter", audience);
        let plan = bench.said(&["plan"]);
        assert_eq!(plan.contains("shared-audience"), !told.is_empty(), "{plan}");
        assert_told(&plan, &[told]);
    }
    // Told while it can be changed, and not for ever.
    bench.people("winter", "[1, 2, 3]");
    bench.said(&["apply", "--auto-approve"]);
    assert!(!bench.said(&["plan"]).contains("shared-audience"));
    // Of two new tasks one is warned of.
    bench.people("spring-a", "[7]");
    bench.people("spring-b", "[7]");
    let plan = bench.said(&["plan"]);
    assert_eq!(plan.matches("warning").count(), 1, "{plan}");
    // A completed task writes to nobody.
    bench.folder.remove("spring-b.yaml");
    bench.said(&["apply", "--auto-approve"]);
    bench.said(&["stop", "spring-a"]);
    bench.people("spring-b", "[7]");
    assert!(!bench.said(&["plan"]).contains("shared-audience"));
}

#[test]
fn a_large_audience_is_compared_by_its_digest_alone() {
    let bench = Bench::new();
    let many: String = (1..=60_000).map(|n| n.to_string()).collect::<Vec<_>>().join("\n") + "\n";
    bench.folder.write("a.txt", &many);
    bench.folder.write("b.txt", &many);
    bench.people("autumn", "{file: a.txt}");
    bench.said(&["apply", "--auto-approve"]);
    bench.people("winter", "{file: b.txt}");
    assert_told(&bench.said(&["plan"]), &["60000 of 60000 contacts are also in `autumn`"]);
    bench.folder.write("b.txt", &format!("{many}60001\n"));
    assert!(!bench.said(&["plan"]).contains("shared-audience"));
}

#[test]
fn a_hint_is_the_whole_command() {
    let bench = Bench::new();
    for n in 0..6 {
        bench.people(&format!("task-{n}"), &format!("[{n}1]"));
    }
    bench.said(&["apply", "--auto-approve"]);
    let files: Vec<String> = (0..6).map(|n| format!("task-{n}.yaml")).collect();
    for file in &files[..5] {
        bench.folder.remove(file);
    }
    let whole = "hint: nuncio apply --stop-first --max-delete 5";
    for given in [&["plan"][..], &["plan", "--stop-first"], &["plan", "--max-delete", "2"]] {
        let plan = bench.run(given);
        assert_eq!(plan.code, 3, "{plan:?}");
        assert_told(&plan.stdout, &[&format!("{whole}\n")]);
    }
    // What was given stays.
    let plan = bench.run(&["plan", "--allow-shrink", "task-5"]);
    assert_told(
        &plan.stdout,
        &["nuncio apply --stop-first --allow-shrink task-5 --max-delete 5\n"],
    );
    for file in [&*files[5], "team.yaml", "vk.yaml"] {
        bench.folder.remove(file);
    }
    let emptied = bench.run(&["apply", "--auto-approve"]);
    assert_told(&emptied.stderr, &["nuncio apply --stop-first --max-delete 6\n"]);
    bench.said(&["apply", "--auto-approve", "--stop-first", "--max-delete", "6"]);
    assert_told(&bench.said(&["plan"]), &["Nothing to do.\n", "no manifests in `tasks.d`\n"]);
}

#[test]
fn what_is_blocked_has_a_code_and_a_way_out() {
    let bench = Bench::new();
    bench.people("one", "[1]");
    bench.said(&["apply", "--auto-approve"]);
    bench.folder.remove("one.yaml");
    for arguments in [&["plan"][..], &["apply", "--auto-approve"]] {
        let ended = bench.run(arguments);
        assert_eq!(ended.code, 3, "{ended:?}");
        assert_told(&ended.stdout, &["Deletions that are blocked:", "[blocked]"]);
        assert!(!ended.stdout.contains("Deletions and recreations"), "{ended:?}");
        assert_told(&ended.stderr, &["For more: nuncio explain blocked"]);
    }
    let ended = bench.run(&["apply", "--auto-approve"]);
    assert_told(&ended.stderr, &["the plan has 1 blocked part\n", "hint: each names its way out"]);
}

#[test]
fn the_forecast_of_a_saved_plan_is_of_what_it_leaves() {
    let bench = Bench::new();
    bench.people("one", "[1, 2, 3]");
    bench.people("two", "[4]");
    bench.said(&["plan", "--out", "one.plan", "--target", "one"]);
    // By now the folder says something else of the rest.
    bench.people("two", "[4, 5]");
    bench.people("three", "[6]");
    let applied = bench.said(&["apply", "one.plan"]);
    assert_told(&applied, &["one, if it were started now: 3 contacts"]);
    for other in ["two", "three"] {
        assert!(!applied.contains(other), "{applied}");
    }
}

#[test]
fn what_holds_no_manifest_is_not_valid() {
    let folder = Folder::new();
    let run = |arguments: &[&str]| Program::new(folder.root(), arguments).run();
    let empty = "there is no manifest in `tasks.d`";
    let other = "`people.csv` is no manifest";
    std::fs::write(folder.root().join("people.csv"), "1\n2\n").unwrap();
    folder.write("comments.yaml", "# later\n");
    let cases: [(&[&str], &str); 5] = [
        (&["validate"], empty),
        (&["validate", "-"], "there is no manifest in `<stdin>`"),
        (&["validate", "people.csv"], other),
        (&["fmt", "people.csv"], other),
        (&["fmt", "--check", "empty"], "there is no manifest in `empty`"),
    ];
    std::fs::create_dir(folder.root().join("empty")).unwrap();
    for (arguments, told) in cases {
        let ended = run(arguments);
        assert_eq!(ended.code, 1, "{arguments:?}: {ended:?}");
        assert_told(&ended.stderr, &[told, "hint: "]);
    }
    let json = run(&["validate", "--output", "json"]).stdout;
    assert_told(&json, &["\"tasks-folder\""]);
}

#[test]
fn a_rollback_and_what_it_holds_tell_where_and_what() {
    let bench = Bench::new();
    let task = |limit: &str| {
        let text = vk_task("one", "vk", "[1]", "").replace("Channel: 20", limit);
        bench.folder.write("one.yaml", &format!("# a comment\n\n{text}"));
    };
    task("Channel: 10");
    bench.said(&["apply", "--auto-approve"]);
    task("Channel: 11");
    bench.said(&["apply", "--auto-approve"]);
    let rolled = bench.said(&["rollback", "one", "--to", "1", "--auto-approve"]);
    assert_told(&rolled, &["~ Task `one`  tasks.d/one.yaml:3:1", "11 → 10"]);
    // What git says beside what is live.
    let plan = bench.said(&["plan"]);
    assert_told(
        &plan,
        &[
            "it was rolled back in revision 3",
            "outgoing.dailyLimitPerChannel       10 → 11",
            "Nothing to do beside what is held",
        ],
    );
    // Of a plan that was saved, too.
    let saved = bench.folder.root().join("saved.plan");
    let saved = saved.to_str().unwrap();
    bench.said(&["plan", "--out", saved]);
    assert_told(&bench.said(&["apply", saved]), &["Nothing to do beside what is held"]);
    let again = bench.said(&["rollback", "one", "--to", "1", "--auto-approve"]);
    assert_told(&again, &["Nothing to do: Task `one` is live as it was after revision 1."]);
    assert_told(&again, &["Its manifest says something else, and is held until it changes."]);
    assert!(!again.contains("as the manifests say"), "{again}");
    // Where it came from is written down as before.
    assert_eq!(bench.database.value("SELECT file || ':' || line FROM tasks"), "one.yaml:3");
}

#[test]
fn what_is_live_is_shown_with_its_own_audience() {
    let bench = Bench::new();
    bench.folder.write("people/march.txt", "1\n2\n");
    bench.people("one", "{file: people/march.txt}");
    bench.people("two", "[3, 4]");
    bench.said(&["apply", "--auto-approve"]);
    assert_told(&bench.said(&["show", "one"]), &["file: people/march.txt"]);
    assert_told(&bench.said(&["show", "two"]), &["targetAudience: [\"3\", \"4\"]"]);
    // By now the file says something else than what is live.
    bench.people("two", "[5]");
    let shown = bench.said(&["show", "two"]);
    assert_told(&shown, &["nuncio audience two"]);
    assert!(!shown.contains("targetAudience"), "{shown}");
}

#[test]
fn a_rehearsal_does_not_take_over_what_was_applied() {
    let bench = Bench::new();
    bench.people("one", "[1]");
    bench.said(&["apply", "--auto-approve"]);
    let refused = bench.run(&["watch", "--rehearse"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_told(&refused.stderr, &["tasks were applied to this database for real", "NUNCIO_DATA="]);
    assert_eq!(bench.database.value("SELECT purpose FROM installation"), "NULL");
    // The other way round an apply goes with a rehearsal.
    bench.database.run("UPDATE installation SET purpose = 'rehearsal'");
    bench.people("one", "[1, 2]");
    bench.said(&["apply", "--auto-approve"]);
    // It needs no credentials, and a database for real sending does.
    let doctor = || bench.run(&["doctor"]).stdout;
    assert_told(&doctor(), &["ok    credentials: this database is a rehearsal's"]);
    bench.database.run("UPDATE installation SET purpose = 'live'");
    assert_told(&doctor(), &["fail  credentials: Channel `vk`"]);
}

#[test]
fn a_channel_without_its_secret_stays_blocked() {
    let bench = Bench::new();
    bench.people("one", "[1]");
    bench.said(&["apply", "--auto-approve"]);
    let block = |class: &str| {
        bench.database.run(&format!(
            "UPDATE lanes SET blocked_class = '{class}', blocked_reason = '`token`: not set'"
        ));
    };
    block("unconnectable");
    let refused = bench.run(&["unblock", "vk"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert_told(&refused.stderr, &["stays blocked as long as this is so: `token`: not set"]);
    assert_eq!(bench.database.value("SELECT blocked_class FROM lanes"), "unconnectable");
    block("banned");
    assert_told(&bench.said(&["unblock", "vk"]), &["may send again"]);
    assert_told(&bench.said(&["unblock", "vk"]), &["is not blocked"]);
}

#[test]
fn a_form_of_a_line_a_finding_is_empty_where_nothing_is_found() {
    let bench = Bench::new();
    for command in ["plan", "validate"] {
        for form in ["concise", "github"] {
            let ended = bench.run(&[command, "--output", form]);
            assert_eq!((ended.code, &*ended.stdout), (0, ""), "{command} {form}: {ended:?}");
        }
    }
}

#[test]
fn a_name_that_nothing_has_is_an_error_that_names_the_nearest() {
    let bench = Bench::new();
    bench.people("renewals", "[1]");
    bench.folder.write(
        "second.yaml",
        &crate::support::TEAM
            .replace("name: sales", "name: anna")
            .replace("anna}\nspec: {full", "bo}\nspec: {full"),
    );
    bench.said(&["apply", "--auto-approve"]);
    let near = "did you mean `renewals`?";
    let cases: [(&[&str], &str); 20] = [
        (&["status", "renewal"], near),
        (&["plan", "--target", "renewal"], near),
        (&["plan", "--recreate", "renewal"], near),
        (&["plan", "--allow-shrink", "nope"], "`nuncio status` lists them"),
        (&["audience", "renewal"], near),
        (&["forecast", "renewal"], near),
        (&["show", "renewal"], near),
        (&["rollback", "renewal", "--to", "1"], near),
        (&["start", "renewal"], near),
        (&["history", "nope"], "`nuncio history` lists all of them"),
        (&["history", "renewal"], near),
        (&["history", "Channel/vkk"], "did you mean `Channel/vk`?"),
        (&["history", "vk"], "did you mean `Channel/vk`?"),
        (&["spending", "--task", "renewal"], near),
        (&["dialogues", "--task", "renewal"], near),
        (&["dialogues", "--channel", "vkk"], "did you mean `vk`?"),
        (&["unblock", "vkk"], "did you mean `vk`?"),
        (&["show", "99"], "`nuncio history` lists them"),
        (&["show", "nofile.plan"], "a saved plan is a file"),
        // A manager and an AI have the name.
        (&["show", "anna"], "did you mean one of `Manager/anna`, `Ai/anna`?"),
    ];
    for (arguments, hint) in cases {
        let ended = bench.run(&[arguments, &["--output", "json"]].concat());
        let ended = if ended.code == 64 { bench.run(arguments) } else { ended };
        assert_eq!(ended.code, 1, "{arguments:?}: {ended:?}");
        assert_told(&ended.stderr, &["there is no ", hint]);
        if !ended.stdout.is_empty() {
            let answer: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
            assert_eq!(answer["error"]["code"], "not-found", "{arguments:?}: {ended:?}");
        }
    }
    // A resource goes by its name alone where nothing else has it.
    assert_told(&bench.said(&["show", "vk"]), &["kind: Channel", "metadata: {name: vk}"]);
}

#[test]
fn wrong_arguments_end_with_64_and_are_told_in_our_words() {
    let bench = Bench::new();
    bench.people("one", "[1]");
    bench.said(&["plan", "--out", "one.plan"]);
    let cases: [(&[&str], &str); 12] = [
        (&["watch", "--git", "nonsense", "--branch", "main"], "--git: "),
        (&["watch", "--branch", "main"], "need a repository"),
        (&["forecast", "--at", "2020"], "write it like `2027-02-01`"),
        (&["forecast", "--at", "2020-01-01"], "is in the past"),
        (&["apply", "one.plan", "--recreate", "one"], "a saved plan holds what was allowed"),
        (&["history", "--limit", "0"], "write a whole number from 1 to"),
        (&["history", "--limit", "x"], "write a whole number from 1 to"),
        (&["audience", "one", "--limit", "x"], "write a whole number"),
        (&["plan", "--max-delete", "-1"], "-1"),
        (&["plan", "--lock-timeout", "soon"], "write a time like `10s`"),
        (&["pause", "one", "--for", "-2h"], "-2"),
        (&["show", "Bad Name"], "neither the name of a task"),
    ];
    for (arguments, told) in cases {
        let ended = bench.run(arguments);
        assert_eq!(ended.code, 64, "{arguments:?}: {ended:?}");
        assert_told(&ended.stderr, &[told]);
        for raw in ["invalid digit", "is not in 1..", "to pass '", "input contains"] {
            assert!(!ended.stderr.contains(raw), "{arguments:?}: {ended:?}");
        }
    }
    assert_eq!(bench.run(&["forecast", "--at", "2099-02-01"]).code, 0);
}

#[test]
fn a_filter_that_is_none_is_told() {
    let folder = Folder::with_team();
    let run = |filter: &str| {
        Program::new(folder.root(), &["validate"]).env("NUNCIO_LOG", filter).run().stderr
    };
    assert_told(&run("nuncio=loud=very"), &["NUNCIO_LOG is no filter"]);
    assert!(!run("nuncio=debug").contains("NUNCIO_LOG"));
}

#[test]
fn what_people_read_fits_80_columns() {
    let bench = Bench::new();
    bench.people("a-task-with-quite-a-long-name-that-somebody-thought-of", "[1, 2, 3]");
    bench.people("two", "[4]");
    bench.said(&["apply", "--auto-approve", "-m", &"why it is so ".repeat(12)]);
    let long = "a-task-with-quite-a-long-name-that-somebody-thought-of";
    let commands: [&[&str]; 5] =
        [&["status"], &["status", long], &["history"], &["audience", long], &["doctor"]];
    for arguments in commands {
        let told = bench.run(arguments).stdout;
        for line in told.lines() {
            // A path or an address is not broken.
            let is_one_word = line.split_whitespace().count() < 3;
            assert!(is_one_word || line.chars().count() <= 80, "{arguments:?}: {line}");
        }
    }
    let history = bench.run(&["history"]).stdout;
    assert_told(&history, &[" UTC  apply by tester: "]);
}
