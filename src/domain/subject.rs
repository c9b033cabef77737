//! What a change, a rejection or a piece of history is about.

use std::{fmt, str::FromStr};

use super::{
    id::{ResourceName, TaskName},
    resource::ResourceKey,
};

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

/// Neither the name of a task nor `Kind/name`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither the name of a task nor a resource, like `Channel/vk-anna`")]
pub struct InvalidSubject(String);

/// As people write it: a task by its name, and a resource by its kind and name.
impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        let invalid = || InvalidSubject(text.to_owned());
        match text.split_once('/') {
            None => Ok(Self::Task(text.parse().map_err(|_| invalid())?)),
            Some(("Task", name)) => Ok(Self::Task(name.parse().map_err(|_| invalid())?)),
            Some((kind, name)) => {
                let name: ResourceName = name.parse().map_err(|_| invalid())?;
                let kind = kind.parse().map_err(|_| invalid())?;
                Ok(Self::Resource(ResourceKey::new(kind, &name)))
            }
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind(), self.name())
    }
}
