//! Fake providers on the loopback that speak the real wire formats: a dress rehearsal of a task.

mod account;
mod crm;
mod crm_amocrm;
mod crm_bitrix24;
mod crm_telegram;
mod crm_webhook;
mod faults;
mod journal;
mod server;
mod vk;
mod waba;
mod waha;
mod world;

#[cfg(test)]
mod tests;

pub use crm::CrmEntry;
pub use faults::{ACCOUNT_FAULTS, ADDRESS_FAULTS, AccountFault, AddressFault, Fault};
pub use journal::{Entry, Verdict, read_journal};
pub use server::{Options, Rehearsal, start};
