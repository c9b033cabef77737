//! Names that there are, or were: what an argument may name.

use super::{connect::Store, encoding::parsed, error::StoreError, revisions::subject};
use crate::domain::{
    id::{ChannelName, TaskName},
    subject::Subject,
};

impl Store {
    /// Tasks that are there, and those that were deleted: what they did can still be looked at.
    pub async fn list_task_names(&self) -> Result<Vec<TaskName>, StoreError> {
        let names = sqlx::query_scalar!("SELECT DISTINCT name FROM tasks ORDER BY name")
            .fetch_all(&self.pool)
            .await?;
        names.iter().map(|name| parsed(name)).collect()
    }

    /// Channels that are there, and those that are gone and have dialogues.
    pub async fn list_channel_names(&self) -> Result<Vec<ChannelName>, StoreError> {
        let names = sqlx::query_scalar!(
            r#"WITH RECURSIVE used AS (
                -- From one channel of the index to the next: dialogues are many, channels few.
                (SELECT channel FROM dialogues ORDER BY channel LIMIT 1)
                UNION ALL
                SELECT (SELECT d.channel FROM dialogues d WHERE d.channel > used.channel ORDER BY d.channel LIMIT 1)
                FROM used WHERE used.channel IS NOT NULL
            )
            SELECT channel AS "channel!" FROM used WHERE channel IS NOT NULL
            UNION SELECT channel FROM lanes ORDER BY 1"#
        )
        .fetch_all(&self.pool)
        .await?;
        names.iter().map(|name| parsed(name)).collect()
    }

    /// Whatever a revision changed.
    pub async fn list_subjects(&self) -> Result<Vec<Subject>, StoreError> {
        let rows =
            sqlx::query!("SELECT DISTINCT kind, name FROM revision_changes ORDER BY kind, name")
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter().map(|row| subject(&row.kind, row.name)).collect()
    }

    /// Whether there is, or was, a dialogue with somebody who is known by one of these.
    pub async fn has_dialogue_with(&self, peers: &[String]) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM dialogues WHERE peer = ANY ($1)) AS "there!""#,
            peers
        )
        .fetch_one(&self.pool)
        .await?)
    }
}
