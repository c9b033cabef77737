//! Postgres, and everything that is kept in it. The only room that knows SQL.
//!
//! A file is a table or a tight group of them; a function is a statement, or a few that belong in one
//! transaction. What must hold is decided in the statement, never by reading first and writing after.

mod acts;
mod answers;
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
mod inbox;
mod lanes;
mod libpq;
mod live;
mod overview;
mod permits;
mod purpose;
mod reminders;
mod replies;
mod resources;
mod revisions;
mod spending;
mod takeover;
mod tally;
mod tasks;
mod temporary;
mod watches;
mod writing;

pub use acts::{Acted, Order, Ownership};
pub use answers::{Answer, Committed, DialogueContext, DialogueNote, HeldTurn, Utterance};
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
pub use inbox::{Parcel, Raw, Taken};
pub use lanes::{LeasedLane, Presence, Sweep};
pub use libpq::libpq_environment;
pub use overview::{ChannelOverview, TaskOverview};
pub use purpose::Purpose;
pub use reminders::DueReminder;
pub use replies::{FinishedReply, ReplyPermit};
pub use revisions::{Detail, REVISIONS_MAX};
pub use spending::{DaySpending, Reservation, Reserved, Settlement};
pub use takeover::{DialogueAct, DialogueActed, Said};
pub use tally::OutcomeTally;
pub use temporary::{TemporaryDatabase, TemporaryError};
pub use watches::{WatchOverview, WatchReport};
pub use writing::{Patience, Wake, Writing};
