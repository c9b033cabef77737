//! Postgres, and everything that is kept in it. The only room that knows SQL.
//!
//! A file is a table or a tight group of them; a function is a statement, or a few that belong in one
//! transaction. What must hold is decided in the statement, never by reading first and writing after.

mod acts;
mod attempts;
mod audience;
mod conditions;
mod connect;
mod contents;
mod doubts;
pub mod embedded;
mod encoding;
mod error;
mod examination;
mod fates;
mod forecast;
mod guard;
mod held_back;
mod lanes;
mod libpq;
mod live;
mod overview;
mod permits;
mod purpose;
mod resources;
mod revisions;
mod tally;
mod tasks;
mod temporary;
mod watches;
mod writing;

pub use acts::{Acted, Order, Ownership};
pub use attempts::{Abandoned, Finished};
pub use audience::{AudienceWriter, StoredContact};
pub use conditions::{StoredCondition, TaskVitals};
pub use connect::{ServerOptions, Store, Wakeups};
pub use contents::Contents;
pub use doubts::{Doubtful, Resolution};
pub use error::StoreError;
pub use examination::{Examination, Pending, Rights, Schema};
pub use fates::{ContactFate, FateReader};
pub use guard::{DatabaseIdentity, Guard};
pub use held_back::HeldBack;
pub use lanes::{LeasedLane, Presence, Sweep, Unblocked};
pub use libpq::libpq_environment;
pub use overview::{ChannelOverview, TaskOverview};
pub use purpose::Purpose;
pub use revisions::{Detail, REVISIONS_MAX};
pub use tally::OutcomeTally;
pub use temporary::{TemporaryDatabase, TemporaryError};
pub use watches::{WatchOverview, WatchReport};
pub use writing::{Patience, Wake, Writing};
