//! The words of the program's states and classes, and the constraints of the tables in which they are kept. A word that
//! a table does not know is met at the worst moment: what has happened cannot be recorded.

use nuncio::domain::{
    attempt::OutcomeClass,
    condition::ConditionKind,
    dialogue::{Author, DialogueState, MessageState},
    phase::Phase,
    report::ReportState,
    resource::DialogueEvent,
    revision::{Action, Cause},
};

use crate::support::TestDatabase;

macro_rules! words {
    ($($table:literal $constraint:literal $words:ident;)*) => {
        [$(($table, $constraint, $words::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>())),*]
    };
}

#[test]
fn the_tables_know_every_word_that_is_written_to_them() {
    let database = TestDatabase::new();
    let all = words! {
        "attempts" "outcome_is_known" OutcomeClass;
        "conditions" "kind_is_known" ConditionKind;
        "dialogues" "state_is_known" DialogueState;
        "messages" "author_is_known" Author;
        "messages" "message_state_is_known" MessageState;
        "reports" "event_is_known" DialogueEvent;
        "reports" "state_is_known" ReportState;
        "revision_changes" "action_is_known" Action;
        "revisions" "cause_is_known" Cause;
        "tasks" "phase_is_known" Phase;
    };
    for (table, constraint, words) in all {
        let known = database.value(&format!(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint
            WHERE conrelid = '{table}'::regclass AND conname = '{constraint}'"
        ));
        let unknown: Vec<&str> =
            words.into_iter().filter(|word| !known.contains(&format!("'{word}'"))).collect();
        assert!(unknown.is_empty(), "{table}: {unknown:?} are not in {known}");
    }
}
