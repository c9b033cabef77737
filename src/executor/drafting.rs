//! The loop that has openings written: by the AI, before their turn, so that no permit waits for one.
//!
//! It works for the lanes that the loop of openings holds, under their fences. A wake-up carries no data;
//! every pass looks at everything.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    ais::{AiConnector, Ais},
    asking::{Asking, MISSING_PAUSE, rest_of},
    decision::objection,
    drivers::Held,
    prompt::for_opening,
    rounds::{Rounds, in_time},
};
use crate::{
    domain::{
        id::DraftId,
        resource::{AiSpec, ManagerSpec},
    },
    intelligence::{AiFailure, greatest_cost},
    store::{Committed, DraftPermit, Reservation, Store, StoreError},
};

/// Drafts in the making at a time. Answers to people who wait go before them, and have twice as many.
const DRAFTS_MAX: usize = 8;
/// Calls in vain for one contact; then there is no opening for it.
const FAILURES_MAX: u32 = 5;
/// A look without a wake-up. Nobody is told that a contact's turn comes near.
const LOOK: Duration = Duration::from_secs(2);
/// Between two looks for drafts that were leased to us by an answer which never arrived.
const UNSEEN: Duration = Duration::from_secs(20);
/// How long the drafts in the making may be given back after a stop was asked for.
const GRACE: Duration = Duration::from_millis(500);

/// The loop of drafts.
#[derive(Debug)]
pub struct Drafting {
    store: Store,
    held: watch::Receiver<Held>,
    writer: Writer,
    writing: JoinSet<()>,
    permits: HashMap<Id, DraftPermit>,
    next_unseen: Instant,
}

impl Drafting {
    pub fn new(
        store: Store,
        ais: AiConnector,
        held: watch::Receiver<Held>,
        shutdown: CancellationToken,
    ) -> Self {
        let asking = Asking { store: store.clone(), shutdown };
        let writer = Writer { store: store.clone(), ais: Ais::new(ais), asking };
        Self {
            store,
            held,
            writer,
            writing: JoinSet::new(),
            permits: HashMap::new(),
            next_unseen: Instant::now() + UNSEEN,
        }
    }

    /// Has openings written until `shutdown`, and then gives back what is not done.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut rounds = Rounds::of("drafts");
        while !shutdown.is_cancelled() {
            let looked = rounds.look(self.pass()).await;
            if looked.is_err() {
                // What was leased by the last statement is not known.
                self.next_unseen = Instant::now();
            }
            let until = looked.map_or_else(|again| again, |()| Instant::now() + LOOK);
            // Every arm may be dropped at any moment: what is being written stays in its set.
            tokio::select! {
                () = shutdown.cancelled() => {}
                Some(joined) = self.writing.join_next_with_id() => self.take(joined).await,
                Ok(()) = self.held.changed() => {}
                () = sleep_until(until) => {}
            }
        }
        self.writing.abort_all();
        let give_back = async {
            for permit in self.permits.values() {
                self.store.put_draft_off(permit, Some(Duration::ZERO)).await?;
            }
            Ok::<(), StoreError>(())
        };
        if !matches!(timeout(GRACE, give_back).await, Ok(Ok(()))) {
            debug!("drafts in the making wait for the next fence of their lanes");
        }
    }

    /// One look at everything.
    async fn pass(&mut self) -> Result<(), StoreError> {
        let Some(executor) = self.held.borrow_and_update().executor else { return Ok(()) };
        while let Some(joined) = self.writing.try_join_next_with_id() {
            self.take(joined).await;
        }
        if Instant::now() >= self.next_unseen {
            let known: Vec<DraftId> = self.permits.values().map(|permit| permit.draft).collect();
            let freed = self.store.free_unseen_drafts(executor, &known).await?;
            if freed > 0 {
                warn!(freed, "drafts that were leased unseen");
            }
            self.next_unseen = Instant::now() + UNSEEN;
        }
        let queued = self.store.queue_drafts(executor).await?;
        if queued > 0 {
            debug!(queued, "openings for the AI to write");
        }
        let free = DRAFTS_MAX.saturating_sub(self.permits.len());
        if free > 0 {
            for permit in self.store.lease_drafts(executor, free).await? {
                let written = self.writing.spawn(self.writer.clone().write(permit.clone()));
                self.permits.insert(written.id(), permit);
            }
        }
        Ok(())
    }

    async fn take(&mut self, joined: Result<(Id, ()), JoinError>) {
        let (id, failed) = match joined {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), true),
        };
        if let Some(permit) = self.permits.remove(&id)
            && failed
        {
            warn!(draft = %permit.draft, "a draft failed in the making");
            if in_time(self.store.put_draft_off(&permit, None)).await.is_err() {
                debug!(draft = %permit.draft, "it is freed later");
            }
        }
    }
}

/// What writes one draft.
#[derive(Clone, Debug)]
struct Writer {
    store: Store,
    ais: Ais,
    asking: Asking,
}

/// What became of one call for a draft.
enum Written {
    Text(String),
    /// There will be no opening, and why.
    Never(String),
    /// The contact, the task or the AI changed meanwhile, or the lane moved.
    Void,
    /// The AI or the manager is not applied.
    Missing,
    NotNow(AiFailure),
}

impl Writer {
    /// Writes one draft, and leaves it free whatever happens.
    async fn write(self, permit: DraftPermit) {
        loop {
            let Err(error) = self.make(&permit).await else { return };
            warn!(draft = %permit.draft, "a draft waits for the database: {:#}", anyhow::Error::from(error));
            // Held under our fence, nobody else takes it up: it has to be given back.
            match in_time(self.store.put_draft_off(&permit, Some(Duration::ZERO))).await {
                Ok(()) => return,
                Err(error) => {
                    if self.asking.outlast(error).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn make(&self, permit: &DraftPermit) -> Result<(), StoreError> {
        let DraftPermit { draft, ai, is_probe, .. } = permit;
        let written = self.ask(permit).await?;
        if *is_probe && matches!(written, Written::Text(_)) {
            in_time(self.store.wake_ai(ai)).await?;
            info!(ai, "the AI is back");
        }
        match written {
            Written::Text(text) => {
                let saved = loop {
                    match in_time(self.store.save_draft(permit, &text)).await {
                        Ok(saved) => break saved,
                        // It is paid for: it is not thrown away because the database is.
                        Err(error) => self.asking.outlast(error).await?,
                    }
                };
                match saved {
                    Committed::Taken => info!(%draft, ai, "the AI wrote an opening"),
                    Committed::Void => debug!(%draft, "the opening came too late"),
                }
            }
            Written::Never(reason) => {
                if in_time(self.store.fail_draft(permit, &reason)).await? == Committed::Taken {
                    warn!(%draft, ai, "no opening: {reason}");
                }
            }
            Written::Void => {
                in_time(self.store.put_draft_off(permit, Some(Duration::ZERO))).await?;
            }
            Written::Missing => {
                // No fault of the AI's: it does not rest for it. What is missing comes with an apply.
                warn!(%draft, ai, "the AI or the manager is not applied; the opening waits");
                in_time(self.store.put_draft_off(permit, Some(MISSING_PAUSE))).await?;
            }
            Written::NotNow(failure) => {
                let class = rest_of(&failure).0;
                warn!(%draft, ai, class, "no opening yet: {failure}");
                let after = self.asking.let_rest(ai, &failure).await?;
                in_time(self.store.put_draft_off(permit, after)).await?;
            }
        }
        Ok(())
    }

    async fn ask(&self, permit: &DraftPermit) -> Result<Written, StoreError> {
        let Some(context) = in_time(self.store.read_draft(permit)).await? else {
            return Ok(Written::Void);
        };
        if context.failures >= FAILURES_MAX {
            return Ok(Written::Never("the AI failed again and again".to_owned()));
        }
        let spec = context.ai_fields.as_ref().and_then(AiSpec::from_fields);
        let manager = context.manager_fields.as_ref().and_then(ManagerSpec::from_fields);
        let (Some(spec), Some(manager)) = (spec, manager) else {
            return Ok(Written::Missing);
        };
        let ai = match self.ais.connect(&permit.ai, &spec) {
            Ok(ai) => ai,
            Err(reason) => {
                return Ok(Written::NotNow(AiFailure::CredentialRefused { reason }));
            }
        };
        let prompt = for_opening(&context, &spec, &manager);
        let greatest = greatest_cost(&prompt, &spec.prices);
        let reserving = self.store.reserve_draft(permit, &spec.model, greatest);
        let reserved = match in_time(reserving).await? {
            Reservation::Granted(reserved) => reserved,
            Reservation::LimitReached { remaining } => {
                return Ok(Written::Never(format!(
                    "an opening by the AI may cost ${greatest}, and the spending limit per dialogue leaves ${remaining}"
                )));
            }
            Reservation::Void => return Ok(Written::Void),
        };
        let completion = match self.asking.ask(&ai, &spec, &prompt, reserved, greatest).await {
            Ok(completion) => completion,
            // There is nothing to leave out.
            Err(AiFailure::TooLong { reason }) => return Ok(Written::Never(reason)),
            Err(failure) => return Ok(Written::NotNow(failure)),
        };
        if let Some(reason) = objection(&completion) {
            return Ok(Written::Never(reason));
        }
        let text = completion.text.as_deref().map(str::trim).filter(|text| !text.is_empty());
        Ok(text.map_or_else(
            || Written::Never("the AI's answer was empty".to_owned()),
            |text| Written::Text(text.to_owned()),
        ))
    }
}
