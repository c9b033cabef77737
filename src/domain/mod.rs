//! The vocabulary: pure values, no IO. Start reading here.
//!
//! One word an idea, in code, SQL, logs and the command line: *task*, *type*, *format*, *channel*,
//! *kind*, *manager*, *AI*, *integration*, *contact*, *address*, *alias*, *audience*, *dialogue*, *opening*,
//! *reply*, *report*, *remaining*, *operator*; *manifest*, *place*, *field*, *plan*, *change*, *rejection*,
//! *generation*, *phase*, *act*, *drift*, *revision*, *subject*; *lane*, *lease*, *fence*, *permit*, *attempt*, *outcome*, *ledger*.
//!
//! A *lane* is the one way through which a channel's openings leave: it is leased by one executor at
//! a time, and it keeps the channel's pause and daily count over all tasks.

pub mod word;
pub mod id;
pub mod place;
pub mod fields;
pub mod kind;
pub mod colour;
pub mod origin;
pub mod money;
pub mod hours;
mod phone;
pub mod address;
pub mod contact;
pub mod phase;
pub mod task;
pub mod channel;
pub mod resource;
pub mod subject;
pub mod desired;
pub mod actual;
pub mod forecast;
pub mod event;
pub mod condition;
pub mod attempt;
pub mod dialogue;
pub mod report;
pub mod stop;
pub mod revision;

#[cfg(test)]
mod kind_tests;
