//! `watch` in a git working tree: whole commits, and the newest.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Folder, PATIENCE, Program, Repository, Running, TestDatabase, git, vk_task, wait_until,
};

/// Longer than the quiet time, and what a pass takes then.
const A_PASS: Duration = Duration::from_millis(800);

const TITLE: &str = "SELECT string_agg(DISTINCT fields->>'title', ' ') FROM tasks";
const COMMIT: &str = "SELECT commit FROM watches";
const FAILURE: &str = "SELECT failure FROM watches";

fn watch(folder: &Folder, database: &TestDatabase) -> Running {
    Program::new(folder.root(), &["watch"]).database(database).start()
}

fn titled(name: &str, title: &str) -> String {
    vk_task(name, "vk", "[1]", &format!("  title: {title}"))
}

#[track_caller]
fn wait_for(database: &TestDatabase, query: &str, wanted: &str) {
    wait_until(query, PATIENCE, || {
        let value = database.value(query);
        (value == wanted, value)
    });
}

#[test]
fn a_slow_checkout_is_never_seen_half_done() {
    const FILES: usize = 1000;
    let (repository, database) = (Repository::new(), TestDatabase::new());
    // Some files go through a slow program: in between, the folder looks quiet and is half done.
    fs::write(
        repository.root().join(".gitattributes"),
        "*0250.yaml filter=slow\n*0450.yaml filter=slow\n",
    )
    .unwrap();
    repository.git(&["config", "filter.slow.smudge", "sleep 1.2; cat"]);
    repository.git(&["config", "filter.slow.clean", "cat"]);
    let write = |title: &str, n_tasks: usize| {
        for n in 0..FILES {
            let (name, task) = (format!("file-{n:04}.yaml"), n % 10 == 0 && n / 10 < n_tasks);
            if task {
                repository.folder.write(&name, &titled(&format!("task-{n}"), title));
            } else {
                repository.folder.write(&format!("_{name}"), &format!("# {title}\n"));
            }
        }
    };
    write("one", 60);
    repository.commit("one");
    repository.git(&["checkout", "--quiet", "-b", "other"]);
    write("two", 80);
    for n in 60..80 {
        fs::remove_file(repository.folder.tasks().join(format!("_file-{:04}.yaml", n * 10)))
            .unwrap();
    }
    repository.commit("two");

    let seen = "SELECT count(*) FILTER (WHERE fields->>'title' = 'one') || '/'
        || count(*) FILTER (WHERE fields->>'title' = 'two') FROM tasks WHERE deleted_at IS NULL";
    let _running = watch(&repository.folder, &database);
    wait_for(&database, seen, "0/80");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let observer = scope.spawn(|| {
            let mut states = vec!["0/80".to_owned()];
            loop {
                // Before the look, so that the last one sees how it ended.
                let is_last = over.load(Ordering::SeqCst);
                let state = database.value(seen);
                if states.last() != Some(&state) {
                    states.push(state);
                }
                if is_last {
                    return states;
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        for (branch, whole) in [("main", "60/20"), ("other", "0/80"), ("main", "60/20")] {
            let started = Instant::now();
            repository.git(&["checkout", "--quiet", branch]);
            assert!(started.elapsed() > Duration::from_millis(500), "the checkout was not slow");
            // What `other` alone has was never started, so it is not deleted but said.
            wait_for(&database, seen, whole);
            let commit = repository.git(&["rev-parse", "HEAD"]);
            wait_for(&database, COMMIT, &commit);
        }
        over.store(true, Ordering::SeqCst);
        let states = observer.join().unwrap();
        assert_eq!(states, ["0/80", "60/20", "0/80", "60/20"]);
    });
}

#[test]
fn every_operation_of_git_is_waited_out() {
    let (repository, database) = (Repository::new(), TestDatabase::new());
    repository.commit_file("a.yaml", &titled("one", "First"));
    let _running = watch(&repository.folder, &database);
    wait_for(&database, TITLE, "First");

    // A rebase that stops at a conflict leaves markers in the file, and then a state of its middle.
    repository.git(&["checkout", "--quiet", "-b", "topic"]);
    repository.commit_file("a.yaml", &titled("one", "Topic"));
    wait_for(&database, TITLE, "Topic");
    repository.git(&["checkout", "--quiet", "main"]);
    repository.commit_file("a.yaml", &titled("one", "Main"));
    wait_for(&database, TITLE, "Main");
    for (begin, abort, name) in [
        (["rebase", "topic"], ["rebase", "--abort"], "a rebase"),
        (["merge", "topic"], ["merge", "--abort"], "a merge"),
        (["cherry-pick", "topic"], ["cherry-pick", "--abort"], "a cherry-pick"),
    ] {
        assert!(!repository.start_git(&begin).wait().unwrap().success());
        repository.folder.write("a.yaml", &titled("one", "Middle"));
        wait_until(name, PATIENCE, || {
            let failure = database.value(FAILURE);
            (failure.starts_with(&format!("waiting for git: {name} is under way")), failure)
        });
        assert_eq!(database.value(TITLE), "Main");
        repository.git(&abort);
        wait_for(&database, FAILURE, "NULL");
        assert_eq!(database.value(TITLE), "Main");
    }
}

#[test]
fn a_lock_that_was_left_behind_is_said_and_not_read_over() {
    let (repository, database) = (Repository::new(), TestDatabase::new());
    repository.commit_file("a.yaml", &titled("one", "First"));
    let _running = watch(&repository.folder, &database);
    wait_for(&database, TITLE, "First");
    let lock = repository.root().join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    repository.folder.write("a.yaml", &titled("one", "Second"));
    wait_until("it is said", PATIENCE, || {
        let failure = database.value(FAILURE);
        (
            failure.contains("index.lock` is there since ") && failure.contains("remove the file"),
            failure,
        )
    });
    let once = Program::new(repository.root(), &["status"]).database(&database).run();
    assert!(once.stdout.contains("waiting for git"), "{}", once.stdout);
    assert_eq!(database.value(TITLE), "First");
    fs::remove_file(lock).unwrap();
    wait_for(&database, TITLE, "Second");
    wait_for(&database, FAILURE, "NULL");
}

#[test]
fn a_worktree_is_followed_through_its_git_file() {
    let (repository, database) = (Repository::new(), TestDatabase::new());
    repository.commit_file("a.yaml", &titled("one", "First"));
    let tree = repository.root().join("tree");
    repository.git(&["worktree", "add", "--quiet", "-b", "live", tree.to_str().unwrap()]);
    let _running = Program::new(&tree, &["watch"]).database(&database).start();
    wait_for(&database, TITLE, "First");
    wait_for(&database, COMMIT, &git(&tree, &["rev-parse", "HEAD"]));

    let lock = repository.root().join(".git/worktrees/tree/index.lock");
    fs::write(&lock, "").unwrap();
    fs::write(tree.join("tasks.d/a.yaml"), titled("one", "Second")).unwrap();
    thread::sleep(A_PASS);
    assert_eq!(database.value(TITLE), "First");
    fs::remove_file(lock).unwrap();
    wait_for(&database, TITLE, "Second");
    // The files differ from the commit.
    wait_for(&database, "SELECT dirty FROM watches", "true");
    git(&tree, &["commit", "--quiet", "--all", "--message", "second"]);
    fs::write(tree.join("tasks.d/b.yaml"), titled("two", "Second")).unwrap();
    git(&tree, &["add", "--all"]);
    git(&tree, &["commit", "--quiet", "--message", "third"]);
    wait_for(&database, COMMIT, &git(&tree, &["rev-parse", "HEAD"]));
    wait_for(&database, "SELECT dirty FROM watches", "false");
}

/// Holds the lock that every writer of plans takes, for as long as the returned value lives.
struct Writer(Option<thread::JoinHandle<()>>, std::sync::mpsc::Sender<()>);

impl Writer {
    fn hold(database: &TestDatabase) -> Self {
        use sqlx::Connection as _;
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (say, said) = std::sync::mpsc::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut connection = runtime.block_on(database.connection());
        let thread = thread::spawn(move || {
            let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(0x6e75_6e63_696f_i64);
            runtime.block_on(lock.execute(&mut connection)).unwrap();
            say.send(()).unwrap();
            released.recv().ok();
            runtime.block_on(connection.close()).unwrap();
        });
        said.recv().unwrap();
        Self(Some(thread), release)
    }

    fn release(mut self) {
        self.1.send(()).unwrap();
        self.0.take().unwrap().join().unwrap();
    }
}

/// Sooner than any look that does not follow a change, also on a busy machine.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_fix_supersedes_what_is_still_being_retried() {
    let (folder, database) = (Folder::with_team(), TestDatabase::new());
    folder.write("a.yaml", &titled("one", "First"));
    let told = folder.root().join("told");
    let program = Program::new(folder.root(), &["watch"]).database(&database);
    let _running = program.start_telling(&told);
    wait_for(&database, TITLE, "First");
    // A mistake that only the eye sees is applied in vain, again and again: another writer is at work.
    let writer = Writer::hold(&database);
    folder.write("a.yaml", &titled("one", "Mistake"));
    wait_until("it is tried", PATIENCE, || {
        let failure = database.value(FAILURE);
        (failure.contains("another writer holds the lock"), failure)
    });
    folder.write("a.yaml", &titled("one", "Mended"));
    wait_until("the fix is planned", PATIENCE, || {
        let told = fs::read_to_string(&told).unwrap();
        (told.contains("Mended"), told)
    });
    writer.release();
    let released = Instant::now();
    let seen = wait_until("something is applied", PATIENCE, || {
        let title = database.value(TITLE);
        (title != "First", title)
    });
    assert_eq!(seen, "Mended");
    assert!(released.elapsed() < SOON, "it took {:?}", released.elapsed());

    // What the database refuses is retried as well, and given up for its fix.
    database
        .run("ALTER TABLE tasks ADD CONSTRAINT no_mistakes CHECK (fields->>'title' <> 'Refused')");
    folder.write("a.yaml", &titled("one", "Refused"));
    wait_until("it is tried", PATIENCE, || {
        let failure = database.value(FAILURE);
        (failure.contains("no_mistakes"), failure)
    });
    let mended = Instant::now();
    folder.write("a.yaml", &titled("one", "Accepted"));
    wait_for(&database, TITLE, "Accepted");
    assert!(mended.elapsed() < SOON, "it took {:?}", mended.elapsed());
    wait_for(&database, FAILURE, "NULL");
}

#[test]
fn once_reconciles_a_single_time_and_says_how_it_went() {
    let (repository, database) = (Repository::new(), TestDatabase::new());
    let folder = &repository.folder;
    let once = || Program::new(folder.root(), &["watch", "--once"]).database(&database).run();
    folder.write("a.yaml", &titled("one", "First"));
    let ended = once();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("Plan: 4 to create"), "{}", ended.stdout);
    assert_eq!(database.value(TITLE), "First");
    let ended = once();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("Plan: 0 to create, 0 to update"), "{}", ended.stdout);

    // What is valid is applied beside what is not.
    folder.write("b.yaml", "kind: [");
    folder.write("a.yaml", &titled("one", "Second"));
    let ended = once();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("tasks.d/b.yaml:2:1"), "{}", ended.stderr);
    assert_eq!(database.value(TITLE), "Second");
    folder.remove("b.yaml");

    folder.write("c.yaml", &crate::support::channel("vk-two", "vk-user", "token: {env: T}", ""));
    folder.write("a.yaml", &titled("one", "Third").replace("[vk]", "[vk-two]"));
    let ended = once();
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert_eq!(database.value("SELECT count(*) FROM lanes"), "2");
    assert_eq!(database.value(TITLE), "Second");

    folder.write("a.yaml", &titled("one", "Fourth"));
    let writer = Writer::hold(&database);
    assert_eq!(once().code, 5);
    writer.release();
    assert_eq!(database.value("SELECT count(*) FROM executors"), "0");
}
