//! Fake providers, an AI and CRMs on the loopback that speak the real wire formats, and people who answer: a
//! dress rehearsal of a task.

mod account;
mod acquaintances;
mod ai;
mod answers;
mod avito;
mod crm;
mod crm_amocrm;
mod crm_bitrix24;
mod crm_telegram;
mod crm_webhook;
mod faults;
mod instagram;
mod instagram_events;
mod journal;
mod lines;
mod meta;
mod news;
mod people;
mod pushes;
mod resumption;
mod server;
mod strangers;
mod stream;
mod telegram;
mod telegram_cloud;
mod vk;
mod waba;
mod waba_events;
mod waha;
mod waha_events;
mod whatsapp;
mod world;
mod wuzapi;
mod wuzapi_events;

#[cfg(test)]
mod tests;

pub use ai::{AI_FAULTS, AiEntry, AiFault, AiFaultRow, ai_journal, read_ai_journal};
pub use crm::{CrmEntry, crm_journal, read_crm_journal};
pub use faults::{ACCOUNT_FAULTS, ADDRESS_FAULTS, AccountFault, AddressFault, Fault};
pub use journal::{Direction, Entry, Verdict, read_journal};
pub use people::{Line, PEOPLE, Person, Way};
pub use server::{Options, Rehearsal, start};
