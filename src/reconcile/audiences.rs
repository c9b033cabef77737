//! How an audience differs from the one that was loaded.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    sync::Arc,
};

use crate::{
    domain::{
        contact::{AudienceChange, SharedPeople, variables_digest},
        desired::AudienceSource,
        id::{TaskId, TaskName},
        kind::MessengerType,
        place::Place,
    },
    manifest::{self, Code, Diagnostic},
    store::{Store, StoreError},
};

/// How an audience differs from the one that was loaded: for the plan in numbers, for the one who
/// applies it in keys.
#[derive(Debug, Default)]
pub struct AudienceDifference {
    pub change: AudienceChange,
    /// Keys of the addresses to load. Empty for a new task: then it is all of them.
    pub added: HashSet<u128>,
    /// Positions to load other variables into, by key.
    pub altered: HashMap<u128, i64>,
    /// Positions to take out.
    pub removed: Vec<i64>,
}

/// A task that goes on without a manifest, and the keys of its people: whether each was written to.
pub(super) struct Abandoned {
    pub(super) name: TaskName,
    pub(super) messenger: MessengerType,
    pub(super) people: HashMap<u128, bool>,
}

/// What an audience is compared with.
pub(super) struct Old<'a> {
    pub(super) stored: Stored,
    pub(super) is_new: bool,
    /// The keys of those whom earlier incarnations have written to, where it is a new one.
    pub(super) written: HashSet<u128>,
    pub(super) abandoned: &'a [Abandoned],
}

/// Every stored contact by its address's key: its position, and the digest of its variables.
pub(super) type Stored = HashMap<u128, (i64, u64)>;

pub(super) async fn read_stored(store: &Store, id: TaskId) -> Result<Stored, StoreError> {
    let mut stored = HashMap::new();
    store
        .for_each_contact(id, |contact| {
            let digest = variables_digest(&contact.contact.variables);
            stored.insert(contact.contact.address.key(), (contact.position, digest));
        })
        .await?;
    Ok(stored)
}

pub(super) fn compare(
    source: &AudienceSource,
    messenger: MessengerType,
    manifest_file: &Arc<str>,
    old: Old<'_>,
) -> (AudienceDifference, Vec<Diagnostic>) {
    let Old { mut stored, is_new, written, abandoned } = old;
    let mut difference = AudienceDifference::default();
    let mut old_names: Vec<(&Abandoned, SharedPeople)> = abandoned
        .iter()
        .filter(|abandoned| abandoned.messenger == messenger)
        .map(|abandoned| {
            let (task, of) = (abandoned.name.clone(), abandoned.people.len() as u64);
            (abandoned, SharedPeople { task, of, shared: 0, written: 0 })
        })
        .collect();
    let reading = manifest::read_audience(source, messenger, manifest_file, &mut |contact| {
        if is_new && old_names.is_empty() && written.is_empty() {
            return ControlFlow::Continue(());
        }
        let key = contact.address.key();
        difference.change.written_before += u64::from(written.contains(&key));
        for (abandoned, found) in &mut old_names {
            if let Some(written) = abandoned.people.get(&key) {
                found.shared += 1;
                found.written += u64::from(*written);
            }
        }
        if is_new {
            return ControlFlow::Continue(());
        }
        match stored.remove(&key) {
            Some((position, digest)) => {
                if digest != variables_digest(&contact.variables) {
                    difference.altered.insert(key, position);
                }
            }
            None => {
                if difference.change.added_examples.len() < AudienceChange::EXAMPLES_MAX {
                    difference.change.added_examples.push(contact.address);
                }
                difference.added.insert(key);
            }
        }
        ControlFlow::Continue(())
    });
    let reading = match reading {
        Ok(reading) => reading,
        Err(error) => {
            let place = Place { file: Arc::clone(manifest_file), line: 1, column: 1 };
            let message = format!("the audience cannot be read: {error}");
            return (difference, vec![Diagnostic::error(Code::AudienceFile, place, 0, message)]);
        }
    };
    difference.removed = stored.values().map(|(position, _)| *position).collect();
    difference.removed.sort_unstable();
    let change = &mut difference.change;
    change.shared_with = old_names
        .into_iter()
        .map(|(_, found)| found)
        .filter(|found| found.shared > 0)
        .max_by_key(|found| found.shared);
    change.total = reading.total;
    change.duplicates = reading.duplicates.count;
    change.added = if is_new { reading.total } else { difference.added.len() as u64 };
    change.altered = difference.altered.len() as u64;
    change.removed = difference.removed.len() as u64;
    (difference, reading.diagnostics)
}
