//! Manifests → plan → database: once by hand, or again and again by `watch`.

mod apply;
mod controller;
mod folder;
mod survey;

pub use apply::{Applied, ApplyError, apply};
pub use controller::Controller;
pub use survey::{AudienceDifference, Survey, SurveyError, survey};
