//! What `watch` could not or would not apply, for `status`.

use chrono::{DateTime, Utc};

use super::{connect::Store, error::StoreError};

/// One thing that was not applied, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// What it is about: a task, a resource or a file.
    pub subject: String,
    pub place: String,
    pub message: String,
    /// Filled in by the store.
    pub since: Option<DateTime<Utc>>,
}

impl Store {
    /// Replaces the whole list; what stays the same keeps its time.
    pub async fn replace_held_back(&self, all: &[HeldBack]) -> Result<(), StoreError> {
        let subjects: Vec<String> = all.iter().map(|held| held.subject.clone()).collect();
        let places: Vec<String> = all.iter().map(|held| held.place.clone()).collect();
        let messages: Vec<String> = all.iter().map(|held| held.message.clone()).collect();
        sqlx::query!(
            "WITH news AS (
                SELECT DISTINCT ON (place, subject) * FROM unnest($1::text[], $2::text[], $3::text[])
                    AS n (subject, place, message)
                ORDER BY place, subject
            ), gone AS (
                DELETE FROM held_back
                WHERE (place, subject) NOT IN (SELECT place, subject FROM news)
            )
            INSERT INTO held_back AS old (subject, place, message) SELECT * FROM news
            ORDER BY place, subject
            ON CONFLICT (place, subject) DO UPDATE SET message = excluded.message, since = now()
            WHERE old.message <> excluded.message",
            &subjects,
            &places,
            &messages
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub async fn list_held_back(&self) -> Result<Vec<HeldBack>, StoreError> {
        let rows =
            sqlx::query!("SELECT subject, place, message, since FROM held_back ORDER BY place")
                .fetch_all(&self.pool)
                .await?;
        Ok(rows
            .into_iter()
            .map(|row| HeldBack {
                subject: row.subject,
                place: row.place,
                message: row.message,
                since: Some(row.since),
            })
            .collect())
    }
}
