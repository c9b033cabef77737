//! Openings: permits from the store, calls through the drivers, outcomes back into the store.

mod drivers;
mod message;
mod openings;

pub use drivers::Connector;
pub use openings::{Executor, Identity};
