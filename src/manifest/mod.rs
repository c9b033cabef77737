//! Manifests: text becomes what is desired, and every problem is told at once.

mod diagnostic;
mod node;
mod yaml;
mod read;
mod document;
mod schema;
mod editors;
mod findings;
mod conform;
mod ground;
mod lower;
mod lower_task;
mod lower_channel;
mod lower_resource;
mod places;
mod reading;
mod template;
mod limits;
mod checks;
mod lines;
mod rows;
mod contacts;
mod audience;
mod folder;
mod load;
mod order;
mod scalar;
mod values;
mod emit;
mod tree;
mod lists;
mod sort;
mod format;
mod splice;
mod edit;

pub use audience::{digest_audience, read_audience};
pub use contacts::{
    AudienceReading, COLUMNS_MAX, Column, DUPLICATES_SHOWN_MAX, Duplicates, FINDINGS_MAX,
};
pub use diagnostic::{Code, Diagnostic, Severity, Sources, clean, nearest, render_human};
pub use edit::{EditError, set_fields};
pub use emit::{EmittedAudience, emit_resource, emit_suppression_list, emit_task};
pub use folder::is_manifest;
pub use format::{FormatError, format_text};
pub use lines::LINE_BYTES_MAX;
pub use load::{
    Counts, Listing, LoadError, Loaded, check_audiences, digest_of, list, load, load_stored,
    load_text,
};
pub use schema::{API_VERSION, DocumentKind, manifest_schema};
pub use template::variables_of;
pub use yaml::{ALIAS_NODES_MAX, DEPTH_MAX, FILE_BYTES_MAX, KEYS_MAX, NODES_MAX};

#[cfg(test)]
mod edit_tests;
#[cfg(test)]
mod emit_tests;
#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod tests;
