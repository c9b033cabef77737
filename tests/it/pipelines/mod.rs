//! The review pipelines of `deploy`: the very scripts, with the steps as their YAML files have them.

mod github;
mod gitlab;
mod names;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

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
