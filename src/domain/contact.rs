//! Contacts: the members of a task's target audience.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{address::Address, fields::Digest, id::TaskName, word::words};

words! {
    /// What became of a contact so far.
    ContactState {
        Remaining = "remaining",
        Written = "written",
        Suppressed = "suppressed",
        Failed = "failed",
        InDoubt = "in-doubt",
    }
}

/// One member of an audience: whom to write to, and the values of the file's other columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    pub address: Address,
    pub variables: BTreeMap<String, String>,
}

impl Address {
    /// The identity of the address in 128 bits: small enough to hold a million, wide enough that no two
    /// of them meet.
    pub fn key(&self) -> u128 {
        let digest = Sha256::digest(self.as_str().as_bytes());
        u128::from_be_bytes(std::array::from_fn(|i| digest[i]))
    }
}

/// A digest of a contact's variables; equal variables have equal digests.
pub fn variables_digest(variables: &BTreeMap<String, String>) -> u64 {
    if variables.is_empty() {
        return 0;
    }
    let mut hasher = Sha256::new();
    for (name, value) in variables {
        for text in [name, value] {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
    }
    let digest = hasher.finalize();
    u64::from_be_bytes(std::array::from_fn(|i| digest[i]))
}

/// What is known of an audience without reading its contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudienceDigest(pub Digest);

/// People of a new audience whom a task that goes on without a manifest has as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPeople {
    pub task: TaskName,
    /// Contacts of that task, with those it wrote to and has no more.
    pub of: u64,
    pub shared: u64,
    /// Those of `shared` who were written to, or may have been.
    pub written: u64,
}

/// How an audience differs from the one that was applied, in numbers and a few examples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AudienceChange {
    /// Contacts after the change.
    pub total: u64,
    pub added: u64,
    pub removed: u64,
    /// Contacts that stay, with other variables.
    pub altered: u64,
    /// Lines that name a contact which an earlier line names already.
    pub duplicates: u64,
    /// Of a new incarnation: contacts whom an earlier one has written to, or may have. They are not written to again.
    pub written_before: u64,
    /// Of a new task: a task without a manifest that goes on and has people of this audience. The one
    /// with the most of them.
    pub shared_with: Option<SharedPeople>,
    pub added_examples: Vec<Address>,
    pub removed_examples: Vec<Address>,
}

impl AudienceChange {
    /// Enough to see what kind of line it is, never a million of them.
    pub const EXAMPLES_MAX: usize = 3;
}
