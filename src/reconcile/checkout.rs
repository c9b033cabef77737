//! A checkout that `watch` keeps itself: each commit in a folder of its own, and a link that leads to the
//! newest.
//!
//! Below its home: `commits/SHA/files` and `commits/SHA/author`, the link `current`, and what a process
//! that was killed may leave (`laying-…`, `repository-…`), which the next start removes. Nothing is read
//! that is not behind `current`, and what is there was whole before the link was set.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, symlink},
    path::{Component, Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    beacon::Failing,
    git::Base,
    remote::{ASK, FETCH, GitError, Remote},
};
use crate::domain::fields::Digest;

/// The first wait after a failure, doubled with each further one.
const BACKOFF_FIRST: Duration = Duration::from_secs(5);
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// Every fetch adds a pack; past this the repository is begun anew.
const FETCHES_MAX: u32 = 50;
/// The folder that a pass may still be reading, and the one before it.
const COMMITS_KEPT: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    #[error("the branch `{branch}` of {url} cannot be fetched")]
    Git { url: String, branch: String, source: GitError },
    #[error("the checkout in `{}` cannot be kept", .0.display())]
    Io(PathBuf, #[source] io::Error),
    #[error("another nuncio keeps the checkout in `{}`; give this one another folder (NUNCIO_DATA)", .0.display())]
    InUse(PathBuf),
    #[error("`{0}` must be a folder inside the repository, such as `tasks.d`")]
    BadPath(String),
    #[error("git answered without a commit")]
    NoCommit,
    #[error("the fetching failed")]
    Panicked(#[from] tokio::task::JoinError),
}

/// What there is of a checkout: for those who only read it.
#[derive(Clone, Debug)]
pub struct Checkout {
    home: PathBuf,
    path: String,
    shown: String,
    failing: watch::Receiver<Failing>,
}

impl Checkout {
    /// The folder of the manifests.
    pub fn folder(&self) -> PathBuf {
        self.home.join("current/files").join(&self.path)
    }

    /// The repository and its branch, without secrets.
    pub fn shown(&self) -> String {
        self.shown.clone()
    }

    pub(super) fn failing(&self) -> watch::Receiver<Failing> {
        self.failing.clone()
    }

    /// Why there is nothing to read yet.
    pub(super) fn absence(&self) -> Option<String> {
        if self.home.join("current").exists() {
            return None;
        }
        let failing = self.failing.borrow().clone();
        Some(failing.map_or_else(|| "the first fetch is under way".to_owned(), |(why, _)| why))
    }

    pub(super) fn base(&self) -> Option<Base> {
        let target = current(&self.home)?;
        let author = fs::read_to_string(self.home.join("commits").join(&target).join("author"));
        Some(Base { commit: target, dirty: Some(false), author: author.ok() })
    }
}

/// The commit that the link leads to.
fn current(home: &Path) -> Option<String> {
    let target = fs::read_link(home.join("current")).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

/// Fetches what the branch leads to, again and again. One a home: it holds the home's lock.
#[derive(Debug)]
pub struct Follower {
    remote: Remote,
    interval: Duration,
    home: PathBuf,
    path: String,
    /// Of this process alone: whatever a killed one left in its own is not used.
    repository: PathBuf,
    n_fetches: u32,
    failing: watch::Sender<Failing>,
    _lock: File,
}

impl Follower {
    /// Takes hold of the checkout of a branch below `data`. `path` is the folder of the manifests in it.
    pub fn open(
        remote: Remote,
        path: &str,
        interval: Duration,
        data: &Path,
    ) -> Result<Self, CheckoutError> {
        let is_inside = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !is_inside {
            return Err(CheckoutError::BadPath(path.to_owned()));
        }
        let digest = Digest::of_bytes(format!("{} {}", remote.url, remote.branch).as_bytes());
        let home = data.join("git").join(&digest.to_string()[..16]);
        let failed = |error| CheckoutError::Io(home.clone(), error);
        // Audiences are people's addresses.
        private_folder(&home.join("commits")).map_err(failed)?;
        let lock = File::create(home.join("lock")).map_err(failed)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(CheckoutError::InUse(home));
        }
        let repository = home.join(format!("repository-{}", Uuid::new_v4().simple()));
        let follower = Self {
            remote,
            interval,
            path: path.to_owned(),
            repository,
            n_fetches: 0,
            failing: watch::Sender::new(None),
            _lock: lock,
            home: home.clone(),
        };
        follower.clean().map_err(failed)?;
        Ok(follower)
    }

    pub fn checkout(&self) -> Checkout {
        Checkout {
            home: self.home.clone(),
            path: self.path.clone(),
            shown: format!("{} {}", self.remote.url, self.remote.branch),
            failing: self.failing.subscribe(),
        }
    }

    /// Follows the branch until `shutdown`. A failure keeps the last good commit.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut n_failures = 0;
        loop {
            let fetched = tokio::select! {
                fetched = self.fetch() => fetched,
                () = shutdown.cancelled() => break,
            };
            let wait = match fetched {
                Ok(()) => {
                    if n_failures > 0 {
                        info!("fetching again");
                        self.failing.send_replace(None);
                    }
                    n_failures = 0;
                    self.interval
                }
                Err(error) => {
                    self.say(format!("{:#}", anyhow::Error::from(error)));
                    let first = BACKOFF_FIRST.min(self.interval);
                    let wait = first.saturating_mul(1 << n_failures.min(16)).min(BACKOFF_MAX);
                    n_failures += 1;
                    wait
                }
            };
            tokio::select! {
                () = sleep(jittered(wait)) => {}
                () = shutdown.cancelled() => break,
            }
        }
        drop(fs::remove_dir_all(&self.repository));
    }

    fn say(&self, problem: String) {
        self.failing.send_if_modified(|failing| {
            if failing.as_ref().is_some_and(|(before, _)| *before == problem) {
                return false;
            }
            warn!("not fetched: {problem}");
            let since = failing.as_ref().map_or_else(Instant::now, |(_, since)| *since);
            *failing = Some((problem, since));
            true
        });
    }

    /// Makes `current` what the branch leads to now.
    pub async fn fetch(&mut self) -> Result<(), CheckoutError> {
        if self.n_fetches >= FETCHES_MAX {
            self.n_fetches = 0;
            drop(fs::remove_dir_all(&self.repository));
        }
        if !self.repository.exists() {
            self.git(&[], &["init", "--quiet", "--bare"], ASK.time).await?;
        }
        let reference = self.remote.reference();
        let ask = ["ls-remote", "--exit-code", "--", "origin", &reference];
        let said = self.git(&[], &ask, ASK.time).await.map_err(|error| match error {
            CheckoutError::Git { url, branch, source: GitError::Complained(said) }
                if said.starts_with("nothing") =>
            {
                let said = "the repository has no such branch".to_owned();
                CheckoutError::Git { url, branch, source: GitError::Complained(said) }
            }
            other => other,
        })?;
        let newest = said.split_whitespace().next().unwrap_or_default();
        if current(&self.home).as_deref() == Some(newest) {
            return Ok(());
        }
        self.n_fetches += 1;
        let into = format!("+{reference}:refs/nuncio/followed");
        let fetch =
            ["fetch", "--quiet", "--depth=1", "--no-tags", "--force", "--no-write-fetch-head"];
        let fetch: Vec<&str> = fetch.into_iter().chain(["--", "origin", &into]).collect();
        self.git(&[], &fetch, FETCH.time).await?;
        let commit = self
            .git(&[], &["rev-parse", "--verify", "refs/nuncio/followed^{commit}"], ASK.time)
            .await?;
        let commit = commit.trim().to_owned();
        if !matches!(commit.len(), 40 | 64) || !commit.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err(CheckoutError::NoCommit);
        }
        let laid_out = self.lay_out(&commit).await;
        if laid_out.is_err() {
            // It is tried again and again; half a checkout of each try would fill the disk.
            drop(self.clean());
        }
        laid_out?;
        info!(commit = &commit[..12], "checked out");
        Ok(())
    }

    /// Lays a commit out beside the present one, and leads `current` to it in one step.
    async fn lay_out(&self, commit: &str) -> Result<(), CheckoutError> {
        let laying = self.home.join(format!("laying-{}", Uuid::new_v4().simple()));
        let files = laying.join("files");
        let failed = |error| CheckoutError::Io(self.home.clone(), error);
        let whole = self.home.join("commits").join(commit);
        if !whole.exists() {
            private_folder(&files).map_err(failed)?;
            let index = self.repository.join(format!("index-{commit}"));
            let environment =
                [("GIT_WORK_TREE", files.as_path()), ("GIT_INDEX_FILE", index.as_path())];
            self.git(&environment, &["read-tree", "--reset", "-u", commit], FETCH.time).await?;
            drop(fs::remove_file(index));
            let author =
                ["show", "--no-patch", "--no-show-signature", "--format=%an <%ae>", commit];
            let author = self.git(&[], &author, ASK.time).await?;
            fs::write(laying.join("author"), author.trim()).map_err(failed)?;
            // A link in the repository may lead anywhere on this machine.
            if let (Ok(inside), Ok(root)) =
                (fs::canonicalize(files.join(&self.path)), fs::canonicalize(&files))
                && !inside.starts_with(root)
            {
                return Err(CheckoutError::BadPath(self.path.clone()));
            }
            // The link must not outlive a power failure that its files do not.
            spawn_blocking(rustix::fs::sync).await?;
            fs::rename(&laying, &whole).map_err(failed)?;
        }
        let link = self.home.join(format!("laying-{}", Uuid::new_v4().simple()));
        symlink(Path::new("commits").join(commit), &link).map_err(failed)?;
        fs::rename(link, self.home.join("current")).map_err(failed)?;
        self.clean().map_err(failed)
    }

    /// Removes what a killed process left, and commits that nobody reads any more.
    fn clean(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.home)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_ours = path == self.repository;
            if name.starts_with("laying-") && path.is_symlink() {
                fs::remove_file(path)?;
            } else if name.starts_with("laying-") || name.starts_with("repository-") && !is_ours {
                fs::remove_dir_all(path)?;
            }
        }
        let current = current(&self.home);
        let mut commits = Vec::new();
        for entry in fs::read_dir(self.home.join("commits"))? {
            let entry = entry?;
            if Some(entry.file_name().to_string_lossy().into_owned()) != current {
                commits.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        commits.sort();
        let n_old = (commits.len() + 1).saturating_sub(COMMITS_KEPT);
        for (_, path) in commits.into_iter().take(n_old) {
            fs::remove_dir_all(path)?;
        }
        Ok(())
    }

    async fn git(
        &self,
        environment: &[(&str, &Path)],
        arguments: &[&str],
        time: Duration,
    ) -> Result<String, CheckoutError> {
        let limits = super::program::Limits { time, ..ASK };
        self.remote.git(&self.repository, environment, arguments, limits).await.map_err(|source| {
            let Remote { url, branch } = &self.remote;
            CheckoutError::Git { url: url.to_string(), branch: branch.to_string(), source }
        })
    }
}

fn private_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Up to a fifth longer or shorter: many that follow one server must not ask it at once.
fn jittered(wait: Duration) -> Duration {
    let [random, ..] = *Uuid::new_v4().as_bytes();
    wait.mul_f64(0.8 + 0.4 * f64::from(random) / 255.0)
}
