//! The loop of `watch`: survey, plan, apply what is allowed, say what is not; again and again.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    announcer::Announcements,
    apply::{Applied, ApplyError, apply},
    beacon::{Beacon, Standing, WatchIdentity, note},
    checkout::Checkout,
    folder::Folder,
    git::{Base, Look, Token},
    source::Source,
    standing::{health_conditions, held_back, key, sync_conditions},
    survey::{Survey, SurveyError, fingerprint, survey},
};
use crate::{
    domain::{
        condition::{Condition, ConditionKey, ConditionKind, ConditionStatus, ConditionType},
        event::{ConditionChange, Event},
        fields::Digest,
    },
    manifest,
    plan::{Plan, Wishes, plan},
    store::{HeldBack, Store, StoreError, Wakeups},
};

/// Looks at the folder even if no event came: events may be lost, and network folders have none.
const RESCAN: Duration = Duration::from_secs(15);
/// After a failure that may pass.
const RETRY: Duration = Duration::from_secs(1);
/// After something changed under our hands.
const AGAIN: Duration = Duration::from_millis(200);
/// After an apply, wake-ups by others wait; files do not.
const CALM: Duration = Duration::from_secs(2);
/// Between the two readings of a folder that take something away.
const SECOND_LOOK: Duration = Duration::from_millis(300);
/// Whoever waits for the lock waits with a plan that grows old: rather give up, and read again.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// By hand or in a pipeline nobody comes back a second later.
const LOCK_PATIENCE_ONCE: Duration = Duration::from_secs(10);
/// Passes that are begun again because of file events before a folder that never rests is applied.
const REREADS_MAX: usize = 5;
/// How often a git operation is looked for that is waited out.
const GIT_POLL: Duration = Duration::from_millis(120);
/// A commit of ordinary size is checked out within this time; past it the wait is said.
const GIT_WAIT_TOLD: Duration = Duration::from_secs(2);
/// A rebase with a conflict is somebody's work of minutes.
const GIT_WAIT_REPORTED: Duration = Duration::from_secs(300);
/// A single reconciliation ends, also where git never does.
const GIT_PATIENCE_ONCE: Duration = Duration::from_secs(30);
/// Another writer, or a database that restarts, is nothing to wake anybody for.
const FAILURE_TOLD: Duration = Duration::from_secs(3);
/// Servers of git restart as well.
const FETCH_FAILURE_TOLD: Duration = Duration::from_secs(60);

/// Follows a folder and keeps the database as it says.
pub struct Controller {
    store: Store,
    source: Source,
    folder: PathBuf,
    by: String,
    identity: WatchIdentity,
    /// Hears of every plan that changes something, before it is applied.
    on_plan: Box<dyn Fn(&Plan) + Send>,
    announcements: Option<Announcements>,
    lock_patience: Duration,
    /// What was held back when it was last said.
    last_held: Option<Vec<HeldBack>>,
    /// The conditions as they were last written.
    last_conditions: HashMap<ConditionKey, Condition>,
    /// The folder and the manifests of the last comparison, and their commit.
    compared: Option<(Token, Digest)>,
    base: Option<Base>,
    n_rereads: usize,
    failure: Option<Failure>,
    standing: watch::Sender<Standing>,
}

/// Why nothing is reconciled at the moment.
struct Failure {
    message: String,
    since: Instant,
    is_told: bool,
    /// As it was told where the database could not remember it.
    told_in_vain: Option<Condition>,
}

/// What a pass did.
#[derive(Debug)]
#[must_use]
enum Pass {
    Done(Box<Reconciled>),
    /// Something changed under our hands: look again at once.
    Again,
}

/// One state of the folder, compared with the database and applied as far as it may be.
#[derive(Debug)]
pub struct Reconciled {
    pub survey: Survey,
    pub plan: Plan,
    /// Absent if there was nothing to write.
    pub applied: Option<Applied>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error(transparent)]
    Survey(#[from] SurveyError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the folder has no manifest any more; nothing is deleted for that")]
    Emptied,
    #[error("the folder is not read while git is at work in it: {0}")]
    GitAtWork(String),
    #[error("nothing was fetched yet: {0}")]
    NothingFetched(String),
    #[error("the folder changed each time while it was read")]
    NeverStill,
}

impl Controller {
    pub fn new(
        store: Store,
        source: Source,
        folder: PathBuf,
        by: String,
        identity: WatchIdentity,
        on_plan: Box<dyn Fn(&Plan) + Send>,
    ) -> Self {
        Self {
            store,
            source,
            folder,
            by,
            identity,
            on_plan,
            announcements: None,
            lock_patience: LOCK_PATIENCE,
            last_held: None,
            last_conditions: HashMap::new(),
            compared: None,
            base: None,
            n_rereads: 0,
            failure: None,
            standing: watch::Sender::new(Standing::default()),
        }
    }

    /// Tells what changes outward.
    #[must_use]
    pub fn announcing(mut self, announcements: Option<Announcements>) -> Self {
        self.announcements = announcements;
        self
    }

    /// The loop that says in the database how this one stands.
    pub fn beacon(&self) -> Beacon {
        let checkout = match &self.source {
            Source::Folder => None,
            Source::Checkout(checkout) => Some(checkout),
        };
        Beacon {
            store: self.store.clone(),
            identity: self.identity.clone(),
            folder: self.folder_shown(),
            source: checkout.map(Checkout::shown),
            standing: self.standing.subscribe(),
            fetching: checkout.map(Checkout::failing),
        }
    }

    /// As it is called on its host, whatever folder the program was started in.
    fn folder_shown(&self) -> String {
        let whole = std::path::absolute(&self.folder);
        whole.as_deref().unwrap_or(&self.folder).display().to_string()
    }

    /// Reconciles until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut folder = Folder::new(self.folder.clone());
        let mut wakeups: Option<Wakeups> = None;
        let mut is_blind = false;
        let mut calm_until = Instant::now();
        loop {
            // Registered for events before looking, so that none falls in between.
            match folder.follow() {
                Ok(()) => is_blind = false,
                Err(error) => {
                    if !is_blind {
                        warn!("the folder is not watched, only looked at: {error}");
                    }
                    is_blind = true;
                }
            }
            if wakeups.is_none() {
                wakeups = self.store.wakeups().await.ok();
            }
            // Whatever woke us, a folder that is being written to is not read.
            let token = tokio::select! {
                token = self.still(&folder) => token,
                () = shutdown.cancelled() => return,
            };
            // A pass is not broken off in the middle: its transaction would be lost, and it is short.
            let next = match self.pass(&folder, &token).await {
                Ok(Pass::Done(reconciled)) => {
                    self.succeeded();
                    if reconciled.applied.is_some() {
                        calm_until = Instant::now() + CALM;
                    }
                    Instant::now() + RESCAN
                }
                Ok(Pass::Again) => Instant::now() + AGAIN,
                Err(error) => {
                    self.failed(error).await;
                    Instant::now() + RETRY
                }
            };
            let woken = async {
                // Two programs that follow different folders would wake each other without end.
                sleep_until(calm_until).await;
                match &mut wakeups {
                    Some(wakeups) => wakeups.next().await,
                    None => std::future::pending().await,
                }
            };
            // All arms may be dropped: whatever they lose, the next pass looks at everything.
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = folder.changed() => {}
                woken = woken => {
                    // Another program may have written conditions too.
                    self.last_conditions.clear();
                    if woken.is_err() { wakeups = None }
                }
                () = sleep_until(next) => {}
            }
        }
    }

    /// Reconciles a single time.
    pub async fn once(mut self) -> Result<Reconciled, ReconcileError> {
        self.lock_patience = LOCK_PATIENCE_ONCE;
        let mut folder = Folder::new(self.folder.clone());
        // One that cannot be watched is read all the same, or that says why not.
        drop(folder.follow());
        for _ in 0..=REREADS_MAX {
            let patience = tokio::time::timeout(GIT_PATIENCE_ONCE, self.still(&folder)).await;
            let Ok(token) = patience else {
                let operation = match self.source.look(&self.folder) {
                    Look::Busy(operation) => operation.to_string(),
                    Look::Still(_) => "one operation after the other".to_owned(),
                };
                return Err(ReconcileError::GitAtWork(operation));
            };
            if let Pass::Done(reconciled) = self.pass(&folder, &token).await? {
                return Ok(*reconciled);
            }
            sleep(AGAIN).await;
        }
        Err(ReconcileError::NeverStill)
    }

    /// Waits until the folder is quiet and git is not at work in it, for as long as that takes.
    async fn still(&mut self, folder: &Folder) -> Token {
        let mut busy_since: Option<Instant> = None;
        loop {
            let before = self.source.look(&self.folder);
            folder.quiet().await;
            match self.source.look(&self.folder) {
                // A branch is moved a moment after its files were written.
                Look::Still(token) if before == Look::Still(token.clone()) => return *token,
                Look::Still(_) => {}
                Look::Busy(operation) => {
                    let since = *busy_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > GIT_WAIT_TOLD {
                        self.fails(format!("waiting for git: {operation}"));
                        self.tell_failure(GIT_WAIT_REPORTED).await;
                    }
                    sleep(GIT_POLL).await;
                }
            }
        }
    }

    async fn pass(&mut self, folder: &Folder, token: &Token) -> Result<Pass, ReconcileError> {
        if let Some(reason) = self.source.absence() {
            return Err(ReconcileError::NothingFetched(reason));
        }
        let n_events = folder.n_events();
        let survey = survey(&self.folder, &self.store, &BTreeSet::new()).await;
        // A checkout that began meanwhile: what was read may be of two commits.
        if !self.is_still(token) {
            return Ok(Pass::Again);
        }
        let survey = match survey {
            Ok(survey) => survey,
            Err(SurveyError::Folder(problem)) => {
                return self.hold_everything(SurveyError::Folder(problem).into()).await;
            }
            Err(error) => return Err(error.into()),
        };
        // The newest wins: a database that answers late must not get what was saved before.
        if folder.n_events() != n_events && self.n_rereads < REREADS_MAX {
            self.n_rereads += 1;
            return Ok(Pass::Again);
        }
        self.n_rereads = 0;
        if survey.is_emptied() {
            // An unmounted volume, or a checkout of nothing: no wish to delete everything.
            return self.hold_everything(ReconcileError::Emptied).await;
        }
        let changes = survey.audience_changes();
        let plan = plan(&survey.desired, &survey.actual, &changes, &Wishes::default());
        if plan.takes_away() {
            // A file that is half-written, or not there between two steps of a checkout, looks like an
            // edit. Only what is read the same twice is taken away.
            sleep(SECOND_LOOK).await;
            let again = reads_the_same(self.folder.clone(), survey.fingerprint).await?;
            if !again || !self.is_still(token) {
                return Ok(Pass::Again);
            }
        }
        let compared = (token.clone(), survey.fingerprint);
        if plan.has_changes() || self.compared.as_ref() != Some(&compared) {
            self.base = self.source.base(&self.folder).await;
        }
        let mut applied = None;
        if plan.has_changes() || !plan.refreshes.is_empty() {
            if plan.has_changes() {
                (self.on_plan)(&plan);
            }
            let patience = self.lock_patience;
            match apply(&plan, &survey, &self.store, &self.by, patience, &|_| {}).await {
                Ok(written) if plan.has_changes() => {
                    info!(contacts = written.contacts, "applied");
                    applied = Some(written);
                }
                Ok(_) => {}
                // Somebody else applied, or the files moved on: the next pass sees the newer state.
                Err(ApplyError::Store(StoreError::Stale(_)) | ApplyError::AudienceChanged(_)) => {
                    return Ok(Pass::Again);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if let (Some(announcements), true) = (&self.announcements, applied.is_some()) {
            let commit = self.base.as_ref().map(|base| base.commit.clone());
            announcements.tell(Event::Applied { commit, summary: plan.summary().to_string() });
        }
        self.compared = Some(compared);
        self.report(&plan, &survey).await?;
        self.say_standing(applied.is_some());
        self.save_conditions(&plan, &survey).await?;
        Ok(Pass::Done(Box::new(Reconciled { survey, plan, applied })))
    }

    fn is_still(&self, token: &Token) -> bool {
        matches!(self.source.look(&self.folder), Look::Still(now) if *now == *token)
    }

    /// Says in `status` too that the folder as a whole is not applied.
    async fn hold_everything(&mut self, problem: ReconcileError) -> Result<Pass, ReconcileError> {
        let held = vec![HeldBack {
            subject: "folder".to_owned(),
            place: self.folder.display().to_string(),
            message: problem.to_string(),
            since: None,
        }];
        if self.last_held.as_ref() != Some(&held) {
            self.store.replace_held_back(&held).await?;
        }
        self.last_held = Some(held);
        Err(problem)
    }

    /// Says what was not applied, in the log when it is new and in the database for `status`.
    async fn report(&mut self, plan: &Plan, survey: &Survey) -> Result<(), StoreError> {
        let held = held_back(plan, survey);
        if self.last_held.as_ref() != Some(&held) {
            for HeldBack { subject, place, message, .. } in &held {
                warn!("not applied: {place}: {subject}: {message}");
            }
            if held.is_empty() && self.last_held.is_some() {
                info!("every manifest is applied");
            }
            self.store.replace_held_back(&held).await?;
        }
        self.last_held = Some(held);
        Ok(())
    }

    /// Writes how everything stands, as far as it is not written so.
    async fn save_conditions(&mut self, plan: &Plan, survey: &Survey) -> Result<(), StoreError> {
        let vitals = self.store.read_vitals().await?;
        let blocks = self.store.list_blocks().await?;
        let mut all = sync_conditions(plan, survey, &vitals);
        all.extend(health_conditions(&vitals, &blocks));
        let names = |kind: ConditionKind, all: &mut dyn Iterator<Item = &ConditionKey>| {
            let names: BTreeSet<String> =
                all.filter(|key| key.kind == kind).map(|key| key.name.clone()).collect();
            names
        };
        for kind in [ConditionKind::Task, ConditionKind::Channel] {
            let now = names(kind, &mut all.iter().map(|(key, _)| key));
            if now != names(kind, &mut self.last_conditions.keys()) {
                let now: Vec<String> = now.into_iter().collect();
                self.store.keep_conditions(kind, &now).await?;
            }
        }
        let own = match self.source.failing() {
            Some((why, since)) if since.elapsed() > FETCH_FAILURE_TOLD => {
                Condition::new(ConditionStatus::Degraded, "NotFetched", why)
            }
            _ => Condition::new(ConditionStatus::Healthy, "Reconciling", ""),
        };
        all.push((self.own_key(), own));
        let last = &self.last_conditions;
        let news: Vec<_> =
            all.iter().filter(|(key, now)| last.get(key) != Some(now)).cloned().collect();
        if !news.is_empty() {
            let commit = self.base.as_ref().map(|base| base.commit.as_str());
            let changes = self.store.save_conditions(&news, commit).await?;
            self.tell(changes);
        }
        self.last_conditions = all.into_iter().collect();
        Ok(())
    }

    fn own_key(&self) -> ConditionKey {
        let name = format!("{}:{}", self.identity.host, self.folder_shown());
        key(ConditionKind::Watch, &name, ConditionType::Health)
    }

    fn tell(&self, changes: impl IntoIterator<Item = ConditionChange>) {
        let Some(announcements) = &self.announcements else { return };
        for event in changes.into_iter().map(Event::Changed).filter(Event::is_news) {
            announcements.tell(event);
        }
    }

    fn say_standing(&self, applied: bool) {
        let (commit, dirty) = match &self.base {
            Some(base) => (Some(base.commit.clone()), base.dirty),
            None => (None, None),
        };
        let last = self.standing.borrow();
        let is_news = applied || last.commit != commit || last.dirty != dirty;
        drop(last);
        let change = |standing: &mut Standing| {
            standing.commit = commit;
            standing.dirty = dirty;
            standing.passed = Some(Instant::now());
            if applied {
                standing.applied = standing.passed;
            }
        };
        if is_news {
            self.standing.send_modify(change);
        } else {
            note(&self.standing, change);
        }
    }

    fn succeeded(&mut self) {
        let Some(failure) = self.failure.take() else { return };
        info!("reconciling again");
        self.standing.send_modify(|standing| standing.failure = None);
        if failure.told_in_vain.is_some() {
            let after = Condition::new(ConditionStatus::Healthy, "Reconciling", "");
            let (key, before) = (self.own_key(), failure.told_in_vain);
            self.tell([ConditionChange { key, before, after, at: None }]);
        }
    }

    /// Remembers why nothing is reconciled; logs it when it is new.
    fn fails(&mut self, message: String) {
        let is_new = self.failure.as_ref().is_none_or(|failure| failure.message != message);
        if is_new {
            error!("not reconciled: {message}");
            let since = Instant::now();
            self.standing.send_modify(|now| now.failure = Some((message.clone(), since)));
        }
        let failure = self.failure.get_or_insert_with(|| Failure {
            message: String::new(),
            since: Instant::now(),
            is_told: false,
            told_in_vain: None,
        });
        failure.message = message;
    }

    async fn failed(&mut self, error: ReconcileError) {
        self.fails(format!("{:#}", anyhow::Error::from(error)));
        self.tell_failure(FAILURE_TOLD).await;
    }

    /// Tells outward, once, that nothing is reconciled, if it was so for long enough.
    async fn tell_failure(&mut self, after: Duration) {
        let Some(failure) = &mut self.failure else { return };
        if failure.is_told || failure.since.elapsed() < after {
            return;
        }
        failure.is_told = true;
        let message = &*failure.message;
        let condition = Condition::new(ConditionStatus::Degraded, "NotReconciled", message);
        self.last_conditions.clear();
        let news = [(self.own_key(), condition)];
        let saved = self.store.save_conditions(&news, None).await;
        let [(key, after)] = news;
        if let Ok(changes) = saved {
            self.tell(changes);
        } else {
            if let Some(failure) = &mut self.failure {
                failure.told_in_vain = Some(after.clone());
            }
            self.tell([ConditionChange { key, before: None, after, at: None }]);
        }
    }
}

async fn reads_the_same(folder: PathBuf, before: Digest) -> Result<bool, ReconcileError> {
    let again = spawn_blocking(move || manifest::load(&folder)).await;
    let again = again.map_err(SurveyError::from)?.map_err(SurveyError::from)?;
    Ok(fingerprint(&again.desired) == before)
}
