//! Fake providers and an AI on the loopback that speak the real wire formats: a dress rehearsal of a task.

mod account;
mod ai;
mod faults;
mod journal;
mod lines;
mod server;
mod vk;
mod waba;
mod waha;
mod world;

#[cfg(test)]
mod tests;

pub use ai::{AI_FAULTS, AiEntry, AiFault, AiFaultRow, ai_journal, read_ai_journal};
pub use faults::{ACCOUNT_FAULTS, ADDRESS_FAULTS, AccountFault, AddressFault, Fault};
pub use journal::{Entry, Verdict, read_journal};
pub use server::{Options, Rehearsal, start};
