//! Manifests laid over what is stored.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{at, situations::situation, task};
use crate::domain::{
    forecast::{ForecastFacts, Part, TaskFacts, TurnFacts},
    id::TaskName,
    phase::{Phase, RunState},
    task::{Opening, Outgoing, TaskSpec},
};

fn spec(task: &TaskFacts, state: Option<RunState>) -> TaskSpec {
    TaskSpec {
        title: None,
        messenger: "vkontakte".parse().unwrap(),
        format: "incoming-and-outgoing".parse().unwrap(),
        channels: task.channels.keys().cloned().collect(),
        managers: ["anna".parse().unwrap()].into(),
        ai: "sales".parse().unwrap(),
        integration: None,
        spending_limit_per_dialogue: task.spending_limit_per_dialogue,
        state,
        protect: None,
        outgoing: Some(Outgoing {
            working_hours: task.working_hours,
            timezone: task.timezone,
            daily_limit_per_channel: task.daily_limit_per_channel,
            pause_between_dialogues: task.pause,
            opening: Opening::WrittenByAi,
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_task_overlaid_by_its_own_manifest_changes_nothing((facts, _) in situation()) {
        for (name, task) in &facts.tasks {
            let task = TaskFacts { part: Part::Runs, ..task.clone() };
            let mut before = facts.clone();
            before.tasks.insert(name.clone(), task.clone());
            let after = before.clone().with_task(name, &spec(&task, None), task.remaining);
            prop_assert_eq!(after, before);
        }
    }
}

#[test]
fn an_overlaid_task_runs_as_its_manifest_says() {
    let name: TaskName = "one".parse().unwrap();
    let (running, paused, completed) =
        (Some(RunState::Running), Some(RunState::Paused), Some(RunState::Completed));
    for (before, state, part) in [
        (None, None, Part::IfStarted),
        (None, running, Part::Runs),
        (None, completed, Part::Stands),
        (Some(Phase::InProgress), None, Part::Runs),
        (Some(Phase::InProgress), paused, Part::IfStarted),
        (Some(Phase::Stopped), None, Part::IfStarted),
        (Some(Phase::Awaiting), running, Part::Runs),
        (Some(Phase::Completed), running, Part::Stands),
    ] {
        let counted_at = at("2026-06-01T00:00:00Z");
        let mut facts =
            ForecastFacts { counted_at, channels: BTreeMap::new(), tasks: BTreeMap::new() };
        let sent = TurnFacts { today: 4, last_opening_at: Some(counted_at) };
        let mut known = task("00:00-24:00", 9, 3, &["a"], 5);
        known.channels.insert("a".parse().unwrap(), sent);
        if let Some(phase) = before {
            facts.tasks.insert(name.clone(), TaskFacts { phase, ..known.clone() });
        }
        let planned = task("09:00-18:00", 30, 60, &["a", "b"], 0);
        let facts = facts.with_channel(&"a".parse().unwrap(), 7).with_task(
            &name,
            &spec(&planned, state),
            12,
        );
        let seen = &facts.tasks[&name];
        assert_eq!((seen.part, seen.remaining), (part, 12), "{before:?} {state:?}");
        assert_eq!((seen.pause, seen.working_hours), (planned.pause, planned.working_hours));
        let kept = if before.is_some() { sent } else { TurnFacts::default() };
        assert_eq!(seen.channels[&"a".parse().unwrap()], kept);
        assert_eq!(facts.channels[&"a".parse().unwrap()].daily_limit, 7);
        assert!(facts.channels.contains_key(&"b".parse().unwrap()));
    }
}
