//! What a watch says of its work: in the log, in the database for `status`, and outward.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tracing::{error, info, warn};

use super::{
    announcer::Announcements,
    beacon::{Failing, Standing, note},
    git::Base,
    standing::{health_conditions, held_back, key, sync_conditions},
    survey::Survey,
};
use crate::{
    domain::{
        condition::{Condition, ConditionKey, ConditionKind, ConditionStatus, ConditionType},
        event::{ConditionChange, Event},
    },
    plan::Plan,
    store::{HeldBack, Store, StoreError},
};

/// Servers of git restart as well.
const FETCH_FAILURE_TOLD: Duration = Duration::from_secs(60);

/// Remembers what was said, so that each thing is said once.
pub(super) struct Account {
    store: Store,
    /// Of the watch's own condition.
    name: String,
    pub(super) announcements: Option<Announcements>,
    /// What was held back when it was last said.
    last_held: Option<Vec<HeldBack>>,
    /// The conditions as they were last written.
    last_conditions: HashMap<ConditionKey, Condition>,
    failure: Option<Failure>,
    pub(super) standing: watch::Sender<Standing>,
}

/// Why nothing is reconciled at the moment.
struct Failure {
    message: String,
    since: Instant,
    is_told: bool,
    /// As it was told where the database could not remember it.
    told_in_vain: Option<Condition>,
}

impl Account {
    pub(super) fn new(store: Store, name: String) -> Self {
        Self {
            store,
            name,
            announcements: None,
            last_held: None,
            last_conditions: HashMap::new(),
            failure: None,
            standing: watch::Sender::new(Standing::default()),
        }
    }

    /// Another program may have written conditions: write them anew.
    pub(super) fn forget(&mut self) {
        self.last_conditions.clear();
    }

    /// Says in `status` too that the folder as a whole is not applied.
    pub(super) async fn hold_folder(
        &mut self,
        place: String,
        message: String,
    ) -> Result<(), StoreError> {
        let held = vec![HeldBack { subject: "folder".to_owned(), place, message, since: None }];
        if self.last_held.as_ref() != Some(&held) {
            self.store.replace_held_back(&held).await?;
        }
        self.last_held = Some(held);
        Ok(())
    }

    /// Says what was not applied, in the log when it is new and in the database for `status`.
    pub(super) async fn report(&mut self, plan: &Plan, survey: &Survey) -> Result<(), StoreError> {
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

    /// Tells outward that a plan was applied.
    pub(super) fn tell_applied(&self, plan: &Plan, commit: Option<&str>) {
        if let Some(announcements) = &self.announcements {
            let commit = commit.map(str::to_owned);
            announcements.tell(Event::Applied { commit, summary: plan.summary().to_string() });
        }
    }

    /// Writes how everything stands, as far as it is not written so.
    pub(super) async fn save_conditions(
        &mut self,
        plan: &Plan,
        survey: &Survey,
        commit: Option<&str>,
        fetching: Failing,
    ) -> Result<(), StoreError> {
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
        let own = match fetching {
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
            let changes = self.store.save_conditions(&news, commit).await?;
            self.tell(changes);
        }
        self.last_conditions = all.into_iter().collect();
        Ok(())
    }

    fn own_key(&self) -> ConditionKey {
        key(ConditionKind::Watch, &self.name, ConditionType::Health)
    }

    fn tell(&self, changes: impl IntoIterator<Item = ConditionChange>) {
        let Some(announcements) = &self.announcements else { return };
        for event in changes.into_iter().map(Event::Changed).filter(Event::is_news) {
            announcements.tell(event);
        }
    }

    /// Says that the folder was compared, at which commit.
    pub(super) fn passed(&self, base: Option<&Base>, applied: bool) {
        let (commit, dirty) = match base {
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

    pub(super) fn succeeded(&mut self) {
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
    pub(super) fn fails(&mut self, message: String) {
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

    /// Tells outward, once, that nothing is reconciled, if it was so for long enough.
    pub(super) async fn tell_failure(&mut self, after: Duration) {
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
