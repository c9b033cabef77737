//! Calls that a test makes in the place of an executor.

use std::time::Duration;

use nuncio::{
    domain::{
        attempt::{Outcome, OutcomeClass, Permit},
        id::AttemptId,
    },
    store::{Finished, Intended, Store},
};

/// Keeps the same words for every call. Gives the calls that may be made.
pub(crate) async fn begin_calls(store: &Store, permits: &[Permit], text: &str) -> Vec<AttemptId> {
    let intended: Vec<Intended> = permits
        .iter()
        .map(|permit| Intended {
            attempt: permit.attempt,
            channel: permit.channel.clone(),
            fence: permit.fence,
            text: text.to_owned(),
        })
        .collect();
    store.intend(&intended).await.unwrap()
}

/// Records the same end of every call.
pub(crate) async fn end_calls(store: &Store, permits: &[Permit], class: OutcomeClass) {
    let finished: Vec<Finished> = permits
        .iter()
        .map(|permit| Finished {
            attempt: permit.attempt,
            channel: permit.channel.clone(),
            fence: permit.fence,
            // No lane rests after a failure.
            outcome: Outcome { after: Some(Duration::ZERO), ..Outcome::of(class, "") },
        })
        .collect();
    let recorded = store.record_outcomes(&finished).await.unwrap();
    assert_eq!(recorded.recorded.len(), finished.len());
}
