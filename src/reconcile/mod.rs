//! Manifests → plan → database: once by hand, or again and again by `watch`.

mod account;
mod announcer;
mod apply;
mod audiences;
mod beacon;
mod checkout;
mod controller;
mod folder;
pub mod git;
mod program;
mod remote;
mod shared;
mod source;
mod standing;
mod survey;

pub use announcer::{Announcements, Announcer, Audience};
pub use apply::{Applied, ApplyError, apply};
pub use audiences::AudienceDifference;
pub use beacon::{Beacon, WatchIdentity};
pub use checkout::{Checkout, CheckoutError, Follower};
pub use controller::{Controller, ReconcileError, Reconciled};
pub use remote::{BranchName, GitUrl, InvalidUrl, Remote, UrlOrigin};
pub use source::Source;
pub use survey::{Survey, SurveyError, survey};
