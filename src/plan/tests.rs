//! What the planner does and does not do, on values alone.

use std::{collections::BTreeMap, sync::Arc};

use super::{Change, Plan, Wishes, plan};
use crate::domain::{
    actual::{Actual, ActualResource, ActualTask, Consequences, ResourceDetails, TaskDetails},
    desired::{Desired, DesiredResource, DesiredTask},
    id::{Generation, TaskId, TaskName},
    kind::{ChannelKind, Format, MessengerType},
    phase::{Phase, RunState},
    place::{Place, Places},
    resource::{Resource, ResourceKey},
    task::TaskSpec,
};

pub(super) fn name(text: &str) -> TaskName {
    text.parse().unwrap()
}

fn places(file: &str) -> Places {
    Places::at(Place { file: Arc::from(file), line: 1, column: 1 })
}

/// An incoming task of `t.yaml` on the channel `c`, changed by `edit`.
pub(super) fn task(edit: impl FnOnce(&mut TaskSpec)) -> DesiredTask {
    let mut spec = TaskSpec {
        title: None,
        messenger: MessengerType::Web,
        format: Format::Incoming,
        channels: ["c".parse().unwrap()].into(),
        managers: ["m".parse().unwrap()].into(),
        ai: "a".parse().unwrap(),
        integration: None,
        spending_limit_per_dialogue: "1".parse().unwrap(),
        state: None,
        protect: None,
        outgoing: None,
    };
    edit(&mut spec);
    let fields = spec.fields();
    DesiredTask {
        digest: fields.digest(),
        fields,
        spec,
        audience: None,
        consent: None,
        places: places("t.yaml"),
    }
}

fn channel() -> (ResourceKey, DesiredResource) {
    let spec = crate::domain::channel::ChannelSpec {
        kind: ChannelKind::Widget,
        daily_limit: None,
        endpoint: None,
        credentials: BTreeMap::new(),
        settings: BTreeMap::new(),
    };
    let fields = spec.fields();
    let resource = Resource::Channel(spec);
    let key = ResourceKey::channel(&"c".parse().unwrap());
    (key, DesiredResource { digest: fields.digest(), fields, resource, places: places("c.yaml") })
}

pub(super) fn desired(tasks: impl IntoIterator<Item = (&'static str, DesiredTask)>) -> Desired {
    let mut desired = Desired {
        tasks: tasks.into_iter().map(|(task, wanted)| (name(task), wanted)).collect(),
        ..Desired::default()
    };
    desired.resources.extend([channel()]);
    for (kind, resource) in [
        (crate::domain::resource::ResourceKind::Manager, "m"),
        (crate::domain::resource::ResourceKind::Ai, "a"),
    ] {
        let key = ResourceKey { kind, name: resource.to_owned() };
        desired.resources.insert(key, channel().1);
    }
    desired
}

/// What is there once `desired` was applied, with every task in this phase.
pub(super) fn applied(desired: &Desired, phase: Phase) -> Actual {
    let mut actual = Actual::default();
    for (task, wanted) in &desired.tasks {
        let details = TaskDetails {
            fields: wanted.fields.clone(),
            drifted: None,
            people: Consequences { remaining: 5, written: 2, ..Consequences::default() },
        };
        let there = ActualTask {
            id: TaskId(uuid::Uuid::nil()),
            generation: Generation(1),
            phase,
            digest: wanted.digest,
            audience: None,
            file: "t.yaml".to_owned(),
            state_place: desired.state_origin(wanted),
            drifted: false,
            hold: None,
            details: Some(details),
        };
        actual.tasks.insert(task.clone(), there);
    }
    for (key, wanted) in &desired.resources {
        let there = ActualResource {
            generation: Generation(1),
            digest: wanted.digest,
            file: "c.yaml".to_owned(),
            drifted: false,
            hold: None,
            details: Some(ResourceDetails { fields: wanted.fields.clone(), drifted: None }),
        };
        actual.resources.insert(key.clone(), there);
    }
    actual
}

fn plan_of(desired: &Desired, actual: &Actual) -> Plan {
    plan(desired, actual, &BTreeMap::new(), &Wishes::default())
}

fn same(_: &mut TaskSpec) {}

#[test]
fn nothing_new_is_an_empty_plan() {
    let desired =
        desired([("one", task(same)), ("two", task(|spec| spec.state = Some(RunState::Paused)))]);
    let plan = plan_of(&desired, &applied(&desired, Phase::Awaiting));
    assert!(!plan.has_changes() && !plan.is_rejected() && plan.refreshes.is_empty(), "{plan:#?}");
    assert_eq!(plan.n_unchanged, 5);
}

#[test]
fn a_task_whose_file_cannot_be_read_goes_on_with_its_channels() {
    let before = desired([("one", task(same))]);
    let actual = applied(&before, Phase::Completed);
    let mut after = desired([]);
    after.resources.clear();
    after.unreadable.files = [Arc::from("t.yaml"), Arc::from("c.yaml")].into();
    let plan = plan_of(&after, &actual);
    assert!(!plan.has_changes() && !plan.is_rejected(), "{plan:#?}");
    assert_eq!(plan.held.len(), 4);
}

#[test]
fn a_task_waits_for_a_resource_that_was_never_read() {
    let mut wanted = desired([("one", task(same))]);
    let (key, _) = channel();
    wanted.resources.remove(&key);
    wanted.unreadable.resources.insert(key);
    let plan = plan_of(&wanted, &Actual::default());
    assert!(plan.held[0].message.contains("Channel `c`"), "{plan:#?}");
    assert!(!plan.changes.iter().any(|change| matches!(change, Change::CreateTask { .. })));
}

#[test]
fn protection_outlives_its_manifest() {
    let protected = desired([("one", task(|spec| spec.protect = Some("the budget".to_owned())))]);
    let actual = applied(&protected, Phase::Completed);
    let wishes = Wishes { recreate: [name("one")].into(), stop_first: true, ..Wishes::default() };
    for after in
        [desired([]), desired([("one", task(|spec| spec.messenger = MessengerType::Avito))])]
    {
        let plan = plan(&after, &actual, &BTreeMap::new(), &wishes);
        assert_eq!(plan.rejections.len(), 1, "{plan:#?}");
        assert!(plan.rejections[0].message.contains("the budget"));
        assert!(!plan.has_changes(), "{plan:#?}");
    }
}

#[test]
fn nothing_leaves_completed_but_a_recreation() {
    let wanted = desired([("one", task(|spec| spec.state = Some(RunState::Running)))]);
    let actual = applied(&wanted, Phase::Completed);
    let plan_without = plan_of(&wanted, &actual);
    assert_eq!(plan_without.rejections.len(), 1);
    let wishes = Wishes { recreate: [name("one")].into(), stop_first: false, ..Wishes::default() };
    let plan = plan(&wanted, &actual, &BTreeMap::new(), &wishes);
    assert!(matches!(&plan.changes[..], [Change::RecreateTask { .. }]), "{plan:#?}");
}

#[test]
fn consent_to_a_recreation_that_nothing_needs_recreates_nothing() {
    let wanted = desired([("one", task(same))]);
    let wishes = Wishes { recreate: [name("one")].into(), stop_first: true, ..Wishes::default() };
    let plan = plan(&wanted, &applied(&wanted, Phase::InProgress), &BTreeMap::new(), &wishes);
    assert!(!plan.has_changes(), "{plan:#?}");
}

#[test]
fn the_committed_schema_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/plan.schema.json");
    let current = format!("{:#}\n", super::plan_schema());
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    if std::env::var_os("NUNCIO_UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == current,
        "schemas/plan.schema.json is stale; refresh it by\n    \
         NUNCIO_UPDATE_SCHEMAS=1 cargo test --lib plan::tests::the_committed_schema_is_current"
    );
}
