//! What came of a comparison: what was held back, and how each task and channel stands.

use std::collections::{BTreeMap, BTreeSet};

use super::survey::Survey;
use crate::{
    domain::{
        condition::{Condition, ConditionKey, ConditionKind, ConditionStatus, ConditionType},
        id::TaskName,
        subject::Subject,
    },
    manifest::{Code, Diagnostic, Severity},
    plan::{Change, Plan, Refresh},
    store::{HeldBack, TaskVitals},
};

/// An address is for `validate`, not for a log.
fn message_of(diagnostic: &Diagnostic) -> &str {
    match diagnostic.code {
        Code::BadAddress => "`nuncio validate` shows it",
        _ => &diagnostic.message,
    }
}

fn errors(survey: &Survey) -> impl Iterator<Item = &Diagnostic> {
    survey.diagnostics.iter().filter(|found| found.severity == Severity::Error)
}

/// Everything that is not applied, and why.
pub(super) fn held_back(plan: &Plan, survey: &Survey) -> Vec<HeldBack> {
    let held = |subject: String, place: String, message: String| HeldBack {
        subject,
        place,
        message,
        since: None,
    };
    let mut all = Vec::new();
    for found in errors(survey) {
        all.push(held(
            found.code.to_string(),
            found.place.to_string(),
            message_of(found).to_owned(),
        ));
    }
    for rejection in &plan.rejections {
        let message = format!("rejected: {} [{}]", rejection.message, rejection.code);
        all.push(held(rejection.subject.to_string(), rejection.place.to_string(), message));
    }
    for blocked in &plan.blocked {
        let message = format!("blocked: {}", blocked.message);
        all.push(held(blocked.subject.to_string(), blocked.file.clone(), message));
    }
    for kept in &plan.held {
        let message = format!("held: {}", kept.message);
        all.push(held(kept.subject.to_string(), kept.file.clone(), message));
    }
    all
}

/// How every task of the folder and of the database compares, after the plan was applied.
pub(super) fn sync_conditions(
    plan: &Plan,
    survey: &Survey,
    vitals: &BTreeMap<TaskName, TaskVitals>,
) -> Vec<(ConditionKey, Condition)> {
    let mut all: BTreeMap<&TaskName, Condition> = BTreeMap::new();
    let desired = &survey.desired;
    for name in desired.tasks.keys() {
        all.insert(name, Condition::new(ConditionStatus::Synced, "Applied", ""));
    }
    for name in survey.actual.tasks.keys().filter(|name| vitals.contains_key(*name)) {
        // What is neither asked for nor spoken of below is a task whose manifest is gone.
        let gone =
            || Condition::new(ConditionStatus::OutOfSync, "NoManifest", "no manifest defines it");
        all.entry(name).or_insert_with(gone);
    }
    for kept in &plan.held {
        if let Subject::Task(name) = &kept.subject {
            let held = Condition::new(ConditionStatus::Held, "Held", &*kept.message);
            all.insert(name, held.at(&*kept.file));
        }
    }
    for (name, invalid) in &desired.unreadable.tasks {
        let found = errors(survey).find(|found| invalid.mistakes.contains(&found.place));
        let place = found.map_or(&invalid.places.document, |found| &found.place);
        let message = found.map_or("its manifest is invalid", message_of);
        let held = Condition::new(ConditionStatus::Held, "InvalidManifest", message);
        all.insert(name, held.at(place.to_string()));
    }
    for blocked in &plan.blocked {
        if let Subject::Task(name) = &blocked.subject {
            let waits =
                Condition::new(ConditionStatus::OutOfSync, "DeletionBlocked", &*blocked.message);
            all.insert(name, waits.at(&*blocked.file));
        }
    }
    for rejection in &plan.rejections {
        if let Subject::Task(name) = &rejection.subject {
            let code = camel_case(rejection.code.as_str());
            let rejected = Condition::new(ConditionStatus::Rejected, &code, &*rejection.message);
            all.insert(name, rejected.at(rejection.place.to_string()));
        }
    }
    let written: BTreeSet<&TaskName> = plan
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::CreateTask { name, .. }
            | Change::UpdateTask { name, .. }
            | Change::RecreateTask { name, .. } => Some(name),
            _ => None,
        })
        .chain(plan.refreshes.iter().filter_map(|refresh| match refresh {
            Refresh::Task { name, .. } => Some(name),
            Refresh::Resource { .. } => None,
        }))
        .collect();
    all.into_iter()
        .map(|(name, mut condition)| {
            // What this pass wrote has the generation of that write; nothing else was compared.
            condition.generation = if written.contains(name) {
                vitals.get(name).map(|vitals| vitals.generation)
            } else {
                survey.actual.tasks.get(name).map(|task| task.generation)
            };
            let key = key(ConditionKind::Task, name.as_str(), ConditionType::Sync);
            (key, condition)
        })
        .collect()
}

/// How the tasks and the channels do.
pub(super) fn health_conditions(
    vitals: &BTreeMap<TaskName, TaskVitals>,
    blocks: &[(String, Option<String>)],
) -> Vec<(ConditionKey, Condition)> {
    let tasks = vitals.iter().map(|(name, task)| {
        (key(ConditionKind::Task, name.as_str(), ConditionType::Health), task.vitals.health())
    });
    let channels = blocks.iter().map(|(channel, blocked)| {
        let condition = match blocked {
            Some(why) => Condition::new(ConditionStatus::Degraded, "Blocked", &**why),
            None => Condition::new(ConditionStatus::Healthy, "Open", ""),
        };
        (key(ConditionKind::Channel, channel, ConditionType::Health), condition)
    });
    tasks.chain(channels).collect()
}

pub(super) fn key(kind: ConditionKind, name: &str, of: ConditionType) -> ConditionKey {
    ConditionKey { kind, name: name.to_owned(), of }
}

fn camel_case(words: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
    };
    words.split('-').map(capital).collect::<Vec<String>>().concat()
}
