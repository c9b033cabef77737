//! A saved plan as the value that it was made from, as far as people read it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    change::{Blocked, Change, Drift, FieldChange, Held, PhaseStep, Plan, Rejection},
    document::{
        ChangeDocument, DriftDocument, FieldDocument, ForecastDocument, PhaseDocument,
        PlanDocument, RejectionDocument,
    },
};
use crate::domain::{
    actual::Consequences,
    address::Address,
    contact::AudienceChange,
    fields::{FieldValue, Fields},
    id::{Generation, TaskId},
    phase::Phase,
    place::Place,
    subject::Subject,
};

const AUDIENCE: &str = "outgoing.targetAudience";

impl PlanDocument {
    /// The plan, to be read and not to be applied; nothing where a word in it is none of this version.
    pub fn restored(&self) -> Option<Plan> {
        let drifts: BTreeMap<&str, &DriftDocument> =
            self.drift.iter().map(|drift| (drift.address.as_str(), drift)).collect();
        let change = |one: &ChangeDocument| change(one, drifts.get(one.address.as_str()).copied());
        let blocked = self.blocked.iter().map(|one| {
            Some(Blocked {
                subject: one.address.parse().ok()?,
                file: one.file.clone(),
                message: one.message.clone(),
                consequences: one.consequences.map(Consequences::from),
                remedies: one.remedies.clone(),
            })
        });
        let held = self.held.iter().map(|one| {
            Some(Held {
                subject: one.address.parse().ok()?,
                file: one.file.clone(),
                message: one.message.clone(),
                fields: Vec::new(),
            })
        });
        Some(Plan {
            changes: self.changes.iter().map(change).collect::<Option<_>>()?,
            rejections: self.rejections.iter().map(rejection).collect::<Option<_>>()?,
            blocked: blocked.collect::<Option<_>>()?,
            held: held.collect::<Option<_>>()?,
            refreshes: Vec::new(),
            n_unchanged: self.summary.unchanged,
            n_left_out: 0,
        })
    }

    /// What will happen after it, a sentence a task.
    pub fn foreseen(&self) -> Vec<String> {
        let sentence = |one: &ForecastDocument| {
            let ForecastDocument { task, remaining, exhausted_on, never, greatest_cost, .. } = one;
            let end = match (exhausted_on, never) {
                (Some(day), _) => format!(", exhausted on {day}"),
                (None, Some(never)) => format!(", {}", never.replace('-', " ")),
                (None, None) => String::new(),
            };
            let cost = greatest_cost.as_ref().map(|cost| format!("; at most ${cost}"));
            let noun = if *remaining == 1 { "contact" } else { "contacts" };
            format!("{task}: {remaining} {noun}{end}{}", cost.unwrap_or_default())
        };
        self.forecast.iter().map(sentence).collect()
    }
}

fn change(one: &ChangeDocument, drift: Option<&DriftDocument>) -> Option<Change> {
    let (before, after) = (flat(one.before.as_ref()), flat(one.after.as_ref()));
    let put_back = |path: &str| drift.is_some_and(|it| it.fields.iter().any(|f| f.path == path));
    let fields = one.changed_paths.iter().filter(|path| !put_back(path)).map(|path| FieldChange {
        path: path.clone(),
        before: before.get(path).cloned(),
        after: after.get(path).cloned(),
    });
    let fields: Vec<FieldChange> = fields.collect();
    let place = Place {
        file: one.file.clone().unwrap_or_default().into(),
        line: one.line.unwrap_or(1),
        column: 1,
    };
    let from = Generation(one.from_generation.unwrap_or_default());
    let id = || one.id.as_ref()?.parse().ok().map(TaskId);
    let audience = audience(one.after.as_ref());
    let phase = |text: &str| text.parse().ok();
    let step = one.phase.as_ref();
    let consequences = Consequences::from(one.consequences.unwrap_or_default());
    let actions: Vec<&str> = one.actions.iter().map(String::as_str).collect();
    Some(match (one.address.parse().ok()?, actions.as_slice()) {
        (Subject::Resource(key), ["create"]) => {
            Change::CreateResource { key, place, fields: after }
        }
        (Subject::Resource(key), ["update"]) => {
            Change::UpdateResource { key, from, place, fields, drift: restored_drift(drift)? }
        }
        (Subject::Resource(key), ["delete"]) => Change::DeleteResource { key, from },
        (Subject::Task(name), ["create"]) => {
            Change::CreateTask { name, place, fields: after, audience, phase: phase(&step?.to)? }
        }
        (Subject::Task(name), ["update"]) => {
            let drift = restored_drift(drift)?;
            let is_drift = drift.as_ref().is_some_and(|drift| drift.phase.is_some());
            let phase = match step.filter(|_| !is_drift) {
                Some(step) => Some(phase_step(step)?),
                None => None,
            };
            Change::UpdateTask { name, id: id()?, from, place, fields, audience, phase, drift }
        }
        (Subject::Task(name), ["delete", "create"]) => Change::RecreateTask {
            name,
            id: id()?,
            from,
            from_phase: phase(step?.from.as_ref()?)?,
            place,
            fields,
            audience,
            phase: phase(&step?.to)?,
            consequences,
        },
        (Subject::Task(name), ["delete"]) => {
            let from_phase = match step {
                Some(step) => phase(step.from.as_ref()?)?,
                None => Phase::Completed,
            };
            Change::DeleteTask { name, id: id()?, from, from_phase, consequences }
        }
        _ => return None,
    })
}

fn phase_step(step: &PhaseDocument) -> Option<PhaseStep> {
    Some(PhaseStep { from: step.from.as_ref()?.parse().ok()?, to: step.to.parse().ok()? })
}

/// `None` where a word of it is unknown.
#[expect(clippy::option_option, reason = "the outer one is a failure")]
fn restored_drift(drift: Option<&DriftDocument>) -> Option<Option<Drift>> {
    let Some(DriftDocument { fields, phase, at, by, .. }) = drift else { return Some(None) };
    Some(Some(Drift {
        fields: fields.iter().map(field).collect(),
        phase: match phase {
            Some(step) => Some(phase_step(step)?),
            None => None,
        },
        at: at.as_ref().and_then(|at| at.parse().ok()),
        by: by.clone(),
    }))
}

fn rejection(one: &RejectionDocument) -> Option<Rejection> {
    Some(Rejection {
        code: one.code.parse().ok()?,
        subject: one.address.parse().ok()?,
        place: Place { file: one.file.as_str().into(), line: one.line, column: one.column },
        message: one.message.clone(),
        fields: one.fields.iter().map(field).collect(),
        waiting: one.waiting.iter().map(field).collect(),
        steps: one.steps.clone(),
        consequences: one.consequences.map(Consequences::from),
        remedies: one.remedies.clone(),
    })
}

fn field(one: &FieldDocument) -> FieldChange {
    let FieldDocument { path, before, after } = one;
    FieldChange {
        path: path.clone(),
        before: before.as_ref().and_then(field_value),
        after: after.as_ref().and_then(field_value),
    }
}

/// A specification by its paths, without the audience, which is told in numbers.
fn flat(map: Option<&Map<String, Value>>) -> Fields {
    let mut fields = Fields::default();
    for (key, value) in map.into_iter().flatten() {
        flatten(key, value, &mut fields);
    }
    fields
}

fn flatten(path: &str, value: &Value, into: &mut Fields) {
    if path == AUDIENCE {
        return;
    }
    if let Some(leaf) = field_value(value) {
        into.insert(path.to_owned(), leaf);
        return;
    }
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| flatten(&format!("{path}.{key}"), value, into));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(nth, value)| flatten(&format!("{path}.{nth}"), value, into));
        }
        _ => {}
    }
}

/// A value that is no map of further ones.
fn field_value(value: &Value) -> Option<FieldValue> {
    let texts = |items: &[Value]| -> Option<Vec<String>> {
        items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    };
    Some(match value {
        Value::String(text) => FieldValue::Text(text.clone()),
        Value::Number(number) => FieldValue::Number(shown_number(number)),
        Value::Bool(yes) => FieldValue::Text(yes.to_string()),
        Value::Array(items) => FieldValue::List(texts(items)?),
        // A long list was saved as a count and a few examples.
        Value::Object(map) => {
            let (count, examples) = (map.get("count")?.as_u64()?, map.get("examples")?.as_array()?);
            FieldValue::Text(format!("[{}, … {count} in all]", texts(examples)?.join(", ")))
        }
        Value::Null => return None,
    })
}

/// Two decimals at the least, as prices are written.
pub(super) fn shown_number(number: &serde_json::Number) -> String {
    let text = number.to_string();
    match text.split_once('.') {
        Some((_, decimals)) if decimals.len() < 2 => format!("{text}0"),
        _ => text,
    }
}

fn audience(after: Option<&Map<String, Value>>) -> Option<AudienceChange> {
    let audience = after?.get("outgoing")?.get("targetAudience")?;
    let number = |key: &str| audience.get(key).and_then(Value::as_u64).unwrap_or_default();
    let examples = |key: &str| {
        let all = audience.get(key).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str).map(|one| Address::from_stored(one.to_owned())).collect()
    };
    Some(AudienceChange {
        total: number("total"),
        added: number("added"),
        removed: number("removed"),
        altered: number("altered"),
        duplicates: number("duplicates"),
        written_before: number("written_before"),
        shared_with: None,
        added_examples: examples("added_examples"),
        removed_examples: examples("removed_examples"),
    })
}
