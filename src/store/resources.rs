//! Channels, managers, AIs, integrations and suppression lists: what was applied, and applying it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    connect::Store,
    encoding::{digest_from_bytes, fields_from_json, fields_to_json, live_from_json, parsed},
    error::StoreError,
    passed_over::note_unsuppressed,
    portfolios::join_portfolio,
    writing::{Recorded, Writing, expect_one},
};
use crate::domain::{
    actual::{Actual, ActualResource, Drifted, Hold, ResourceDetails},
    channel::ChannelSpec,
    desired::{Desired, DesiredResource},
    fields::{FieldValue, Fields},
    id::{ChannelName, Generation},
    kind::{ChannelKind, Way},
    resource::{Resource, ResourceKey},
    revision::{Action, Cause, RevisionNumber},
    subject::Subject,
};

impl Store {
    pub(super) async fn read_resources(
        &self,
    ) -> Result<BTreeMap<ResourceKey, ActualResource>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT r.kind, r.name, r.generation, r.digest, r.file, r.held_digest, r.held_by,
                live_mark(r) <> r.applied_mark OR r.kind = 'Channel' AND l.daily_limit::text
                    <> (r.fields -> 'dailyLimit' ->> 'number') IS TRUE AS "drifted!"
            FROM resources r LEFT JOIN lanes l ON r.kind = 'Channel' AND l.channel = r.name"#
        )
        .fetch_all(&self.pool)
        .await?;
        let mut resources = BTreeMap::new();
        for row in rows {
            let resource = ActualResource {
                generation: Generation(row.generation),
                digest: digest_from_bytes(&row.digest)?,
                file: row.file,
                drifted: row.drifted,
                hold: match (row.held_digest, row.held_by) {
                    (Some(digest), Some(by)) => Some(Hold {
                        digest: digest_from_bytes(&digest)?,
                        audience: None,
                        by: RevisionNumber(by),
                    }),
                    _ => None,
                },
                details: None,
            };
            resources.insert(ResourceKey { kind: parsed(&row.kind)?, name: row.name }, resource);
        }
        Ok(resources)
    }

    /// Fills in the fields of some resources.
    pub async fn read_resource_fields(
        &self,
        actual: &mut Actual,
        keys: &BTreeSet<ResourceKey>,
    ) -> Result<(), StoreError> {
        let kinds: Vec<String> = keys.iter().map(|key| key.kind.to_string()).collect();
        let names: Vec<String> = keys.iter().map(|key| key.name.clone()).collect();
        let rows = sqlx::query!(
            r#"SELECT r.kind, r.name, r.fields, r.drifted_at, r.drifted_by, l.daily_limit AS "daily_limit?",
                CASE WHEN r.kind = 'SuppressionList' AND live_mark(r) <> r.applied_mark THEN ARRAY(
                    SELECT s.address FROM suppressions s WHERE s.list = r.name GROUP BY s.address
                    HAVING count(*) >= CASE WHEN jsonb_typeof(r.fields -> 'tasks') = 'array'
                        THEN jsonb_array_length(r.fields -> 'tasks') ELSE 1 END
                    ORDER BY s.address COLLATE "C"
                ) END AS suppressed,
                (SELECT c.fields FROM revision_changes c
                WHERE c.kind = r.kind AND c.name = r.name AND c.fields IS NOT NULL
                ORDER BY c.revision DESC LIMIT 1) AS applied
            FROM resources r
            JOIN unnest($1::text[], $2::text[]) AS wanted (kind, name) USING (kind, name)
            LEFT JOIN lanes l ON r.kind = 'Channel' AND l.channel = r.name"#,
            &kinds,
            &names
        )
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            let key = ResourceKey { kind: parsed(&row.kind)?, name: row.name };
            let Some(resource) = actual.resources.get_mut(&key) else { continue };
            let fields = live_from_json(&row.fields);
            resource.details = Some(if resource.drifted {
                let mut live = fields.clone();
                if let (Some(limit), Some(_)) = (row.daily_limit, fields.get("dailyLimit")) {
                    live = live.number("dailyLimit", limit);
                }
                if let Some(addresses) = row.suppressed {
                    live.insert("entries".to_owned(), FieldValue::List(addresses));
                }
                let drifted = Drifted { live, at: row.drifted_at, by: row.drifted_by };
                ResourceDetails {
                    fields: row.applied.as_ref().map_or(Ok(fields), fields_from_json)?,
                    drifted: Some(drifted),
                }
            } else {
                ResourceDetails { fields, drifted: None }
            });
        }
        Ok(())
    }

    /// The channels of some lanes, as the executor connects them.
    pub async fn read_channels(
        &self,
        names: &[ChannelName],
    ) -> Result<Vec<(ChannelName, ChannelSpec)>, StoreError> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let rows = sqlx::query!(
            "SELECT name, fields FROM resources WHERE kind = 'Channel' AND name = ANY($1)",
            &names
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| named_channel(&row.name, &row.fields)).collect()
    }

    /// All channels of a kind.
    pub async fn read_channels_of(
        &self,
        kind: ChannelKind,
    ) -> Result<Vec<(ChannelName, ChannelSpec)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT name, fields FROM resources WHERE kind = 'Channel' AND fields->>'kind' = $1
            ORDER BY name",
            kind.as_str()
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| named_channel(&row.name, &row.fields)).collect()
    }
}

fn named_channel(name: &str, fields: &Value) -> Result<(ChannelName, ChannelSpec), StoreError> {
    let spec = ChannelSpec::from_fields(&fields_from_json(fields)?)
        .ok_or_else(|| StoreError::Unreadable(format!("channel `{name}`")))?;
    Ok((parsed(name)?, spec))
}

/// Whether more than the daily limit of a channel changed.
fn connects_differently(from: &ActualResource, to: &DesiredResource) -> bool {
    let how = |fields: &Fields| -> Vec<(String, FieldValue)> {
        let connects = fields.iter().filter(|(path, _)| *path != "dailyLimit");
        connects.map(|(path, value)| (path.to_owned(), value.clone())).collect()
    };
    from.details.as_ref().is_none_or(|before| how(&before.fields) != how(&to.fields))
}

impl Writing {
    /// Creates or changes a resource; `from` is what the plan saw of it.
    pub async fn write_resource(
        &mut self,
        key: &ResourceKey,
        from: Option<&ActualResource>,
        desired: &Desired,
    ) -> Result<(), StoreError> {
        let resource = &desired.resources[key];
        let origin = desired.origin(&resource.places.document);
        let written = sqlx::query!(
            "INSERT INTO resources AS old (kind, name, fields, digest, file, line)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (kind, name) DO UPDATE SET generation = old.generation + 1,
                fields = excluded.fields, digest = excluded.digest, file = excluded.file,
                line = excluded.line, updated_at = now(),
                held_digest = CASE WHEN $8 THEN coalesce(old.held_digest, old.digest) END,
                held_by = CASE WHEN $8 THEN $9::bigint END
            WHERE old.generation = $7",
            key.kind.as_str(),
            key.name,
            fields_to_json(&resource.fields),
            &resource.digest.0[..],
            origin.file,
            i32::try_from(origin.line).unwrap_or(0),
            from.map_or(0, |from| from.generation.0),
            self.provenance.cause == Cause::Rollback,
            self.revision.0
        )
        .execute(&mut *self.transaction)
        .await?;
        expect_one(written.rows_affected(), || key.to_string())?;
        let action = if from.is_some() { Action::Update } else { Action::Create };
        self.record_resource(key, action, Some(resource.fields.clone()));
        match &resource.resource {
            Resource::Channel(spec) => {
                let is_mended = from.is_none_or(|from| connects_differently(from, resource));
                self.write_lane(key, spec, is_mended).await?;
            }
            Resource::Ai(_) => {
                // What kept it from answering may be what was changed.
                sqlx::query!("DELETE FROM ai_rests WHERE ai = $1", key.name)
                    .execute(&mut *self.transaction)
                    .await?;
            }
            Resource::SuppressionList(spec) => {
                let addresses: Vec<String> = spec.entries.iter().map(ToString::to_string).collect();
                let tasks: Vec<String> = match &spec.tasks {
                    None => vec![String::new()],
                    Some(tasks) => tasks.iter().map(ToString::to_string).collect(),
                };
                let left = sqlx::query!(
                    "DELETE FROM suppressions s WHERE s.list = $3 AND NOT EXISTS (
                        SELECT FROM unnest($1::text[]) a CROSS JOIN unnest($2::text[]) t
                        WHERE a = s.address AND t = s.task)",
                    &addresses,
                    &tasks,
                    key.name
                )
                .execute(&mut *self.transaction)
                .await?;
                if left.rows_affected() > 0 {
                    note_unsuppressed(&mut self.transaction).await?;
                }
                sqlx::query!(
                    "INSERT INTO suppressions (address, task, list)
                    SELECT a, t, $3 FROM unnest($1::text[]) a CROSS JOIN unnest($2::text[]) t
                    ON CONFLICT DO NOTHING",
                    &addresses,
                    &tasks,
                    key.name
                )
                .execute(&mut *self.transaction)
                .await?;
            }
            Resource::Manager(_) | Resource::Integration(_) => {}
        }
        Ok(())
    }

    /// Notes that what is live is what the manifest says, and where it stands; history is to have what was
    /// not `applied` so before.
    pub async fn refresh_resource(
        &mut self,
        key: &ResourceKey,
        from: Generation,
        applied: Option<&Fields>,
        desired: &Desired,
    ) -> Result<(), StoreError> {
        let resource = &desired.resources[key];
        let origin = desired.origin(&resource.places.document);
        let written = sqlx::query!(
            "UPDATE resources SET fields = $4, digest = $5, file = $6, line = $7, held_digest = NULL,
                held_by = NULL
            WHERE kind = $1 AND name = $2 AND generation = $3",
            key.kind.as_str(),
            key.name,
            from.0,
            fields_to_json(&resource.fields),
            &resource.digest.0[..],
            origin.file,
            i32::try_from(origin.line).unwrap_or(0)
        )
        .execute(&mut *self.transaction)
        .await?;
        expect_one(written.rows_affected(), || key.to_string())?;
        if applied.is_some_and(|applied| *applied != resource.fields) {
            self.record_resource(key, Action::Update, Some(resource.fields.clone()));
        }
        Ok(())
    }

    /// A channel that connects differently starts afresh: what blocked it may be what was changed.
    async fn write_lane(
        &mut self,
        key: &ResourceKey,
        spec: &ChannelSpec,
        is_mended: bool,
    ) -> Result<(), StoreError> {
        let facts = spec.kind.facts();
        // A kind that opens nothing has no limit, and its lane is for replies only.
        let daily_limit = spec.daily_limit.unwrap_or(0);
        sqlx::query!(
            "INSERT INTO lanes (channel, daily_limit, drops_repeats, hosted) VALUES ($1, $2, $3, $5)
            ON CONFLICT (channel) DO UPDATE SET daily_limit = excluded.daily_limit,
                drops_repeats = excluded.drops_repeats,
                blocked_class = CASE WHEN NOT $4 THEN lanes.blocked_class END,
                blocked_reason = CASE WHEN NOT $4 THEN lanes.blocked_reason END,
                blocked_until = CASE WHEN NOT $4 THEN lanes.blocked_until END,
                failures = CASE WHEN $4 THEN 0 ELSE lanes.failures END,
                not_before = CASE WHEN NOT $4 THEN lanes.not_before END,
                unheard_reason = CASE WHEN NOT $4 THEN lanes.unheard_reason END,
                unheard_since = CASE WHEN NOT $4 THEN lanes.unheard_since END",
            key.name,
            i32::try_from(daily_limit).unwrap_or(i32::MAX),
            facts.drops_repeats,
            is_mended,
            facts.way == Way::Hosted
        )
        .execute(&mut *self.transaction)
        .await?;
        join_portfolio(&mut self.transaction, &key.name, spec).await
    }

    pub async fn delete_resource(
        &mut self,
        key: &ResourceKey,
        from: Generation,
    ) -> Result<(), StoreError> {
        let deleted = sqlx::query!(
            "DELETE FROM resources WHERE kind = $1 AND name = $2 AND generation = $3",
            key.kind.as_str(),
            key.name,
            from.0
        )
        .execute(&mut *self.transaction)
        .await?;
        expect_one(deleted.rows_affected(), || key.to_string())?;
        // A lane keeps its counts and its pause: the account is the same if the channel comes back.
        let left = sqlx::query!(
            "DELETE FROM suppressions WHERE list = $1 AND $2 = 'SuppressionList'",
            key.name,
            key.kind.as_str()
        )
        .execute(&mut *self.transaction)
        .await?;
        if left.rows_affected() > 0 {
            note_unsuppressed(&mut self.transaction).await?;
        }
        self.record_resource(key, Action::Delete, None);
        Ok(())
    }

    fn record_resource(&mut self, key: &ResourceKey, action: Action, fields: Option<Fields>) {
        let recorded = Recorded { action, id: None, fields, phase: None, audience: None };
        self.record(Subject::Resource(key.clone()), recorded);
    }
}
