//! All that a field and a run state can be, as desired, applied and live.

use std::collections::BTreeMap;

use super::{
    Change, Plan, plan,
    tests::{applied, desired, name, task},
};
use crate::{
    domain::{
        actual::{Actual, Drifted},
        desired::{Desired, DesiredTask},
        fields::Fields,
        phase::{Phase, RunState, Transition},
    },
    plan::Wishes,
};

fn titled(title: Option<&str>, state: Option<RunState>) -> DesiredTask {
    task(|spec| {
        spec.title = title.map(str::to_owned);
        spec.state = state;
    })
}

fn plan_of(desired: &Desired, actual: &Actual) -> Plan {
    plan(desired, actual, &BTreeMap::new(), &Wishes::default())
}

fn paths(changes: &[super::FieldChange]) -> Vec<&str> {
    changes.iter().map(|change| change.path.as_str()).collect()
}

/// One title and one state each way, in a phase that somebody perhaps changed by other means.
struct Case<'a> {
    wanted: (Option<&'a str>, Option<RunState>),
    applied: (Option<&'a str>, Option<RunState>),
    live: Option<&'a str>,
    phase: Phase,
    touched: bool,
}

impl Case<'_> {
    fn check(&self) {
        let Case { wanted, applied: before, live, phase, touched } = *self;
        let told = format!("{wanted:?} was {before:?}, is {live:?}, {phase} {touched}");
        let desired_now = desired([("one", titled(wanted.0, wanted.1))]);
        let mut actual = applied(&desired([("one", titled(before.0, before.1))]), phase);
        let one = actual.tasks.get_mut(&name("one")).unwrap();
        let live_fields = titled(live, before.1).fields;
        one.drifted = touched || live != before.0;
        if one.drifted {
            let details = one.details.as_mut().unwrap();
            details.drifted = Some(Drifted { live: live_fields.clone(), at: None, by: None });
        }
        let first = plan_of(&desired_now, &actual);
        let towards = wanted.1.map(|state| phase.towards(state));
        if matches!(towards, Some(Transition::Refused(_))) {
            assert!(first.rejections.len() == 1 && !first.has_changes(), "{told}: {first:#?}");
            return;
        }
        assert!(!first.is_rejected(), "{told}: {first:#?}");
        let mut reached: Fields = live_fields;
        let mut phase_after = phase;
        match &first.changes[..] {
            [] => {}
            [Change::UpdateTask { fields, drift, phase: step, .. }] => {
                let drift_fields = drift.as_ref().map_or(&[][..], |drift| &drift.fields);
                let in_title = |changes| paths(changes).contains(&"title");
                let differs = live != wanted.0;
                assert_eq!(in_title(fields), differs && before.0 != wanted.0, "{told}");
                assert_eq!(in_title(drift_fields), differs && before.0 == wanted.0, "{told}");
                for change in fields.iter().chain(drift_fields) {
                    assert_eq!(change.before.as_ref(), reached.get(&change.path), "{told}");
                    reached = without(&reached, &change.path);
                    if let Some(value) = &change.after {
                        reached.insert(change.path.clone(), value.clone());
                    }
                }
                let steps = [*step, drift.as_ref().and_then(|drift| drift.phase)];
                for step in steps.into_iter().flatten() {
                    assert_eq!(step.from, phase_after, "{told}");
                    phase_after = step.to;
                }
            }
            other => panic!("{told}: {other:#?}"),
        }
        assert_eq!(reached, desired_now.tasks[&name("one")].fields, "{told}");
        if let Some(state) = wanted.1 {
            assert_eq!(phase_after.towards(state), Transition::Already, "{told}");
        } else {
            assert_eq!(phase_after, phase, "{told}");
        }
        let second = plan_of(&desired_now, &applied(&desired_now, phase_after));
        assert!(!second.has_changes() && !second.is_rejected(), "{told}: {second:#?}");
    }
}

fn without(fields: &Fields, path: &str) -> Fields {
    let mut rest = Fields::default();
    for (other, value) in fields.iter().filter(|(other, _)| *other != path) {
        rest.insert(other.to_owned(), value.clone());
    }
    rest
}

#[test]
fn a_plan_reaches_what_is_desired_and_tells_drift_and_change_apart() {
    let titles = [None, Some("a"), Some("b"), Some("c")];
    let states = [None, Some(RunState::Running), Some(RunState::Paused), Some(RunState::Completed)];
    let mut n_cases = 0;
    for wanted in titles {
        for before in titles {
            for live in titles {
                for wanted_state in states {
                    for state_before in states {
                        for phase in Phase::ALL {
                            for touched in [false, true] {
                                let (wanted, applied) =
                                    ((wanted, wanted_state), (before, state_before));
                                Case { wanted, applied, live, phase: *phase, touched }.check();
                                n_cases += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(n_cases, 8192);
}
