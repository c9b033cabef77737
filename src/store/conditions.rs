//! Conditions: how tasks, channels and watches stand, and who is to tell that it changed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    connect::Store,
    encoding::{count, parsed},
    error::StoreError,
    lanes::interval,
    resting::AiRest,
};
use crate::domain::{
    condition::{Condition, ConditionKey, ConditionKind, UNHEARD_TOLD, Vitals},
    event::ConditionChange,
    id::{Generation, TaskName},
    phase::paused_by,
};

/// A condition as it is kept.
#[derive(Clone, Debug)]
pub struct StoredCondition {
    pub condition: Condition,
    pub commit: Option<String>,
    pub since: DateTime<Utc>,
}

/// How a task does, and the generation at which it was looked at.
#[derive(Clone, Debug)]
pub struct TaskVitals {
    pub generation: Generation,
    pub vitals: Vitals,
}

impl Store {
    /// Writes the conditions that are not kept so already, and gives those whose status or reason is
    /// another one now. Of several programs that see the same change, one gets it.
    pub async fn save_conditions(
        &self,
        all: &[(ConditionKey, Condition)],
        commit: Option<&str>,
    ) -> Result<Vec<ConditionChange>, StoreError> {
        let column = |of: &dyn Fn(&(ConditionKey, Condition)) -> String| -> Vec<String> {
            all.iter().map(of).collect()
        };
        let kinds = column(&|(key, _)| key.kind.to_string());
        let names = column(&|(key, _)| key.name.clone());
        let types = column(&|(key, _)| key.of.to_string());
        let statuses = column(&|(_, condition)| condition.status.to_string());
        let reasons = column(&|(_, condition)| condition.reason.clone());
        let messages = column(&|(_, condition)| condition.message.clone());
        let places: Vec<Option<String>> = all.iter().map(|(_, c)| c.place.clone()).collect();
        let generations: Vec<Option<i64>> =
            all.iter().map(|(_, c)| c.generation.map(|generation| generation.0)).collect();
        let mut transaction = self.pool.begin().await?;
        // Two writers would see the same row as it was; the second is to see what the first wrote.
        sqlx::query("SELECT pg_advisory_xact_lock(28277, 0)").execute(&mut *transaction).await?;
        let rows = sqlx::query!(
            r#"WITH news AS (
                SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                    $7::text[], $8::bigint[])
                    AS n (kind, name, type, status, reason, message, place, generation)
            ), before AS (
                SELECT n.kind, n.name, n.type, c.status, c.reason, c.message, c.place,
                    c.generation FROM news n
                LEFT JOIN conditions c ON (c.kind, c.name, c.type) = (n.kind, n.name, n.type)
                WHERE (c.status, c.reason, c.message, c.place, c.generation)
                    IS DISTINCT FROM (n.status, n.reason, n.message, n.place, n.generation)
            ), written AS (
                INSERT INTO conditions AS old
                    (kind, name, type, status, reason, message, place, generation, commit)
                SELECT n.*, $9 FROM news n JOIN before USING (kind, name, type)
                ON CONFLICT (kind, name, type) DO UPDATE SET status = excluded.status,
                    reason = excluded.reason, message = excluded.message, place = excluded.place,
                    generation = excluded.generation,
                    commit = CASE WHEN (old.status, old.reason, old.message) = (excluded.status, excluded.reason, excluded.message)
                        THEN old.commit ELSE excluded.commit END,
                    since = CASE WHEN (old.status, old.reason) = (excluded.status, excluded.reason)
                        THEN old.since ELSE now() END
                RETURNING *
            )
            SELECT w.kind, w.name, w.type AS "of", w.status, w.reason, w.message, w.place, w.generation,
                b.status AS "status_before?", b.reason AS "reason_before?", b.message AS "message_before?",
                b.place AS "place_before?", b.generation AS "generation_before?", now() AS "at!"
            FROM written w JOIN before b USING (kind, name, type)
            WHERE (b.status, b.reason) IS DISTINCT FROM (w.status, w.reason)
            ORDER BY w.kind, w.name, w.type"#,
            &kinds,
            &names,
            &types,
            &statuses,
            &reasons,
            &messages,
            &places as &[Option<String>],
            &generations as &[Option<i64>],
            commit
        )
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let mut changes = Vec::new();
        for row in rows {
            let before = match (row.status_before, row.reason_before) {
                (Some(status), Some(reason)) => Some(Condition {
                    status: parsed(&status)?,
                    reason,
                    message: row.message_before.unwrap_or_default(),
                    place: row.place_before,
                    generation: row.generation_before.map(Generation),
                }),
                _ => None,
            };
            changes.push(ConditionChange {
                key: ConditionKey {
                    kind: parsed(&row.kind)?,
                    name: row.name,
                    of: parsed(&row.of)?,
                },
                before,
                after: Condition {
                    status: parsed(&row.status)?,
                    reason: row.reason,
                    message: row.message,
                    place: row.place,
                    generation: row.generation.map(Generation),
                },
                at: Some(row.at),
            });
        }
        Ok(changes)
    }

    /// Forgets the conditions of a kind that belong to none of `names` any more.
    pub async fn keep_conditions(
        &self,
        kind: ConditionKind,
        names: &[String],
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "DELETE FROM conditions WHERE kind = $1 AND name <> ALL ($2)",
            kind.as_str(),
            names
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub async fn list_conditions(
        &self,
    ) -> Result<BTreeMap<ConditionKey, StoredCondition>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT kind, name, type AS "of", status, reason, message, place, commit, generation, since
            FROM conditions"#
        )
        .fetch_all(&self.pool)
        .await?;
        let mut all = BTreeMap::new();
        for row in rows {
            let key =
                ConditionKey { kind: parsed(&row.kind)?, name: row.name, of: parsed(&row.of)? };
            let condition = Condition {
                status: parsed(&row.status)?,
                reason: row.reason,
                message: row.message,
                place: row.place,
                generation: row.generation.map(Generation),
            };
            all.insert(key, StoredCondition { condition, commit: row.commit, since: row.since });
        }
        Ok(all)
    }

    /// What the health of every task is decided from.
    pub async fn read_vitals(&self) -> Result<BTreeMap<TaskName, TaskVitals>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT t.name, t.generation, t.phase, t.phase_by, t.phase_reason, t.resume_at,
                t.outgoing,
                count(tu.channel) AS "n_channels!",
                count(*) FILTER (WHERE tu.verdict = 'audience-exhausted') AS "n_exhausted!",
                min(l.channel) FILTER (WHERE l.blocked) AS blocked,
                (array_agg(l.blocked_reason ORDER BY l.channel) FILTER (WHERE l.blocked))[1] AS blocked_reason,
                min(l.channel) FILTER (WHERE l.unheard) AS unheard,
                (array_agg(l.unheard_reason ORDER BY l.channel) FILTER (WHERE l.unheard))[1] AS unheard_reason
            FROM tasks t
            LEFT JOIN task_channels tc ON tc.task_id = t.id
            LEFT JOIN turns tu ON tu.task_id = tc.task_id AND tu.channel = tc.channel
            LEFT JOIN (
                SELECT channel, blocked_reason, unheard_reason,
                    blocked_class IS NOT NULL AND (blocked_until IS NULL OR blocked_until > now()) AS blocked,
                    unheard_since < now() - $1::interval AS unheard
                FROM lanes
            ) l ON l.channel = tc.channel
            WHERE t.deleted_at IS NULL
            GROUP BY t.id"#,
            interval(UNHEARD_TOLD)
        )
        .fetch_all(&self.pool)
        .await?;
        let mut resting = self.list_resting(None).await?;
        let mut all = BTreeMap::new();
        for row in rows {
            let reason = row.phase_reason.as_deref();
            let vitals = Vitals {
                phase: parsed(&row.phase)?,
                phase_by: paused_by(&row.phase_by, reason, row.resume_at),
                outgoing: row.outgoing,
                n_channels: count(row.n_channels),
                n_exhausted: count(row.n_exhausted),
                blocked: row.blocked.map(|channel| {
                    (channel, row.blocked_reason.unwrap_or_else(|| "no reason is known".to_owned()))
                }),
                unheard: row.unheard.zip(row.unheard_reason),
                resting: resting.remove(&row.name).and_then(AiRest::lasting),
            };
            let generation = Generation(row.generation);
            all.insert(parsed(&row.name)?, TaskVitals { generation, vitals });
        }
        Ok(all)
    }

    /// Every channel that can open dialogues, and why it is blocked if it is.
    pub async fn list_blocks(&self) -> Result<Vec<(String, Option<String>)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT channel, CASE WHEN blocked_until IS NULL OR blocked_until > now() THEN blocked_reason END
                AS reason
            FROM lanes ORDER BY channel"
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (row.channel, row.reason)).collect())
    }
}
