//! Manifests → plan → database: once by hand, or again and again by `watch`.

mod apply;
mod beacon;
mod controller;
mod folder;
pub mod git;
mod program;
mod standing;
mod survey;

pub use apply::{Applied, ApplyError, apply};
pub use beacon::{Beacon, WatchIdentity};
pub use controller::{Controller, ReconcileError, Reconciled};
pub use survey::{AudienceDifference, Survey, SurveyError, survey};
