//! `watch` follows the folder.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    Folder, LEAVING, PATIENCE, Program, Running, TestDatabase, channel, vk_task, wait_until,
};

fn watch(folder: &Folder, database: &TestDatabase) -> Running {
    Program::new(folder.root(), &["watch"]).database(database).start()
}

fn n_tasks(database: &TestDatabase) -> String {
    database.value("SELECT count(*) FROM tasks WHERE deleted_at IS NULL")
}

#[track_caller]
fn wait_for(database: &TestDatabase, query: &str, wanted: &str) {
    wait_until(query, PATIENCE, || {
        let value = database.value(query);
        (value == wanted, value)
    });
}

#[test]
fn one_broken_manifest_stops_only_itself() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    for n in 0..100 {
        folder.write(&format!("task-{n}.yaml"), &vk_task(&format!("task-{n}"), "vk", "[1]", ""));
    }
    let good = vk_task("task-7", "vk", "[1]", "");
    let broken = good.replace("pauseBetweenDialogues: 3s", "pauseBetweenDialogues: 2s");
    folder.write("task-7.yaml", &broken);
    let run = |arguments: &[&str]| Program::new(folder.root(), arguments).database(&database).run();
    for arguments in [&["validate"][..], &["plan"]] {
        let ended = run(arguments);
        assert_eq!(ended.code, 1);
        assert!(ended.stderr.contains("tasks.d/task-7.yaml:15:28"), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("error[").count(), 1, "{}", ended.stderr);
    }
    assert_eq!(n_tasks(&database), "0");

    let running = watch(&folder, &database);
    wait_until("99 are applied", PATIENCE, || {
        let n = n_tasks(&database);
        (n == "99", n)
    });
    let status = run(&["status"]);
    assert!(status.stdout.contains("tasks.d/task-7.yaml:15:28"), "{}", status.stdout);

    folder.write("task-7.yaml", &good);
    let saved = Instant::now();
    wait_until("the mended one is applied", PATIENCE, || {
        let n = n_tasks(&database);
        (n == "100", n)
    });
    // The promise is a second; on a busy machine it is still sooner than any look that follows no change.
    assert!(saved.elapsed() < Duration::from_secs(10), "it took {:?}", saved.elapsed());

    // Broken again, in its syntax now: the last good state goes on.
    folder.write("task-7.yaml", "kind: [");
    wait_until("it is said", PATIENCE, || {
        let held = database.value("SELECT count(*) FROM held_back");
        (held != "0", held)
    });
    assert_eq!(n_tasks(&database), "100");
    assert_eq!(running.interrupt(LEAVING), 130);
}

#[test]
fn a_rejected_edit_keeps_the_last_good_state_and_is_said() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    folder.write("a.yaml", &vk_task("renewals", "vk", "[1]", ""));
    let _running = watch(&folder, &database);
    wait_for(&database, "SELECT count(*) FROM tasks", "1");
    let second = crate::support::channel("vk-two", "vk-user", "token: {env: T}", "");
    folder.write("b.yaml", &second);
    folder.write("a.yaml", &vk_task("renewals", "vk-two", "[1]", ""));
    wait_for(
        &database,
        "SELECT string_agg(place || ' ' || message, '') FROM held_back",
        "tasks.d/a.yaml:7:13 rejected: `channels` is fixed when a task is created [forbidden-edit]",
    );
    assert_eq!(database.value("SELECT channel FROM task_channels"), "vk");
    folder.write("a.yaml", &vk_task("renewals", "vk", "[1]", "  title: Mended"));
    wait_for(&database, "SELECT fields->>'title' FROM tasks", "Mended");
    wait_for(&database, "SELECT count(*) FROM held_back", "0");
}

#[test]
fn a_swapped_symlink_is_followed() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    folder.write("a.yaml", &vk_task("one", "vk", "[1]", ""));
    // As configuration volumes do: `current` leads to a version, and is replaced by a rename.
    let root = folder.root();
    fs::rename(folder.tasks(), root.join("version-1")).unwrap();
    symlink("version-1", folder.tasks()).unwrap();
    let _running = watch(&folder, &database);
    wait_for(&database, "SELECT count(*) FROM tasks", "1");

    fs::create_dir(root.join("version-2")).unwrap();
    for name in ["team.yaml", "vk.yaml", "a.yaml"] {
        fs::copy(root.join("version-1").join(name), root.join("version-2").join(name)).unwrap();
    }
    fs::write(root.join("version-2/b.yaml"), vk_task("two", "vk", "[1]", "")).unwrap();
    symlink("version-2", root.join("next")).unwrap();
    fs::rename(root.join("next"), folder.tasks()).unwrap();
    wait_for(&database, "SELECT count(*) FROM tasks", "2");
    // And it is the new folder that is watched now.
    fs::write(root.join("version-2/c.yaml"), vk_task("three", "vk", "[1]", "")).unwrap();
    wait_for(&database, "SELECT count(*) FROM tasks", "3");
}

#[test]
fn a_folder_that_vanishes_deletes_nothing() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    folder.write("a.yaml", &vk_task("one", "vk", "[1]", "  state: completed"));
    let _running = watch(&folder, &database);
    wait_for(&database, "SELECT count(*) FROM tasks WHERE phase = 'completed'", "1");
    let aside = folder.root().join("aside");
    fs::rename(folder.tasks(), &aside).unwrap();
    wait_for(&database, "SELECT count(*) FROM held_back WHERE subject = 'folder'", "1");
    assert_eq!(n_tasks(&database), "1");
    fs::rename(aside, folder.tasks()).unwrap();
    folder.write("b.yaml", &vk_task("two", "vk", "[1]", ""));
    wait_for(&database, "SELECT count(*) FROM tasks WHERE deleted_at IS NULL", "2");
    wait_for(&database, "SELECT count(*) FROM held_back", "0");
}

#[test]
fn a_git_operation_is_waited_out() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    fs::create_dir(folder.root().join(".git")).unwrap();
    let _running = watch(&folder, &database);
    wait_for(&database, "SELECT count(*) FROM resources", "3");
    fs::write(folder.root().join(".git/index.lock"), "").unwrap();
    folder.write("a.yaml", &vk_task("one", "vk", "[1]", ""));
    // Longer than the quiet time and the time of a pass together.
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(n_tasks(&database), "0");
    fs::remove_file(folder.root().join(".git/index.lock")).unwrap();
    wait_for(&database, "SELECT count(*) FROM tasks", "1");
}

const STOP_LIST: &str = "apiVersion: nuncio/v1
kind: SuppressionList
metadata: {name: stop}
spec: {entries: [1]}
";

#[test]
fn a_vanished_suppression_list_lets_nobody_be_written_to() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    folder.write("a.yaml", &vk_task("one", "vk", "[1, 2]", "  state: running"));
    folder.write("stop.yaml", STOP_LIST);
    let _running = watch(&folder, &database);
    wait_for(&database, "SELECT count(*) FROM suppressions", "1");
    folder.remove("stop.yaml");
    wait_for(&database, "SELECT count(*) FROM held_back WHERE subject LIKE 'Supp%'", "1");
    assert_eq!(database.value("SELECT count(*) FROM suppressions"), "1");
    // With consent in two steps: emptied first, and deleted then.
    folder.write("stop.yaml", &STOP_LIST.replace("[1]", "[]"));
    wait_for(&database, "SELECT count(*) FROM suppressions", "0");
    folder.remove("stop.yaml");
    wait_for(&database, "SELECT count(*) FROM resources WHERE kind = 'SuppressionList'", "0");
}

#[test]
fn an_emptied_folder_deletes_nothing() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    folder.write("a.yaml", &vk_task("one", "vk", "[1]", "  state: completed"));
    folder.write("stop.yaml", STOP_LIST);
    let _running = watch(&folder, &database);
    wait_for(&database, "SELECT count(*) FROM tasks WHERE phase = 'completed'", "1");
    let aside = folder.root().join("aside");
    fs::create_dir(&aside).unwrap();
    let names = ["team.yaml", "vk.yaml", "a.yaml", "stop.yaml"];
    for name in names {
        fs::rename(folder.tasks().join(name), aside.join(name)).unwrap();
    }
    wait_for(&database, "SELECT count(*) FROM held_back WHERE subject = 'folder'", "1");
    assert_eq!(n_tasks(&database), "1");
    assert_eq!(database.value("SELECT count(*) FROM resources"), "4");
    for name in names {
        fs::rename(aside.join(name), folder.tasks().join(name)).unwrap();
    }
    folder.write("b.yaml", &vk_task("two", "vk", "[1]", ""));
    wait_for(&database, "SELECT count(*) FROM tasks WHERE deleted_at IS NULL", "2");
    wait_for(&database, "SELECT count(*) FROM held_back", "0");
}

#[test]
fn a_killed_private_server_is_started_again() {
    let folder = Folder::with_team();
    let data = tempfile::Builder::new().prefix("nuncio-data").tempdir().unwrap();
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program =
        |arguments: &[&str]| Program::new(folder.root(), arguments).env("NUNCIO_DATA", data.path());
    assert_eq!(program(&["apply", "--auto-approve"]).run().code, 0);
    let running = program(&["watch"]).start();
    let pid_file = data.path().join("postgres/postmaster.pid");
    let pid = || fs::read_to_string(&pid_file).ok()?.lines().next()?.parse::<i32>().ok();
    // The server that `apply` has left ends soon; this one is held.
    wait_until("the watch is there", PATIENCE, || {
        let status = program(&["status", "--output", "json"]).run().stdout;
        (status.contains("\"alive\": true") || status.contains("\"alive\":true"), status)
    });
    let first = pid().unwrap();
    // Not before the supervisor takes its end for one that a start would mend.
    std::thread::sleep(Duration::from_millis(2500));
    kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    wait_until("another server runs", PATIENCE, || (pid().is_some_and(|pid| pid != first), pid()));
    folder.write("a.yaml", &vk_task("one", "vk", "[1]", ""));
    wait_until("watch goes on with it", PATIENCE, || {
        let status = program(&["status"]).run();
        (status.stdout.contains("one"), status.stderr)
    });
    assert_eq!(running.terminate(LEAVING), 143);
}

#[test]
fn channels_that_nobody_can_reach_without_a_server_are_all_named() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    // Nobody is called: nothing listens there.
    let here = "  endpoint: http://127.0.0.1:9\n";
    let numbered = format!("{here}  phoneNumberId: 1\n");
    folder.write("vk.yaml", &channel("vk", "vk-user", "token: {env: TOKEN}", here));
    let signed = "token: {env: TOKEN}, appSecret: {env: TOKEN}";
    folder.write("waba.yaml", &channel("waba", "waba", signed, &numbered));
    folder.write("web.yaml", &channel("page", "page-messenger", "", ""));
    folder.write("paused.yaml", &channel("idle", "page-messenger", "", ""));
    let origins = "  allowedOrigins: [https://shop.example]\n";
    folder.write("widget.yaml", &channel("button", "widget", "", origins));
    let task = |name: &str, messenger: &str, channels: &str, state: &str| {
        let text = format!(
            "apiVersion: nuncio/v1\nkind: Task\nmetadata: {{name: {name}}}\nspec: {{type: {messenger}, \
            format: incoming, channels: [{channels}], managers: [anna], ai: sales, \
            spendingLimitPerDialogue: 1, state: {state}}}\n"
        );
        folder.write(&format!("task-{name}.yaml"), &text);
    };
    task("one", "vkontakte", "vk", "running");
    task("two", "whatsapp", "waba", "running");
    task("three", "web", "page, button", "running");
    task("four", "web", "idle", "paused");
    let log = folder.root().join("log");
    let watching = |arguments: &[&str]| {
        let program = Program::new(folder.root(), &[&["watch"], arguments].concat());
        let running = program.database(&database).env("TOKEN", "x").start_logging(&log);
        let said = |what: &str| {
            wait_until(what, PATIENCE, || {
                let text = fs::read_to_string(&log).unwrap();
                (text.contains(what), text)
            })
        };
        (running, said)
    };
    let (running, said) = watching(&[]);
    let log = said("nobody can reach these channels from here");
    let line = log.lines().find(|line| line.contains("nobody can reach")).unwrap();
    assert!(line.contains("channels=\"button, page, waba\""), "{line}");
    running.kill();
    // With one, a chat for sites that is not served by HTTPS is told of.
    let (running, said) = watching(&["--listen", "127.0.0.1:0"]);
    let log = said("sites cannot embed these channels without HTTPS");
    assert!(!log.contains("nobody can reach"), "{log}");
    let line = log.lines().find(|line| line.contains("sites cannot embed")).unwrap();
    assert!(line.contains("channels=\"button\""), "{line}");
    running.kill();
}
