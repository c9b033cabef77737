//! The loop of dialogues: what is due is answered, what is to be said leaves, whoever is silent is reminded.
//!
//! It works on the lanes that the loop of openings holds, under their fences. A wake-up carries no data;
//! every pass looks at everything.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::watch,
    task::{Id, JoinSet},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    ais::{AiConnector, Ais},
    answering::Answering,
    asking::Asking,
    drivers::Held,
    rounds::{Refusals, Rounds, in_time, say_last_words},
};
use crate::{
    domain::{
        attempt::{Outcome, OutcomeClass},
        dialogue::ReplyCall,
        id::{DialogueId, MessageId},
        resource::{AiSpec, Reminder},
    },
    store::{DialoguesAhead, FinishedReply, HeldTurn, Kept, ReplyPermit, Store, StoreError},
};

/// Answers in the making at a time: an AI takes seconds, and a backlog after an outage must not be a flood.
const ANSWERS_MAX: usize = 16;
/// Replies on their way at a time.
const REPLIES_MAX: usize = 64;
/// A look without a wake-up: one that was lost costs no more than this.
const LOOK: Duration = Duration::from_secs(5);
/// When something is due at this moment, and could not be taken: at first, because a row may be locked.
const LOCKED_PAUSE: Duration = Duration::from_millis(50);
/// Between two looks for dialogues that were leased to us by an answer which never arrived.
const UNSEEN: Duration = Duration::from_secs(20);
/// How long calls may finish after a stop was asked for.
const GRACE: Duration = Duration::from_secs(3);

/// The loop of dialogues.
#[derive(Debug)]
pub struct Conversations {
    store: Store,
    held: watch::Receiver<Held>,
    answering: Answering,
    answers: JoinSet<()>,
    /// The turns that are being answered, by the task that does.
    turns: HashMap<Id, HeldTurn>,
    calls: JoinSet<FinishedReply>,
    /// Messages whose call runs, or is not recorded yet.
    calling: HashMap<Id, ReplyPermit>,
    ended: Vec<FinishedReply>,
    refusals: Refusals,
    /// Before what could not be taken is tried again.
    patience: Duration,
    next_unseen: Instant,
}

impl Conversations {
    pub fn new(
        store: Store,
        ais: AiConnector,
        held: watch::Receiver<Held>,
        shutdown: CancellationToken,
    ) -> Self {
        let asking = Asking { store: store.clone(), shutdown };
        let answering = Answering { store: store.clone(), ais: Ais::new(ais), asking };
        Self {
            store,
            held,
            answering,
            answers: JoinSet::new(),
            turns: HashMap::new(),
            calls: JoinSet::new(),
            calling: HashMap::new(),
            ended: Vec::new(),
            refusals: Refusals::default(),
            patience: LOCKED_PAUSE,
            next_unseen: Instant::now() + UNSEEN,
        }
    }

    /// Answers until `shutdown`, and then leaves in order.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut rounds = Rounds::of("dialogues");
        while !shutdown.is_cancelled() {
            rounds.register(self.store.dialogue_wakeups()).await;
            let until = rounds.look(self.pass()).await.unwrap_or_else(|again| {
                // What was leased by the last statement is not known.
                self.next_unseen = Instant::now();
                again
            });
            self.wait(&shutdown, &mut rounds, until).await;
        }
        self.leave().await;
    }

    /// One look at everything. Gives the time of the next one.
    async fn pass(&mut self) -> Result<Instant, StoreError> {
        let held = self.held.borrow_and_update().clone();
        let Some(executor) = held.executor else { return Ok(Instant::now() + LOOK) };
        self.record().await?;
        if Instant::now() >= self.next_unseen {
            let known: Vec<DialogueId> = self.turns.values().map(|turn| turn.dialogue).collect();
            let freed = self.store.free_unseen_turns(executor, &known).await?;
            if freed > 0 {
                warn!(freed, "dialogues that were leased unseen");
            }
            self.next_unseen = Instant::now() + UNSEEN;
        }
        let known: Vec<MessageId> = self.calling.values().map(|permit| permit.message).collect();
        // Where nothing is due, a pass is this one statement.
        let DialoguesAhead { abandoned_in, answer_in, reply_in, reminder_in } =
            self.store.look_at_dialogues(executor, &known).await?;
        let is_due = |wait: Option<Duration>| wait.is_some_and(|wait| wait.is_zero());
        let (may_call, may_answer) =
            (self.calling.len() < REPLIES_MAX, self.turns.len() < ANSWERS_MAX);
        let mut moved = false;
        if is_due(abandoned_in) {
            let settled = self.store.settle_abandoned_replies(executor, &known).await?;
            if settled > 0 {
                warn!(settled, "replies of a stopped executor");
                moved = true;
            }
        }
        if is_due(reminder_in) {
            for due in self.store.list_due_reminders(executor).await? {
                let ai = due.ai_fields.as_ref().and_then(AiSpec::from_fields);
                let reminders = ai.map(|ai| ai.reminders).unwrap_or_default();
                let (text, next) = reminder(&reminders, due.index, due.text.as_deref());
                self.store.remind(&due, text.as_deref(), next).await?;
                moved = true;
            }
        }
        if may_call && (moved || is_due(reply_in)) {
            let free = REPLIES_MAX.saturating_sub(self.calling.len());
            // Before the statement: the permit's time runs from its grant, which is later.
            let asked_at = Instant::now();
            for permit in self.store.permit_replies(executor, free).await? {
                self.call(permit, &held, asked_at);
                moved = true;
            }
        }
        if may_answer && is_due(answer_in) {
            let free = ANSWERS_MAX.saturating_sub(self.turns.len());
            for turn in self.store.lease_turns(executor, free).await? {
                let driver = held.drivers.get(&turn.channel).cloned();
                let answer =
                    self.answers.spawn(self.answering.clone().answer(turn.clone(), driver));
                self.turns.insert(answer.id(), turn);
                moved = true;
            }
        }
        if moved {
            self.patience = LOCKED_PAUSE;
            return Ok(Instant::now() + LOCKED_PAUSE);
        }
        // What has no place to go to is looked at when a place is free: a call or an answer ends.
        let wanted = [
            abandoned_in,
            reminder_in,
            reply_in.filter(|_| may_call),
            answer_in.filter(|_| may_answer),
        ];
        let next = wanted.into_iter().flatten().min();
        Ok(Instant::now() + self.wait_for(next))
    }

    /// What is due and could not be taken, because a row was locked or an AI rests, is tried again at ever
    /// longer pauses, until something happens.
    fn wait_for(&mut self, next: Option<Duration>) -> Duration {
        match next {
            Some(wait) if wait.is_zero() => {
                let pause = self.patience;
                self.patience = (pause * 2).min(LOOK);
                pause
            }
            Some(wait) => wait.clamp(LOCKED_PAUSE, LOOK),
            None => LOOK,
        }
    }

    fn call(&mut self, permit: ReplyPermit, held: &Held, asked_at: Instant) {
        let driver = held.drivers.get(&permit.channel).cloned();
        let known = permit.clone();
        let call = self.calls.spawn(async move {
            let ReplyPermit {
                message, channel, fence, peer, text, key, silence, valid_for, ..
            } = permit;
            let outcome = match driver {
                None => Outcome::of(OutcomeClass::NotSent, "the channel is not connected"),
                // Our own clock may only make us stop earlier: while a process was frozen, another may have
                // taken the lane, and an operator the dialogue.
                Some(_) if asked_at.elapsed() > valid_for => Outcome {
                    after: Some(Duration::ZERO),
                    ..Outcome::of(OutcomeClass::NotSent, "the permit ran out before the call")
                },
                Some(driver) if is_over(driver.kind().facts().reply_window, silence) => {
                    let reason = "more than 24 hours since the person wrote";
                    Outcome::of(OutcomeClass::WindowClosed, reason)
                }
                Some(driver) => {
                    let reference = key.to_string();
                    let call = ReplyCall { peer: &peer, text: &text, key, reference: &reference };
                    driver.reply(&call).await
                }
            };
            FinishedReply { message, channel, fence, outcome }
        });
        self.calling.insert(call.id(), known);
    }

    /// Records what ended. On an error everything is kept for the next pass.
    async fn record(&mut self) -> Result<(), StoreError> {
        while let Some(joined) = self.calls.try_join_next_with_id() {
            self.take_call(joined);
        }
        while let Some(joined) = self.answers.try_join_next_with_id() {
            self.take_answer(joined).await?;
        }
        if !self.ended.is_empty() {
            let Kept { recorded, refused, why } = self.store.record_replies(&self.ended).await?;
            self.refusals.tell("replies", refused.len(), why);
            self.ended.retain(|ended| refused.contains(&ended.message));
            self.calling.retain(|_, permit| !recorded.contains(&permit.message));
        }
        Ok(())
    }

    fn take_call(&mut self, joined: Result<(Id, FinishedReply), tokio::task::JoinError>) {
        match joined {
            Ok((_, finished)) => {
                let FinishedReply { message, channel, outcome, .. } = &finished;
                debug!(%message, %channel, class = %outcome.class, reason = outcome.reason, "reply");
                self.ended.push(finished);
            }
            // A driver that panicked: nobody knows what it had done before.
            Err(error) => {
                if let Some(permit) = self.calling.get(&error.id()) {
                    self.ended.push(FinishedReply {
                        message: permit.message,
                        channel: permit.channel.clone(),
                        fence: permit.fence,
                        outcome: Outcome::of(
                            OutcomeClass::InDoubt,
                            "the driver failed in the call",
                        ),
                    });
                }
            }
        }
    }

    async fn take_answer(
        &mut self,
        joined: Result<(Id, ()), tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        let (id, failed) = match joined {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), true),
        };
        if let Some(turn) = self.turns.remove(&id)
            && failed
        {
            warn!(dialogue = %turn.dialogue, "an answer failed in the making");
            self.store.put_turn_off(&turn, None).await?;
        }
        Ok(())
    }

    async fn wait(&mut self, shutdown: &CancellationToken, rounds: &mut Rounds, until: Instant) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            Some(joined) = self.calls.join_next_with_id() => self.take_call(joined),
            Some(joined) = self.answers.join_next_with_id() => {
                if in_time(self.take_answer(joined)).await.is_err() {
                    debug!("a turn that could not be put off is freed later");
                }
            }
            Ok(()) = self.held.changed() => {}
            () = rounds.woken() => {}
            () = sleep_until(until) => return,
        }
        self.patience = LOCKED_PAUSE;
    }

    /// Calls that run may finish for a while; answers in the making are made again by whoever comes next.
    async fn leave(mut self) {
        let deadline = Instant::now() + GRACE;
        self.answers.abort_all();
        while let Ok(Some(joined)) = timeout_at(deadline, self.calls.join_next_with_id()).await {
            self.take_call(joined);
        }
        let last_words = async {
            self.record().await?;
            for turn in self.turns.values() {
                self.store.release_turn(turn).await?;
            }
            Ok::<(), StoreError>(())
        };
        let deadline = deadline + Duration::from_millis(500);
        say_last_words(deadline, "replies without a record stay in doubt", last_words).await;
    }
}

/// Whether the provider lets no text pass any more.
fn is_over(window: Option<Duration>, silence: Option<Duration>) -> bool {
    window.is_some_and(|window| silence.is_none_or(|silence| silence >= window))
}

/// What is said after a silence, and after how much more of it the next reminder comes. One that the AI
/// asked for stands for itself.
fn reminder(
    reminders: &[Reminder],
    index: usize,
    own: Option<&str>,
) -> (Option<String>, Option<Duration>) {
    if let Some(own) = own {
        return (Some(own.to_owned()), None);
    }
    let Some(Reminder { after, text }) = reminders.get(index) else { return (None, None) };
    let next = reminders.get(index + 1).map(|next| next.after.saturating_sub(*after));
    (Some(text.clone()), next)
}
