//! Where the manifests come from: a folder that others write, or a checkout that the watch keeps.

use std::path::Path;

use super::{
    beacon::Failing,
    checkout::Checkout,
    git::{self, Base, Look},
};

#[derive(Clone, Debug)]
pub enum Source {
    /// Perhaps in a git working tree.
    Folder,
    Checkout(Checkout),
}

impl Source {
    pub(super) fn look(&self, folder: &Path) -> Look {
        match self {
            Self::Folder => git::look(folder),
            // Never changed in place; a repository around its home is no concern of it.
            Self::Checkout(_) => git::look_outside_git(folder),
        }
    }

    pub(super) async fn base(&self, folder: &Path) -> Option<Base> {
        match self {
            Self::Folder => git::base(folder).await,
            Self::Checkout(checkout) => checkout.base(),
        }
    }

    /// Why there is nothing to read yet.
    pub(super) fn absence(&self) -> Option<String> {
        match self {
            Self::Folder => None,
            Self::Checkout(checkout) => checkout.absence(),
        }
    }

    /// Why what is read may be old, and since when.
    pub(super) fn failing(&self) -> Failing {
        match self {
            Self::Folder => None,
            Self::Checkout(checkout) => checkout.failing().borrow().clone(),
        }
    }
}
