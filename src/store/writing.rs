//! Writing a plan: one transaction under the writer's lock, and one revision of history.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::{
    audience::{self, AudienceWriter},
    connect::Store,
    error::StoreError,
    revisions,
    takeover::close_with_tasks,
};
use crate::domain::{
    contact::AudienceChange,
    fields::Fields,
    id::{TaskId, TaskName},
    phase::Phase,
    revision::{Action, PhaseMove, Provenance, RevisionNumber},
    subject::Subject,
};

/// The key of the advisory lock that every writer of plans takes.
const WRITER_LOCK: i64 = 0x6e75_6e63_696f;
const LOCK_POLL: Duration = Duration::from_millis(100);

/// A plan being written. Dropped without a commit it changes nothing.
pub struct Writing {
    pub(super) transaction: Transaction<'static, Postgres>,
    pub(super) provenance: Provenance,
    pub(super) revision: RevisionNumber,
    pub(super) recorded: BTreeMap<Subject, Recorded>,
    /// Tasks whose dialogues are still to be closed.
    pub(super) deleted: Vec<Uuid>,
}

/// What became of a subject so far.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) action: Action,
    pub(super) id: Option<TaskId>,
    pub(super) fields: Option<Fields>,
    pub(super) phase: Option<PhaseMove>,
    pub(super) audience: Option<AudienceChange>,
}

/// Whether the other programs on the database are told to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    Others,
    Nobody,
}

/// How long to wait for another writer, and who hears of it.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    pub at_most: Duration,
    /// Hears once who holds the lock.
    pub on_wait: &'a (dyn Fn(&str) + Sync),
}

impl Patience<'static> {
    pub fn silent(at_most: Duration) -> Self {
        Self { at_most, on_wait: &|_| {} }
    }
}

impl Store {
    /// Begins to write, as the only writer. Waits for another one as long as there is patience.
    pub async fn begin_writing(
        &self,
        provenance: &Provenance,
        patience: Patience<'_>,
    ) -> Result<Writing, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // A load of millions is one long statement; a lock that does not come is an error of its own.
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
        sqlx::query("SET LOCAL lock_timeout = '10s'").execute(&mut *transaction).await?;
        // Between two statements of it files are read, whatever disk they are on.
        sqlx::query("SET LOCAL idle_in_transaction_session_timeout = '60s'")
            .execute(&mut *transaction)
            .await?;
        sqlx::query("SET LOCAL nuncio.writes = 'on'").execute(&mut *transaction).await?;
        // A writer that was killed in a long statement is noticed, and its lock falls; not every
        // platform can do it.
        sqlx::query(
            "SELECT set_config('client_connection_check_interval', '1s', true)
            WHERE version() LIKE '%linux%'",
        )
        .execute(&mut *transaction)
        .await?;
        // Who waits for us reads it.
        sqlx::query("SELECT set_config('application_name', left($1, 63), true)")
            .bind(format!("nuncio {} by {}", provenance.cause, provenance.by))
            .execute(&mut *transaction)
            .await?;
        wait_for_lock(&mut transaction, patience).await?;
        let revision = revisions::next(&mut transaction).await?;
        let (provenance, recorded) = (provenance.clone(), BTreeMap::new());
        Ok(Writing { transaction, provenance, revision, recorded, deleted: Vec::new() })
    }
}

impl Store {
    /// Waits until no writer is at work: what is read after that is not already being changed.
    pub async fn wait_for_writers(&self, patience: Patience<'_>) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        wait_for_lock(&mut transaction, patience).await?;
        transaction.rollback().await?;
        Ok(())
    }
}

pub(super) async fn wait_for_lock(
    connection: &mut PgConnection,
    patience: Patience<'_>,
) -> Result<(), StoreError> {
    let mut waited = Duration::ZERO;
    loop {
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
            .bind(WRITER_LOCK)
            .fetch_one(&mut *connection)
            .await?;
        if locked {
            return Ok(());
        }
        if waited >= patience.at_most {
            let holder = lock_holder(connection).await?;
            return Err(StoreError::Locked { holder, waited });
        }
        if waited.is_zero()
            && let Some(holder) = lock_holder(connection).await?
        {
            (patience.on_wait)(&holder);
        }
        tokio::time::sleep(LOCK_POLL).await;
        waited += LOCK_POLL;
    }
}

async fn lock_holder(connection: &mut PgConnection) -> Result<Option<String>, StoreError> {
    let holder = sqlx::query_scalar(
        "SELECT format('`%s` of database process %s, connected from %s, since %s UTC', a.application_name,
            a.pid, coalesce(host(a.client_addr), 'this machine'),
            to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS'))
        FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND (l.classid::bigint << 32 | l.objid::bigint) = $1 LIMIT 1",
    )
    .bind(WRITER_LOCK)
    .fetch_optional(connection)
    .await?;
    Ok(holder)
}

/// Nothing changed: what the plan saw is not there any more.
pub(super) fn expect_one(rows: u64, what: impl FnOnce() -> String) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(StoreError::Stale(what())) }
}

impl Writing {
    /// Commits, and tells the number of the revision; absent if nothing was written that history keeps.
    pub async fn commit(mut self, wake: Wake) -> Result<Option<RevisionNumber>, StoreError> {
        self.close_dialogues().await?;
        let revision = (!self.recorded.is_empty()).then_some(self.revision);
        if revision.is_some() {
            self.write_revision().await?;
        }
        if wake == Wake::Others {
            sqlx::query("SELECT pg_notify('nuncio', '')").execute(&mut *self.transaction).await?;
        }
        self.transaction.commit().await?;
        Ok(revision)
    }

    /// Closes the dialogues of the tasks that were deleted, and counts them; the commit does it otherwise.
    pub async fn close_dialogues(&mut self) -> Result<u64, StoreError> {
        let deleted = std::mem::take(&mut self.deleted);
        if deleted.is_empty() {
            return Ok(0);
        }
        close_with_tasks(&mut self.transaction, &deleted, &self.provenance.by).await
    }

    /// Notes for history what became of a subject. What is deleted and created in one revision was
    /// recreated.
    pub(super) fn record(&mut self, subject: Subject, news: Recorded) {
        match self.recorded.entry(subject) {
            Entry::Vacant(entry) => drop(entry.insert(news)),
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                known.action = match (known.action, news.action) {
                    (Action::Delete, Action::Create) => Action::Recreate,
                    (known, Action::Update) => known,
                    (_, news) => news,
                };
                let from =
                    known.phase.map_or(news.phase.and_then(|step| step.from), |step| step.from);
                let to = news.phase.or(known.phase).map(|step| step.to);
                known.phase = to.map(|to: Phase| PhaseMove { from, to });
                known.id = news.id.or(known.id);
                known.fields = match news.action {
                    Action::Delete => None,
                    _ => news.fields.or_else(|| known.fields.take()),
                };
                known.audience = news.audience.or_else(|| known.audience.take());
            }
        }
    }

    /// Notes for history how a task's audience changed.
    pub fn note_audience(&mut self, name: &TaskName, change: &AudienceChange) {
        self.record(
            Subject::Task(name.clone()),
            Recorded {
                action: Action::Update,
                id: None,
                fields: None,
                phase: None,
                audience: Some(change.clone()),
            },
        );
    }

    /// Locks a task's cursor, so that no contact is granted while its audience changes; gives the last
    /// position.
    pub async fn lock_audience(&mut self, id: TaskId) -> Result<i64, StoreError> {
        let last = sqlx::query_scalar!(
            "SELECT last_position FROM audiences WHERE task_id = $1 FOR UPDATE",
            id.0
        )
        .fetch_one(&mut *self.transaction)
        .await?;
        Ok(last)
    }

    /// Appends contacts after a position.
    pub fn append_contacts(&mut self, id: TaskId, after_position: i64) -> AudienceWriter<'_> {
        audience::append(&mut self.transaction, id, after_position)
    }

    pub async fn remove_contacts(
        &mut self,
        id: TaskId,
        positions: &[i64],
    ) -> Result<(), StoreError> {
        audience::remove(&mut self.transaction, id, positions).await
    }

    pub async fn alter_contacts(
        &mut self,
        id: TaskId,
        altered: &[(i64, BTreeMap<String, String>)],
    ) -> Result<(), StoreError> {
        audience::alter(&mut self.transaction, id, altered).await
    }

    pub async fn recount_audience(
        &mut self,
        id: TaskId,
        name: &TaskName,
        last_position: i64,
    ) -> Result<(), StoreError> {
        audience::recount(&mut self.transaction, id, name, last_position).await
    }
}
