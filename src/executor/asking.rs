//! One call of an AI whose cost is reserved: settled whatever becomes of it, and how long an AI rests that fails.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::rounds::in_time;
use crate::{
    domain::{money::MicroUsd, resource::AiSpec},
    intelligence::{Ai, AiFailure, Completion, Ending, Prompt, Usage, cost},
    store::{Reserved, Settlement, Store, StoreError},
};

/// A limit, a key, a model that is gone: a person mends these, and it is seen in minutes that they did.
const MENDED_BY_A_PERSON: Duration = Duration::from_mins(10);
/// Between two looks whether an AI or a manager that is not there has come.
pub(super) const MISSING_PAUSE: Duration = Duration::from_secs(30);
/// Between two tries while the database is away: what the AI said is not thrown away for it.
const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// What every call needs beside the AI.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) store: Store,
    pub(super) shutdown: CancellationToken,
}

impl Asking {
    /// Calls and settles: `greatest` is what was reserved.
    pub(super) async fn ask(
        &self,
        ai: &Ai,
        spec: &AiSpec,
        prompt: &Prompt,
        reserved: Reserved,
        greatest: MicroUsd,
    ) -> Result<Completion, AiFailure> {
        let asked = ai.complete(prompt).await;
        let settlement = match &asked {
            Ok(completion) => of_completion(completion, spec),
            // It may be billed: the reservation stays spent.
            Err(failure) if failure.may_have_cost() => of_failure(greatest, spec, failure),
            Err(failure) => of_failure(MicroUsd::from_micros(0), spec, failure),
        };
        self.settle(reserved, &settlement).await;
        asked
    }

    /// A settlement that is lost leaves the reservation spent, which is safe, and wrong.
    async fn settle(&self, reserved: Reserved, settlement: &Settlement) {
        while let Err(error) = in_time(self.store.settle(reserved, settlement)).await {
            if let Err(error) = self.outlast(error).await {
                warn!("a call of the AI is not settled: {:#}", anyhow::Error::from(error));
                break;
            }
        }
    }

    /// The AI did not answer: it rests, and with it whoever wants it. Gives after how long the same call is
    /// made again; without a time the failure is the call's own.
    pub(super) async fn let_rest(
        &self,
        ai: &str,
        failure: &AiFailure,
    ) -> Result<Option<Duration>, StoreError> {
        let (class, rest) = rest_of(failure);
        let after = match rest {
            Rest::None => return Ok(None),
            Rest::LongerEachTime => None,
            Rest::For(after) => Some(after),
        };
        in_time(self.store.rest_ai(ai, class, &failure.to_string(), after)).await?;
        // Of an AI that rests, the rest decides when it is asked again.
        Ok(if failure.may_have_cost() { None } else { Some(Duration::ZERO) })
    }

    /// Waits while the database is away, so that what failed is done again; until the shutdown.
    pub(super) async fn outlast(&self, error: StoreError) -> Result<(), StoreError> {
        if !error.may_pass() {
            return Err(error);
        }
        if self.pause(AWAY_PAUSE).await { Ok(()) } else { Err(error) }
    }

    /// Whether the time has passed; else the shutdown has come.
    pub(super) async fn pause(&self, time: Duration) -> bool {
        self.shutdown.run_until_cancelled(tokio::time::sleep(time)).await.is_some()
    }
}

/// How long an AI rests that failed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rest {
    /// The failure is the call's own.
    None,
    LongerEachTime,
    For(Duration),
}

/// The class of a failure, and how long the AI rests for it.
pub(super) fn rest_of(failure: &AiFailure) -> (&'static str, Rest) {
    let mended = Rest::For(MENDED_BY_A_PERSON);
    match failure {
        AiFailure::Waits { after, .. } => {
            ("too-many", after.map_or(Rest::LongerEachTime, Rest::For))
        }
        AiFailure::Quota { .. } => ("quota", mended),
        AiFailure::CredentialRefused { .. } => ("credential-refused", mended),
        AiFailure::OurMistake { .. } => ("our-mistake", mended),
        AiFailure::Unavailable { .. } | AiFailure::Unanswered { .. } => {
            ("unavailable", Rest::LongerEachTime)
        }
        AiFailure::TooLong { .. } => ("too-long", Rest::None),
    }
}

fn of_completion(completion: &Completion, ai: &AiSpec) -> Settlement {
    let Completion { usage, model, ending, .. } = completion;
    let Usage { input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, estimated } =
        *usage;
    Settlement {
        cost: cost(usage, &ai.prices),
        input_tokens,
        cached_input_tokens,
        output_tokens,
        reasoning_tokens,
        estimated,
        model: if model.is_empty() { ai.model.clone() } else { model.clone() },
        ending: match ending {
            Ending::Complete => "complete",
            Ending::CutOff => "cut-off",
            Ending::Refused => "refused",
            Ending::Filtered => "filtered",
            Ending::Empty => "empty",
            Ending::Other(_) => "other",
        }
        .to_owned(),
    }
}

fn of_failure(cost: MicroUsd, ai: &AiSpec, failure: &AiFailure) -> Settlement {
    Settlement {
        cost,
        input_tokens: 0,
        cached_input_tokens: 0,
        output_tokens: 0,
        reasoning_tokens: 0,
        estimated: cost.micros() > 0,
        model: ai.model.clone(),
        ending: match failure {
            AiFailure::Unanswered { .. } => "unanswered",
            _ => "failed",
        }
        .to_owned(),
    }
}
