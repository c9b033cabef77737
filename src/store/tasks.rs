//! Tasks: reading what was applied, and applying.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    connect::Store,
    encoding::{
        count, digest_from_bytes, fields_from_json, fields_to_json, live_from_json,
        opening_to_json, parsed,
    },
    error::StoreError,
    live::{LiveColumns, live_fields},
    writing::{Recorded, Writing, expect_one},
};
use crate::domain::{
    actual::{Actual, ActualTask, Consequences, Drifted, Hold, TaskDetails},
    contact::AudienceDigest,
    desired::{Desired, DesiredTask},
    fields::Fields,
    id::{Generation, TaskId, TaskName},
    phase::Phase,
    revision::{Action, Cause, PhaseMove, RevisionNumber},
    subject::Subject,
};

impl Store {
    /// Reads everything by its digests: two statements, however much there is.
    pub async fn read_actual(&self) -> Result<Actual, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT id, name, generation, phase, digest, audience_digest, file, state_place,
                held_digest, held_audience, held_by, live_mark(t) <> applied_mark AS "drifted!"
            FROM tasks t WHERE deleted_at IS NULL"#
        )
        .fetch_all(&self.pool)
        .await?;
        let mut tasks = BTreeMap::new();
        for row in rows {
            let audience = row.audience_digest.as_deref().map(digest_from_bytes).transpose()?;
            let task = ActualTask {
                id: TaskId(row.id),
                generation: Generation(row.generation),
                phase: parsed(&row.phase)?,
                digest: digest_from_bytes(&row.digest)?,
                audience: audience.map(AudienceDigest),
                file: row.file,
                state_place: row.state_place,
                drifted: row.drifted,
                hold: match (row.held_digest, row.held_by) {
                    (Some(digest), Some(by)) => Some(Hold {
                        digest: digest_from_bytes(&digest)?,
                        audience: row
                            .held_audience
                            .as_deref()
                            .map(digest_from_bytes)
                            .transpose()?
                            .map(AudienceDigest),
                        by: RevisionNumber(by),
                    }),
                    _ => None,
                },
                details: None,
            };
            tasks.insert(parsed(&row.name)?, task);
        }
        Ok(Actual { tasks, resources: self.read_resources().await? })
    }

    /// Fills in the details of some tasks; one of them that is gone meanwhile is left as it is.
    pub async fn read_details(
        &self,
        actual: &mut Actual,
        names: &BTreeSet<TaskName>,
    ) -> Result<(), StoreError> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let rows = sqlx::query!(
            r#"SELECT t.name, t.fields, live_mark(t) <> t.applied_mark AS "drifted!",
                t.drifted_at, t.drifted_by, t.hours_from_s, t.hours_to_s, t.timezone, t.daily_limit,
                t.pause_ms, t.opening,
                -- History has what was applied, also where the row itself was edited.
                CASE WHEN live_mark(t) <> t.applied_mark THEN (
                    SELECT c.fields FROM revision_changes c
                    WHERE c.kind = 'Task' AND c.name = t.name AND c.fields IS NOT NULL
                    ORDER BY c.revision DESC LIMIT 1
                ) END AS applied,
                -- What certainly reached nobody may be tried by the next incarnation; what is in doubt may not.
                coalesce(a.waiting, 0) + (SELECT count(*) FROM retries r WHERE r.task_id = t.id AND NOT r.in_doubt)
                    AS "remaining!",
                (SELECT count(*) FROM ledger l WHERE l.task = t.name AND NOT EXISTS (SELECT FROM retries r
                    WHERE r.task_id = t.id AND r.opening = l.opening AND NOT r.in_doubt)) AS "written!",
                (SELECT count(*) FROM contacts c
                    WHERE c.task_id = t.id AND c.position <= a.cursor_position
                        AND NOT EXISTS (SELECT FROM ledger l WHERE l.task = t.name AND l.address = c.address)
                        AND NOT EXISTS (SELECT FROM retries r
                            WHERE r.task_id = t.id AND r.position = c.position)
                        AND NOT is_suppressed(c.address, t.name) AND NOT is_forgotten(c.address)
                        AND NOT is_suppressed_by_alias(c.address, t.name)
                        AND NOT is_written_by_alias(c.address, t.name)) AS "passed_over!",
                ending.dialogues AS "dialogues!", ending.unanswered AS "unanswered!"
            FROM tasks t LEFT JOIN audiences a ON a.task_id = t.id
            CROSS JOIN LATERAL (
                SELECT count(*) AS dialogues, count(d.waiting_since) AS unanswered
                FROM dialogues d WHERE d.task_id = t.id
                    AND d.state IN ('open', 'with-operator', 'blocked')
            ) ending
            WHERE t.deleted_at IS NULL AND t.name = ANY($1)"#,
            &names
        )
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            if let Some(task) = actual.tasks.get_mut(&parsed::<TaskName>(&row.name)?) {
                let fields = live_from_json(&row.fields);
                let live = row.drifted.then(|| {
                    live_fields(
                        &fields,
                        &LiveColumns {
                            hours_from_s: row.hours_from_s,
                            hours_to_s: row.hours_to_s,
                            timezone: row.timezone,
                            daily_limit: row.daily_limit,
                            pause_ms: row.pause_ms,
                            opening: row.opening,
                        },
                    )
                });
                task.details = Some(TaskDetails {
                    fields: match row.applied {
                        Some(applied) => fields_from_json(&applied)?,
                        None => fields,
                    },
                    drifted: live.map(|live| Drifted {
                        live,
                        at: row.drifted_at,
                        by: row.drifted_by,
                    }),
                    people: Consequences {
                        remaining: count(row.remaining),
                        written: count(row.written),
                        passed_over: count(row.passed_over),
                        dialogues: count(row.dialogues),
                        unanswered: count(row.unanswered),
                    },
                });
            }
        }
        Ok(())
    }

    /// Which of these time zones the server does not know. Permits are decided by its own table, which
    /// may be older than ours.
    pub async fn list_unknown_timezones(
        &self,
        zones: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let unknown = sqlx::query_scalar!(
            r#"SELECT zone AS "zone!" FROM unnest($1::text[]) zone
            WHERE zone <> 'UTC' AND zone NOT IN (SELECT name FROM pg_timezone_names)"#,
            zones
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(unknown)
    }
}

/// How a task's row is written.
#[derive(Clone, Copy, Debug)]
enum Write {
    Create(Phase),
    Update(Generation),
    /// Nothing that a reader would call a change.
    Refresh(Generation),
}

fn seconds_of(minute: u16) -> i32 {
    i32::from(minute) * 60
}

impl Writing {
    /// Creates a task in its first phase, without its contacts.
    pub async fn create_task(
        &mut self,
        id: TaskId,
        name: &TaskName,
        desired: &Desired,
        phase: Phase,
    ) -> Result<(), StoreError> {
        self.write_task(id, name, desired, Write::Create(phase)).await?;
        let task = &desired.tasks[name];
        let channels: Vec<String> = task.spec.channels.iter().map(ToString::to_string).collect();
        sqlx::query!(
            "WITH audience AS (INSERT INTO audiences (task_id) SELECT $1 WHERE $3)
            INSERT INTO task_channels (task_id, channel) SELECT $1, unnest($2::text[])",
            id.0,
            &channels,
            task.spec.outgoing.is_some()
        )
        .execute(&mut *self.transaction)
        .await?;
        let phase = Some(PhaseMove { from: None, to: phase });
        self.record_task(name, id, Action::Create, Some(task), phase);
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
        self.write_task(id, name, desired, Write::Update(from)).await?;
        self.record_task(name, id, Action::Update, Some(&desired.tasks[name]), None);
        Ok(Generation(from.0 + 1))
    }

    /// Notes where an otherwise unchanged task stands now, and the digest of its audience's bytes. What is
    /// live and was not `applied` so before is in the manifest now: history is to have it.
    pub async fn refresh_task(
        &mut self,
        id: TaskId,
        from: Generation,
        name: &TaskName,
        applied: Option<&Fields>,
        desired: &Desired,
    ) -> Result<(), StoreError> {
        self.write_task(id, name, desired, Write::Refresh(from)).await?;
        let task = &desired.tasks[name];
        if applied.is_some_and(|applied| *applied != task.fields) {
            self.record_task(name, id, Action::Update, Some(task), None);
        }
        Ok(())
    }

    async fn write_task(
        &mut self,
        id: TaskId,
        name: &TaskName,
        desired: &Desired,
        write: Write,
    ) -> Result<(), StoreError> {
        let task = &desired.tasks[name];
        let outgoing = task.spec.outgoing.as_ref();
        let (origin, origin_of_state) =
            (desired.origin(&task.places.document), desired.state_origin(task));
        let (phase, from, step) = match write {
            Write::Create(phase) => (phase, 0, 0),
            Write::Update(from) => (Phase::Awaiting, from.0, 1),
            Write::Refresh(from) => (Phase::Awaiting, from.0, 0),
        };
        let written = sqlx::query!(
            "INSERT INTO tasks AS old (id, name, phase, phase_by, fields, digest, audience_digest, file,
                line, state_place, outgoing, hours_from_s, hours_to_s, timezone, daily_limit, pause_ms,
                opening)
            SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17
            WHERE NOT EXISTS (SELECT FROM tasks WHERE name = $2 AND deleted_at IS NULL AND id <> $1)
            ON CONFLICT (id) DO UPDATE SET generation = old.generation + $19, fields = excluded.fields,
                digest = excluded.digest, audience_digest = excluded.audience_digest,
                file = excluded.file, line = excluded.line, state_place = excluded.state_place,
                outgoing = excluded.outgoing,
                hours_from_s = excluded.hours_from_s, hours_to_s = excluded.hours_to_s,
                timezone = excluded.timezone, daily_limit = excluded.daily_limit,
                pause_ms = excluded.pause_ms, opening = excluded.opening, updated_at = now(),
                -- An operator's pause does not end by the clock once git owns the run state.
                resume_at = CASE WHEN excluded.state_place IS NULL THEN old.resume_at END,
                -- A rollback stands against the manifest that was applied before it; whatever else is
                -- applied ends it.
                held_digest = CASE WHEN $20 THEN coalesce(old.held_digest, old.digest) END,
                held_audience = CASE WHEN NOT $20 THEN NULL WHEN old.held_digest IS NULL
                    THEN old.audience_digest ELSE old.held_audience END,
                held_by = CASE WHEN $20 THEN $21::bigint END
            WHERE old.generation = $18 AND old.deleted_at IS NULL",
            id.0,
            name.as_str(),
            phase.as_str(),
            self.provenance.by,
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
            outgoing
                .map(|o| i64::try_from(o.pause_between_dialogues.as_millis()).unwrap_or(i64::MAX)),
            outgoing.map(|o| opening_to_json(&o.opening)),
            from,
            step,
            self.provenance.cause == Cause::Rollback,
            self.revision.0
        )
        .execute(&mut *self.transaction)
        .await?;
        expect_one(written.rows_affected(), || format!("task `{name}`"))
    }

    pub async fn set_phase(
        &mut self,
        name: &TaskName,
        id: TaskId,
        generation: Generation,
        from: Phase,
        to: Phase,
    ) -> Result<Generation, StoreError> {
        let updated = sqlx::query!(
            "UPDATE tasks SET generation = generation + 1, phase = $3, phase_by = $4, phase_at = now(),
                phase_reason = NULL, resume_at = NULL, updated_at = now()
            WHERE id = $1 AND generation = $2 AND deleted_at IS NULL",
            id.0,
            generation.0,
            to.as_str(),
            self.provenance.by
        )
        .execute(&mut *self.transaction)
        .await?;
        expect_one(updated.rows_affected(), || format!("task `{name}`"))?;
        let phase = Some(PhaseMove { from: Some(from), to });
        self.record_task(name, id, Action::Update, None, phase);
        Ok(Generation(generation.0 + 1))
    }

    /// Deletes a completed task; its dialogues are closed at the end of the writing. Its row, its attempts, the
    /// ledger and what was said stay; its contacts go.
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
            ), undrafted AS (
                UPDATE drafts SET state = 'void', text = NULL, reason = NULL, due_at = NULL, turn = turn + 1,
                    held_channel = NULL, held_fence = NULL
                WHERE task_id = $1 AND state IN ('due', 'written', 'failed')
            )
            DELETE FROM contacts WHERE task_id = $1",
            id.0,
            name.as_str()
        )
        .execute(&mut *self.transaction)
        .await?;
        self.deleted.push(id.0);
        self.record_task(name, id, Action::Delete, None, None);
        Ok(())
    }

    fn record_task(
        &mut self,
        name: &TaskName,
        id: TaskId,
        action: Action,
        task: Option<&DesiredTask>,
        phase: Option<PhaseMove>,
    ) {
        let fields = task.map(|task| task.fields.clone());
        let recorded = Recorded { action, id: Some(id), fields, phase, audience: None };
        self.record(Subject::Task(name.clone()), recorded);
    }
}
