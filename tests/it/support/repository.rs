//! A git repository that a test works in.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::Folder;

/// Git, with nothing of the machine's own configuration.
pub(crate) fn git_command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_COUNT", "3");
    for (number, (key, value)) in
        [("user.name", "Anna"), ("user.email", "anna@example.test"), ("commit.gpgSign", "false")]
            .iter()
            .enumerate()
    {
        command.env(format!("GIT_CONFIG_KEY_{number}"), key);
        command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs git, which has to succeed, and gives what it says.
#[track_caller]
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = git_command(folder, arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A working tree with a `tasks.d`, on the branch `main`.
pub(crate) struct Repository {
    pub(crate) folder: Folder,
}

impl Repository {
    pub(crate) fn new() -> Self {
        let folder = Folder::with_team();
        git(folder.root(), &["init", "--quiet", "--initial-branch=main"]);
        Self { folder }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.root()
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(self.root(), arguments)
    }

    pub(crate) fn start_git(&self, arguments: &[&str]) -> Child {
        let mut command = git_command(self.root(), arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Commits everything, and gives the commit.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits one manifest, and gives the commit.
    pub(crate) fn commit_file(&self, name: &str, text: &str) -> String {
        self.folder.write(name, text);
        self.commit(name)
    }
}

/// A bare repository, as a server has it.
pub(crate) struct Bare {
    folder: TempDir,
}

impl Bare {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        git(folder.path(), &["init", "--quiet", "--bare", "--initial-branch=main"]);
        Self { folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }
}
