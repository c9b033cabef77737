//! Openings and reports: permits and leases from the store, calls through the drivers, outcomes back into the
//! store.

mod backup_guard;
mod drivers;
mod message;
mod openings;
mod reporters;
mod reports;

pub use backup_guard::BackupGuard;
pub use drivers::Connector;
pub use openings::{Executor, Identity};
pub use reporters::ReportConnector;
pub use reports::Reports;
