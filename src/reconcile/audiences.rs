//! How an audience differs from the one that was loaded.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    sync::Arc,
};

use crate::{
    domain::{
        contact::{AudienceChange, variables_digest},
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

/// A task that goes on without a manifest, and the keys of those to whom it has written.
pub(super) struct Abandoned {
    pub(super) name: TaskName,
    pub(super) messenger: MessengerType,
    pub(super) written: HashSet<u128>,
}

/// What an audience is compared with.
pub(super) struct Old<'a> {
    pub(super) stored: Stored,
    pub(super) is_new: bool,
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
    let Old { mut stored, is_new, abandoned } = old;
    let mut difference = AudienceDifference::default();
    let mut again: Vec<(&Abandoned, u64)> = abandoned
        .iter()
        .filter(|abandoned| abandoned.messenger == messenger)
        .map(|abandoned| (abandoned, 0))
        .collect();
    let reading = manifest::read_audience(source, messenger, manifest_file, &mut |contact| {
        if is_new && again.is_empty() {
            return ControlFlow::Continue(());
        }
        let key = contact.address.key();
        for (abandoned, n) in &mut again {
            *n += u64::from(abandoned.written.contains(&key));
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
    change.written_as = again
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .max_by_key(|(_, n)| *n)
        .map(|(abandoned, n)| (abandoned.name.clone(), n));
    change.total = reading.total;
    change.duplicates = reading.duplicates.count;
    change.added = if is_new { reading.total } else { difference.added.len() as u64 };
    change.altered = difference.altered.len() as u64;
    change.removed = difference.removed.len() as u64;
    (difference, reading.diagnostics)
}
