//! Property: whatever the manifests say, a plan after its apply has nothing to do.

use std::{collections::BTreeMap, collections::BTreeSet, fmt::Write as _, time::Duration};

use nuncio::{
    domain::{
        fields::{Digest, Fields},
        revision::{Action, Cause, Provenance, RevisionNumber},
        subject::Subject,
    },
    plan::{Circumstances, Plan, PlanDocument, Wishes, document, plan, read_plan},
    reconcile::{Survey, apply, survey},
    store::{Patience, Store},
};
use proptest::prelude::*;

use crate::support::{Folder, TEAM, TestDatabase, channel};

/// What a generated task says.
#[derive(Clone, Debug)]
struct Wanted {
    title: Option<String>,
    channels: BTreeSet<usize>,
    limit_micros: u32,
    state: Option<&'static str>,
    from: u16,
    length: u16,
    zone: Option<&'static str>,
    daily_limit: u32,
    pause_s: u32,
    text: String,
    audience: BTreeSet<i64>,
}

const CHANNELS: usize = 3;

fn wanted() -> impl Strategy<Value = Wanted> {
    (
        proptest::option::of("[A-Za-zА-Яа-я \"':#-]{1,20}"),
        proptest::collection::btree_set(0..CHANNELS, 1..=CHANNELS),
        1u32..5_000_000,
        prop_oneof![Just(None), Just(Some("running")), Just(Some("paused"))],
        0u16..1440,
        1u16..1440,
        prop_oneof![Just(None), Just(Some("Europe/Moscow")), Just(Some("Asia/Almaty"))],
        1u32..50,
        3u32..90_000,
        "[A-Za-zА-Яа-я !?.,'\"\\\\]{1,40}[a-z]",
        proptest::collection::btree_set(1i64..60, 1..20),
    )
        .prop_map(
            |(
                title,
                channels,
                limit_micros,
                state,
                from,
                length,
                zone,
                daily_limit,
                pause_s,
                text,
                audience,
            )| {
                Wanted {
                    title,
                    channels,
                    limit_micros,
                    state,
                    from,
                    length,
                    zone,
                    daily_limit,
                    pause_s,
                    text,
                    audience,
                }
            },
        )
}

/// The manifest of a task; `spelled_out` writes every default, other spellings, and another order.
fn manifest(name: &str, wanted: &Wanted, spelled_out: bool) -> String {
    let Wanted {
        title,
        channels,
        limit_micros,
        state,
        from,
        length,
        zone,
        daily_limit,
        pause_s,
        text,
        audience,
    } = wanted;
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let mut names: Vec<String> = channels.iter().map(|n| format!("vk-{n}")).collect();
    // Each has people of its own: a new task with those of one that is gone is that one renamed.
    let index: u32 = name.rsplit('-').next().unwrap().parse().unwrap();
    let mut people: Vec<String> =
        audience.iter().map(|person| format!("{}{person:03}", index + 1)).collect();
    let (mut limit, mut pause) = (
        format!("{}.{:06}", limit_micros / 1_000_000, limit_micros % 1_000_000),
        format!("{pause_s}s"),
    );
    if spelled_out {
        names.reverse();
        people.insert(1, people[0].clone());
        limit = format!("\"{limit}\"");
        pause = format!("{}m {}s", pause_s / 60, pause_s % 60);
    }
    let mut spec = String::new();
    if let Some(title) = title {
        writeln!(spec, "  title: {}", quoted(title)).unwrap();
    }
    if let Some(state) = state {
        writeln!(spec, "  state: {state}").unwrap();
    }
    let zone = match zone {
        Some(zone) => format!("    timezone: {zone}\n"),
        None if spelled_out => "    timezone: UTC\n".to_owned(),
        None => String::new(),
    };
    let hours = format!("{}-{}", clock(*from), clock((from + length) % 1440));
    format!(
        "apiVersion: nuncio/v1
kind: Task
metadata: {{name: {name}}}
spec:
  type: vkontakte
  format: incoming-and-outgoing
  channels: [{}]
  managers: [anna]
  ai: sales
  spendingLimitPerDialogue: {limit}
{spec}  outgoing:
{zone}    workingHours: \"{hours}\"
    dailyLimitPerChannel: {daily_limit}
    pauseBetweenDialogues: {pause}
    opening: {{text: {}}}
    targetAudience: [{}]
",
        names.join(", "),
        quoted(text),
        people.join(", ")
    )
}

async fn plan_of(folder: &Folder, store: &Store, wishes: &Wishes) -> (Survey, Plan) {
    let survey = survey(&folder.tasks(), store, &wishes.recreate).await.unwrap();
    assert!(!survey.has_errors(), "{:#?}", survey.diagnostics);
    let plan = plan(&survey.desired, &survey.actual, &survey.audience_changes(), wishes);
    (survey, plan)
}

async fn converge(folder: &Folder, store: &Store) {
    let mut wishes = Wishes { stop_first: true, max_delete: Some(100), ..Wishes::default() };
    // Consent to whatever is asked for: a recreation may come after a smaller audience was allowed.
    for _ in 0..2 {
        let (_, asked) = plan_of(folder, store, &wishes).await;
        for rejection in &asked.rejections {
            if let Subject::Task(name) = &rejection.subject {
                wishes.recreate.insert(name.clone());
                wishes.shrink.insert(name.clone());
            }
        }
    }
    let (survey, plan) = plan_of(folder, store, &wishes).await;
    assert!(!plan.is_rejected(), "{plan:#?}");
    let reviewed = read_plan(&document_of(&plan, &survey, &wishes).sealed()).unwrap();
    let fresh = document_of(&plan, &survey, &reviewed.wishes().unwrap());
    assert_eq!((reviewed.find_stale(&fresh), reviewed.find_unreviewed(&fresh)), (vec![], vec![]));

    let provenance = Provenance::new(Cause::Apply, "tester");
    let patience = Patience::silent(Duration::from_secs(5));
    let applied = apply(&plan, &survey, store, &provenance, patience, &|_| {}).await.unwrap();
    assert_eq!(applied.revision.is_some(), plan.has_changes());
    assert_written(&reviewed, applied.revision, store).await;
    assert_settled(folder, store).await;
}

fn document_of(plan: &Plan, survey: &Survey, wishes: &Wishes) -> PlanDocument {
    let nothing = Digest::of_bytes(b"");
    let Survey { desired, actual, .. } = survey;
    let circumstances = Circumstances {
        desired,
        actual,
        wishes,
        base: None,
        is_invalid: false,
        schema_digest: nothing,
        manifests_digest: nothing,
        forecast: None,
    };
    document(plan, &circumstances)
}

/// What was reviewed and what history says was written are the same, field by field.
async fn assert_written(reviewed: &PlanDocument, number: Option<RevisionNumber>, store: &Store) {
    let Some(number) = number else { return };
    let revision = store.read_revision(number).await.unwrap().unwrap();
    assert_eq!(revision.changes.len(), reviewed.changes.len());
    for change in &revision.changes {
        let address = format!("{}/{}", change.subject.kind(), change.subject.name());
        let seen = reviewed.changes.iter().find(|seen| seen.address == address).unwrap();
        let flat = |of: &Option<serde_json::Map<String, serde_json::Value>>| {
            let mut fields = BTreeMap::new();
            if let Some(of) = of {
                flatten("", &serde_json::Value::Object(of.clone()), &mut fields);
            }
            fields
        };
        let mut promised = flat(&seen.after);
        promised.retain(|path, _| !path.starts_with("outgoing.targetAudience"));
        // A phase alone writes no specification.
        if change.after.is_none() && change.action != Action::Delete {
            assert!(seen.changed_paths.is_empty(), "{address}");
            continue;
        }
        let written: BTreeMap<String, String> = change
            .after
            .iter()
            .flat_map(Fields::iter)
            .map(|(path, value)| (path.to_owned(), shown(&value.to_string())))
            .collect();
        assert_eq!(promised, written, "{address}");
    }
}

/// Numbers are compared as such: `0.50` is `0.5`.
fn shown(text: &str) -> String {
    text.parse::<f64>().map_or_else(|_| text.to_owned(), |number| number.to_string())
}

fn flatten(path: &str, value: &serde_json::Value, into: &mut BTreeMap<String, String>) {
    let text = match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, into);
            }
            return;
        }
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(serde_json::Value::as_str).collect();
            format!("[{}]", items.join(", "))
        }
        value => value.to_string(),
    };
    into.insert(path.to_owned(), shown(&text));
}

async fn assert_settled(folder: &Folder, store: &Store) {
    let (_, again) = plan_of(folder, store, &Wishes::default()).await;
    assert!(!again.has_changes() && !again.is_rejected(), "not settled: {again:#?}");
}

type Folders = (BTreeMap<usize, Wanted>, BTreeMap<usize, Wanted>);

fn folders() -> impl Strategy<Value = Folders> {
    let tasks = || proptest::collection::btree_map(0usize..5, wanted(), 0..5);
    (tasks(), tasks())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_after_its_apply_is_empty((first, second) in folders()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let database = TestDatabase::new();
        runtime.block_on(async {
            let store = database.store().await;
            let folder = Folder::new();
            folder.write("team.yaml", TEAM);
            for n in 0..CHANNELS {
                folder.write(&format!("vk-{n}.yaml"), &channel(&format!("vk-{n}"), "vk-user", "token: {env: T}", ""));
            }
            let mut written = BTreeSet::new();
            for tasks in [&first, &second] {
                for gone in written.difference(&tasks.keys().copied().collect()) {
                    folder.remove(&format!("task-{gone}.yaml"));
                }
                written = tasks.keys().copied().collect();
                for (n, wanted) in tasks {
                    folder.write(&format!("task-{n}.yaml"), &manifest(&format!("task-{n}"), wanted, false));
                }
                converge(&folder, &store).await;
                for (n, wanted) in tasks {
                    folder.write(&format!("task-{n}.yaml"), &manifest(&format!("task-{n}"), wanted, true));
                }
                assert_settled(&folder, &store).await;
            }
            store.close().await;
        });
    }
}
