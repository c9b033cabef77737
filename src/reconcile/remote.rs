//! The branch of a repository that `watch` follows by itself: what may be named, and how git is asked.

use std::{fmt, path::Path, str::FromStr, time::Duration};

use tokio::process::Command;

use super::program::{self, Limits, ProgramError};

/// What a URL may begin with. `ext::` and other helpers would run commands that the URL names.
const SCHEMES: &[&str] = &["https://", "ssh://", "file://"];

/// To ask for one commit; a server that takes longer is down.
pub(super) const ASK: Limits = Limits { time: Duration::from_secs(30), output_bytes: 64 * 1024 };
/// To fetch a commit with large audiences over a slow line.
pub(super) const FETCH: Limits = Limits { time: Duration::from_secs(600), ..ASK };

/// Characters of git's complaint that are told: the rest repeats it.
const COMPLAINT_MAX: usize = 300;

/// By which git is told the address.
const URL_VARIABLE: &str = "NUNCIO_FOLLOWED_URL";

/// Nothing that runs by itself, and nothing beside the one commit.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
];

/// Variables that would make git work elsewhere than it is told.
const VARIABLES_OF_GIT: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG_PARAMETERS",
    "GIT_SHALLOW_FILE",
    "GIT_TRACE",
    "GIT_TRACE_CURL",
];

/// The address of a repository. May hold a password if it came from the environment, and never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct GitUrl(String);

/// Where an address came from: an argument is seen by everybody on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlOrigin {
    Argument,
    Environment,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    #[error(
        "the address of the repository holds a secret, and arguments are seen by everybody on the \
         machine: put the whole address into NUNCIO_GIT_URL, or give the secret to a git credential helper"
    )]
    Secret,
    #[error(
        "`{0}` is no address of a repository: write https://…, ssh://…, file:///… or user@host:path"
    )]
    Form(String),
}

impl GitUrl {
    pub fn parse(text: &str, origin: UrlOrigin) -> Result<Self, InvalidUrl> {
        let url = Self(text.to_owned());
        let is_plain = text.chars().all(|c| !c.is_control() && !c.is_whitespace());
        let has_scheme = SCHEMES.iter().any(|scheme| {
            text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('-'))
        });
        if !is_plain || text.contains("::") || !(has_scheme || is_scp_like(text)) {
            return Err(InvalidUrl::Form(url.to_string()));
        }
        // The user of ssh is no secret; in https a token stands in its place.
        let is_secret =
            url.user().is_some_and(|user| user.contains(':') || text.starts_with("https://"));
        if is_secret && origin == UrlOrigin::Argument {
            return Err(InvalidUrl::Secret);
        }
        Ok(url)
    }

    /// What stands before the host.
    fn user(&self) -> Option<&str> {
        let (_, rest) = self.0.split_once("://")?;
        let (user, _) = rest.split('/').next()?.rsplit_once('@')?;
        Some(user)
    }
}

/// `user@host:path`, as ssh has it.
fn is_scp_like(text: &str) -> bool {
    let Some((host, path)) = text.split_once(':') else { return false };
    let is_host =
        host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@'));
    is_host
        && host.contains('@')
        && !path.is_empty()
        && !path.starts_with('-')
        && host.split('@').all(|part| !part.is_empty() && !part.starts_with('-'))
}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.split_once("://"), self.user()) {
            (Some((scheme, rest)), Some(user)) if scheme != "ssh" || user.contains(':') => {
                write!(f, "{scheme}://…{}", &rest[user.len()..])
            }
            _ => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitUrl({self})")
    }
}

/// The name of a branch, without `refs/heads/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchName(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a branch")]
pub struct InvalidBranch(String);

impl FromStr for BranchName {
    type Err = InvalidBranch;

    /// The rules of `git check-ref-format`.
    fn from_str(text: &str) -> Result<Self, InvalidBranch> {
        let is_part = |part: &str| {
            !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none()
        };
        let is_letter = |c: char| !c.is_control() && !c.is_whitespace() && !"~^:?*[\\".contains(c);
        let is_branch = !text.starts_with('-')
            && !text.ends_with('.')
            && text != "@"
            && !text.contains("..")
            && !text.contains("@{")
            && text.chars().all(is_letter)
            && text.split('/').all(is_part);
        if is_branch { Ok(Self(text.to_owned())) } else { Err(InvalidBranch(text.to_owned())) }
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A branch of a repository.
#[derive(Clone, Debug)]
pub struct Remote {
    pub url: GitUrl,
    pub branch: BranchName,
}

#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("git could not be run; is it installed?")]
    NotRun(#[source] std::io::Error),
    #[error("git did not answer within {0:?}")]
    TookTooLong(Duration),
    #[error("git says: {0}")]
    Complained(String),
}

impl Remote {
    /// The full name of the branch.
    pub(super) fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// Runs git in a repository in which `origin` is this remote, and gives what it says. The address
    /// goes by the environment: arguments are seen by everybody.
    pub(super) async fn git(
        &self,
        repository: &Path,
        environment: &[(&str, &Path)],
        arguments: &[&str],
        limits: Limits,
    ) -> Result<String, GitError> {
        let mut command = Command::new("git");
        for variable in VARIABLES_OF_GIT {
            command.env_remove(variable);
        }
        command.env("GIT_DIR", repository).envs(environment.iter().copied());
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ALLOW_PROTOCOL", "https:ssh:file");
        command.env("LC_ALL", "C");
        command.env(URL_VARIABLE, &self.url.0);
        command.arg(format!("--config-env=remote.origin.url={URL_VARIABLE}"));
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.args(arguments);
        let ran = program::run(command, Vec::new(), limits).await.map_err(|error| match error {
            ProgramError::NotRun(source) => GitError::NotRun(source),
            ProgramError::TookTooLong(time) => GitError::TookTooLong(time),
        })?;
        if ran.success {
            return Ok(ran.stdout);
        }
        Err(GitError::Complained(self.complaint(&ran.stderr)))
    }

    /// The first line that says what is wrong, without secrets.
    fn complaint(&self, stderr: &str) -> String {
        let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
        let fatal = lines()
            .find_map(|line| line.strip_prefix("fatal: ").or_else(|| line.strip_prefix("error: ")));
        let line = fatal.or_else(|| lines().next_back()).unwrap_or("nothing, and fails");
        let mut text = line.replace(&self.url.0, &self.url.to_string());
        if let Some(user) = self.url.user().filter(|user| !user.is_empty()) {
            text = text.replace(user, "…");
            for part in user.split(':').filter(|part| part.len() > 3) {
                text = text.replace(part, "…");
            }
        }
        text.chars().filter(|c| !c.is_control()).take(COMPLAINT_MAX).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_no_secret_and_run_nothing() {
        let parse = |text: &str| GitUrl::parse(text, UrlOrigin::Argument);
        for good in [
            "https://example.test/sales.git",
            "ssh://git@example.test:2222/sales.git",
            "git@example.test:sales/tasks.git",
            "file:///srv/git/sales.git",
        ] {
            assert_eq!(parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "sales.git",
            "/srv/git",
            "ext::sh -c whoami",
            "ext::sh",
            "-oProxyCommand=x@host:y",
            "--upload-pack=x",
            "ssh://-oProxyCommand=x/y",
            "https://",
            "http://example.test/x",
            "https://example.test/a b",
            "git@:x",
            "git@-host:x",
            "fd::17",
        ] {
            assert!(matches!(parse(bad), Err(InvalidUrl::Form(_))), "{bad}");
        }
        for secret in [
            "https://anna:hunter22@example.test/x",
            "https://ghp_secret@example.test/x",
            "ssh://git:hunter22@h/x",
        ] {
            let refused = parse(secret).unwrap_err();
            assert_eq!(refused, InvalidUrl::Secret);
            let kept = GitUrl::parse(secret, UrlOrigin::Environment).unwrap();
            let remote = Remote { url: kept.clone(), branch: "main".parse().unwrap() };
            let complaint = remote.complaint(&format!("fatal: unable to access '{secret}/': no"));
            for shown in [refused.to_string(), kept.to_string(), format!("{kept:?}"), complaint] {
                assert!(!shown.contains("hunter22") && !shown.contains("ghp_"), "{shown}");
            }
        }
    }

    #[test]
    fn branches_are_named_as_git_names_them() {
        for good in ["main", "release/2.0", "feature_x", "a@b"] {
            good.parse::<BranchName>().unwrap();
        }
        for bad in [
            "", "-f", "a..b", "a b", "a:b", "/a", "a/", "a//b", ".a", "a.lock", "@", "a@{1}", "a^",
            "a.", "a\n",
        ] {
            bad.parse::<BranchName>().unwrap_err();
        }
    }
}
