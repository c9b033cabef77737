//! Desired × actual → plan. Pure: it cannot fail, wait or look at a clock.
//!
//! A plan is so specific that whoever applies it has no choice left, and it says what it does *not* do
//! and why.

mod change;
mod diff;
pub mod forecast;
mod recreate;
mod render;

pub use change::{
    Blocked, Change, Consequences, FieldChange, Held, PhaseStep, Plan, Refresh, Rejection,
    RejectionCode, Subject, Summary, Wishes,
};
pub use diff::{needs_recreation, plan};
pub use render::render_human;

#[cfg(test)]
mod tests;
