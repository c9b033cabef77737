//! Manifests: text becomes what is desired, and every problem is told at once.

mod diagnostic;
mod read;
mod yaml;

pub use diagnostic::{Code, Diagnostic, Severity, Sources, render_concise, render_human};
