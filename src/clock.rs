//! The process's own clock. What sending depends on is decided by the database's.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the module that the others are told to use"
)]

use chrono::{DateTime, Utc};

pub fn now() -> DateTime<Utc> {
    Utc::now()
}
