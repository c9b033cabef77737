//! Lanes: leases with a rising fence, blocks, and when to look again.

use std::time::Duration;

use sqlx::{PgConnection, postgres::types::PgInterval};

use super::{connect::Store, encoding::parsed, error::StoreError};
use crate::domain::id::{ChannelName, ExecutorId, Fence};

/// Long enough to survive a slow heartbeat, short enough that the lanes of a killed executor move on
/// in well under 15 s.
pub(super) const LEASE: Duration = Duration::from_secs(8);

/// By then whoever has lost a lane has noticed, by a heartbeat or by its own clock, and has let go of what only
/// one may have.
const LET_GO: Duration = LEASE.saturating_add(LEASE_MARGIN);

/// A call must begin while the lease has this much left, so that a stalled process does not call late.
pub(super) const LEASE_MARGIN: Duration = Duration::from_secs(2);

/// The class of the advisory locks by which sessions of executors show that they live; the view
/// `living_executors` knows it too.
const PRESENCE_LOCK_CLASS: i32 = 28277;

/// The session that shows that an executor lives: the server drops its lock when the process dies.
#[derive(Debug)]
pub struct Presence {
    _session: PgConnection,
}

/// A lane that an executor holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedLane {
    pub channel: ChannelName,
    pub fence: Fence,
    /// For so long whoever had it before may believe to have it still.
    pub let_go_in: Duration,
}

/// What a heartbeat found.
#[derive(Clone, Debug)]
#[must_use]
pub enum Sweep {
    /// The executor is known.
    Holds {
        /// How long the lease is, from before it was asked for.
        lease: Duration,
        lanes: Vec<LeasedLane>,
        /// Some task's pause is over.
        pause_ended: bool,
    },
    /// Its lease ran out: its lanes may belong to others. It has to register anew.
    Expired,
}

pub(super) fn interval(duration: Duration) -> PgInterval {
    let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    PgInterval { months: 0, days: 0, microseconds }
}

/// What became of the wish to let a channel send again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unblocked {
    Lifted {
        reason: String,
    },
    /// It cannot be connected: nobody's word mends that.
    Stays {
        reason: String,
    },
    WasOpen,
}

impl Store {
    /// Makes an executor known, alive as long as the session that is given back.
    pub async fn register_executor(
        &self,
        executor: ExecutorId,
        host: &str,
        pid: u32,
    ) -> Result<Presence, StoreError> {
        let mut session = self.pool.acquire().await?.detach();
        let lock_id = sqlx::query_scalar!(
            "WITH dead AS (DELETE FROM executors WHERE alive_until < now() - interval '1 hour')
            INSERT INTO executors (id, host, pid, alive_until) VALUES ($1, $2, $3, now() + $4)
            RETURNING lock_id",
            executor.0,
            host,
            i32::try_from(pid).unwrap_or(0),
            interval(LEASE)
        )
        .fetch_one(&mut session)
        .await?;
        sqlx::query("SELECT pg_advisory_lock($1, $2)")
            .bind(PRESENCE_LOCK_CLASS)
            .bind(lock_id)
            .execute(&mut session)
            .await?;
        Ok(Presence { _session: session })
    }

    /// Renews the lease and takes free lanes, up to a fair share of all; gives back what is above it.
    pub async fn sweep_lanes(&self, executor: ExecutorId) -> Result<Sweep, StoreError> {
        let renewed = sqlx::query_scalar!(
            r#"UPDATE executors SET alive_until = now() + $2
            WHERE id = $1 AND id IN (SELECT id FROM living_executors)
            RETURNING EXISTS (SELECT FROM tasks WHERE resume_at <= now()) AS "pause_ended!""#,
            executor.0,
            interval(LEASE)
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(pause_ended) = renewed else { return Ok(Sweep::Expired) };
        sqlx::query!(
            r#"WITH alive AS (
                SELECT id FROM living_executors
            ), share AS (
                SELECT ceil((SELECT count(*) FROM lanes)::numeric
                        / greatest(1, (SELECT count(*) FROM alive)))::bigint AS lanes,
                    (SELECT count(*) FROM lanes WHERE owner = $1) AS held
            ), taken AS (
                -- Whoever took one since this statement began is not among those that it sees alive.
                SELECT l.channel FROM lanes l
                JOIN lanes seen ON seen.channel = l.channel AND seen.fence = l.fence
                WHERE l.owner IS NULL OR l.owner NOT IN (SELECT id FROM alive)
                ORDER BY l.channel
                LIMIT greatest(0, (SELECT lanes - held FROM share))
                FOR UPDATE OF l SKIP LOCKED
            ), surplus AS (
                SELECT channel FROM lanes l
                WHERE owner = $1 AND in_flight IS NULL
                    -- Whoever took it now would take a reply that is on its way for an abandoned one.
                    AND NOT EXISTS (SELECT FROM messages m WHERE m.channel = l.channel AND m.state = 'sending')
                ORDER BY channel DESC
                LIMIT greatest(0, (SELECT held - lanes FROM share))
                FOR UPDATE SKIP LOCKED
            ), given_back AS (
                UPDATE lanes SET owner = NULL, let_go_at = now() + $2
                WHERE channel IN (SELECT channel FROM surplus)
            )
            -- Whoever left in order has let go before.
            UPDATE lanes SET owner = $1, fence = fence + 1,
                let_go_at = CASE WHEN owner IS NULL THEN let_go_at ELSE now() + $2 END
            WHERE channel IN (SELECT channel FROM taken)"#,
            executor.0,
            interval(LET_GO)
        )
        .execute(&self.pool)
        .await?;
        let rows = sqlx::query!(
            r#"SELECT channel, fence, coalesce(extract(epoch FROM let_go_at - now()), 0)::float8 AS "let_go_s!"
            FROM lanes WHERE owner = $1"#,
            executor.0
        )
        .fetch_all(&self.pool)
        .await?;
        let lanes = rows
            .into_iter()
            .map(|row| {
                Ok(LeasedLane {
                    channel: parsed(&row.channel)?,
                    fence: Fence(row.fence),
                    let_go_in: Duration::from_secs_f64(
                        row.let_go_s.clamp(0.0, LET_GO.as_secs_f64()),
                    ),
                })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Sweep::Holds { lease: LEASE, lanes, pause_ended })
    }

    /// Gives every lane back, so that another executor need not wait for the lease to run out.
    pub async fn release_lanes(&self, executor: ExecutorId) -> Result<(), StoreError> {
        sqlx::query!(
            "WITH gone AS (DELETE FROM executors WHERE id = $1)
            UPDATE lanes SET owner = NULL WHERE owner = $1",
            executor.0
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Blocks lanes that cannot be connected, until they can; `None` lifts such a block.
    pub async fn set_unconnectable(
        &self,
        executor: ExecutorId,
        lanes: &[(ChannelName, Option<String>)],
    ) -> Result<(), StoreError> {
        let channels: Vec<String> = lanes.iter().map(|(name, _)| name.to_string()).collect();
        let reasons: Vec<Option<String>> = lanes.iter().map(|(_, reason)| reason.clone()).collect();
        // A block for another cause is not ours to lift or to replace.
        sqlx::query!(
            "UPDATE lanes l SET blocked_reason = news.reason, blocked_until = NULL,
                blocked_class = CASE WHEN news.reason IS NULL THEN NULL ELSE 'unconnectable' END
            FROM unnest($2::text[], $3::text[]) AS news (channel, reason)
            WHERE l.channel = news.channel AND l.owner = $1
                AND coalesce(l.blocked_class, 'unconnectable') = 'unconnectable'
                AND l.blocked_reason IS DISTINCT FROM news.reason",
            executor.0,
            &channels,
            &reasons as &[Option<String>]
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How long until a lane of this executor may send, by the database's clock; `None`: not before
    /// something changes.
    pub async fn next_turn_in(&self, executor: ExecutorId) -> Result<Option<Duration>, StoreError> {
        let seconds = sqlx::query_scalar!(
            r#"SELECT min(extract(epoch FROM until - now()))::float8 FROM turns WHERE owner = $1"#,
            executor.0
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0))))
    }

    /// Whether a channel has a lane: it was applied, and can open dialogues.
    pub async fn has_lane(&self, channel: &ChannelName) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM lanes WHERE channel = $1) AS "found!""#,
            channel.as_str()
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(found)
    }

    /// Lifts the block of a channel. One that cannot be connected stays so until that is mended.
    pub async fn unblock_lane(&self, channel: &ChannelName) -> Result<Unblocked, StoreError> {
        let blocked = sqlx::query!(
            r#"WITH before AS (
                SELECT channel, blocked_class, blocked_reason FROM lanes
                WHERE channel = $1 AND blocked_class IS NOT NULL FOR UPDATE
            ), lifted AS (
                UPDATE lanes l SET blocked_class = NULL, blocked_reason = NULL, blocked_until = NULL,
                    failures = 0, not_before = NULL, unheard_reason = NULL, unheard_since = NULL
                FROM before b WHERE l.channel = b.channel AND b.blocked_class <> 'unconnectable'
            )
            SELECT blocked_reason AS "reason!", blocked_class = 'unconnectable' AS "stays!" FROM before"#,
            channel.as_str()
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(match blocked {
            None => Unblocked::WasOpen,
            Some(row) if row.stays => Unblocked::Stays { reason: row.reason },
            Some(row) => Unblocked::Lifted { reason: row.reason },
        })
    }
}
