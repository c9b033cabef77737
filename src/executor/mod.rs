//! Openings, dialogues and reports: permits and leases from the store, calls through the drivers, outcomes back
//! into the store.

mod ais;
mod answering;
mod asking;
mod backup_guard;
mod conversations;
mod decision;
mod callbacks;
mod drafting;
mod drivers;
mod lanes;
mod message;
mod openings;
mod prompt;
mod receiving;
mod reporters;
mod reports;
mod rounds;
mod telling;

pub use ais::AiConnector;
pub use backup_guard::BackupGuard;
pub use callbacks::Callbacks;
pub use conversations::Conversations;
pub use drafting::Drafting;
pub use drivers::{Connector, Held};
pub use lanes::Identity;
pub use openings::Executor;
pub use receiving::Receiver;
pub use reporters::ReportConnector;
pub use reports::Reports;
