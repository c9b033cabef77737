//! What somebody meets who is new to the program: warnings in time, hints that lead somewhere.

use crate::support::{Ended, Folder, Program, TestDatabase, vk_task};

struct Bench {
    folder: Folder,
    database: TestDatabase,
}

impl Bench {
    fn new() -> Self {
        Self { folder: Folder::with_team(), database: TestDatabase::new() }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Program::new(self.folder.root(), arguments).database(&self.database).run()
    }

    /// Both streams of a command that goes well.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended.stdout + &ended.stderr
    }

    fn task(&self, name: &str, audience: &str) {
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
    bench.task("autumn", "[1, 2, 3]");
    assert!(!bench.ok(&["apply", "--auto-approve"]).contains("shared-audience"));
    bench.folder.write("people.txt", "4\n3\n5\n");
    // A copied file; one with a person in common; one of whom the other has nobody.
    for (audience, told) in [
        ("[3, 2, 1]", "3 of 3 contacts are also in `autumn`"),
        ("{file: people.txt}", "1 of 3 contacts is also in `autumn`"),
        ("[4]", ""),
    ] {
        bench.task("winter", audience);
        let plan = bench.ok(&["plan"]);
        assert_eq!(plan.contains("shared-audience"), !told.is_empty(), "{}", plan);
        assert_told(&plan, &[told]);
    }
    // Told while it can be changed, and not for ever.
    bench.task("winter", "[1, 2, 3]");
    bench.ok(&["apply", "--auto-approve"]);
    assert!(!bench.ok(&["plan"]).contains("shared-audience"));
    // Of two new tasks one is warned of.
    bench.task("spring-a", "[7]");
    bench.task("spring-b", "[7]");
    let plan = bench.ok(&["plan"]);
    assert_eq!(plan.matches("warning").count(), 1, "{}", plan);
    // A completed task writes to nobody.
    bench.folder.remove("spring-b.yaml");
    bench.ok(&["apply", "--auto-approve"]);
    bench.ok(&["stop", "spring-a"]);
    bench.task("spring-b", "[7]");
    assert!(!bench.ok(&["plan"]).contains("shared-audience"));
}

#[test]
fn a_large_audience_is_compared_by_its_digest_alone() {
    let bench = Bench::new();
    let many: String = (1..=60_000).map(|n| format!("{n}\n")).collect();
    bench.folder.write("a.txt", &many);
    bench.folder.write("b.txt", &many);
    bench.task("autumn", "{file: a.txt}");
    bench.ok(&["apply", "--auto-approve"]);
    bench.task("winter", "{file: b.txt}");
    assert_told(&bench.ok(&["plan"]), &["60000 of 60000 contacts are also in `autumn`"]);
    bench.folder.write("b.txt", &format!("{many}60001\n"));
    assert!(!bench.ok(&["plan"]).contains("shared-audience"));
}

#[test]
fn a_hint_is_the_whole_command() {
    let bench = Bench::new();
    for n in 0..6 {
        bench.task(&format!("task-{n}"), &format!("[{n}1]"));
    }
    bench.ok(&["apply", "--auto-approve"]);
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
    bench.ok(&["apply", "--auto-approve", "--stop-first", "--max-delete", "6"]);
    assert_told(&bench.ok(&["plan"]), &["Nothing to do.\n", "no manifests in `tasks.d`\n"]);
}

#[test]
fn what_is_blocked_has_a_code_and_a_way_out() {
    let bench = Bench::new();
    bench.task("one", "[1]");
    bench.ok(&["apply", "--auto-approve"]);
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
    bench.task("one", "[1, 2, 3]");
    bench.task("two", "[4]");
    bench.ok(&["plan", "--out", "one.plan", "--target", "one"]);
    // By now the folder says something else of the rest.
    bench.task("two", "[4, 5]");
    bench.task("three", "[6]");
    let applied = bench.ok(&["apply", "one.plan"]);
    assert_told(&applied, &["one, if it were started now: 3 contacts"]);
    for other in ["two", "three"] {
        assert!(!applied.contains(other), "{applied}");
    }
}
