//! `status`: why nothing happens, and the conditions of every task.

use serde_json::Value;

use crate::support::{Bench, LEAVING, PATIENCE, Running, channel, vk_task, wait_until};

impl Bench {
    fn watch(&self) -> Running {
        self.program(&["watch", "--rehearse", "--journal", "journal.jsonl"]).start()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["status", "--output", "json"]).stdout).unwrap()
    }

    /// One condition of a task, as `status reason place`.
    fn condition(&self, task: &str, of: &str) -> String {
        let status = self.status();
        let tasks = status["tasks"].as_array().unwrap().iter();
        let found = tasks.filter(|it| it["name"] == task).flat_map(|task| {
            task["conditions"].as_array().unwrap().iter().filter(|it| it["type"] == of)
        });
        let shown = found.map(|it| {
            let place = it["place"].as_str().unwrap_or("-");
            format!("{} {} {place}", it["status"].as_str().unwrap(), it["reason"].as_str().unwrap())
        });
        shown.collect()
    }

    #[track_caller]
    fn wait_for(&self, task: &str, of: &str, wanted: &str) {
        wait_until(&format!("{of} of {task} is {wanted}"), PATIENCE, || {
            let condition = self.condition(task, of);
            (condition == wanted, condition)
        });
    }

    fn first_line(&self, task: &str) -> String {
        let ended = self.run(&["status", task]);
        ended.stdout.lines().next().unwrap_or_default().to_owned()
    }
}

#[test]
fn every_task_has_its_conditions() {
    let bench = Bench::new();
    let running = "  state: running";
    bench.folder.write("vk-two.yaml", &channel("vk-two", "vk-user", "token: {env: T}", ""));
    bench.folder.write("vk-banned.yaml", &channel("vk-banned", "vk-user", "token: {env: T}", ""));
    bench.folder.write("a.yaml", &vk_task("good", "vk", "[1]", running));
    bench.folder.write("b.yaml", &vk_task("banned", "vk-banned", "[2]", running));
    bench.folder.write("c.yaml", &vk_task("waiting", "vk", "[3]", ""));
    bench.folder.write("d.yaml", &broken("broken", "vk", ""));
    let watch = bench.watch();
    bench.wait_for("good", "sync", "Synced Applied -");
    bench.wait_for("good", "health", "Healthy AudienceExhausted -");
    bench.wait_for("banned", "health", "Degraded ChannelBlocked -");
    bench.wait_for("waiting", "health", "Suspended NotStarted -");
    bench.wait_for("broken", "sync", "Held InvalidManifest tasks.d/d.yaml:15:28");

    // An edit that is forbidden, one that is broken, and one that is gone.
    bench.folder.write("a.yaml", &vk_task("good", "vk-two", "[1]", running));
    bench.folder.write("b.yaml", &broken("banned", "vk-banned", running));
    bench.folder.remove("c.yaml");
    bench.wait_for("good", "sync", "Rejected ForbiddenEdit tasks.d/a.yaml:7:13");
    bench.wait_for("banned", "sync", "Held InvalidManifest tasks.d/b.yaml:15:28");
    bench.wait_for("waiting", "sync", "OutOfSync DeletionBlocked tasks.d/c.yaml");
    let shown = bench.run(&["status", "good"]).stdout;
    assert!(shown.contains("asks for what a rule forbids (tasks.d/a.yaml:7:13)"), "{shown}");
    let too_wide = |line: &&str| line.chars().count() > 80;
    for shown in [shown, bench.run(&["status"]).stdout] {
        assert_eq!(shown.lines().find(too_wide), None, "{shown}");
    }

    let status = bench.status();
    assert_eq!(status["format_version"], "1.1");
    assert_eq!(status["purpose"], "rehearsal");
    assert_eq!(status["watches"][0]["alive"], true);
    assert_eq!(status["watches"][0]["pid"].as_u64(), Some(u64::from(watch.id())));
    let one: Value =
        serde_json::from_str(&bench.run(&["status", "good", "--output", "json"]).stdout).unwrap();
    assert_eq!(one["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(one["tasks"][0]["generation"], one["tasks"][0]["observedGeneration"]);

    bench.folder.write("a.yaml", &vk_task("good", "vk", "[1]", running));
    bench.wait_for("good", "sync", "Synced Applied -");

    // Nobody compares any more, and that is said at once.
    assert_eq!(watch.interrupt(LEAVING), 130);
    assert_eq!(bench.condition("good", "sync"), "Unknown NoWatch -");
    let before = bench.status()["tasks"][1].clone();
    assert_eq!(before["name"], "broken");
    assert_eq!(bench.status()["watches"][0]["alive"], false);
    let first = |bench: &Bench| bench.run(&["status"]).stdout.replace("\n  ", " ");
    let nobody = "! Nothing is sent, answered or applied: no `nuncio watch --rehearse` is running (this database is \
                  a rehearsal's); the last, on ";
    assert!(first(&bench).starts_with(nobody), "{}", first(&bench));

    // One that is killed is not waited for.
    let watch = bench.watch();
    bench.wait_for("good", "sync", "Synced Applied -");
    watch.kill();
    // Not for its lease; only until the database has noticed that it is gone.
    wait_until("it counts as gone", PATIENCE, || {
        let first = first(&bench);
        (first.starts_with(nobody), first)
    });
    assert_eq!(bench.condition("good", "sync"), "Unknown NoWatch -");
}

#[test]
fn the_generation_that_was_compared_is_told_from_the_present_one() {
    let bench = Bench::new();
    bench.folder.write("a.yaml", &vk_task("one", "vk", "[1]", ""));
    let watch = bench.watch();
    bench.wait_for("one", "sync", "Synced Applied -");
    let generations = || {
        let task = bench.status()["tasks"][0].clone();
        (task["generation"].as_i64().unwrap(), task["observedGeneration"].as_i64().unwrap())
    };
    let (first, observed) = generations();
    assert_eq!(first, observed);
    assert_eq!(bench.run(&["start", "one"]).code, 0);
    wait_until("the new generation is compared", PATIENCE, || {
        let seen = generations();
        (seen.0 > first && seen.0 == seen.1, seen)
    });
    bench.folder.write("a.yaml", &vk_task("one", "vk-two", "[1]", ""));
    bench.wait_for("one", "sync", "Rejected ForbiddenEdit tasks.d/a.yaml:7:13");
    watch.kill();
    let told = || bench.run(&["status", "one"]).stdout.contains("asks for what a rule forbids");
    assert!(told());
    assert_eq!(bench.run(&["pause", "one"]).code, 0);
    let (now, observed) = generations();
    assert!(now > observed, "{now} {observed}");
    // What the watch has seen is of another generation.
    assert!(!told());
    let all = bench.run(&["status"]).stdout;
    assert!(all.contains("Not applied, as the last `nuncio watch` saw it:"), "{all}");
}

#[test]
fn status_says_in_its_first_line_why_nothing_happens() {
    let bench = Bench::new();
    let running = "  state: running";
    let closed = vk_task("closed", "vk", "[1]", running).replace("00:00-24:00", &closed_hours());
    bench.folder.write("a.yaml", &vk_task("new", "vk", "[1]", ""));
    bench.folder.write("b.yaml", &closed);
    bench.folder.write("c.yaml", &vk_task("paused", "vk", "[1]", ""));
    bench.folder.write("d.yaml", &vk_task("done", "vk", "[1]", "  state: completed"));
    bench.folder.write("e.yaml", &broken("broken", "vk", running));
    assert_eq!(bench.first_line("nobody"), "");
    assert_eq!(bench.run(&["status", "nobody"]).code, 1);
    let broken = "`broken` was never applied: its manifest is invalid at tasks.d/e.yaml:15:28:";
    assert!(bench.first_line("broken").starts_with("`broken` was never applied:"));
    assert!(bench.run(&["status", "broken"]).stdout.replace("\n  ", " ").starts_with(broken));
    assert_eq!(
        bench.run(&["status", "new"]).stdout.replace("\n  ", " ").trim(),
        "`new` was not applied yet; its manifest is there: nuncio apply, or nuncio watch."
    );
    let watch = bench.watch();
    bench.wait_for("broken", "sync", "Held InvalidManifest tasks.d/e.yaml:15:28");
    assert!(bench.run(&["status", "broken"]).stdout.replace("\n  ", " ").starts_with(broken));
    assert_eq!(bench.run(&["start", "paused"]).code, 0);
    assert_eq!(bench.run(&["pause", "paused"]).code, 0);
    for (task, wanted) in [
        ("new", "`new` is not started; start it: nuncio start new."),
        ("paused", "`paused` is paused by tester; resume it: nuncio start paused."),
        ("done", "`done` is completed by watch of tester; nothing more is sent."),
        ("closed", "`closed` is outside its working hours; next opening "),
    ] {
        let line = bench.first_line(task);
        assert!(line.starts_with(wanted), "{line}");
    }
    watch.kill();
    wait_until("the watch counts as gone", PATIENCE, || {
        let shown = bench.run(&["status", "closed"]).stdout.replace("\n  ", " ");
        let wanted = "`closed` sends nothing, because no `nuncio watch --rehearse` is running \
                      (this database is a rehearsal's).";
        (shown.starts_with(wanted), shown)
    });
}

fn broken(name: &str, channel: &str, spec: &str) -> String {
    vk_task(name, channel, "[1]", spec).replace("Dialogues: 3s", "Dialogues: 2s")
}

/// Hours that are closed now, whenever the test runs.
fn closed_hours() -> String {
    let hour = nuncio::clock::now().format("%H").to_string().parse::<u32>().unwrap();
    format!("{:02}:00-{:02}:00", (hour + 4) % 24, (hour + 6) % 24)
}
