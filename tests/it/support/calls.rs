//! The ends of calls that a test makes in the place of an executor.

use std::time::Duration;

use nuncio::{
    domain::attempt::{Outcome, OutcomeClass, Permit},
    store::{Finished, Store},
};

/// Records the same end of every call; `text` is what was said.
pub(crate) async fn end_calls(
    store: &Store,
    permits: &[Permit],
    class: OutcomeClass,
    text: Option<&str>,
) {
    let finished: Vec<Finished> = permits
        .iter()
        .map(|permit| Finished {
            attempt: permit.attempt,
            channel: permit.channel.clone(),
            fence: permit.fence,
            text: text.map(str::to_owned),
            // No lane rests after a failure.
            outcome: Outcome { after: Some(Duration::ZERO), ..Outcome::of(class, "") },
        })
        .collect();
    let recorded = store.record_outcomes(&finished).await.unwrap();
    assert_eq!(recorded.recorded.len(), finished.len());
}
