//! Business portfolios: a limit on openings in any 24 hours that several numbers share. It is kept by the statement
//! that grants permits.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{connect::Store, error::StoreError};
use crate::domain::channel::ChannelSpec;

/// How much of a portfolio's limit is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortfolioUse {
    pub name: String,
    pub limit: u64,
    /// Openings of the last 24 hours, of all its channels; never more than the limit.
    pub used: u64,
    /// The limit is reached until then.
    pub full_until: Option<DateTime<Utc>>,
}

/// Has the openings of a channel count for the portfolio of its manifest, those of the last hours among them. Its
/// lane is locked by this transaction.
pub(super) async fn join_portfolio(
    connection: &mut PgConnection,
    channel: &str,
    spec: &ChannelSpec,
) -> Result<(), StoreError> {
    let (name, limit) = spec.portfolio().unzip();
    let joined = sqlx::query!(
        "UPDATE lanes SET portfolio = $2 WHERE channel = $1 AND portfolio IS DISTINCT FROM $2",
        channel,
        name
    )
    .execute(&mut *connection)
    .await?;
    if let (Some(name), Some(limit)) = (name, limit) {
        sqlx::query!(
            "INSERT INTO portfolios (name, messaging_limit) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET messaging_limit = excluded.messaging_limit, full_until = NULL,
                -- A permit that has begun before sees by it what it cannot count.
                granted = portfolios.granted + (SELECT count(*) FROM attempts a
                    WHERE a.channel = $3 AND a.granted_at > now() - interval '24 hours'
                        AND a.portfolio IS DISTINCT FROM $1)",
            name,
            i32::try_from(limit).unwrap_or(i32::MAX),
            channel
        )
        .execute(&mut *connection)
        .await?;
    }
    if joined.rows_affected() > 0 {
        sqlx::query!(
            "UPDATE attempts SET portfolio = $2
            WHERE channel = $1 AND granted_at > now() - interval '24 hours' AND portfolio IS DISTINCT FROM $2",
            channel,
            name
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

impl Store {
    /// Looks again whether portfolios that count as full are: of what was certainly not sent, a permit that was being
    /// decided may not have known.
    pub async fn recount_portfolios(&self) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE portfolios p SET full_until = NULL FROM (
                SELECT name FROM portfolios WHERE full_until > now() FOR UPDATE SKIP LOCKED
            ) full_one
            WHERE p.name = full_one.name AND portfolio_count(p.name, p.messaging_limit) < p.messaging_limit"
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
