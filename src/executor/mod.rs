//! Openings: permits from the store, calls through the drivers, outcomes back into the store.

mod backup_guard;
mod callbacks;
mod drivers;
mod message;
mod openings;

pub use backup_guard::BackupGuard;
pub use callbacks::Callbacks;
pub use drivers::Connector;
pub use openings::{Executor, Identity};
