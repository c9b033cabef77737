//! `watch --git`: a branch of a repository, in a checkout that nuncio keeps.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::support::{
    Bare, Ended, LEAVING, PATIENCE, Program, Repository, Running, TestDatabase, git, vk_task,
    wait_until,
};

const TITLE: &str = "SELECT string_agg(DISTINCT fields->>'title', ' ') FROM tasks";
const COMMIT: &str = "SELECT commit FROM watches ORDER BY started_at DESC LIMIT 1";
const FAILURE: &str = "SELECT failure FROM watches ORDER BY started_at DESC LIMIT 1";

/// A server's repository, a working tree that pushes to it, and a machine that follows it.
struct Bench {
    bare: Bare,
    work: Repository,
    machine: TempDir,
    database: TestDatabase,
}

fn titled(name: &str, title: &str) -> String {
    vk_task(name, "vk", "[1]", &format!("  title: {title}"))
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            bare: Bare::new(),
            work: Repository::new(),
            machine: TempDir::new().unwrap(),
            database: TestDatabase::new(),
        };
        bench.work.git(&["remote", "add", "origin", &bench.bare.url()]);
        bench
    }

    fn push(&self, title: &str) -> String {
        let commit = self.work.commit_file("a.yaml", &titled("one", title));
        self.work.git(&["push", "--quiet", "--force", "origin", "HEAD:main"]);
        commit
    }

    fn program(&self, more: &[&str]) -> Program {
        let url = self.bare.url();
        let arguments = ["watch", "--git", &url, "--branch", "main", "--interval", "1s"];
        let arguments: Vec<&str> = arguments.into_iter().chain(more.iter().copied()).collect();
        self.plain(&arguments)
    }

    fn plain(&self, arguments: &[&str]) -> Program {
        Program::new(self.machine.path(), arguments)
            .database(&self.database)
            .env("NUNCIO_DATA", self.machine.path().join("data"))
    }

    fn watch(&self) -> Running {
        self.program(&[]).start()
    }

    #[track_caller]
    fn wait_for(&self, query: &str, wanted: &str) {
        wait_until(query, PATIENCE, || {
            let value = self.database.value(query);
            (value == wanted, value)
        });
    }

    /// Where the checkout is kept.
    fn home(&self) -> PathBuf {
        let all = fs::read_dir(self.machine.path().join("data/git")).unwrap();
        all.map(|entry| entry.unwrap().path()).next().unwrap()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let all = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_branch_is_followed_also_where_it_was_forced() {
    let bench = Bench::new();
    let first = bench.push("First");
    let running = bench.watch();
    bench.wait_for(TITLE, "First");
    bench.wait_for(COMMIT, &first);
    let second = bench.push("Second");
    bench.wait_for(TITLE, "Second");
    bench.wait_for(COMMIT, &second);
    bench.push("Third");
    bench.wait_for(TITLE, "Third");
    // Back to the first, and on from there to what never knew the others.
    bench.work.git(&["reset", "--quiet", "--hard", &first]);
    bench.work.git(&["push", "--quiet", "--force", "origin", "HEAD:main"]);
    bench.wait_for(TITLE, "First");
    let forced = bench.push("Forced");
    bench.wait_for(TITLE, "Forced");
    bench.wait_for(COMMIT, &forced);
    let kept = names(&bench.home().join("commits"));
    assert!(kept.len() <= 2 && kept.contains(&forced), "{kept:?}");

    // The server is gone: the last good commit goes on, and it is said since when.
    let aside = bench.bare.path().with_extension("aside");
    fs::rename(bench.bare.path(), &aside).unwrap();
    wait_until("the failure is said", PATIENCE, || {
        let failure = bench.database.value(FAILURE);
        (failure.contains("cannot be fetched: git says:"), failure)
    });
    let status = bench.plain(&["status"]).run().stdout;
    assert!(status.contains("  ! since 2") && status.contains("cannot be fetched"), "{status}");
    assert_eq!(bench.database.value(TITLE), "Forced");
    fs::rename(aside, bench.bare.path()).unwrap();
    bench.wait_for(FAILURE, "NULL");
    bench.push("Again");
    bench.wait_for(TITLE, "Again");

    // A branch that is deleted is no wish to delete its tasks.
    git(&bench.bare.path(), &["update-ref", "-d", "refs/heads/main"]);
    wait_until("the failure is said", PATIENCE, || {
        let failure = bench.database.value(FAILURE);
        (failure.contains("the repository has no such branch"), failure)
    });
    assert_eq!(bench.database.value(TITLE), "Again");
    assert_eq!(running.terminate(LEAVING), 143);
    assert_eq!(names(&bench.home()), ["commits", "current", "lock"]);
}

#[test]
fn a_kill_at_any_moment_leaves_what_the_next_start_can_use() {
    let bench = Bench::new();
    for n in 0..100 {
        bench.work.folder.write(&format!("_notes-{n}.yaml"), &"# a line\n".repeat(200));
    }
    bench.push("Title 0");
    for round in 1..=12 {
        let running = bench.watch();
        let title = format!("Title {round}");
        bench.push(&title);
        // Once while it starts, once while it fetches, once while it lays out, and so on.
        thread::sleep(Duration::from_millis(round * 60));
        running.kill();
    }
    let commit = bench.push("The last");
    let running = bench.watch();
    bench.wait_for(TITLE, "The last");
    bench.wait_for(COMMIT, &commit);
    let files = bench.home().join("current/files");
    assert_eq!(names(&files.join("tasks.d")), names(&bench.work.folder.tasks()));
    // What the killed ones left is gone.
    let left = names(&bench.home());
    let n_repositories = left.iter().filter(|name| name.starts_with("repository-")).count();
    assert!(n_repositories == 1 && left.len() == 4, "{left:?}");
    // Two would remove what the other reads.
    let ended = bench.program(&["--once"]).run();
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("another nuncio keeps the checkout"), "{}", ended.stderr);
    running.kill();
    let ended = bench.program(&["--once"]).run();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[test]
fn what_would_run_a_command_or_show_a_secret_is_refused() {
    let bench = Bench::new();
    let run = |url: &str, branch: &str| -> Ended {
        bench
            .plain(&["watch", "--once", &format!("--git={url}"), &format!("--branch={branch}")])
            .run()
    };
    let marker = bench.machine.path().join("ran");
    let command = format!("ext::touch {}", marker.display());
    for (url, branch, wanted) in [
        (&*command, "main", "is no address of a repository"),
        ("--upload-pack=touch", "main", "is no address of a repository"),
        ("https://anna:hunter22@example.test/x", "main", "NUNCIO_GIT_URL"),
        (&*bench.bare.url(), "--upload-pack=touch", "is no name of a branch"),
        (&*bench.bare.url(), "nobody", "the repository has no such branch"),
    ] {
        let ended = run(url, branch);
        assert!(matches!(ended.code, 1 | 64), "{ended:?}");
        assert!(ended.stderr.contains(wanted), "{ended:?}");
        assert!(!ended.stderr.contains("hunter22"), "{ended:?}");
    }
    assert!(!marker.exists());
    // From the environment a password is fine, and stays there.
    let ended = bench
        .plain(&["watch", "--once", "--branch", "main"])
        .env("NUNCIO_GIT_URL", "https://anna:hunter22@127.0.0.1:9/x")
        .run();
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("https://…@127.0.0.1:9/x cannot be fetched"), "{ended:?}");
    assert!(!ended.stderr.contains("hunter22"), "{ended:?}");
}

#[test]
fn a_commit_that_cannot_be_laid_out_leaves_nothing_behind() {
    let bench = Bench::new();
    bench.push("First");
    let _running = bench.watch();
    bench.wait_for(TITLE, "First");
    // The folder of the manifests becomes a link to somewhere else on the machine.
    fs::rename(bench.work.folder.tasks(), bench.work.root().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("/etc", bench.work.folder.tasks()).unwrap();
    bench.work.commit("Outside");
    bench.work.git(&["push", "--quiet", "origin", "HEAD:main"]);
    wait_until("the failure is said", PATIENCE, || {
        let failure = bench.database.value(FAILURE);
        (failure.contains("must be a folder inside the repository"), failure)
    });
    wait_until("what was laid out is gone", PATIENCE, || {
        let mut left = names(&bench.home());
        left.retain(|name| name.starts_with("laying-"));
        (left.is_empty(), format!("{left:?}"))
    });
    assert_eq!(bench.database.value(TITLE), "First");
    fs::remove_file(bench.work.folder.tasks()).unwrap();
    fs::rename(bench.work.root().join("elsewhere"), bench.work.folder.tasks()).unwrap();
    bench.push("Mended");
    bench.wait_for(TITLE, "Mended");
}

#[test]
fn a_pull_request_is_checked_planned_merged_and_applied() {
    let bench = Bench::new();
    bench.push("First");
    let _running = bench.watch();
    bench.wait_for(TITLE, "First");

    // A colleague's branch: validated, planned against the live database, not applied.
    bench.work.git(&["checkout", "--quiet", "-b", "spring"]);
    bench.work.commit_file("a.yaml", &titled("one", "Spring"));
    bench.work.git(&["push", "--quiet", "origin", "spring"]);
    let review = TempDir::new().unwrap();
    git(review.path(), &["clone", "--quiet", "--branch", "spring", &bench.bare.url(), "pr"]);
    let pr = review.path().join("pr");
    let run = |arguments: &[&str]| Program::new(&pr, arguments).database(&bench.database).run();
    assert_eq!(run(&["validate"]).code, 0);
    let planned = run(&["plan", "--detailed-exitcode"]);
    assert_eq!(planned.code, 2, "{}", planned.stderr);
    assert!(planned.stdout.contains("1 to update"), "{}", planned.stdout);
    let comment = run(&["plan", "--output", "markdown"]).stdout;
    for told in ["<!-- nuncio:plan -->", "Task/one", "- title: First", "+ title: Spring"] {
        assert!(comment.contains(told), "{told}: {comment}");
    }
    assert_eq!(bench.database.value(TITLE), "First");

    // Meanwhile the main branch moved; the merge is what is applied.
    bench.work.git(&["checkout", "--quiet", "main"]);
    bench.work.commit_file("b.yaml", &titled("two", "Beside"));
    bench.work.git(&["merge", "--quiet", "--no-edit", "spring"]);
    let merge = bench.work.git(&["rev-parse", "HEAD"]);
    bench.work.git(&["push", "--quiet", "origin", "main"]);
    bench.wait_for(TITLE, "Beside Spring");
    bench.wait_for(COMMIT, &merge);
    assert_eq!(run(&["status"]).code, 0);
}
