//! Accounts of Telegram: the session of each, encrypted by whoever brings it, and the people that it has met.

use super::{connect::Store, error::StoreError};
use crate::domain::{address::Address, id::ChannelName};

/// By what an account reaches a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelegramPerson {
    pub user_id: i64,
    pub access_hash: i64,
}

impl Store {
    pub async fn read_telegram_session(
        &self,
        channel: &ChannelName,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar!(
            "SELECT sealed FROM telegram_sessions WHERE channel = $1",
            channel.as_str()
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Keeps the session of whoever has just signed in. Of another account than before, nothing else holds.
    pub async fn write_telegram_session(
        &self,
        channel: &ChannelName,
        user_id: i64,
        sealed: &[u8],
        by: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "WITH another AS (
                SELECT FROM telegram_sessions WHERE channel = $1 AND user_id <> $2
            ), strangers AS (
                DELETE FROM telegram_people WHERE channel = $1 AND EXISTS (SELECT FROM another)
            )
            INSERT INTO telegram_sessions (channel, user_id, sealed, signed_in_by) VALUES ($1, $2, $3, $4)
            ON CONFLICT (channel) DO UPDATE SET user_id = excluded.user_id, sealed = excluded.sealed,
                signed_in_by = excluded.signed_in_by, signed_in_at = clock_timestamp()",
            channel.as_str(),
            user_id,
            sealed,
            by
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Whom the account has met is kept: it may sign in again. Says whether there was a session.
    pub async fn delete_telegram_session(&self, channel: &ChannelName) -> Result<bool, StoreError> {
        let deleted =
            sqlx::query!("DELETE FROM telegram_sessions WHERE channel = $1", channel.as_str())
                .execute(&self.pool)
                .await?;
        Ok(deleted.rows_affected() > 0)
    }

    /// Whether whoever has this address asked not to be written to, or is on a list of all tasks.
    pub async fn is_left_alone(&self, address: &Address) -> Result<bool, StoreError> {
        let left_alone = sqlx::query_scalar!(
            r#"SELECT is_suppressed($1, '') AS "left_alone!""#,
            address.as_str()
        );
        Ok(left_alone.fetch_one(&self.pool).await?)
    }

    /// Whom the account of a channel reaches by an address.
    pub async fn find_telegram_person(
        &self,
        channel: &ChannelName,
        address: &Address,
    ) -> Result<Option<TelegramPerson>, StoreError> {
        Ok(sqlx::query_as!(
            TelegramPerson,
            "SELECT user_id, access_hash FROM telegram_people WHERE channel = $1 AND address = $2",
            channel.as_str(),
            address.as_str()
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Remembers people, but for those who are forgotten.
    pub async fn remember_telegram_people(
        &self,
        channel: &ChannelName,
        people: &[(Address, TelegramPerson)],
    ) -> Result<(), StoreError> {
        let addresses: Vec<String> =
            people.iter().map(|(address, _)| address.to_string()).collect();
        let user_ids: Vec<i64> = people.iter().map(|(_, person)| person.user_id).collect();
        let hashes: Vec<i64> = people.iter().map(|(_, person)| person.access_hash).collect();
        sqlx::query!(
            "INSERT INTO telegram_people (channel, address, user_id, access_hash)
            SELECT DISTINCT ON (address) $1, address, user_id, access_hash
            FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS met (address, user_id, access_hash)
            WHERE NOT is_forgotten(address)
            ORDER BY address
            ON CONFLICT (channel, address) DO UPDATE
                SET user_id = excluded.user_id, access_hash = excluded.access_hash
                WHERE (telegram_people.user_id, telegram_people.access_hash)
                    IS DISTINCT FROM (excluded.user_id, excluded.access_hash)",
            channel.as_str(),
            &addresses,
            &user_ids,
            &hashes
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
