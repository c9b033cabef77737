//! Opt-outs: who must not be written to by anybody's word but a manifest's, whose word it was, and its end.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{connect::Store, error::StoreError, whom::Whom};
use crate::domain::{
    address::Address,
    id::{ChannelName, DialogueId, TaskName},
    stop::StopLanguage,
};

/// The list under which opt-outs act. No manifest's list can have this name.
const STOP_LIST: &str = "!stop";

/// Opt-outs that a person can still look through.
const SHOWN_MAX: i64 = 1000;

/// That a person must not be written to, on no task, and where it was said.
#[derive(Clone, Copy, Debug)]
pub struct OptOut<'a> {
    pub address: &'a Address,
    pub by: OptOutBy<'a>,
    pub task: Option<&'a TaskName>,
    pub channel: Option<&'a ChannelName>,
    pub dialogue: Option<DialogueId>,
    pub reason: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptOutBy<'a> {
    /// The person said so, in this language.
    Person(StopLanguage),
    Operator(&'a str),
}

/// An opt-out that holds.
#[derive(Clone, Debug)]
pub struct StandingOptOut {
    pub address: Address,
    pub at: DateTime<Utc>,
    pub by: String,
    pub language: Option<String>,
    pub task: Option<String>,
    pub channel: Option<String>,
    pub reason: Option<String>,
}

/// What the end of an opt-out ended, and what still keeps the person from being written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    pub was_opted_out: bool,
    pub was_forgotten: bool,
    /// Lists of manifests: a person leaves them only there.
    pub lists: Vec<String>,
}

/// Suppresses a person for every task and under every address that is known, within somebody's transaction.
/// Says whether it is news: the first word stands.
pub(super) async fn opt_out(
    connection: &mut PgConnection,
    opt_out: &OptOut<'_>,
) -> Result<bool, StoreError> {
    let OptOut { address, by, task, channel, dialogue, reason } = opt_out;
    let (by, language) = match by {
        OptOutBy::Person(language) => ("person", Some(language.as_str())),
        OptOutBy::Operator(name) => (*name, None),
    };
    let is_news = sqlx::query_scalar!(
        r#"WITH known AS (
            SELECT address FROM known_addresses($1) address
        ), suppressed AS (
            INSERT INTO suppressions (address, task, list) SELECT address, '', $2 FROM known
            ON CONFLICT DO NOTHING
        ), told AS (
            INSERT INTO opt_outs (address, by, language, task, channel, dialogue, reason)
            SELECT $1, $3, $4, $5, $6, $7, $8
            WHERE NOT EXISTS (SELECT FROM opt_outs o JOIN known USING (address) WHERE o.undone_at IS NULL)
            ON CONFLICT (address) WHERE undone_at IS NULL DO NOTHING
            RETURNING number
        )
        SELECT EXISTS (SELECT FROM told) AS "is_news!""#,
        address.as_str(),
        STOP_LIST,
        by,
        language,
        task.map(TaskName::as_str),
        channel.map(ChannelName::as_str),
        dialogue.map(|dialogue| dialogue.0),
        *reason
    )
    .fetch_one(connection)
    .await?;
    Ok(is_news)
}

impl Store {
    /// Suppresses a person for every task. Says whether it is news.
    pub async fn suppress(&self, wish: &OptOut<'_>) -> Result<bool, StoreError> {
        let mut connection = self.pool.acquire().await?;
        opt_out(&mut connection, wish).await
    }

    /// Ends a person's opt-out, and lets one who was forgotten be written to again: an operator's act, for
    /// which the person has to have asked.
    pub async fn unsuppress(
        &self,
        whom: &Whom,
        by: &str,
        reason: &str,
    ) -> Result<Undone, StoreError> {
        let (channel, name) = match whom {
            Whom::Everywhere(_) => (None, None),
            Whom::On { channel, name } => (Some(channel.as_str()), Some(name.as_str())),
        };
        let row = sqlx::query!(
            r#"WITH known AS (
                SELECT DISTINCT address FROM unnest($1::text[]) asked CROSS JOIN LATERAL known_addresses(asked) address
                UNION
                -- Before migration 0028 a name that a system gave was taken for the same person everywhere.
                SELECT address FROM opt_outs WHERE address = $6 AND channel = $5 AND undone_at IS NULL
            ), let_go AS (
                DELETE FROM suppressions WHERE address IN (SELECT address FROM known) AND list = $2
                RETURNING address
            ), undone AS (
                UPDATE opt_outs SET undone_at = clock_timestamp(), undone_by = $3, undone_reason = $4
                WHERE address IN (SELECT address FROM known) AND undone_at IS NULL
                RETURNING number
            ), remembered AS (
                UPDATE forgotten SET undone_at = clock_timestamp(), undone_by = $3, undone_reason = $4
                WHERE hash IN (SELECT person_hash(address) FROM known) AND undone_at IS NULL
                RETURNING hash
            ), noted AS (
                UPDATE installation SET unsuppressed_at = clock_timestamp()
                WHERE EXISTS (SELECT FROM let_go) OR EXISTS (SELECT FROM remembered)
            )
            SELECT EXISTS (SELECT FROM undone) AS "was_opted_out!",
                EXISTS (SELECT FROM remembered) AS "was_forgotten!",
                ARRAY(SELECT DISTINCT list FROM suppressions
                    WHERE address IN (SELECT address FROM known) AND list <> $2 ORDER BY list) AS "lists!""#,
            &whom.kept_as(),
            STOP_LIST,
            by,
            reason,
            channel,
            name
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Undone {
            was_opted_out: row.was_opted_out,
            was_forgotten: row.was_forgotten,
            lists: row.lists,
        })
    }

    /// The opt-outs that hold, the latest first, and how many there are.
    pub async fn list_opt_outs(&self) -> Result<(Vec<StandingOptOut>, u64), StoreError> {
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "total!" FROM opt_outs WHERE undone_at IS NULL"#
        )
        .fetch_one(&self.pool)
        .await?;
        let rows = sqlx::query!(
            "SELECT address, at, by, language, task, channel, reason FROM opt_outs
            WHERE undone_at IS NULL ORDER BY number DESC LIMIT $1",
            SHOWN_MAX
        )
        .fetch_all(&self.pool)
        .await?;
        let shown = rows.into_iter().map(|row| StandingOptOut {
            address: Address::from_stored(row.address),
            at: row.at,
            by: row.by,
            language: row.language,
            task: row.task,
            channel: row.channel,
            reason: row.reason,
        });
        Ok((shown.collect(), super::encoding::count(total)))
    }
}
