//! The plan as one comment of a pull request, that is updated in place.

mod code;
mod fit;
mod page;
mod part;

pub use page::{COMMENT_MARKER, render_markdown};

#[cfg(test)]
mod tests;
