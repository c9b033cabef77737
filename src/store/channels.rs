//! Channels as they stand: what stops each, when it goes on, how much of its day is used, and what it hears.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    connect::Store,
    encoding::{count, fields_from_json, parsed},
    error::StoreError,
    portfolios::PortfolioUse,
};
use crate::domain::{
    channel::ChannelSpec,
    id::{ChannelName, TaskName},
};

/// One applied channel.
#[derive(Clone, Debug)]
pub struct ChannelHealth {
    pub name: ChannelName,
    pub spec: ChannelSpec,
    pub block: Option<ChannelBlock>,
    /// After failures that are nobody's: it sends nothing before this.
    pub rests_until: Option<DateTime<Utc>>,
    /// Openings of the UTC day.
    pub sent_today: u64,
    /// Where the channel shares a limit with others.
    pub portfolio: Option<PortfolioUse>,
    /// Why nothing is received, and since when.
    pub unheard: Option<(String, DateTime<Utc>)>,
    /// The last round of polling, where it is polled.
    pub polled_at: Option<DateTime<Utc>>,
    /// The tasks that use it and were not deleted.
    pub tasks: Vec<TaskName>,
    /// A living `watch` works for it.
    pub led: bool,
    pub now: DateTime<Utc>,
}

/// What stops a channel until it is lifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelBlock {
    pub reason: String,
    /// When it ends by itself.
    pub until: Option<DateTime<Utc>>,
    /// It is a provider's, and not for want of something here: `nuncio unblock` lifts it.
    pub liftable: bool,
}

impl ChannelBlock {
    /// The class of lanes whose channel cannot be connected.
    pub(super) const UNCONNECTABLE: &'static str = "unconnectable";
}

impl Store {
    pub async fn list_channels(&self) -> Result<BTreeMap<ChannelName, ChannelHealth>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH portfolio AS MATERIALIZED (
                SELECT name, messaging_limit, CASE WHEN full_until > now() THEN full_until END AS full_until,
                    portfolio_count(name, messaging_limit) AS used
                FROM portfolios WHERE name IN (SELECT l.portfolio FROM lanes l)
            )
            SELECT r.name AS "name!", r.fields AS "fields!",
                CASE WHEN l.blocked_until IS NULL OR l.blocked_until > now() THEN l.blocked_class END AS class,
                l.blocked_reason, l.blocked_until,
                CASE WHEN l.not_before > now() THEN l.not_before END AS rests_until,
                CASE WHEN l.day = utc_day(now()) THEN l.day_count ELSE 0 END AS "sent_today!",
                l.unheard_reason, l.unheard_since, c.at AS "polled_at?",
                ARRAY(SELECT t.name FROM task_channels tc
                    JOIN tasks t ON t.id = tc.task_id AND t.deleted_at IS NULL
                    WHERE tc.channel = r.name ORDER BY t.name) AS "tasks!",
                p.name AS "portfolio?", p.messaging_limit AS "messaging_limit?", p.used AS "used?",
                p.full_until AS "full_until?", e.id IS NOT NULL AS "led!", now() AS "now!"
            FROM resources r
            JOIN lanes l ON l.channel = r.name
            LEFT JOIN portfolio p ON p.name = l.portfolio
            LEFT JOIN receive_cursors c ON c.channel = r.name
            LEFT JOIN living_executors e ON e.id = l.owner
            WHERE r.kind = 'Channel'"#
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let spec = ChannelSpec::from_fields(&fields_from_json(&row.fields)?)
                    .ok_or_else(|| StoreError::Unreadable(format!("channel `{}`", row.name)))?;
                let block = row.class.map(|class| ChannelBlock {
                    reason: row.blocked_reason.unwrap_or_default(),
                    until: row.blocked_until,
                    liftable: class != ChannelBlock::UNCONNECTABLE,
                });
                let portfolio = row.portfolio.zip(row.messaging_limit).zip(row.used);
                let portfolio = portfolio.map(|((name, limit), used)| PortfolioUse {
                    name,
                    limit: count(i64::from(limit)),
                    used: count(used),
                    full_until: row.full_until,
                });
                let name: ChannelName = parsed(&row.name)?;
                let health = ChannelHealth {
                    name: name.clone(),
                    spec,
                    block,
                    rests_until: row.rests_until,
                    sent_today: count(i64::from(row.sent_today)),
                    portfolio,
                    unheard: row.unheard_reason.zip(row.unheard_since),
                    polled_at: row.polled_at,
                    tasks: row.tasks.iter().map(|task| parsed(task)).collect::<Result<_, _>>()?,
                    led: row.led,
                    now: row.now,
                };
                Ok((name, health))
            })
            .collect()
    }
}
