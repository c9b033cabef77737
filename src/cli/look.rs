//! What `status` looks at: everything once, put together per task.

use std::collections::BTreeMap;

use crate::{
    domain::{
        condition::{
            Condition, ConditionKey, ConditionKind, ConditionStatus, ConditionType, UNHEARD_TOLD,
            Vitals,
        },
        id::{ChannelName, TaskName},
    },
    store::{
        AiRest, ChannelHealth, DialogueTotals, Guard, HeldBack, Purpose, Store, StoreError,
        StoredCondition, TaskOverview, WatchOverview,
    },
};

/// Everything that `status` shows, of about one moment.
pub(super) struct Look {
    pub(super) tasks: Vec<TaskOverview>,
    pub(super) held: Vec<HeldBack>,
    pub(super) watches: Vec<WatchOverview>,
    pub(super) purpose: Option<Purpose>,
    pub(super) guard: Option<Guard>,
    /// What the database says that has no room to write.
    pub(super) lacks_room: Option<String>,
    channels: BTreeMap<ChannelName, ChannelHealth>,
    /// By task.
    dialogues: BTreeMap<String, DialogueTotals>,
    /// By task: why its AI is not asked.
    resting: BTreeMap<String, AiRest>,
    conditions: BTreeMap<ConditionKey, StoredCondition>,
}

impl Look {
    pub(super) async fn at(store: &Store) -> Result<Self, StoreError> {
        Ok(Self {
            tasks: store.read_overview().await?,
            held: store.list_held_back().await?,
            watches: store.list_watches().await?,
            purpose: store.read_purpose().await?,
            guard: store.read_guard().await?,
            lacks_room: store.lacks_room().await?,
            channels: store.list_channels().await?,
            dialogues: store.total_dialogues().await?,
            resting: store.list_resting(None).await?,
            conditions: store.list_conditions().await?,
        })
    }

    pub(super) fn task(&self, name: &TaskName) -> Option<&TaskOverview> {
        self.tasks.iter().find(|task| task.name == *name)
    }

    /// The channels of a task, as they stand.
    pub(super) fn channels_of(&self, task: &TaskOverview) -> impl Iterator<Item = &ChannelHealth> {
        self.channels.values().filter(|channel| channel.tasks.contains(&task.name))
    }

    /// Tasks of which only a manifest is known that could not be applied.
    pub(super) fn never_applied(&self) -> impl Iterator<Item = (&str, &StoredCondition)> {
        self.conditions.iter().filter_map(|(key, stored)| {
            let is_known = || self.tasks.iter().any(|task| task.name.as_str() == key.name);
            let is_sync = key.kind == ConditionKind::Task && key.of == ConditionType::Sync;
            (is_sync && !is_known()).then_some((key.name.as_str(), stored))
        })
    }

    /// The dialogues of a task; nothing where there is none and nothing was spent.
    pub(super) fn dialogues(&self, task: &str) -> Option<&DialogueTotals> {
        self.dialogues.get(task)
    }

    pub(super) fn resting(&self, task: &str) -> Option<&AiRest> {
        self.resting.get(task)
    }

    fn stored(&self, task: &str, of: ConditionType) -> Option<&StoredCondition> {
        let key = ConditionKey { kind: ConditionKind::Task, name: task.to_owned(), of };
        self.conditions.get(&key)
    }

    pub(super) fn living_watches(&self) -> impl Iterator<Item = &WatchOverview> {
        self.watches.iter().filter(|watch| watch.alive)
    }

    /// As it was compared last; whether somebody compares now is another question.
    pub(super) fn last_sync(&self, task: &str) -> Option<&StoredCondition> {
        self.stored(task, ConditionType::Sync)
    }

    /// How a task compares with its manifest, as far as anybody knows now.
    pub(super) fn sync(&self, task: &str) -> StoredOr {
        let Some(last) = self.last_sync(task) else {
            return StoredOr::News(Condition::new(
                ConditionStatus::Unknown,
                "NeverCompared",
                "no `nuncio watch` has compared it with its manifest",
            ));
        };
        let mut failures = self.living_watches().map(|watch| watch.failure.as_ref());
        let unknown = |reason: &str, message: String| {
            let status = last.condition.status;
            let message = format!("{message}; when it was compared last it was {status}");
            let message = match &*last.condition.message {
                "" => message,
                more => format!("{message}: {more}"),
            };
            let mut news = Condition::new(ConditionStatus::Unknown, reason, message);
            news.place.clone_from(&last.condition.place);
            news.generation = last.condition.generation;
            StoredOr::News(news)
        };
        match failures.next() {
            None => unknown("NoWatch", "no `nuncio watch` is running".to_owned()),
            Some(Some((failure, _))) if failures.all(|failure| failure.is_some()) => {
                unknown("NotReconciled", failure.clone())
            }
            Some(_) => StoredOr::Stored(last.clone()),
        }
    }

    /// How a task does now; dated if a watch has seen it so.
    pub(super) fn health(&self, task: &TaskOverview) -> StoredOr {
        let blocked = self.channels_of(task).find_map(|channel| {
            channel.block.as_ref().map(|block| (channel.name.to_string(), block.reason.clone()))
        });
        let unheard = self.channels_of(task).find_map(|channel| {
            let (reason, since) = channel.unheard.as_ref()?;
            let lasts = (channel.now - since).to_std().is_ok_and(|age| age > UNHEARD_TOLD);
            lasts.then(|| (channel.name.to_string(), reason.clone()))
        });
        let exhausted = |verdict: &str| verdict == "audience-exhausted";
        let n_exhausted = task.channels.iter().filter(|it| exhausted(&it.verdict)).count();
        let vitals = Vitals {
            phase: task.phase,
            phase_by: task.caused_by(),
            outgoing: task.outgoing,
            n_channels: task.channels.len() as u64,
            n_exhausted: n_exhausted as u64,
            blocked,
            unheard,
            resting: self.resting(task.name.as_str()).cloned().and_then(AiRest::lasting),
        };
        let now = vitals.health();
        match self.stored(task.name.as_str(), ConditionType::Health) {
            Some(stored) if stored.condition == now => StoredOr::Stored(stored.clone()),
            _ => StoredOr::News(now),
        }
    }
}

/// A condition with its time, or one that nobody has dated.
pub(super) enum StoredOr {
    Stored(StoredCondition),
    News(Condition),
}
