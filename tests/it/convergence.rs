//! Property: whatever the manifests say, a plan after its apply has nothing to do.

use std::{collections::BTreeMap, collections::BTreeSet, fmt::Write as _, time::Duration};

use nuncio::{
    plan::{Plan, Wishes, plan},
    reconcile::{Survey, apply, survey},
    store::Store,
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
    let mut people: Vec<String> = audience.iter().map(ToString::to_string).collect();
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
    let mut wishes = Wishes { stop_first: true, ..Wishes::default() };
    let (_, first) = plan_of(folder, store, &wishes).await;
    // Consent to every recreation that is asked for.
    for rejection in &first.rejections {
        if let nuncio::plan::Subject::Task(name) = &rejection.subject {
            wishes.recreate.insert(name.clone());
        }
    }
    let (survey, plan) = plan_of(folder, store, &wishes).await;
    assert!(!plan.is_rejected(), "{plan:#?}");
    let _ = apply(&plan, &survey, store, "tester", Duration::from_secs(5), &|_| {}).await.unwrap();
    assert_settled(folder, store).await;
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
