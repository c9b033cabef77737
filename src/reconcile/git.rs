//! The git working tree around a folder: what is checked out, and whether git is at work in it.
//!
//! What decides whether a folder may be read is found by reading files alone, so that it works where
//! no git program is. Only what is said about a commit (its author, whether files differ from it) asks
//! the program.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use tokio::process::Command;

use super::program::{self, Limits};
use crate::domain::revision::Provenance;

/// What git keeps in its folder while an operation is under way, and how a person calls it.
///
/// The steps of a bisect are whole commits, but they were chosen to look for a fault, not to be
/// applied: they are waited out like the rest.
const OPERATIONS: &[(&str, &str)] = &[
    ("index.lock", "a git command"),
    ("rebase-merge", "a rebase"),
    ("rebase-apply", "a rebase or `git am`"),
    ("MERGE_HEAD", "a merge"),
    ("CHERRY_PICK_HEAD", "a cherry-pick"),
    ("REVERT_HEAD", "a revert"),
    ("sequencer", "a cherry-pick or a revert"),
    ("BISECT_LOG", "a bisect"),
];

/// A symbolic ref leads to a branch, sometimes over another one; a longer way is a loop.
const REF_STEPS_MAX: usize = 5;

/// A working tree of a million files takes about a second.
const PROGRAM_LIMITS: Limits = Limits { time: Duration::from_secs(5), output_bytes: 16 * 1024 };

/// What is seen of a folder at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Git is at work: the files may be of two commits.
    Busy(Operation),
    /// Whoever reads the folder, and sees the same before and after, has read one state of it.
    Still(Box<Token>),
}

/// A git operation that is under way, or was left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    name: &'static str,
    file: PathBuf,
    since: Option<DateTime<Utc>>,
}

/// What changes when another commit is checked out, or a link leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    folder: Option<PathBuf>,
    commit: Option<String>,
    index: Option<Identity>,
}

/// A file as it stands: git replaces its index by a rename, and never writes into it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// The commit that a folder was checked out from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    pub commit: String,
    /// Whether files of the folder differ from the commit; unknown without the git program.
    pub dirty: Option<bool>,
    /// `name <address>`; unknown without the git program.
    pub author: Option<String>,
}

impl Base {
    /// Says in the history which commit was written, and whose it is.
    pub fn tell(&self, provenance: &mut Provenance) {
        let Self { commit, dirty, author } = self;
        provenance.commit = Some(commit.clone());
        provenance.dirty = *dirty;
        // What differs from the commit may be anybody's.
        if *dirty == Some(false) && provenance.message.is_none() {
            provenance.message = author.as_ref().map(|author| format!("committed by {author}"));
        }
    }
}

/// The folders of git that belong to a working tree.
#[derive(Clone, Debug)]
struct WorkTree {
    /// Of this working tree alone.
    own: PathBuf,
    /// Shared by all working trees of the repository.
    common: PathBuf,
}

/// Looks at a folder, once.
pub(super) fn look(folder: &Path) -> Look {
    let Ok(folder) = fs::canonicalize(folder) else {
        return Look::Still(Box::new(Token { folder: None, commit: None, index: None }));
    };
    let tree = WorkTree::around(&folder);
    // What git does next is seen by the second look: an operation begins with its mark, and only the
    // end of one changes the index or the commit.
    if let Some(operation) = tree.as_ref().and_then(WorkTree::operation) {
        return Look::Busy(operation);
    }
    let commit = tree.as_ref().and_then(WorkTree::commit);
    let index = tree.as_ref().and_then(|tree| Identity::of(&tree.own.join("index")).ok());
    Look::Still(Box::new(Token { folder: Some(folder), commit, index }))
}

/// Looks at a folder that is no working tree, whatever stands around it.
pub(super) fn look_outside_git(folder: &Path) -> Look {
    let folder = fs::canonicalize(folder).ok();
    Look::Still(Box::new(Token { folder, commit: None, index: None }))
}

/// The commit that the working tree around the folder stands at; `None` outside of one.
pub async fn base(folder: &Path) -> Option<Base> {
    let commit = WorkTree::around(&fs::canonicalize(folder).ok()?)?.commit()?;
    let changes = ["status", "--porcelain", "--untracked-files=all", "--", "."];
    let author = ["show", "--no-patch", "--no-show-signature", "--format=%an <%ae>", &commit];
    let (changes, author) = tokio::join!(ask(folder, &changes), ask(folder, &author));
    Some(Base {
        commit,
        dirty: changes.map(|changes| !changes.is_empty()),
        author: author.map(|author| author.trim().to_owned()).filter(|author| !author.is_empty()),
    })
}

/// What the git program answers; `None` if it is absent, fails, or takes too long.
async fn ask(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder);
    // Nothing that the repository configures is run for a question.
    command.args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]);
    command.args(arguments);
    command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    let ran = program::run(command, Vec::new(), PROGRAM_LIMITS).await.ok()?;
    ran.success.then_some(ran.stdout)
}

impl Operation {
    /// The file by which it is known: one that stays behind is the only sign of a killed command.
    pub(super) fn is_lock(&self) -> bool {
        self.file.ends_with("index.lock")
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, file, since } = self;
        write!(f, "{name} is under way: `{}` is there", file.display())?;
        if let Some(since) = since {
            write!(f, " since {}", since.format("%Y-%m-%d %H:%M:%S UTC"))?;
        }
        if self.is_lock() {
            write!(f, "; if no git command runs, one was killed: remove the file")
        } else {
            write!(f, "; finish it or abort it")
        }
    }
}

impl WorkTree {
    /// The nearest one, as git finds it. `.git` is a file in a submodule and in a further worktree.
    fn around(folder: &Path) -> Option<Self> {
        for ancestor in folder.ancestors() {
            let dot_git = ancestor.join(".git");
            let Ok(metadata) = fs::metadata(&dot_git) else { continue };
            let own = if metadata.is_dir() {
                dot_git
            } else {
                let text = fs::read_to_string(&dot_git).ok()?;
                let target = text.strip_prefix("gitdir:")?.trim();
                fs::canonicalize(ancestor.join(target)).ok()?
            };
            let common = match fs::read_to_string(own.join("commondir")) {
                Ok(text) => own.join(text.trim()),
                Err(_) => own.clone(),
            };
            return Some(Self { own, common });
        }
        None
    }

    fn operation(&self) -> Option<Operation> {
        OPERATIONS.iter().find_map(|(file, name)| {
            let file = self.own.join(file);
            let metadata = fs::symlink_metadata(&file).ok()?;
            let since = metadata.modified().ok().map(DateTime::<Utc>::from);
            let since =
                since.filter(|since| *since > DateTime::<Utc>::from(SystemTime::UNIX_EPOCH));
            Some(Operation { name, file, since })
        })
    }

    /// What `HEAD` leads to. `None` before the first commit, and in a repository whose refs are not
    /// files.
    fn commit(&self) -> Option<String> {
        let mut text = fs::read_to_string(self.own.join("HEAD")).ok()?;
        for _ in 0..REF_STEPS_MAX {
            let Some(name) = text.strip_prefix("ref:").map(str::trim) else {
                let commit = text.trim();
                let is_commit = matches!(commit.len(), 40 | 64)
                    && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
                return is_commit.then(|| commit.to_owned());
            };
            text = self.read_ref(name)?;
        }
        None
    }

    fn read_ref(&self, name: &str) -> Option<String> {
        let is_inside = Path::new(name)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_inside {
            return None;
        }
        let loose = [&self.own, &self.common].map(|folder| fs::read_to_string(folder.join(name)));
        if let Some(text) = loose.into_iter().find_map(Result::ok) {
            return Some(text);
        }
        let packed = fs::read_to_string(self.common.join("packed-refs")).ok()?;
        packed.lines().find_map(|line| {
            let (commit, packed_name) = line.split_once(' ')?;
            (packed_name == name).then(|| commit.to_owned())
        })
    }
}

impl Identity {
    fn of(file: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(file)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn tree(files: &[(&str, &str)]) -> TempDir {
        let root = TempDir::new().unwrap();
        fs::create_dir_all(root.path().join("tree/tasks.d")).unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn commit_of(root: &TempDir) -> Option<String> {
        match look(&root.path().join("tree/tasks.d")) {
            Look::Still(token) => token.commit,
            Look::Busy(operation) => panic!("{operation}"),
        }
    }

    #[test]
    fn the_commit_is_found_wherever_git_keeps_it() {
        let cases: &[&[(&str, &str)]] = &[
            &[("tree/.git/HEAD", COMMIT)],
            &[("tree/.git/HEAD", "ref: refs/heads/main\n"), ("tree/.git/refs/heads/main", COMMIT)],
            &[
                ("tree/.git/HEAD", "ref: refs/heads/a"),
                ("tree/.git/refs/heads/a", "ref: refs/heads/b"),
                (
                    "tree/.git/packed-refs",
                    &format!("# pack-refs\n{COMMIT} refs/heads/b\n^{COMMIT}"),
                ),
            ],
            // A further worktree: its own HEAD, and the branches of the repository.
            &[
                ("tree/.git", "gitdir: ../repository/worktrees/tree\n"),
                ("repository/worktrees/tree/HEAD", "ref: refs/heads/topic\n"),
                ("repository/worktrees/tree/commondir", "../..\n"),
                ("repository/refs/heads/topic", COMMIT),
            ],
        ];
        for case in cases {
            assert_eq!(commit_of(&tree(case)).as_deref(), Some(COMMIT), "{case:?}");
        }
        let without: &[&[(&str, &str)]] = &[
            &[],
            &[("tree/.git/HEAD", "ref: refs/heads/unborn")],
            &[("tree/.git/HEAD", "ref: ../../secret"), ("secret", COMMIT)],
            &[
                ("tree/.git/HEAD", "ref: refs/heads/a"),
                ("tree/.git/refs/heads/a", "ref: refs/heads/a"),
            ],
            &[("tree/.git", "gitdir: ../gone")],
        ];
        for case in without {
            assert_eq!(commit_of(&tree(case)), None, "{case:?}");
        }
    }

    #[test]
    fn every_operation_is_seen_in_a_folder_and_behind_a_git_file() {
        for (mark, name) in OPERATIONS {
            for dot_git in ["tree/.git/HEAD", "tree/.git"] {
                let own = if dot_git == "tree/.git" { "elsewhere" } else { "tree/.git" };
                let mark = format!("{own}/{mark}");
                let root = tree(&[(dot_git, "gitdir: ../elsewhere"), (&mark, "")]);
                let Look::Busy(operation) = look(&root.path().join("tree/tasks.d")) else {
                    panic!("{mark} in {own} was not seen");
                };
                assert_eq!(operation.name, *name);
            }
        }
    }
}
