//! One answer: read the dialogue, reserve, ask the AI, settle, commit what is to be said.

use std::{sync::Arc, time::Duration};

use tracing::{debug, info, warn};

use super::{
    ais::Ais,
    asking::{Asking, MISSING_PAUSE, rest_of},
    decision::{Grounds, decide, hand_over, needs_no_words, noted, objection},
    prompt::{HISTORY_BYTES_MAX, HISTORY_BYTES_MIN, for_answer, for_summary, for_words},
    rounds::in_time,
    telling::reports_of,
};
use crate::{
    channels::Driver,
    domain::{
        dialogue::{Author, DialogueState},
        money::MicroUsd,
        resource::{AiSpec, ManagerSpec},
    },
    intelligence::{Ai, AiFailure, Completion, Ending, Prompt, greatest_cost},
    store::{Answer, Committed, DialogueContext, HeldTurn, Reservation, Store, StoreError},
};

/// Answers that failed one after another although the AI is there; then an operator goes on.
const FAILURES_MAX: u32 = 5;

/// Between a making that the database ended and the next one.
const GIVE_BACK_PAUSE: Duration = Duration::from_secs(5);

/// What every answer needs.
#[derive(Clone, Debug)]
pub(super) struct Answering {
    pub(super) store: Store,
    pub(super) ais: Ais,
    pub(super) asking: Asking,
}

/// Why there is no completion.
enum NoAnswer {
    /// Something newer happened, or the lane moved.
    Void,
    /// The cheapest call that is worth making would pass the limit.
    LimitReached {
        next_call: MicroUsd,
        remaining: MicroUsd,
    },
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
            Err(Trouble::NoAnswer(NoAnswer::Void | NoAnswer::LimitReached { .. })) => {
                in_time(self.store.release_turn(&turn)).await
            }
            Err(Trouble::NoAnswer(NoAnswer::Failed(failure))) => {
                self.put_off(&turn, &failure).await
            }
            Err(Trouble::Store(error)) => Err(error),
        };
        if let Err(error) = kept {
            // What the database refuses would be refused again at once, and the AI be paid for it each time.
            let may_pass = error.may_pass();
            let told = anyhow::Error::from(error);
            warn!(dialogue = %turn.dialogue, "an answer waits for the database: {told:#}");
            // Nor is what may pass asked for at once: a database whose disk is full lets go and takes nothing.
            if may_pass && !self.asking.pause(GIVE_BACK_PAUSE).await {
                return;
            }
            // Held under our fence, nobody else takes it up: it has to be given back.
            let give_back = async || {
                if may_pass {
                    self.store.release_turn(&turn).await
                } else {
                    self.store.put_turn_off(&turn, None).await
                }
            };
            while let Err(error) = in_time(give_back()).await {
                if self.asking.outlast(error).await.is_err() {
                    break;
                }
            }
        }
    }

    async fn make(&self, turn: &HeldTurn, driver: Option<Arc<Driver>>) -> Result<(), Trouble> {
        let Some(context) = in_time(self.store.read_context(turn)).await? else {
            return Err(NoAnswer::Void.into());
        };
        let Some((ai_spec, manager)) = specs(&context) else {
            // No fault of the AI's: it does not rest for it. What is missing comes with an apply.
            warn!(dialogue = %turn.dialogue, "the AI or the manager is not applied; the answer waits");
            in_time(self.store.put_turn_off(turn, Some(MISSING_PAUSE))).await?;
            return Ok(());
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
            Err(Trouble::NoAnswer(NoAnswer::LimitReached { next_call, remaining })) => {
                let reason = format!(
                    "the next call may cost ${next_call}, and ${remaining} of the limit is left"
                );
                hand_over(DialogueState::Blocked, reason, &grounds)
            }
            Err(other) => return Err(other),
        };
        if turn.is_probe {
            in_time(self.store.wake_ai(&turn.ai)).await?;
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
                    NoAnswer::LimitReached { .. } | NoAnswer::Failed(AiFailure::TooLong { .. }),
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
        let reserving = self.store.reserve(turn, &ai_spec.model, greatest);
        let reserved = match in_time(reserving).await? {
            Reservation::Granted(reserved) => reserved,
            Reservation::LimitReached { remaining } => {
                return Err(NoAnswer::LimitReached { next_call: greatest, remaining }.into());
            }
            Reservation::Void => return Err(NoAnswer::Void.into()),
        };
        let asked = self.asking.ask(ai, ai_spec, prompt, reserved, greatest).await;
        debug!(dialogue = %turn.dialogue, ai = turn.ai, succeeded = asked.is_ok(), "asked");
        asked.map_err(|failure| NoAnswer::from(failure).into())
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
            match in_time(self.store.commit_answer(turn, &answer)).await {
                Ok(committed) => break committed,
                Err(error) => self.asking.outlast(error).await?,
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
        let class = rest_of(failure).0;
        warn!(dialogue = %turn.dialogue, ai = turn.ai, class, "no answer: {failure}");
        // The turn is held till then: whoever took it up would call the AI again, which is paid for.
        let after = loop {
            match self.asking.let_rest(&turn.ai, failure).await {
                Ok(after) => break after,
                Err(error) => self.asking.outlast(error).await?,
            }
        };
        while let Err(error) = in_time(self.store.put_turn_off(turn, after)).await {
            self.asking.outlast(error).await?;
        }
        Ok(())
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
