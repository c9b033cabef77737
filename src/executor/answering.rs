//! One answer: read the dialogue, reserve, ask the AI, settle, commit what is to be said.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    ais::Ais,
    decision::{Grounds, decide, hand_over, needs_no_words, noted, objection},
    prompt::{HISTORY_BYTES_MAX, HISTORY_BYTES_MIN, for_answer, for_summary, for_words},
    telling::reports_of,
};
use crate::{
    channels::Driver,
    domain::{
        dialogue::{Author, DialogueState},
        money::MicroUsd,
        resource::{AiSpec, ManagerSpec},
    },
    intelligence::{Ai, AiFailure, Completion, Ending, Prompt, Usage, cost, greatest_cost},
    store::{
        Answer, Committed, DialogueContext, HeldTurn, Reservation, Reserved, Settlement, Store,
        StoreError,
    },
};

/// A limit, a key, a model that is gone: a person mends these, and it is seen in minutes that they did.
const MENDED_BY_A_PERSON: Duration = Duration::from_mins(10);
/// Answers that failed one after another although the AI is there; then an operator goes on.
const FAILURES_MAX: u32 = 5;
/// Between two tries while the database is away: what the AI said is not thrown away for it.
const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// What every answer needs.
#[derive(Clone, Debug)]
pub(super) struct Answering {
    pub(super) store: Store,
    pub(super) ais: Ais,
    pub(super) shutdown: CancellationToken,
}

/// Why there is no completion.
enum NoAnswer {
    /// Something newer happened, or the lane moved.
    Void,
    LimitReached,
    Failed(AiFailure),
}

impl From<AiFailure> for NoAnswer {
    fn from(failure: AiFailure) -> Self {
        Self::Failed(failure)
    }
}

/// The database's trouble is not the dialogue's: it ends the making, not the dialogue.
enum Trouble {
    NoAnswer(NoAnswer),
    Store(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NoAnswer> for Trouble {
    fn from(reason: NoAnswer) -> Self {
        Self::NoAnswer(reason)
    }
}

impl Answering {
    /// Makes the answer of one turn, and leaves the dialogue free whatever happens.
    pub(super) async fn answer(self, turn: HeldTurn, driver: Option<Arc<Driver>>) {
        let made = self.make(&turn, driver).await;
        let kept = match made {
            Ok(()) => Ok(()),
            // The limit is told where it is reached.
            Err(Trouble::NoAnswer(NoAnswer::Void | NoAnswer::LimitReached)) => {
                self.store.release_turn(&turn).await
            }
            Err(Trouble::NoAnswer(NoAnswer::Failed(failure))) => {
                self.put_off(&turn, &failure).await
            }
            Err(Trouble::Store(error)) => Err(error),
        };
        if let Err(error) = kept {
            warn!(dialogue = %turn.dialogue, "an answer waits for the database: {:#}", anyhow::Error::from(error));
            // Held under our fence, nobody else takes it up: it has to be given back.
            while let Err(error) = self.store.release_turn(&turn).await {
                if self.outlast(error).await.is_err() {
                    break;
                }
            }
        }
    }

    async fn make(&self, turn: &HeldTurn, driver: Option<Arc<Driver>>) -> Result<(), Trouble> {
        let Some(context) = self.store.read_context(turn).await? else {
            return Err(NoAnswer::Void.into());
        };
        let Some((ai_spec, manager)) = specs(&context) else {
            // The manifests changed under us; the next pass reads them again.
            let reason = "the AI or the manager is not applied".to_owned();
            return Err(NoAnswer::Failed(AiFailure::OurMistake { reason }).into());
        };
        let ai = match self.ais.connect(&turn.ai, &ai_spec) {
            Ok(ai) => ai,
            Err(reason) => {
                return Err(NoAnswer::Failed(AiFailure::CredentialRefused { reason }).into());
            }
        };
        if let Some(driver) = &driver {
            let last =
                context.history.iter().rev().find_map(|one| one.provider_message_id.as_deref());
            driver.show_typing(&context.peer, last).await;
        }
        let grounds = Grounds {
            ai: &ai_spec,
            is_first_text: !context.history.iter().any(|one| carries_text(one.author, &one.text)),
        };
        if context.failures >= FAILURES_MAX {
            let reason = "the AI failed again and again".to_owned();
            let answer = hand_over(DialogueState::WithOperator, reason, &grounds);
            self.commit(turn, &answer, driver.as_deref()).await?;
            return Ok(());
        }
        let job = Job { turn, ai: &ai, ai_spec: &ai_spec, manager: &manager, context: &context };
        let answer = match self.ask(&job, &grounds).await {
            Ok(answer) => answer,
            Err(Trouble::NoAnswer(NoAnswer::LimitReached)) => {
                let reason = "the spending limit of the dialogue is reached".to_owned();
                hand_over(DialogueState::Blocked, reason, &grounds)
            }
            Err(other) => return Err(other),
        };
        if turn.is_probe {
            self.store.wake_ai(&turn.ai).await?;
            info!(ai = turn.ai, "the AI is back");
        }
        self.commit(turn, &answer, driver.as_deref()).await?;
        Ok(())
    }

    /// Asks until there is an answer: with less of the history where the whole does not fit or is too dear.
    async fn ask(&self, job: &Job<'_>, grounds: &Grounds<'_>) -> Result<Answer, Trouble> {
        let Job { ai_spec, manager, context, .. } = job;
        let mut bytes = HISTORY_BYTES_MAX;
        let mut new_summary = None;
        loop {
            let summary = new_summary.as_ref().map(|(text, _): &(String, i64)| text.as_str());
            let summary = summary.or(context.summary.as_deref());
            let composed = for_answer(context, ai_spec, manager, summary, bytes);
            if new_summary.is_none()
                && let Some(until) = composed.dropped_until
                && bytes == HISTORY_BYTES_MAX
            {
                let prompt = for_summary(context.summary.as_deref(), &composed.dropped);
                // Without a summary the answer knows less, and is an answer all the same.
                if let Ok(completion) = self.complete(job, &prompt).await
                    && let (Some(text), None) = (completion.text.clone(), objection(&completion))
                {
                    new_summary = Some((text, until));
                    continue;
                }
            }
            match self.completed(job, &composed.prompt).await {
                Ok(completion) => {
                    let mut answer = match objection(&completion) {
                        Some(reason) => hand_over(DialogueState::WithOperator, reason, grounds),
                        None => decide(&completion, grounds),
                    };
                    answer.summary = new_summary;
                    answer.reports = reports_of(&answer, job);
                    return Ok(answer);
                }
                Err(Trouble::NoAnswer(
                    NoAnswer::LimitReached | NoAnswer::Failed(AiFailure::TooLong { .. }),
                )) if bytes > HISTORY_BYTES_MIN => bytes /= 2,
                Err(Trouble::NoAnswer(NoAnswer::Failed(AiFailure::TooLong { reason }))) => {
                    return Ok(hand_over(DialogueState::WithOperator, reason, grounds));
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// A completion with words: where the AI only called tools, it is asked for them.
    async fn completed(&self, job: &Job<'_>, prompt: &Prompt) -> Result<Completion, Trouble> {
        let mut completion = self.complete(job, prompt).await?;
        let is_mute = completion.text.as_deref().is_none_or(|text| text.trim().is_empty());
        if is_mute && objection(&completion).is_none() && !needs_no_words(&completion) {
            let words = self.complete(job, &for_words(prompt, &noted(&completion))).await;
            match words {
                Ok(said) if objection(&said).is_none() => completion.text = said.text,
                // What was noted stands; for the words the manifest's sentence has to do.
                _ => completion.text = job.ai_spec.handover.clone(),
            }
            if completion.text.is_none() {
                completion.ending = Ending::Empty;
            }
        }
        Ok(completion)
    }

    /// One call, reserved before and settled after.
    async fn complete(&self, job: &Job<'_>, prompt: &Prompt) -> Result<Completion, Trouble> {
        let Job { turn, ai, ai_spec, .. } = job;
        let greatest = greatest_cost(prompt, &ai_spec.prices);
        let reserved = match self.store.reserve(turn, &ai_spec.model, greatest).await? {
            Reservation::Granted(reserved) => reserved,
            Reservation::LimitReached { .. } => return Err(NoAnswer::LimitReached.into()),
            Reservation::Void => return Err(NoAnswer::Void.into()),
        };
        let asked = ai.complete(prompt).await;
        let settlement = match &asked {
            Ok(completion) => of_completion(completion, ai_spec),
            // It may be billed: the reservation stays spent.
            Err(failure) if failure.may_have_cost() => of_failure(greatest, ai_spec, failure),
            Err(failure) => of_failure(MicroUsd::from_micros(0), ai_spec, failure),
        };
        self.settle(reserved, &settlement).await;
        debug!(dialogue = %turn.dialogue, ai = turn.ai, cost = %settlement.cost, ending = settlement.ending, "asked");
        asked.map_err(|failure| NoAnswer::from(failure).into())
    }

    /// A settlement that is lost leaves the reservation spent, which is safe, and wrong.
    async fn settle(&self, reserved: Reserved, settlement: &Settlement) {
        while let Err(error) = self.store.settle(reserved, settlement).await {
            if let Err(error) = self.outlast(error).await {
                warn!("a call of the AI is not settled: {:#}", anyhow::Error::from(error));
                break;
            }
        }
    }

    async fn commit(
        &self,
        turn: &HeldTurn,
        answer: &Answer,
        driver: Option<&Driver>,
    ) -> Result<(), StoreError> {
        let mut answer = answer.clone();
        if let Some(driver) = driver {
            let whole = std::mem::take(&mut answer.texts);
            answer.texts = whole
                .into_iter()
                .flat_map(|(author, text)| {
                    driver.split(&text).into_iter().map(move |part| (author, part))
                })
                .collect();
        }
        let committed = loop {
            match self.store.commit_answer(turn, &answer).await {
                Ok(committed) => break committed,
                Err(error) => self.outlast(error).await?,
            }
        };
        match committed {
            Committed::Taken => {
                let state = answer.state.as_ref().map(|(state, _)| state.as_str());
                info!(dialogue = %turn.dialogue, state, "answered");
            }
            Committed::Void => debug!(dialogue = %turn.dialogue, "the answer came too late"),
        }
        Ok(())
    }

    /// The AI did not answer: it rests, and with it whoever wants it.
    async fn put_off(&self, turn: &HeldTurn, failure: &AiFailure) -> Result<(), StoreError> {
        let (class, rest) = match failure {
            AiFailure::Waits { after, .. } => ("too-many", Some(*after)),
            AiFailure::Quota { .. } => ("quota", Some(Some(MENDED_BY_A_PERSON))),
            AiFailure::CredentialRefused { .. } => {
                ("credential-refused", Some(Some(MENDED_BY_A_PERSON)))
            }
            AiFailure::OurMistake { .. } => ("our-mistake", Some(Some(MENDED_BY_A_PERSON))),
            AiFailure::Unavailable { .. } | AiFailure::Unanswered { .. } => {
                ("unavailable", Some(None))
            }
            AiFailure::TooLong { .. } => ("too-long", None),
        };
        warn!(dialogue = %turn.dialogue, ai = turn.ai, class, "no answer: {failure}");
        if let Some(after) = rest {
            self.store.rest_ai(&turn.ai, class, &failure.to_string(), after).await?;
        }
        // Of an AI that rests, the rest decides when it is asked again.
        let failed = matches!(failure, AiFailure::TooLong { .. } | AiFailure::Unanswered { .. });
        self.store.put_turn_off(turn, if failed { None } else { Some(Duration::ZERO) }).await
    }

    /// Waits while the database is away, so that what failed is done again; until the shutdown.
    async fn outlast(&self, error: StoreError) -> Result<(), StoreError> {
        if !matches!(error, StoreError::Away(_) | StoreError::Silent) {
            return Err(error);
        }
        tokio::select! {
            () = self.shutdown.cancelled() => Err(error),
            () = tokio::time::sleep(AWAY_PAUSE) => Ok(()),
        }
    }
}

/// What one answer is made with.
pub(super) struct Job<'a> {
    pub(super) turn: &'a HeldTurn,
    ai: &'a Ai,
    ai_spec: &'a AiSpec,
    pub(super) manager: &'a ManagerSpec,
    pub(super) context: &'a DialogueContext,
}

fn specs(context: &DialogueContext) -> Option<(AiSpec, ManagerSpec)> {
    let ai = AiSpec::from_fields(context.ai_fields.as_ref()?)?;
    let manager = ManagerSpec::from_fields(context.manager_fields.as_ref()?)?;
    Some((ai, manager))
}

/// A template cannot carry a disclosure; whatever else we say can.
fn carries_text(author: Author, text: &str) -> bool {
    author != Author::Person && !(author == Author::Opening && text.starts_with("[template "))
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
