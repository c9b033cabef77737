//! From a plan to its document.

use serde_json::{Map, Value};
use similar::TextDiff;

use super::{
    change::{Change, Drift, FieldChange, PhaseStep, Plan, Rejection, Wishes},
    document::{
        BaseDocument, BlockedDocument, ChangeDocument, ConsequencesDocument, DriftDocument,
        FORMAT_VERSION, FieldDocument, ForecastDocument, HeldDocument, PhaseDocument, PlanDocument,
        RejectionDocument, SummaryDocument, WishesDocument,
    },
    forecast::{Exhausted, Forecast, TaskForecast},
    nesting::{audience_value, nested, put, sensitive, value},
};
use crate::domain::{
    actual::{Actual, Consequences, ResourceDetails, TaskDetails},
    contact::AudienceChange,
    desired::{Desired, DesiredTask},
    fields::{Digest, FieldValue},
    id::{Generation, TaskName},
    phase::Phase,
    place::Place,
    subject::Subject,
    task::IMMUTABLE_FIELDS,
};

/// Lines around a changed one.
const CONTEXT_LINES: usize = 3;

/// What a plan was made from, as far as its document tells.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    pub desired: &'a Desired,
    pub actual: &'a Actual,
    pub wishes: &'a Wishes,
    pub base: Option<&'a BaseDocument>,
    /// Some manifest is invalid; what is valid was planned.
    pub is_invalid: bool,
    pub schema_digest: Digest,
    pub manifests_digest: Digest,
    /// Of the tasks that the plan changes.
    pub forecast: Option<&'a Forecast>,
}

/// The plan as data.
pub fn document(plan: &Plan, circumstances: &Circumstances<'_>) -> PlanDocument {
    let Circumstances { wishes, base, is_invalid, schema_digest, manifests_digest, .. } =
        circumstances;
    let summary = plan.summary();
    let names = |names: &std::collections::BTreeSet<TaskName>| {
        names.iter().map(ToString::to_string).collect()
    };
    let Wishes { recreate, stop_first, shrink, max_delete, target } = wishes;
    PlanDocument {
        format_version: FORMAT_VERSION.to_owned(),
        applyable: !plan.is_rejected() && !is_invalid,
        complete: plan.n_left_out == 0
            && plan.held.is_empty()
            && !plan.is_rejected()
            && !is_invalid,
        summary: SummaryDocument {
            create: summary.n_create,
            update: summary.n_update,
            recreate: summary.n_recreate,
            delete: summary.n_delete,
            rejected: summary.n_rejected,
            blocked: summary.n_blocked,
            drifted: summary.n_drifted,
            unchanged: plan.n_unchanged,
        },
        base: base.cloned(),
        schema_digest: schema_digest.to_string(),
        manifests_digest: manifests_digest.to_string(),
        wishes: WishesDocument {
            recreate: names(recreate),
            stop_first: *stop_first,
            allow_shrink: names(shrink),
            max_delete: *max_delete,
            target: names(target),
        },
        changes: plan.changes.iter().map(|change| change_document(change, circumstances)).collect(),
        rejections: plan.rejections.iter().map(rejection_document).collect(),
        blocked: plan
            .blocked
            .iter()
            .map(|blocked| BlockedDocument {
                address: address(&blocked.subject),
                file: blocked.file.clone(),
                message: blocked.message.clone(),
                consequences: blocked.consequences.map(ConsequencesDocument::from),
                remedies: blocked.remedies.clone(),
            })
            .collect(),
        held: plan
            .held
            .iter()
            .map(|held| HeldDocument {
                address: address(&held.subject),
                file: held.file.clone(),
                message: held.message.clone(),
            })
            .collect(),
        drift: plan
            .changes
            .iter()
            .filter_map(|change| Some(drift_document(&change.subject(), change.drift()?)))
            .collect(),
        forecast: circumstances.forecast.map(forecast_documents).unwrap_or_default(),
        digest: None,
    }
}

/// `Kind/name`: what a subject is called in documents.
pub(super) fn address(subject: &Subject) -> String {
    format!("{}/{}", subject.kind(), subject.name())
}

fn change_document(change: &Change, circumstances: &Circumstances<'_>) -> ChangeDocument {
    let Circumstances { desired, actual, .. } = circumstances;
    let subject = change.subject();
    let (live, wanted, manifest_digest) = match &subject {
        Subject::Task(name) => {
            let details = actual.tasks.get(name).and_then(|task| task.details.as_ref());
            let live = details.map(TaskDetails::live);
            let task = desired.tasks.get(name);
            (live, task.map(|task| &task.fields), task.map(DesiredTask::manifest_digest))
        }
        Subject::Resource(key) => {
            let details = actual.resources.get(key).and_then(|there| there.details.as_ref());
            let live = details.map(ResourceDetails::live);
            let resource = desired.resources.get(key);
            (live, resource.map(|r| &r.fields), resource.map(|r| r.digest))
        }
    };
    let mut told = Told::default();
    match change {
        Change::CreateResource { place, .. } => {
            told = Told { actions: &["create"], place: Some(place), ..told };
        }
        Change::UpdateResource { from, place, fields, drift, .. } => {
            told = Told { actions: &["update"], place: Some(place), from: Some(*from), ..told };
            told.changes = Told::all(fields, drift.as_ref());
        }
        Change::CreateTask { place, audience, phase, .. } => {
            told = Told { actions: &["create"], place: Some(place), ..told };
            told.audience = audience.as_ref();
            told.phase = Some((None, *phase));
        }
        Change::UpdateTask { id, from, place, fields, audience, phase, drift, .. } => {
            told = Told { actions: &["update"], place: Some(place), from: Some(*from), ..told };
            told.id = Some(id.to_string());
            told.changes = Told::all(fields, drift.as_ref());
            told.audience = audience.as_ref();
            let step = phase.or_else(|| drift.as_ref().and_then(|drift| drift.phase));
            told.phase = step.map(|PhaseStep { from, to }| (Some(from), to));
        }
        Change::RecreateTask {
            id,
            from,
            from_phase,
            place,
            fields,
            audience,
            phase,
            consequences,
            ..
        } => {
            told = Told { actions: &["delete", "create"], place: Some(place), ..told };
            told.reason = Some("consented-recreation");
            told.from = Some(*from);
            told.id = Some(id.to_string());
            told.changes = Told::all(fields, None);
            told.audience = audience.as_ref();
            told.phase = Some((Some(*from_phase), *phase));
            told.consequences = Some(*consequences);
        }
        Change::DeleteTask { id, from, from_phase, consequences, .. } => {
            told = Told { actions: &["delete"], reason: Some("manifest-gone"), ..told };
            told.from = Some(*from);
            told.id = Some(id.to_string());
            told.phase =
                (*from_phase != Phase::Completed).then_some((Some(*from_phase), Phase::Completed));
            told.consequences = Some(*consequences);
        }
        Change::DeleteResource { from, .. } => {
            told = Told { actions: &["delete"], reason: Some("manifest-gone"), ..told };
            told.from = Some(*from);
        }
    }
    if change.only_reverts_drift() {
        told.reason = Some("drift");
    }
    let is_new = told.actions == ["create"];
    let is_gone = told.actions == ["delete"];
    let before = live.filter(|_| !is_new).map(nested);
    let mut after = wanted.filter(|_| !is_gone).map(nested);
    if let (Some(after), Some(audience)) = (&mut after, told.audience) {
        put(after, "outgoing.targetAudience", audience_value(audience));
    }
    let sensitive =
        |of: &Option<Map<String, Value>>| of.as_ref().map(sensitive).unwrap_or_default();
    ChangeDocument {
        address: address(&subject),
        kind: subject.kind().to_owned(),
        name: subject.name().to_owned(),
        id: told.id,
        file: told.place.map(|place| place.file.to_string()),
        line: told.place.map(|place| place.line),
        actions: told.actions.iter().map(|action| (*action).to_owned()).collect(),
        action_reason: told.reason.map(str::to_owned),
        before_sensitive: sensitive(&before),
        after_sensitive: sensitive(&after),
        before,
        after,
        replace_paths: told
            .changes
            .iter()
            .filter(|change| IMMUTABLE_FIELDS.contains(&change.path.as_str()))
            .map(|change| change.path.split('.').map(str::to_owned).collect())
            .collect(),
        changed_paths: told.changes.iter().map(|change| change.path.clone()).collect(),
        text_diffs: told.changes.iter().filter_map(|change| text_diff(change)).collect(),
        phase: told.phase.map(|(from, to)| phase_document(from, to)),
        consequences: told.consequences.map(ConsequencesDocument::from),
        from_generation: told.from.map(|from| from.0),
        manifest_digest: manifest_digest.filter(|_| !is_gone).map(|digest| digest.to_string()),
    }
}

/// What the variants of a change tell, side by side.
#[derive(Default)]
struct Told<'a> {
    actions: &'static [&'static str],
    reason: Option<&'static str>,
    place: Option<&'a Place>,
    from: Option<Generation>,
    id: Option<String>,
    changes: Vec<&'a FieldChange>,
    audience: Option<&'a AudienceChange>,
    phase: Option<(Option<Phase>, Phase)>,
    consequences: Option<Consequences>,
}

impl<'a> Told<'a> {
    fn all(fields: &'a [FieldChange], drift: Option<&'a Drift>) -> Vec<&'a FieldChange> {
        let put_back = drift.map_or(&[][..], |drift| &drift.fields);
        let mut all: Vec<&FieldChange> = fields.iter().chain(put_back).collect();
        all.sort_by(|one, other| one.path.cmp(&other.path));
        all
    }
}

fn phase_document(from: Option<Phase>, to: Phase) -> PhaseDocument {
    PhaseDocument { from: from.map(|from| from.to_string()), to: to.to_string() }
}

fn field_document(change: &FieldChange) -> FieldDocument {
    FieldDocument {
        path: change.path.clone(),
        before: change.before.as_ref().map(value),
        after: change.after.as_ref().map(value),
    }
}

fn rejection_document(rejection: &Rejection) -> RejectionDocument {
    let Rejection { code, subject, place, message, fields, waiting, steps, consequences, remedies } =
        rejection;
    RejectionDocument {
        code: code.to_string(),
        address: address(subject),
        file: place.file.to_string(),
        line: place.line,
        column: place.column,
        path: fields.first().map(|change| change.path.clone()),
        message: message.clone(),
        fields: fields.iter().map(field_document).collect(),
        waiting: waiting.iter().map(field_document).collect(),
        steps: steps.clone(),
        consequences: consequences.map(ConsequencesDocument::from),
        remedies: remedies.clone(),
    }
}

fn drift_document(subject: &Subject, drift: &Drift) -> DriftDocument {
    let Drift { fields, phase, at, by } = drift;
    DriftDocument {
        address: address(subject),
        fields: fields.iter().map(field_document).collect(),
        phase: phase.map(|PhaseStep { from, to }| phase_document(Some(from), to)),
        at: at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
        by: by.clone(),
    }
}

fn forecast_documents(forecast: &Forecast) -> Vec<ForecastDocument> {
    let document = |(name, task): (&TaskName, &TaskForecast)| {
        let (exhausted_on, never) = match task.exhausted {
            Exhausted::At(at) => (Some(at.date_naive().to_string()), None),
            Exhausted::Never(why) => (None, Some(why.to_string())),
        };
        ForecastDocument {
            task: name.to_string(),
            remaining: task.remaining,
            exhausted_on,
            never,
            part: task.part.to_string(),
            openings_per_day: task.openings.iter().copied().max().unwrap_or(0),
            greatest_cost: task.greatest_cost.as_ref().map(ToString::to_string),
            binds: task.binds.iter().map(ToString::to_string).collect(),
        }
    };
    forecast.tasks.iter().map(document).collect()
}

fn text_diff(change: &FieldChange) -> Option<(String, String)> {
    let (Some(FieldValue::Text(before)), Some(FieldValue::Text(after))) =
        (&change.before, &change.after)
    else {
        return None;
    };
    if !before.contains('\n') && !after.contains('\n') {
        return None;
    }
    let diff = TextDiff::from_lines(before, after);
    let diff = diff.unified_diff().context_radius(CONTEXT_LINES).to_string();
    Some((change.path.clone(), diff))
}
