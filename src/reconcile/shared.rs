//! Tasks that would write to the same people: each keeps a record of its own of whom it wrote to.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    ops::ControlFlow,
};

use crate::{
    domain::{
        contact::AudienceDigest, desired::AudienceSource, id::TaskName, kind::MessengerType,
        place::Place,
    },
    manifest::{self, Code, Diagnostic},
};

/// Below it an audience is compared person by person: some ten thousand lines. Above it only by its
/// digest, which still finds a copied file.
const COMPARED_BYTES_MAX: u64 = 256 * 1024;
/// All that is read for it in one pass: a folder of thousands of tasks must not make a plan slow.
const READ_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A task that writes first and goes on, as its manifest has it.
pub(super) struct Candidate {
    pub(super) name: TaskName,
    pub(super) messenger: MessengerType,
    pub(super) source: AudienceSource,
    pub(super) digest: AudienceDigest,
    /// Of its audience, for the warning.
    pub(super) place: Place,
    /// Contacts, where the audience is new or changed: only then something is told of it.
    pub(super) fresh: Option<u64>,
}

/// A warning for every fresh audience that another task has as well, wholly or in part.
pub(super) fn warn_shared(candidates: &[Candidate]) -> Vec<Diagnostic> {
    let mut by_digest: HashMap<(MessengerType, AudienceDigest), Vec<usize>> = HashMap::new();
    let mut by_person: HashMap<(MessengerType, u128), Vec<usize>> = HashMap::new();
    let mut budget = READ_BYTES_MAX;
    // What is told of comes first, before the budget is spent.
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|index| candidates[*index].fresh.is_none());
    for index in order {
        let Candidate { messenger, source, digest, place, .. } = &candidates[index];
        by_digest.entry((*messenger, *digest)).or_default().push(index);
        let bytes = size(source);
        if bytes > COMPARED_BYTES_MAX || bytes > budget {
            continue;
        }
        budget -= bytes;
        let mut each = |key: u128| by_person.entry((*messenger, key)).or_default().push(index);
        let reading = manifest::read_audience(source, *messenger, &place.file, &mut |contact| {
            each(contact.address.key());
            ControlFlow::Continue(())
        });
        // One that cannot be read is told of where it is compared with what is stored.
        drop(reading);
    }
    let mut shared: HashMap<usize, BTreeMap<usize, u64>> = HashMap::new();
    for indices in by_person.values().filter(|indices| indices.len() > 1) {
        for (one, other) in told_pairs(candidates, indices) {
            *shared.entry(one).or_default().entry(other).or_default() += 1;
        }
    }
    for indices in by_digest.values().filter(|indices| indices.len() > 1) {
        for (one, other) in told_pairs(candidates, indices) {
            let total = candidates[one].fresh.unwrap_or_default();
            shared.entry(one).or_default().insert(other, total);
        }
    }
    shared.into_iter().filter_map(|(index, others)| warning(candidates, index, &others)).collect()
}

/// Which of these tasks is told of which other: a fresh one of all that stand, and of two fresh ones the
/// later.
fn told_pairs(candidates: &[Candidate], indices: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    let is_told = |one: usize, other: usize| {
        let [here, there] = [one, other].map(|index| &candidates[index]);
        here.fresh.is_some() && (there.fresh.is_none() || there.name < here.name)
    };
    // A person who is in very many tasks is no sign of a copied one.
    let few = &indices[..indices.len().min(TASKS_COMPARED_MAX)];
    let pairs = few.iter().flat_map(|one| few.iter().map(|other| (*one, *other)));
    let pairs: Vec<_> =
        pairs.filter(|(one, other)| one != other && is_told(*one, *other)).collect();
    pairs.into_iter()
}

/// Pairs grow with the square: a tester who is in every audience must not make a plan slow.
const TASKS_COMPARED_MAX: usize = 32;

fn warning(
    candidates: &[Candidate],
    index: usize,
    others: &BTreeMap<usize, u64>,
) -> Option<Diagnostic> {
    let Candidate { fresh, place, .. } = &candidates[index];
    let total = (*fresh)?;
    // The first of those with the most, so that the same folder is told of in the same words.
    let (other, n) = others
        .iter()
        .max_by_key(|(other, n)| (**n, std::cmp::Reverse(&candidates[**other].name)))?;
    let other = &candidates[*other].name;
    let more = match others.len() - 1 {
        0 => String::new(),
        1 => ", and some in 1 more task".to_owned(),
        n => format!(", and some in {n} more tasks"),
    };
    let noun = if total == 1 { "contact" } else { "contacts" };
    let verb = if *n == 1 { "is" } else { "are" };
    let message = format!("{n} of {total} {noun} {verb} also in `{other}`{more}");
    let hint =
        "a task writes to a person at most once, and each task for itself: two tasks write twice";
    Some(Diagnostic::warning(Code::SharedAudience, place.clone(), 0, message).hint(hint))
}

/// How much there is to read, without reading it.
fn size(source: &AudienceSource) -> u64 {
    match source {
        AudienceSource::Inline(lines) => lines.iter().map(|line| line.text.len() as u64 + 1).sum(),
        AudienceSource::File { path, .. } => {
            fs::metadata(path).map_or(u64::MAX, |metadata| metadata.len())
        }
    }
}
