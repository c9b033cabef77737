//! Channels, managers, AIs, integrations and suppression lists: reading what was applied.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    connect::Store,
    encoding::{digest_from_bytes, fields_from_json, parsed},
    error::StoreError,
};
use crate::domain::{
    actual::{Actual, ActualResource},
    channel::ChannelSpec,
    id::{ChannelName, Generation},
    resource::ResourceKey,
};

impl Store {
    pub(super) async fn read_resources(
        &self,
    ) -> Result<BTreeMap<ResourceKey, ActualResource>, StoreError> {
        let rows = sqlx::query!("SELECT kind, name, generation, digest, file FROM resources")
            .fetch_all(&self.pool)
            .await?;
        let mut resources = BTreeMap::new();
        for row in rows {
            let resource = ActualResource {
                generation: Generation(row.generation),
                digest: digest_from_bytes(&row.digest)?,
                file: row.file,
                fields: None,
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
            "SELECT r.kind, r.name, r.fields FROM resources r
            JOIN unnest($1::text[], $2::text[]) AS wanted (kind, name) USING (kind, name)",
            &kinds,
            &names
        )
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            let key = ResourceKey { kind: parsed(&row.kind)?, name: row.name };
            if let Some(resource) = actual.resources.get_mut(&key) {
                resource.fields = Some(fields_from_json(&row.fields)?);
            }
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
        rows.into_iter()
            .map(|row| {
                let spec = ChannelSpec::from_fields(&fields_from_json(&row.fields)?)
                    .ok_or_else(|| StoreError::Unreadable(format!("channel `{}`", row.name)))?;
                Ok((parsed(&row.name)?, spec))
            })
            .collect()
    }
}
