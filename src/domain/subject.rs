//! What a change, a rejection or a piece of history is about.

use std::fmt;

use super::{id::TaskName, resource::ResourceKey};

/// A task, or a resource that tasks refer to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Task(TaskName),
    Resource(ResourceKey),
}

impl Subject {
    /// Its kind in a manifest.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Task(_) => "Task",
            Self::Resource(key) => key.kind.as_str(),
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Task(name) => name.as_str(),
            Self::Resource(key) => &key.name,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind(), self.name())
    }
}
