//! The rehearsal's AI: a salesman behind the wire format of chat completions.

mod faults;
mod intent;
mod journal;
mod refusals;
mod request;
mod salesman;
mod schema;
mod server;
mod tokens;

#[cfg(test)]
mod tests;

pub use faults::{AI_FAULTS, AiFault, AiFaultRow};
pub use journal::{AiEntry, ai_journal, read_ai_journal};
pub(super) use server::{AiProvider, router};
