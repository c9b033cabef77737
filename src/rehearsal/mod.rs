//! Fake providers, an AI and CRMs on the loopback that speak the real wire formats, and people who answer: a
//! dress rehearsal of a task.

mod account;
mod acquaintances;
mod ai;
mod answers;
mod crm;
mod crm_amocrm;
mod crm_bitrix24;
mod crm_telegram;
mod crm_webhook;
mod faults;
mod journal;
mod lines;
mod news;
mod people;
mod pushes;
mod server;
mod vk;
mod vk_polling;
mod vk_stream;
mod waba;
mod waba_events;
mod waha;
mod waha_events;
mod world;

#[cfg(test)]
mod tests;

pub use ai::{AI_FAULTS, AiEntry, AiFault, AiFaultRow, ai_journal, read_ai_journal};
pub use crm::{CrmEntry, crm_journal, read_crm_journal};
pub use faults::{ACCOUNT_FAULTS, ADDRESS_FAULTS, AccountFault, AddressFault, Fault};
pub use journal::{Direction, Entry, Verdict, read_journal};
pub use people::{Line, PEOPLE, Person, Way};
pub use server::{Options, Rehearsal, start};
