//! What the tests share: a database each, folders of manifests, the program, the providers.

mod bench;
mod calls;
mod chromium;
mod database;
mod folder;
mod installed;
mod hosting;
mod program;
mod providers;
mod proxy;
mod repository;
mod site;

pub(crate) use bench::Bench;
pub(crate) use calls::{begin_calls, end_calls};
pub(crate) use chromium::run_in_browser;
pub(crate) use database::TestDatabase;
pub(crate) use folder::{Folder, TEAM, channel, incoming_task, vk_task};
pub(crate) use hosting::{API_KEY, Behaviour, Hosted, Working};
pub(crate) use installed::{Wanted, installed};
pub(crate) use program::{Ended, Program, Running};
pub(crate) use providers::Providers;
pub(crate) use proxy::Proxy;
pub(crate) use repository::{Bare, Repository, git};
pub(crate) use site::{SitePage, serve, site};

use std::time::{Duration, Instant};

/// What is waited for comes within seconds, and on a machine that is busy with other tests within many.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// How long a program may take that was asked to leave: its own bounds add up to five seconds, and the rest is for a
/// busy machine.
pub(crate) const LEAVING: Duration = Duration::from_secs(20);

/// Waits for the next UTC day, where this one ends before a test of its limits does.
pub(crate) fn begin_within_a_day(length: Duration) {
    const DAY_S: i64 = 24 * 60 * 60;
    let left = DAY_S - nuncio::clock::now().timestamp().rem_euclid(DAY_S);
    if let Ok(left) = u64::try_from(left)
        && Duration::from_secs(left) < length
    {
        std::thread::sleep(Duration::from_secs(left + 1));
    }
}

/// Waits until a condition holds; the last thing that was seen is in the panic.
#[track_caller]
pub(crate) fn wait_until<T: std::fmt::Debug>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> (bool, T),
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        let (done, seen) = look();
        if done {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}; last seen: {seen:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
