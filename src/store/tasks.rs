//! Tasks: reading what was applied.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    connect::Store,
    encoding::{count, digest_from_bytes, fields_from_json, parsed},
    error::StoreError,
};
use crate::domain::{
    actual::{Actual, ActualTask, TaskDetails},
    contact::AudienceDigest,
    id::{Generation, TaskId, TaskName},
};

impl Store {
    /// Reads everything by its digests: two statements, however much there is.
    pub async fn read_actual(&self) -> Result<Actual, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT id, name, generation, phase, digest, audience_digest, file, state_place
            FROM tasks WHERE deleted_at IS NULL"#
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
            r#"SELECT t.name, t.fields,
                coalesce(a.waiting, 0) + (SELECT count(*) FROM retries r WHERE r.task_id = t.id)
                    AS "remaining!",
                (SELECT count(*) FROM ledger l WHERE l.task = t.name) AS "written!"
            FROM tasks t LEFT JOIN audiences a ON a.task_id = t.id
            WHERE t.deleted_at IS NULL AND t.name = ANY($1)"#,
            &names
        )
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            if let Some(task) = actual.tasks.get_mut(&parsed::<TaskName>(&row.name)?) {
                task.details = Some(TaskDetails {
                    fields: fields_from_json(&row.fields)?,
                    remaining: count(row.remaining),
                    written: count(row.written),
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
