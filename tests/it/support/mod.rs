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
