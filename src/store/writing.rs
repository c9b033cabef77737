//! Writing a plan: one transaction under the writer's lock.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{PgConnection, Postgres, Transaction};

use super::{
    audience::{self, AudienceWriter},
    connect::Store,
    encoding::{fields_to_json, opening_to_json},
    error::StoreError,
};
use crate::domain::{
    desired::Desired,
    id::{Generation, TaskId, TaskName},
    phase::Phase,
};

/// The key of the advisory lock that every writer of plans takes.
const WRITER_LOCK: i64 = 0x6e75_6e63_696f;
const LOCK_POLL: Duration = Duration::from_millis(100);

/// A plan being written. Dropped without a commit it changes nothing.
pub struct Writing {
    pub(super) transaction: Transaction<'static, Postgres>,
}

/// Whether the other programs on the database are told to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    Others,
    Nobody,
}

/// A change of a task's phase, and who caused it.
#[derive(Clone, Copy, Debug)]
pub struct PhaseChange<'a> {
    pub to: Phase,
    pub by: &'a str,
}

impl Store {
    /// Begins to write, as the only writer. Waits for another one at most `patience`.
    pub async fn begin_writing(&self, patience: Duration) -> Result<Writing, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // A load of millions is one long statement; a lock that does not come is an error of its own.
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
        sqlx::query("SET LOCAL lock_timeout = '10s'").execute(&mut *transaction).await?;
        let mut waited = Duration::ZERO;
        loop {
            let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
                .bind(WRITER_LOCK)
                .fetch_one(&mut *transaction)
                .await?;
            if locked {
                return Ok(Writing { transaction });
            }
            if waited >= patience {
                let holder = lock_holder(&mut transaction).await?;
                return Err(StoreError::Locked { holder, waited });
            }
            tokio::time::sleep(LOCK_POLL).await;
            waited += LOCK_POLL;
        }
    }
}

async fn lock_holder(connection: &mut PgConnection) -> Result<Option<String>, StoreError> {
    let holder = sqlx::query_scalar(
        "SELECT format('%s of process %s, connected from %s, since %s', a.application_name, a.pid,
            coalesce(host(a.client_addr), 'this machine'), to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS'))
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

fn seconds_of(minute: u16) -> i32 {
    i32::from(minute) * 60
}

impl Writing {
    pub async fn commit(mut self, wake: Wake) -> Result<(), StoreError> {
        if wake == Wake::Others {
            sqlx::query("SELECT pg_notify('nuncio', '')").execute(&mut *self.transaction).await?;
        }
        self.transaction.commit().await?;
        Ok(())
    }

    /// Creates a task in its first phase, without its contacts.
    pub async fn create_task(
        &mut self,
        id: TaskId,
        name: &TaskName,
        desired: &Desired,
        phase: PhaseChange<'_>,
    ) -> Result<(), StoreError> {
        let task = &desired.tasks[name];
        let outgoing = task.spec.outgoing.as_ref();
        let (origin, origin_of_state) =
            (desired.origin(&task.places.document), desired.state_origin(task));
        let created = sqlx::query!(
            "INSERT INTO tasks (id, name, phase, phase_by, fields, digest, audience_digest, file, line,
                state_place, outgoing, hours_from_s, hours_to_s, timezone, daily_limit, pause_ms, opening)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
            ON CONFLICT DO NOTHING",
            id.0,
            name.as_str(),
            phase.to.as_str(),
            phase.by,
            fields_to_json(&task.fields),
            &task.digest.0[..],
            task.audience.as_ref().map(|audience| audience.digest.0.0.to_vec()),
            origin.file,
            i32::try_from(origin.line).unwrap_or(0),
            origin_of_state,
            outgoing.is_some(),
            outgoing.map(|o| seconds_of(o.working_hours.from_minute())),
            outgoing.map(|o| seconds_of(o.working_hours.to_minute())),
            outgoing.map(|o| o.timezone.name()),
            outgoing.map(|o| i32::try_from(o.daily_limit_per_channel).unwrap_or(i32::MAX)),
            outgoing.map(|o| i64::try_from(o.pause_between_dialogues.as_millis()).unwrap_or(i64::MAX)),
            outgoing.map(|o| opening_to_json(&o.opening))
        )
        .execute(&mut *self.transaction)
        .await?;
        expect_one(created.rows_affected(), || format!("task `{name}`"))?;
        let channels: Vec<String> = task.spec.channels.iter().map(ToString::to_string).collect();
        sqlx::query!(
            "WITH audience AS (INSERT INTO audiences (task_id) SELECT $1 WHERE $3)
            INSERT INTO task_channels (task_id, channel) SELECT $1, unnest($2::text[])",
            id.0,
            &channels,
            outgoing.is_some()
        )
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Writes a task's changed specification.
    pub async fn update_task(
        &mut self,
        id: TaskId,
        from: Generation,
        name: &TaskName,
        desired: &Desired,
    ) -> Result<Generation, StoreError> {
        let task = &desired.tasks[name];
        let outgoing = task.spec.outgoing.as_ref();
        let (origin, origin_of_state) =
            (desired.origin(&task.places.document), desired.state_origin(task));
        let updated = sqlx::query!(
            "UPDATE tasks SET generation = generation + 1, fields = $3, digest = $4, audience_digest = $5,
                file = $6, line = $7, state_place = $8, hours_from_s = $9, hours_to_s = $10, timezone = $11,
                daily_limit = $12, pause_ms = $13, opening = $14, updated_at = now()
            WHERE id = $1 AND generation = $2 AND deleted_at IS NULL",
            id.0,
            from.0,
            fields_to_json(&task.fields),
            &task.digest.0[..],
            task.audience.as_ref().map(|audience| audience.digest.0.0.to_vec()),
            origin.file,
            i32::try_from(origin.line).unwrap_or(0),
            origin_of_state,
            outgoing.map(|o| seconds_of(o.working_hours.from_minute())),
            outgoing.map(|o| seconds_of(o.working_hours.to_minute())),
            outgoing.map(|o| o.timezone.name()),
            outgoing.map(|o| i32::try_from(o.daily_limit_per_channel).unwrap_or(i32::MAX)),
            outgoing.map(|o| i64::try_from(o.pause_between_dialogues.as_millis()).unwrap_or(i64::MAX)),
            outgoing.map(|o| opening_to_json(&o.opening))
        )
        .execute(&mut *self.transaction)
        .await?;
        expect_one(updated.rows_affected(), || format!("task `{name}`"))?;
        Ok(Generation(from.0 + 1))
    }

    /// Notes where an otherwise unchanged task stands now, and the digest of its audience's bytes.
    pub async fn refresh_task(
        &mut self,
        id: TaskId,
        from: Generation,
        name: &TaskName,
        desired: &Desired,
    ) -> Result<(), StoreError> {
        let task = &desired.tasks[name];
        let (origin, origin_of_state) =
            (desired.origin(&task.places.document), desired.state_origin(task));
        let updated = sqlx::query!(
            "UPDATE tasks SET audience_digest = $3, file = $4, line = $5, state_place = $6
            WHERE id = $1 AND generation = $2 AND deleted_at IS NULL",
            id.0,
            from.0,
            task.audience.as_ref().map(|audience| audience.digest.0.0.to_vec()),
            origin.file,
            i32::try_from(origin.line).unwrap_or(0),
            origin_of_state
        )
        .execute(&mut *self.transaction)
        .await?;
        expect_one(updated.rows_affected(), || format!("task `{name}`"))
    }

    pub async fn set_phase(
        &mut self,
        name: &TaskName,
        id: TaskId,
        from: Generation,
        change: PhaseChange<'_>,
    ) -> Result<Generation, StoreError> {
        let updated = sqlx::query!(
            "UPDATE tasks SET generation = generation + 1, phase = $3, phase_by = $4, phase_at = now(),
                updated_at = now()
            WHERE id = $1 AND generation = $2 AND deleted_at IS NULL",
            id.0,
            from.0,
            change.to.as_str(),
            change.by
        )
        .execute(&mut *self.transaction)
        .await?;
        expect_one(updated.rows_affected(), || format!("task `{name}`"))?;
        Ok(Generation(from.0 + 1))
    }

    /// Deletes a completed task. Its row, its attempts and the ledger stay; its contacts go.
    pub async fn delete_task(
        &mut self,
        name: &TaskName,
        id: TaskId,
        from: Generation,
    ) -> Result<(), StoreError> {
        let deleted = sqlx::query!(
            "UPDATE tasks SET generation = generation + 1, deleted_at = now(), updated_at = now()
            WHERE id = $1 AND generation = $2 AND deleted_at IS NULL AND phase = 'completed'",
            id.0,
            from.0
        )
        .execute(&mut *self.transaction)
        .await?;
        expect_one(deleted.rows_affected(), || format!("task `{name}`"))?;
        // An opening that certainly reached nobody leaves the ledger, so that a later incarnation may
        // write to the contact.
        sqlx::query!(
            "WITH cancelled AS (
                DELETE FROM retries WHERE task_id = $1 AND NOT in_doubt RETURNING opening, address
            ), unwritten AS (
                DELETE FROM ledger l USING cancelled c
                WHERE l.task = $2 AND l.address = c.address AND l.opening = c.opening
            ), audience AS (
                DELETE FROM audiences WHERE task_id = $1
            )
            DELETE FROM contacts WHERE task_id = $1",
            id.0,
            name.as_str()
        )
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
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

    /// Opens a COPY that appends contacts after a position.
    pub async fn append_contacts(
        &mut self,
        id: TaskId,
        after_position: i64,
    ) -> Result<AudienceWriter<'_>, StoreError> {
        audience::copy_in(&mut self.transaction, id, after_position).await
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
