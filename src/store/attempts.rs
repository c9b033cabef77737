//! Permits, attempts and their outcomes: the send ledger.
//!
//! A permit and its intent are one statement, decided by the database's clock; an outcome is another.
//! Both are set-based: a thousand lanes cost as many round trips as one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{
    connect::Store,
    encoding::{opening_from_json, parsed},
    error::StoreError,
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, Permit},
    id::{AttemptId, ChannelName, ExecutorId, Fence, TaskId},
};

/// One statement's worth: above it the statement grows slower than its batch.
const PERMITS_MAX: i64 = 1000;
/// How many contacts that may not be written to (suppressed, or written to by an earlier incarnation)
/// one statement passes over for a task; more of them take further statements.
const SKIPPED_MAX: i64 = 500;
/// A call must begin while the lease has this much left, so that a stalled process does not call late.
const LEASE_MARGIN: Duration = Duration::from_secs(2);
/// A provider that is away is asked again after 5 s, 10 s, 20 s … and at most every quarter of an hour.
const BACKOFF_FIRST_S: f64 = 5.0;
const BACKOFF_MAX_S: f64 = 900.0;
/// About a day of a provider that is away; then the opening fails, and says so.
const TRIES_MAX: i32 = 100;

/// Characters of a provider's id or reason that are kept.
const PROVIDER_WORDS_MAX: usize = 500;

/// An attempt that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    pub attempt: AttemptId,
    pub channel: ChannelName,
    /// The fence under which the lane is held now.
    pub fence: Fence,
    pub outcome: Outcome,
}

/// An attempt whose outcome nobody will record: its executor is gone, or never learnt of the permit.
#[derive(Clone, Debug)]
pub struct Abandoned {
    pub attempt: AttemptId,
    pub channel: ChannelName,
    pub fence: Fence,
    /// Granted under the fence that is held now: then the holder knows that it never called.
    pub under_this_fence: bool,
}

/// An attempt in doubt that waits for an operator.
#[derive(Clone, Debug)]
pub struct Doubtful {
    pub attempt: AttemptId,
    pub task: String,
    pub channel: String,
    pub address: Address,
    pub granted_at: DateTime<Utc>,
    pub reason: String,
}

/// What an operator says of an attempt in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It arrived.
    Sent,
    /// It did not: the contact is written to again.
    Retry,
    /// Whatever became of it, the contact is not written to again.
    Drop,
}

/// Creates the partitions of this month and the next, so that rows seldom fall into the default one.
pub(super) async fn create_partitions(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query(
        "DO $$ DECLARE month date; BEGIN
            PERFORM pg_advisory_xact_lock(hashtext('nuncio attempts partitions'));
            FOR month IN SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => m))::date
                FROM generate_series(0, 1) m LOOP
                IF to_regclass('attempts_' || to_char(month, 'YYYY_MM')) IS NULL
                    AND NOT EXISTS (SELECT FROM attempts_default WHERE granted_at >= month
                        AND granted_at < month + interval '1 month') THEN
                    EXECUTE format('CREATE TABLE %I PARTITION OF attempts FOR VALUES FROM (%L) TO (%L)',
                        'attempts_' || to_char(month, 'YYYY_MM'),
                        month::timestamp AT TIME ZONE 'UTC',
                        (month + interval '1 month')::timestamp AT TIME ZONE 'UTC');
                END IF;
            END LOOP;
        END $$",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A provider's words as they can be kept: no control characters, of which one (U+0000) Postgres refuses,
/// and no more than a person reads.
fn storable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(PROVIDER_WORDS_MAX).collect()
}

impl Store {
    /// Grants the permit of every lane of this executor that is due, and commits the intents.
    ///
    /// A lane speaks for one task at a time, the one that waited longest. Retries go before fresh
    /// contacts. The row of the lane, of the audience's cursor and of the retry are locked here, and
    /// whoever finds them locked passes on; the ledger's key is the last word on "never twice".
    pub async fn grant_permits(&self, executor: ExecutorId) -> Result<Vec<Permit>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH me AS (
                SELECT id, extract(epoch FROM alive_until - now())::float8 - $4::float8 AS valid_s
                FROM executors WHERE id = $1 AND alive_until > now() + make_interval(secs => $4)
            ), lane AS (
                SELECT l.channel, l.fence FROM lanes l JOIN me ON me.id = l.owner
                WHERE l.in_flight IS NULL AND l.blocked_class IS NULL
                    OR l.in_flight IS NULL AND l.blocked_until <= now()
                FOR UPDATE OF l SKIP LOCKED
            ), turn AS (
                SELECT DISTINCT ON (channel) lane.fence, turns.channel, turns.task_id, turns.task,
                    turns.hours_from_s, turns.hours_to_s, turns.timezone, turns.is_full
                FROM lane JOIN turns USING (channel)
                WHERE turns.verdict = 'ready'
                ORDER BY channel, turns.last_opening_at NULLS FIRST, turns.task_id
                LIMIT $2
            ), due_retry AS (
                SELECT turn.channel, r.*
                FROM turn CROSS JOIN LATERAL (
                    SELECT r.opening, r.position, r.address, r.key, r.tries, c.variables,
                        r.in_doubt AND r.counted_on = utc_day(now()) AS is_counted
                    FROM retries r
                    JOIN contacts c ON c.task_id = r.task_id AND c.position = r.position
                    WHERE r.task_id = turn.task_id AND r.ready_at <= now()
                        AND (r.channel IS NULL OR r.channel = turn.channel)
                        AND (NOT turn.is_full OR r.in_doubt AND r.counted_on = utc_day(now()))
                        AND NOT EXISTS (SELECT FROM suppressions s WHERE s.address = r.address
                            AND s.task IN ('', turn.task))
                    ORDER BY r.channel NULLS LAST, r.ready_at
                    LIMIT 1
                    FOR UPDATE OF r SKIP LOCKED
                ) r
            ), retry AS (
                -- Two lanes of one task may have found the same unbound retry.
                SELECT DISTINCT ON (opening) * FROM due_retry ORDER BY opening, channel
            ), fresh_turn AS (
                SELECT turn.*, row_number() OVER (PARTITION BY task_id ORDER BY channel) AS n
                FROM turn WHERE NOT is_full AND channel NOT IN (SELECT channel FROM due_retry)
            ), audience AS (
                SELECT a.task_id, a.cursor_position, wanted.n_wanted, wanted.task
                FROM audiences a JOIN (
                    SELECT task_id, min(task) AS task, count(*) AS n_wanted FROM fresh_turn GROUP BY task_id
                ) wanted USING (task_id)
                WHERE a.cursor_position < a.last_position
                FOR UPDATE OF a SKIP LOCKED
            ), passed AS (
                SELECT audience.task_id, audience.n_wanted, c.*,
                    sum(c.eligible::int) OVER (PARTITION BY audience.task_id ORDER BY c.position) AS n
                FROM audience CROSS JOIN LATERAL (
                    SELECT c.position, c.address, c.variables, l.task IS NULL AS unwritten,
                        l.task IS NULL AND NOT EXISTS (SELECT FROM suppressions s
                            WHERE s.address = c.address AND s.task IN ('', audience.task)) AS eligible
                    FROM contacts c
                    LEFT JOIN ledger l ON l.task = audience.task AND l.address = c.address
                    WHERE c.task_id = audience.task_id AND c.position > audience.cursor_position
                    ORDER BY c.position
                    LIMIT audience.n_wanted + $3
                ) c
            ), fresh AS (
                SELECT * FROM passed WHERE eligible AND n <= n_wanted
            ), moved AS (
                -- Up to the last contact that is granted; over all of the window if there were not
                -- enough, and to the end if the window was not full: nothing stands behind it.
                UPDATE audiences a SET waiting = greatest(0, a.waiting - coalesce(p.n_passed, 0)),
                    cursor_position = CASE
                        WHEN coalesce(p.n_eligible, 0) < audience.n_wanted
                            AND coalesce(p.n_rows, 0) < audience.n_wanted + $3 THEN a.last_position
                        ELSE p.cursor_position END
                FROM audience LEFT JOIN (
                    SELECT task_id, count(*) AS n_rows, count(*) FILTER (WHERE eligible) AS n_eligible,
                        max(position) FILTER (WHERE n < n_wanted OR n = n_wanted AND eligible)
                            AS cursor_position,
                        count(*) FILTER (WHERE unwritten AND (n < n_wanted OR n = n_wanted AND eligible))
                            AS n_passed
                    FROM passed GROUP BY task_id
                ) p USING (task_id)
                WHERE a.task_id = audience.task_id
            ), pick AS (
                SELECT turn.channel, turn.fence, turn.task_id, turn.task, retry.opening, retry.position,
                    retry.address, retry.key, retry.tries + 1 AS tries, retry.variables, retry.is_counted
                FROM retry JOIN turn USING (channel)
                UNION ALL
                SELECT t.channel, t.fence, t.task_id, t.task, nextval('opening_ids'), fresh.position,
                    fresh.address, opening_key(t.task, fresh.address), 1, fresh.variables, false
                FROM fresh JOIN fresh_turn t ON t.task_id = fresh.task_id AND t.n = fresh.n
            ), entered AS (
                INSERT INTO ledger (task, address, opening, channel)
                SELECT DISTINCT ON (task, address) task, address, opening, channel
                FROM pick ORDER BY task, address, opening
                ON CONFLICT (task, address) DO UPDATE SET channel = excluded.channel
                WHERE ledger.opening = excluded.opening
                RETURNING task, address, opening
            ), granted AS (
                INSERT INTO attempts (id, opening, tries, task_id, task, channel, position, address, key,
                    fence, granted_at)
                SELECT nextval('attempt_ids'), opening, tries, task_id, task, channel, position,
                    address, key, fence, now()
                FROM pick JOIN entered USING (task, address, opening)
                RETURNING id, opening, task_id, task, channel, address, key, fence, granted_at
            ), taken AS (
                DELETE FROM retries WHERE opening IN (SELECT opening FROM granted)
            ), counted AS (
                SELECT granted.*, (NOT coalesce(pick.is_counted, false))::int AS n
                FROM granted JOIN pick USING (opening)
            ), lane_marked AS (
                UPDATE lanes l SET in_flight = g.id, in_flight_granted_at = g.granted_at,
                    last_pause_ms = t.pause_ms, day = utc_day(now()),
                    day_count = CASE WHEN l.day = utc_day(now()) THEN l.day_count ELSE 0 END + g.n,
                    blocked_class = NULL, blocked_reason = NULL, blocked_until = NULL
                FROM counted g JOIN tasks t ON t.id = g.task_id
                WHERE l.channel = g.channel
            ), task_marked AS (
                UPDATE task_channels tc SET last_opening_at = now(), day = utc_day(now()),
                    day_count = CASE WHEN tc.day = utc_day(now()) THEN tc.day_count ELSE 0 END + g.n
                FROM counted g WHERE tc.task_id = g.task_id AND tc.channel = g.channel
            )
            SELECT g.id, g.task_id, g.task, g.channel, g.address, g.key, g.fence,
                pick.variables, tasks.opening AS "opening!",
                least(me.valid_s, hours_left_s(turn.hours_from_s, turn.hours_to_s, turn.timezone, now()) - 0.5)
                    AS "valid_s!"
            FROM granted g
            JOIN pick USING (opening)
            JOIN turn ON turn.channel = g.channel
            JOIN tasks ON tasks.id = g.task_id
            CROSS JOIN me"#,
            executor.0,
            PERMITS_MAX,
            SKIPPED_MAX,
            LEASE_MARGIN.as_secs_f64()
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let variables = match row.variables {
                    Some(serde_json::Value::Object(map)) => map
                        .into_iter()
                        .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
                        .collect(),
                    _ => Vec::new(),
                };
                let opening = opening_from_json(&row.opening).ok_or_else(|| {
                    StoreError::Unreadable(format!("the opening of `{}`", row.task))
                })?;
                Ok(Permit {
                    attempt: AttemptId(row.id),
                    fence: Fence(row.fence),
                    task_id: TaskId(row.task_id),
                    task: parsed(&row.task)?,
                    channel: parsed(&row.channel)?,
                    address: Address::from_stored(row.address),
                    variables,
                    opening,
                    key: row.key,
                    valid_for: Duration::from_secs_f64(row.valid_s.max(0.0)),
                })
            })
            .collect()
    }

    /// Records many outcomes. One whose lane has another fence by now changes nothing: whoever holds
    /// the lane has settled the attempt already. Says which were recorded.
    pub async fn record_outcomes(
        &self,
        finished: &[Finished],
    ) -> Result<Vec<AttemptId>, StoreError> {
        let attempts: Vec<i64> = finished.iter().map(|f| f.attempt.0).collect();
        let channels: Vec<String> = finished.iter().map(|f| f.channel.to_string()).collect();
        let fences: Vec<i64> = finished.iter().map(|f| f.fence.0).collect();
        let classes: Vec<String> = finished.iter().map(|f| f.outcome.class.to_string()).collect();
        let afters: Vec<Option<f64>> =
            finished.iter().map(|f| f.outcome.after.map(|after| after.as_secs_f64())).collect();
        let reasons: Vec<String> = finished.iter().map(|f| storable(&f.outcome.reason)).collect();
        let message_ids: Vec<Option<String>> = finished
            .iter()
            .map(|f| f.outcome.provider_message_id.as_deref().map(storable))
            .collect();
        let stops: Vec<bool> = finished.iter().map(|f| f.outcome.class.stops_channel()).collect();
        let again: Vec<bool> = finished.iter().map(|f| f.outcome.class.is_tried_again()).collect();
        let recorded = sqlx::query_scalar!(
            r#"WITH news AS (
                SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::float8[],
                    $6::text[], $7::text[], $8::bool[], $9::bool[])
                AS n (attempt, channel, fence, class, after_s, reason, message_id, stops, again)
            ), lane AS (
                SELECT l.channel, l.in_flight_granted_at, l.failures, l.drops_repeats, l.day, news.attempt,
                    news.class, news.after_s, news.reason, news.message_id, news.stops, news.again
                FROM lanes l JOIN news ON l.channel = news.channel AND l.fence = news.fence
                    AND l.in_flight = news.attempt
                ORDER BY l.channel
                FOR UPDATE OF l
            ), done AS (
                UPDATE attempts a SET finished_at = clock_timestamp(), outcome = lane.class,
                    reason = nullif(lane.reason, ''), provider_message_id = lane.message_id
                FROM lane
                WHERE a.id = lane.attempt AND a.granted_at = lane.in_flight_granted_at
                    AND a.outcome IS NULL
                RETURNING a.id, a.opening, a.tries, a.task_id, a.task, a.channel, a.position, a.address,
                    a.key, utc_day(a.granted_at) AS day, lane.class, lane.stops, lane.after_s,
                    -- What is tried again, within reason and while the contact is there: refusals that
                    -- reached nobody, and doubts where the provider drops the repeat.
                    (lane.again OR lane.class = 'in-doubt' AND lane.drops_repeats) AND a.tries < $10
                        AND EXISTS (SELECT FROM contacts c
                            WHERE c.task_id = a.task_id AND c.position = a.position) AS repeated,
                    -- This attempt, or an earlier one at the same opening, may have arrived.
                    lane.class = 'in-doubt' OR EXISTS (SELECT FROM attempts earlier
                        WHERE earlier.task_id = a.task_id AND earlier.address = a.address
                            AND earlier.opening = a.opening AND earlier.outcome = 'in-doubt') AS doubt,
                    -- Failures that are not the recipient's: the lane rests, longer each time. A zero
                    -- says that the failure was ours, and the provider needs no rest.
                    (lane.again OR lane.class = 'in-doubt') AND NOT lane.stops
                        AND coalesce(lane.after_s, 1) > 0 AS rests,
                    least($12::float8, $11::float8 * power(2, least(lane.failures, 20)))
                        AS backoff_s
            ), lane_freed AS (
                UPDATE lanes l SET in_flight = NULL, in_flight_granted_at = NULL,
                    last_opening_at = clock_timestamp(),
                    -- What will be tried again gives its place in the limit back; a doubt keeps it.
                    day_count = CASE WHEN l.day = done.day AND repeated AND NOT doubt THEN greatest(0, l.day_count - 1)
                        ELSE l.day_count END,
                    failures = CASE WHEN done.rests THEN l.failures + 1
                        WHEN done.class = 'in-doubt' THEN l.failures ELSE 0 END,
                    not_before = CASE WHEN done.rests
                        THEN clock_timestamp() + make_interval(secs => coalesce(done.after_s, done.backoff_s)) END,
                    blocked_class = CASE WHEN done.stops THEN done.class ELSE l.blocked_class END,
                    blocked_reason = CASE WHEN done.stops THEN lane.reason ELSE l.blocked_reason END,
                    blocked_until = CASE WHEN done.stops
                        THEN clock_timestamp() + make_interval(secs => done.after_s)
                        ELSE l.blocked_until END
                FROM done JOIN lane ON lane.attempt = done.id
                WHERE l.channel = done.channel
            ), counted AS (
                UPDATE task_channels tc SET
                    n_sent = n_sent + (done.class = 'sent')::int,
                    n_in_doubt = n_in_doubt + (done.class = 'in-doubt' AND NOT repeated)::int,
                    n_failed = n_failed + (done.class NOT IN ('sent', 'in-doubt') AND NOT repeated)::int,
                    day_count = CASE WHEN tc.day = done.day AND repeated AND NOT doubt THEN greatest(0, tc.day_count - 1)
                        ELSE tc.day_count END
                FROM done WHERE tc.task_id = done.task_id AND tc.channel = done.channel
            ), back AS (
                INSERT INTO retries (opening, task_id, position, address, key, tries, channel, ready_at,
                    in_doubt, counted_on)
                SELECT opening, task_id, position, address, key, tries,
                    -- A channel that is stopped and certainly sent nothing lets another take over.
                    CASE WHEN stops AND NOT doubt THEN NULL ELSE channel END,
                    clock_timestamp() + make_interval(secs => CASE WHEN stops THEN 0
                        ELSE coalesce(after_s, backoff_s) END),
                    doubt, CASE WHEN doubt THEN day END
                FROM done WHERE repeated
            ), unwritten AS (
                -- Certainly not written to: a later incarnation may try.
                DELETE FROM ledger l USING done
                WHERE l.task = done.task AND l.address = done.address AND l.opening = done.opening
                    AND NOT repeated AND NOT doubt AND done.class <> 'sent'
                RETURNING l.task, l.address, done.task_id, done.key
            ), heir AS (
                -- The task was recreated while the call ran: the new incarnation has passed over the
                -- contact, or does not count it as waiting.
                SELECT c.task_id, c.position, c.address, u.key,
                    c.position <= a.cursor_position AS is_passed
                FROM unwritten u
                JOIN tasks t ON t.name = u.task AND t.deleted_at IS NULL AND t.id <> u.task_id
                JOIN audiences a ON a.task_id = t.id
                JOIN contacts c ON c.task_id = t.id AND c.address = u.address
            ), inherited AS (
                INSERT INTO retries (opening, task_id, position, address, key, tries, ready_at, in_doubt)
                SELECT nextval('opening_ids'), task_id, position, address, key, 0, clock_timestamp(), false
                FROM heir WHERE is_passed
            ), awaited AS (
                UPDATE audiences a SET waiting = waiting + 1
                FROM heir WHERE a.task_id = heir.task_id AND NOT is_passed
            )
            SELECT id AS "id!" FROM done"#,
            &attempts,
            &channels,
            &fences,
            &classes,
            &afters as &[Option<f64>],
            &reasons,
            &message_ids as &[Option<String>],
            &stops,
            &again,
            TRIES_MAX,
            BACKOFF_FIRST_S,
            BACKOFF_MAX_S
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(recorded.into_iter().map(AttemptId).collect())
    }

    /// Attempts in flight on lanes of this executor that it does not know of.
    pub async fn list_abandoned(
        &self,
        executor: ExecutorId,
        known: &[AttemptId],
    ) -> Result<Vec<Abandoned>, StoreError> {
        let known: Vec<i64> = known.iter().map(|attempt| attempt.0).collect();
        let rows = sqlx::query!(
            r#"SELECT l.channel, l.fence, l.in_flight AS "attempt!", a.fence = l.fence AS "under_this_fence!"
            FROM lanes l JOIN attempts a ON a.id = l.in_flight AND a.granted_at = l.in_flight_granted_at
            WHERE l.owner = $1 AND l.in_flight <> ALL ($2)"#,
            executor.0,
            &known
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Abandoned {
                    attempt: AttemptId(row.attempt),
                    channel: parsed(&row.channel)?,
                    fence: Fence(row.fence),
                    under_this_fence: row.under_this_fence,
                })
            })
            .collect()
    }

    /// The attempts that are in doubt and will not be repeated, oldest first.
    pub async fn list_doubtful(&self) -> Result<Vec<Doubtful>, StoreError> {
        let rows = sqlx::query!(
            "SELECT a.id, a.task, a.channel, a.address, a.granted_at, coalesce(a.reason, '') AS reason
            FROM attempts a
            WHERE a.outcome = 'in-doubt' AND coalesce(a.reason, '') NOT LIKE 'resolved as %'
                AND NOT EXISTS (SELECT FROM attempts later WHERE later.task_id = a.task_id
                    AND later.address = a.address AND later.opening = a.opening AND later.id > a.id)
                AND NOT EXISTS (SELECT FROM retries r WHERE r.opening = a.opening)
            ORDER BY a.id LIMIT 1000"
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Doubtful {
                attempt: AttemptId(row.id),
                task: row.task,
                channel: row.channel,
                address: Address::from_stored(row.address),
                granted_at: row.granted_at,
                reason: row.reason.unwrap_or_default(),
            })
            .collect())
    }

    /// Settles an attempt in doubt by an operator's word. Says whether it was in doubt.
    pub async fn resolve(
        &self,
        attempt: AttemptId,
        resolution: Resolution,
        by: &str,
    ) -> Result<bool, StoreError> {
        let (outcome, word) = match resolution {
            Resolution::Sent => ("sent", "sent"),
            Resolution::Retry => ("not-sent", "not sent"),
            Resolution::Drop => ("in-doubt", "dropped"),
        };
        let reason = format!("resolved as {word} by {by}");
        let resolved = sqlx::query_scalar!(
            r#"WITH doubtful AS (
                SELECT a.* FROM attempts a
                WHERE a.id = $1 AND a.outcome = 'in-doubt' AND coalesce(a.reason, '') NOT LIKE 'resolved as %'
                    AND ($2 <> 'not-sent' OR EXISTS (SELECT FROM contacts c
                        WHERE c.task_id = a.task_id AND c.position = a.position))
                    AND NOT EXISTS (SELECT FROM retries r WHERE r.opening = a.opening)
                    AND NOT EXISTS (SELECT FROM attempts later WHERE later.task_id = a.task_id
                        AND later.address = a.address AND later.opening = a.opening AND later.id > a.id)
                FOR UPDATE OF a
            ), settled AS (
                UPDATE attempts a SET outcome = $2, reason = $3 FROM doubtful d
                WHERE a.id = d.id AND a.granted_at = d.granted_at
                RETURNING a.id, a.opening, a.task_id, a.position, a.address, a.key, a.channel
            ), counted AS (
                UPDATE task_channels tc SET n_in_doubt = greatest(0, n_in_doubt - 1),
                    n_sent = n_sent + ($2 = 'sent')::int,
                    n_failed = n_failed + ($2 = 'in-doubt')::int
                FROM settled s WHERE tc.task_id = s.task_id AND tc.channel = s.channel
            ), back AS (
                INSERT INTO retries (opening, task_id, position, address, key, tries, channel, ready_at, in_doubt)
                SELECT opening, task_id, position, address, key, 0, channel, now(), false
                FROM settled WHERE $2 = 'not-sent'
            )
            SELECT id AS "id!" FROM settled"#,
            attempt.0,
            outcome,
            reason
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(resolved.is_some())
    }

    /// Ends the retries of contacts that were removed or suppressed meanwhile: one that certainly was not
    /// written to leaves the ledger, one in doubt stays so, for an operator. Says how many.
    pub async fn settle_orphans(&self) -> Result<u64, StoreError> {
        let settled = sqlx::query!(
            "WITH orphan AS (
                DELETE FROM retries r USING tasks t
                WHERE t.id = r.task_id AND NOT EXISTS (SELECT FROM due_retries d WHERE d.opening = r.opening)
                RETURNING r.opening, r.task_id, t.name AS task, r.address, r.channel, r.in_doubt
            ), doubtful AS (
                UPDATE task_channels tc SET n_in_doubt = n_in_doubt + o.n
                FROM (SELECT task_id, channel, count(*) AS n FROM orphan WHERE in_doubt
                    GROUP BY task_id, channel) o
                WHERE tc.task_id = o.task_id AND tc.channel = o.channel
            )
            DELETE FROM ledger l USING orphan o
            WHERE l.task = o.task AND l.address = o.address AND l.opening = o.opening AND NOT o.in_doubt"
        )
        .execute(&self.pool)
        .await?;
        Ok(settled.rows_affected())
    }

    /// Keeps the partitions ahead of the calendar.
    pub async fn keep_partitions(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        create_partitions(&mut connection).await
    }
}
