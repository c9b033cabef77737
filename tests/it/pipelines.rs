//! The review pipelines of `deploy`: the very scripts, with the steps as their YAML files have them.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nuncio::plan::COMMENT_MARKER;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Ended, Folder, TestDatabase, vk_task};

/// A title that would like to be a command, to a shell, to GitHub's runner, and to a reader of Markdown.
const HOSTILE: &str = "$(touch pwned) `touch pwned` '; touch pwned; ' ::error::x ##[error]x \
                       </details> @everybody ![x](http://x.test)";

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn yaml(path: &str) -> Value {
    let text = fs::read_to_string(project(path)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn scripts() -> Vec<PathBuf> {
    let folders = ["deploy", "deploy/github", "deploy/gitlab"].map(|folder| project(folder));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "sh")).collect()
}

/// A repository with manifests, a database, and a forge that is a folder.
struct Pipeline {
    folder: Folder,
    database: TestDatabase,
    forge: TempDir,
}

impl Pipeline {
    fn new() -> Self {
        let pipeline = Self {
            folder: Folder::with_team(),
            database: TestDatabase::new(),
            forge: TempDir::new().unwrap(),
        };
        let bin = pipeline.forge.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_nuncio"), bin.join("nuncio")).unwrap();
        for fake in ["gh", "curl"] {
            symlink(project("tests/pipelines").join(fake), bin.join(fake)).unwrap();
        }
        pipeline.git(&["init", "--quiet"]);
        pipeline
    }

    fn git(&self, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.test"];
        let output = Command::new("git")
            .args([&identity[..], arguments].concat())
            .current_dir(self.folder.root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits everything, and gives the commit.
    fn commit(&self) -> String {
        self.git(&["add", "tasks.d"]);
        self.git(&["commit", "--quiet", "--message", "x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// A task whose title, and one line of whose opening, is hostile.
    fn task(&self, name: &str, limit: u32) {
        let title = format!("  title: \"{}\"", HOSTILE.replace('"', "\\\""));
        let opening = "|\n        Hello!\n        ::error::x\n        </details>\n";
        let text = vk_task(name, "vk", "[1, 2, 3]", &title)
            .replace("Channel: 20", &format!("Channel: {limit}"))
            .replace("{text: Hello!}", &format!("\n      text: {opening}"));
        self.folder.write(&format!("{name}.yaml"), &text);
    }

    /// Runs a line of shell as a job does.
    fn sh(&self, line: &str, env: &[(&str, &str)]) -> Ended {
        let bin = self.forge.path().join("bin");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let output = Command::new("sh")
            .args(["-e", "-c", line])
            .current_dir(self.folder.root())
            .env_clear()
            .env("PATH", path)
            .env("USER", "tester")
            .env("NUNCIO_DATABASE_URL", self.database.url())
            .env("FAKE_FORGE", self.forge.path())
            .env("GITHUB_ACTION_PATH", project("deploy/github"))
            .env("NUNCIO_DEPLOY", project("deploy"))
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!self.folder.root().join("pwned").exists(), "a text of a manifest was a command");
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs the step of the GitHub action that has this name; every variable that it declares is given.
    fn step(&self, name: &str, env: &[(&str, &str)]) -> Ended {
        let action = yaml("deploy/github/action.yml");
        let steps = action["runs"]["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["name"] == name).unwrap();
        let declared: BTreeSet<&str> =
            step["env"].as_object().unwrap().keys().map(String::as_str).collect();
        let given = [
            ("NUNCIO_PROGRAM", "nuncio"),
            ("NUNCIO_TASKS", "tasks.d"),
            ("NUNCIO_REVIEW_FOLDER", "review"),
            ("NUNCIO_REVIEW_SARIF", "true"),
            ("NUNCIO_PULL_REQUEST", "12"),
            ("NUNCIO_COMMENT_AUTHOR", "github-actions[bot]"),
            ("NUNCIO_REVIEW_WORKFLOW", "nuncio.yml"),
            ("NUNCIO_ARTIFACT", "nuncio-plan"),
            ("NUNCIO_HEAD_SHA", "0123"),
            ("NUNCIO_BOUND", "saved"),
            ("NUNCIO_MESSAGE", HOSTILE),
            ("NUNCIO_APPLY_COMMIT", "0123"),
            ("GH_TOKEN", "secret"),
        ];
        let mut all: Vec<(&str, &str)> =
            given.into_iter().filter(|(name, _)| declared.contains(name)).collect();
        assert_eq!(all.len(), declared.len(), "a variable of `{name}` is not given: {declared:?}");
        let (outputs, summary) =
            (self.forge.path().join("outputs"), self.forge.path().join("summary"));
        all.extend([
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REPOSITORY", "example/sales"),
            ("GITHUB_OUTPUT", outputs.to_str().unwrap()),
            ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap()),
        ]);
        all.extend(env);
        self.sh(step["run"].as_str().unwrap(), &all)
    }

    fn review(&self, name: &str) -> String {
        fs::read_to_string(self.folder.root().join("review").join(name)).unwrap()
    }

    fn forge(&self, name: &str) -> String {
        fs::read_to_string(self.forge.path().join(name)).unwrap_or_default()
    }

    /// The reviewed plan, as the forge keeps it.
    fn keep_plan(&self) {
        let plan = self.folder.root().join("review/plan.json");
        fs::copy(plan, self.forge.path().join("plan.json")).unwrap();
    }
}

/// What GitHub's runner takes for commands in a log.
fn commands(log: &str) -> Vec<&str> {
    let mut stopped: Option<String> = None;
    let mut found = Vec::new();
    for line in log.lines().map(str::trim_start) {
        if let Some(token) = &stopped {
            if line == format!("::{token}::") {
                stopped = None;
            }
        } else if let Some(token) = line.strip_prefix("::stop-commands::") {
            stopped = Some(token.to_owned());
        } else if line.starts_with("::") || line.contains("##[") {
            found.push(line);
        }
    }
    assert!(stopped.is_none(), "commands are stopped for good: {log}");
    found
}

#[test]
fn a_review_ends_as_the_plan_did_and_leaves_a_comment() {
    type Edit = fn(&Pipeline);
    let cases: [(&str, Edit, i32, &str, &str); 4] = [
        ("a change", |pipeline| pipeline.task("one", 10), 0, "2", "`+` `Task/one`"),
        ("nothing to do", |_| {}, 0, "0", "nothing to do"),
        (
            "a forbidden edit",
            |pipeline| {
                let text = fs::read_to_string(pipeline.folder.tasks().join("one.yaml")).unwrap();
                pipeline
                    .folder
                    .write("one.yaml", &text.replace("incoming-and-outgoing", "incoming"));
            },
            3,
            "3",
            "### Rejected by rule",
        ),
        (
            "an unknown field whose line is hostile",
            |pipeline| {
                pipeline.task("one", 10);
                let path = pipeline.folder.tasks().join("one.yaml");
                let text = fs::read_to_string(path).unwrap();
                pipeline.folder.write("one.yaml", &text.replace("  title:", "  titel:"));
            },
            1,
            "1",
            "unknown-field",
        ),
    ];
    let pipeline = Pipeline::new();
    for (what, edit, code, told, comment) in cases {
        edit(&pipeline);
        let ended = pipeline.step("Plan", &[]);
        assert_eq!(ended.code, code, "{what}: {}{}", ended.stdout, ended.stderr);
        assert_eq!(pipeline.review("exit-code").trim(), told, "{what}");
        let outputs = pipeline.forge("outputs");
        assert_eq!(outputs.lines().last(), Some(&*format!("exit-code={told}")), "{what}");
        let text = pipeline.review("comment.md");
        assert_eq!(text.lines().next(), Some(COMMENT_MARKER), "{what}");
        assert!(text.contains(comment), "{what}: {text}");
        assert!(pipeline.forge("summary").ends_with(&text), "{what}");
        for command in commands(&(ended.stdout + &ended.stderr)) {
            let is_annotation = ["::error file=tasks.d/", "::warning file=tasks.d/"]
                .iter()
                .any(|start| command.starts_with(start));
            assert!(is_annotation, "{what}: {command}");
        }
        let sarif: Value = serde_json::from_str(&pipeline.review("nuncio.sarif")).unwrap();
        assert_eq!(sarif["version"], "2.1.0", "{what}");
        if what == "a change" {
            let applied = pipeline.sh("nuncio apply --auto-approve --quiet", &[]);
            assert_eq!(applied.code, 0, "{}", applied.stderr);
        }
    }
}

#[test]
fn a_rejected_change_and_a_database_that_is_away_end_a_review_with_their_codes() {
    let pipeline = Pipeline::new();
    pipeline.task("one", 10);
    assert_eq!(pipeline.sh("nuncio apply --auto-approve", &[]).code, 0);
    let other = crate::support::channel("other", "vk-user", "token: {env: VK_TOKEN}", "");
    pipeline.folder.write("other.yaml", &other);
    let text = fs::read_to_string(pipeline.folder.tasks().join("one.yaml")).unwrap();
    pipeline.folder.write("one.yaml", &text.replace("channels: [vk]", "channels: [other]"));
    let ended = pipeline.step("Plan", &[]);
    assert_eq!(ended.code, 3, "{}{}", ended.stdout, ended.stderr);
    assert!(pipeline.review("comment.md").contains("### Rejected by rule"));
    assert!(pipeline.review("nuncio.sarif").contains("forbidden-edit"));

    let away = [("NUNCIO_DATABASE_URL", "postgres://user:hunter2@127.0.0.1:1/x")];
    let ended = pipeline.step("Plan", &away);
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    let comment = pipeline.review("comment.md");
    assert!(comment.starts_with(COMMENT_MARKER) && comment.contains("failed"), "{comment}");
    assert!(!(ended.stdout + &ended.stderr + &comment).contains("hunter2"));
    assert!(!pipeline.folder.root().join("review/plan.json").exists(), "an old plan is left");
}

#[test]
fn a_pull_request_has_one_comment_that_is_updated() {
    let pipeline = Pipeline::new();
    pipeline.task("one", 10);
    for method in ["POST", "PATCH"] {
        assert_eq!(pipeline.step("Plan", &[]).code, 0);
        let ended = pipeline.step("Comment", &[]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert_eq!(pipeline.forge("comment"), pipeline.review("comment.md"));
        let calls = pipeline.forge("calls");
        assert!(calls.contains(&format!("\n{method}\n")), "{calls}");
        assert!(calls.contains(COMMENT_MARKER), "the comment is looked for by another marker");
        assert!(!calls.contains("secret"), "a token is an argument");
        pipeline.task("one", 11);
    }
    assert!(pipeline.forge("calls").contains("repos/example/sales/issues/comments/41\n"));
}

#[test]
fn what_was_reviewed_is_applied_after_the_merge_and_nothing_else() {
    let pipeline = Pipeline::new();
    let fetched = pipeline.step("Fetch the reviewed plan", &[]);
    assert_eq!(fetched.code, 1, "{}", fetched.stdout);
    assert!(fetched.stderr.contains("no review of 0123 succeeded"), "{}", fetched.stderr);

    pipeline.task("one", 10);
    assert_eq!(pipeline.step("Plan", &[]).code, 0);
    pipeline.keep_plan();
    let commit = pipeline.commit();
    assert_eq!(pipeline.step("Fetch the reviewed plan", &[]).code, 0);
    let ended = pipeline.step("Apply", &[("NUNCIO_APPLY_COMMIT", &commit)]);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert_eq!(commands(&(ended.stdout + &ended.stderr)), Vec::<&str>::new());
    let message = pipeline.database.value("SELECT message FROM revisions ORDER BY number LIMIT 1");
    assert_eq!(message, format!("{HOSTILE} ({commit})"));

    let again = pipeline.step("Apply", &[]);
    assert_eq!(again.code, 4, "{}{}", again.stdout, again.stderr);
    // Done already is within the bound; what nobody reviewed is not.
    let constrain = [("NUNCIO_BOUND", "constrain")];
    let ended = pipeline.step("Apply", &constrain);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    pipeline.task("two", 10);
    assert_eq!(pipeline.step("Apply", &constrain).code, 4);
    assert_eq!(pipeline.database.value("SELECT count(*) FROM tasks"), "1");
}

#[test]
fn gitlab_gets_its_reports_its_note_and_the_reviewed_plan() {
    let has_jq = Command::new("jq").arg("--version").output().is_ok();
    let pipeline = Pipeline::new();
    pipeline.task("one", 10);
    let template = yaml("deploy/gitlab/nuncio.yml");
    let env = [
        ("CI_API_V4_URL", "https://gitlab.test/api/v4"),
        ("CI_PROJECT_ID", "3"),
        ("CI_MERGE_REQUEST_IID", "12"),
        ("CI_COMMIT_SHA", "0123"),
        ("CI_COMMIT_TITLE", HOSTILE),
        ("NUNCIO_GITLAB_TOKEN", "secret"),
        ("NUNCIO_BOUND", "saved"),
    ];
    let job = |name: &str, part: &str| {
        let mut codes = Vec::new();
        for line in template[name][part].as_array().unwrap() {
            // The template's folder, under the name that the fake forge has for it.
            let line = line.as_str().unwrap().replace("nuncio-review", "review");
            let ended = pipeline.sh(&line, &env);
            codes.push((ended.code, ended.stdout + &ended.stderr));
        }
        codes
    };
    let ended = job("nuncio-validate", "script");
    assert_eq!(ended[0].0, 0, "{}", ended[0].1);
    let reports = &template["nuncio-validate"]["artifacts"]["reports"];
    for report in ["codequality", "junit"] {
        let path = reports[report].as_str().unwrap().strip_prefix("nuncio-review/").unwrap();
        let text = pipeline.review(path);
        let is_right = match report {
            "codequality" => serde_json::from_str::<Vec<Value>>(&text).is_ok(),
            _ => text.contains("<testcase"),
        };
        assert!(is_right, "{report}: {text}");
    }
    let ended = job("nuncio-plan", "script");
    assert_eq!(ended[0].0, 0, "{}", ended[0].1);
    if !has_jq {
        skipped("`jq` is not installed, which GitLab's jobs need");
        return;
    }
    for method in ["POST", "PUT"] {
        let ended = job("nuncio-plan", "after_script");
        assert_eq!(ended[0].0, 0, "{}", ended[0].1);
        assert_eq!(pipeline.forge("comment"), pipeline.review("comment.md"));
        assert!(pipeline.forge("calls").contains(&format!("\n{method}\n")));
    }
    pipeline.keep_plan();
    for (code, told) in job("nuncio-apply", "script") {
        assert_eq!(code, 0, "{told}");
    }
    assert_eq!(pipeline.database.value("SELECT message FROM revisions LIMIT 1"), HOSTILE);
    assert!(!pipeline.forge("calls").contains("secret"), "a token is an argument");
    assert!(pipeline.forge("headers").lines().all(|line| line == "PRIVATE-TOKEN: secret"));
    assert_eq!(template["nuncio-apply"]["resource_group"], "nuncio");
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// Names that follow `before` in a text.
fn named<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.');
    let parts = text.split(before).skip(1);
    let names = parts.map(|part| &part[..part.find(|c| !is_name(c)).unwrap_or(part.len())]);
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn everything_that_a_pipeline_names_is_there() {
    for script in scripts() {
        let output = Command::new("sh").arg("-n").arg(&script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = fs::read_to_string(&script).unwrap();
        for name in named(&text, "sh \"$here/") {
            assert!(script.with_file_name(name).exists(), "{name} of {}", script.display());
        }
    }
    let action = yaml("deploy/github/action.yml");
    let steps = action["runs"]["steps"].as_array().unwrap();
    let declared: BTreeSet<&str> =
        action["inputs"].as_object().unwrap().keys().map(String::as_str).collect();
    let text = action["runs"].to_string();
    assert_eq!(named(&text, "inputs."), declared, "inputs that are named, and those there are");
    for input in action["inputs"].as_object().unwrap().values() {
        assert!(input["description"].is_string(), "{input}");
    }
    for step in steps {
        let Some(run) = step["run"].as_str() else { continue };
        assert!(!run.contains("${{"), "an expression becomes a command: {run}");
        for script in named(run, "$GITHUB_ACTION_PATH/") {
            assert!(project("deploy/github").join(script).exists(), "{script}");
        }
        for variable in named(&run.replace(['/', '"'], " "), "$") {
            let is_declared = step["env"].get(variable).is_some();
            assert!(is_declared || variable == "GITHUB_ACTION_PATH", "${variable} of {run}");
        }
    }
    let example = yaml("deploy/github/example.yml");
    let mut commands = BTreeSet::new();
    for job in example["jobs"].as_object().unwrap().values() {
        for step in job["steps"].as_array().unwrap() {
            if step["uses"].as_str().is_some_and(|uses| uses.contains("/deploy/github@")) {
                let with = step["with"].as_object().unwrap();
                assert!(with.keys().all(|key| declared.contains(&**key)), "{with:?}");
                commands.insert(with["command"].as_str().unwrap());
            }
        }
    }
    for command in &commands {
        assert!(text.contains(&format!("inputs.command == '{command}'")), "{command}");
    }
    assert_eq!(commands.len(), 2);
    let template = fs::read_to_string(project("deploy/gitlab/nuncio.yml")).unwrap();
    let named = named(&template, "$NUNCIO_DEPLOY/");
    assert_eq!(named.len(), 5, "{named:?}");
    assert!(named.iter().all(|script| project("deploy").join(script).exists()), "{named:?}");
}

#[test]
fn the_hooks_of_pre_commit_run() {
    let pipeline = Pipeline::new();
    pipeline.task("one", 10);
    let hooks = yaml(".pre-commit-hooks.yaml");
    for (expected, edit) in [(0, "text: |"), (1, "txet: |")] {
        let text = fs::read_to_string(pipeline.folder.tasks().join("one.yaml")).unwrap();
        pipeline.folder.write("one.yaml", &text.replace("text: |", edit));
        for hook in hooks.as_array().unwrap() {
            let entry = hook["entry"].as_str().unwrap();
            let files = if hook["pass_filenames"] == false {
                ""
            } else {
                " tasks.d/one.yaml tasks.d/vk.yaml"
            };
            let ended = pipeline.sh(&format!("{entry}{files}"), &[]);
            // The layout of a manifest is no matter of what it means.
            let expected = if entry == "nuncio fmt" { 0 } else { expected };
            assert_eq!(ended.code, expected, "{entry}: {}{}", ended.stdout, ended.stderr);
            assert!(!ended.stderr.contains("usage"), "{entry}: {}", ended.stderr);
        }
    }
}
