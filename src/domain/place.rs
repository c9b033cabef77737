//! Places in manifests: where a value was written.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// A file as the user names it, and a position in it. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The places of one document: its own, and that of each field by its path below `spec`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    pub document: Place,
    pub fields: BTreeMap<String, Place>,
}

impl Places {
    pub fn at(document: Place) -> Self {
        Self { document, fields: BTreeMap::new() }
    }

    /// The place of a field, or of the nearest field around it, or of the document.
    pub fn of(&self, path: &str) -> &Place {
        let mut path = path;
        loop {
            if let Some(place) = self.fields.get(path) {
                return place;
            }
            match path.rfind('.') {
                Some(dot) => path = &path[..dot],
                None => return &self.document,
            }
        }
    }
}
