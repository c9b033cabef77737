//! Fake providers on the loopback that speak the real wire formats: a dress rehearsal of a task.

mod account;
mod faults;
mod journal;
mod server;
mod vk;
mod waba;
mod waha;
mod world;

#[cfg(test)]
mod tests;

pub use faults::{ACCOUNT_FAULTS, ADDRESS_FAULTS, AccountFault, AddressFault, Fault};
pub use journal::{Entry, Verdict, read_journal};
pub use server::{Options, Rehearsal, start};
