//! Desired × actual → plan. Pure: it cannot fail, wait or look at a clock.
//!
//! A plan is so specific that whoever applies it has no choice left, and it says what it does *not* do
//! and why.

mod change;
mod consequences;
mod diff;
mod document;
mod documenting;
mod gone;
mod guards;
mod markdown;
pub mod forecast;
mod nesting;
mod page;
mod recreate;
mod render;
mod resources;
mod restored;
mod saved;
mod three_way;

pub use change::{
    BLOCKED, Blocked, Change, Drift, FieldChange, Held, PhaseStep, Plan, Refresh, Rejection,
    RejectionCode, Summary, Wishes,
};
pub use diff::{needs_recreation, plan};
pub use document::{BaseDocument, PlanDocument, plan_schema, without_integer_format};
pub use documenting::{Circumstances, document};
pub use markdown::{COMMENT_MARKER, render_markdown};
pub use page::{render_field_changes, render_fields};
pub use render::render_human;
pub use saved::{Stale, UnusablePlan, WhyStale, read_plan};
pub use three_way::compare;

#[cfg(test)]
mod drift_tests;
#[cfg(test)]
mod tests;
