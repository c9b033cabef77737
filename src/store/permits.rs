//! Permits: the one statement that decides who is written to, when, and through which lane.
//!
//! A permit and its intent are one statement, by the database's clock; the outcome is another. Both are
//! set-based: a thousand lanes cost as many round trips as one.

use std::time::Duration;

use super::{
    connect::Store,
    encoding::{opening_from_json, parsed, variables_from_json},
    error::StoreError,
    lanes::LEASE_MARGIN,
};
use crate::domain::{
    address::Address,
    attempt::Permit,
    id::{AttemptId, ExecutorId, Fence, TaskId},
};

/// One statement's worth. With ten times as many, a thousand lanes that are due together wait for each
/// other's calls, and their gaps grow (see benches/sending.rs); fewer cost throughput.
const PERMITS_MAX: i64 = 100;
/// How many contacts that may not be written to (suppressed, or written to by an earlier incarnation) one statement
/// passes over for a task: few, as most have none and each costs several looks; many, where there were more than that
/// the last time.
const SKIPPED_FEW: i32 = 20;
const SKIPPED_MAX: i32 = 500;

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
                SELECT l.channel, l.fence, l.portfolio FROM lanes l JOIN me ON me.id = l.owner
                WHERE l.in_flight IS NULL AND l.blocked_class IS NULL
                    OR l.in_flight IS NULL AND l.blocked_until <= now()
                FOR UPDATE OF l SKIP LOCKED
            ), speaker AS (
                SELECT DISTINCT ON (channel) lane.fence, lane.portfolio, turns.channel, turns.task_id, turns.task,
                    turns.hours_from_s, turns.hours_to_s, turns.timezone, turns.is_full,
                    turns.by_ai, turns.last_opening_at
                FROM lane JOIN turns USING (channel)
                WHERE turns.verdict = 'ready'
                ORDER BY channel, turns.last_opening_at NULLS FIRST, turns.task_id
            ), portfolio AS (
                -- One statement at a time grants from what its numbers share.
                SELECT p.name, p.messaging_limit::bigint AS messaging_limit, p.granted
                FROM portfolios p JOIN (SELECT DISTINCT portfolio FROM speaker) s ON s.portfolio = p.name
                FOR UPDATE OF p SKIP LOCKED
            ), room AS MATERIALIZED (
                SELECT held.name, held.messaging_limit, held.granted - seen.granted AS n_unseen,
                    -- Beside what this statement sees, what was granted since it began.
                    portfolio_count(held.name, held.messaging_limit) + held.granted - seen.granted AS n_used
                FROM portfolio held JOIN portfolios seen USING (name)
            ), turn AS (
                -- Who waited longest, so that nobody starves where more is due than one statement grants.
                SELECT * FROM (
                    SELECT speaker.*, room.messaging_limit - room.n_used AS n_free,
                        row_number() OVER (PARTITION BY speaker.portfolio
                            ORDER BY last_opening_at NULLS FIRST, channel) AS place
                    FROM speaker LEFT JOIN room ON room.name = speaker.portfolio
                ) s
                WHERE portfolio IS NULL OR place <= n_free
                ORDER BY last_opening_at NULLS FIRST, channel LIMIT $2
            ), due_retry AS (
                SELECT turn.channel, turn.task_id, r.*
                FROM turn CROSS JOIN LATERAL (
                    SELECT r.opening, r.position, r.address, r.key, r.tries, c.variables,
                        (SELECT o.person FROM aliases o WHERE o.address = r.address) AS person,
                        r.in_doubt AND r.counted_on = utc_day(now()) AS is_counted
                    FROM retries r
                    JOIN contacts c ON c.task_id = r.task_id AND c.position = r.position
                    WHERE r.task_id = turn.task_id AND r.ready_at <= now()
                        AND (r.channel IS NULL OR r.channel = turn.channel)
                        AND (NOT turn.is_full OR r.in_doubt AND r.counted_on = utc_day(now()))
                        AND NOT EXISTS (SELECT FROM suppressions s WHERE s.address = r.address
                            AND s.task IN ('', turn.task))
                        AND NOT is_forgotten(r.address)
                        AND NOT is_suppressed_by_alias(r.address, turn.task)
                        AND NOT is_written_elsewhere(r.address, turn.task, r.opening, r.in_doubt)
                        AND CASE WHEN turn.by_ai THEN EXISTS (SELECT FROM drafts d
                            WHERE d.task = turn.task AND d.address = r.address AND d.text IS NOT NULL)
                            ELSE true END
                    ORDER BY r.channel NULLS LAST, r.ready_at
                    LIMIT 1
                    FOR UPDATE OF r SKIP LOCKED
                ) r
            ), person_turn AS (
                -- Whoever is known under another address has the audience's turn also for a retry: two statements at
                -- once would each see the other address unwritten.
                SELECT a.task_id FROM audiences a
                JOIN audiences seen ON seen.task_id = a.task_id AND seen.xmin = a.xmin
                WHERE a.task_id IN (SELECT due_retry.task_id FROM due_retry WHERE due_retry.person IS NOT NULL)
                FOR UPDATE OF a SKIP LOCKED
            ), retry AS (
                -- Two lanes of one task may have found the same unbound retry, or the same person.
                SELECT DISTINCT ON (opening) * FROM (
                    SELECT due_retry.*, min(opening) OVER (PARTITION BY task_id, person) AS first FROM due_retry
                ) due_retry
                WHERE person IS NULL OR opening = first AND task_id IN (SELECT person_turn.task_id FROM person_turn)
                ORDER BY opening, channel
            ), fresh_turn AS (
                SELECT turn.*, row_number() OVER (PARTITION BY task_id ORDER BY channel) AS n
                FROM turn WHERE NOT is_full AND channel NOT IN (SELECT channel FROM due_retry)
            ), audience AS (
                SELECT a.task_id, a.cursor_position, coalesce(a.skips, $5) AS skips,
                    wanted.n_wanted, wanted.task, wanted.by_ai
                FROM audiences a JOIN (
                    SELECT task_id, min(task) AS task, count(*) AS n_wanted, bool_or(by_ai) AS by_ai
                    FROM fresh_turn GROUP BY task_id
                ) wanted USING (task_id)
                -- One that was changed since this statement began is left for the next: contacts, and whom the
                -- ledger names, are seen as they were then.
                JOIN audiences seen ON seen.task_id = a.task_id AND seen.xmin = a.xmin
                WHERE a.cursor_position < a.last_position
                FOR UPDATE OF a SKIP LOCKED
            ), next AS MATERIALIZED (
                SELECT audience.task_id, audience.n_wanted, c.*,
                    -- Only for who may be written to, and only where the AI writes.
                    CASE WHEN audience.by_ai AND c.sendable THEN coalesce((SELECT d.state FROM drafts d
                        WHERE d.task = audience.task AND d.address = c.address), 'due') END AS draft
                FROM audience CROSS JOIN LATERAL (
                    SELECT c.position, c.address, c.variables, o.person, l.task IS NULL AS unwritten,
                        l.task IS NULL AND NOT EXISTS (SELECT FROM suppressions s
                            WHERE s.address = c.address AND s.task IN ('', audience.task))
                        -- Written out, so that nothing is hashed where nobody was forgotten.
                        AND NOT (EXISTS (SELECT FROM forgotten)
                            AND EXISTS (SELECT FROM installation i JOIN forgotten f
                                ON f.hash = keyed_hash(c.address, i.person_key_inner, i.person_key_outer)
                                AND f.undone_at IS NULL))
                        AND NOT (o.person IS NOT NULL
                            AND (is_suppressed_by_alias(c.address, audience.task)
                                OR is_written_by_alias(c.address, audience.task))) AS sendable
                    FROM contacts c
                    LEFT JOIN ledger l ON l.task = audience.task AND l.address = c.address
                    LEFT JOIN aliases o ON o.address = c.address
                    WHERE c.task_id = audience.task_id AND c.position > audience.cursor_position
                    ORDER BY c.position
                    LIMIT audience.n_wanted + audience.skips
                ) c
            ), judged AS (
                SELECT next.*, sendable AND coalesce(draft = 'written', true) AS eligible,
                    -- The AI has still to write, or the person may be written to in this statement under another
                    -- of their addresses, which only the next one sees.
                    coalesce(draft NOT IN ('written', 'failed'), false)
                        OR sendable AND person IS NOT NULL AND (
                            position > min(position) FILTER (WHERE sendable) OVER (PARTITION BY task_id, person)
                            OR (task_id, person) IN (SELECT due_retry.task_id, due_retry.person FROM due_retry
                                WHERE due_retry.person IS NOT NULL)) AS untimely
                FROM next
            ), passed AS (
                -- Nobody is passed over who is only not to be written to yet.
                SELECT * FROM (
                    SELECT judged.*, sum(eligible::int) OVER so_far AS n, bool_or(untimely) OVER so_far AS waits
                    FROM judged WINDOW so_far AS (PARTITION BY task_id ORDER BY position)
                ) judged
            ), fresh AS (
                SELECT * FROM passed WHERE eligible AND NOT waits AND n <= n_wanted
            ), moved AS (
                -- Up to the last contact that is granted; over all of the window if there were not
                -- enough, and to the end if the window was not full: nothing stands behind it.
                UPDATE audiences a SET waiting = greatest(0, a.waiting - coalesce(p.n_passed, 0)),
                    cursor_position = CASE
                        WHEN coalesce(p.n_eligible, 0) < audience.n_wanted AND NOT coalesce(p.waits, false)
                            AND coalesce(p.n_rows, 0) < audience.n_wanted + audience.skips THEN a.last_position
                        ELSE coalesce(p.cursor_position, a.cursor_position) END,
                    skips = CASE WHEN p.n_eligible < audience.n_wanted AND NOT p.waits
                        AND p.n_rows = audience.n_wanted + audience.skips THEN $3::int END
                FROM audience LEFT JOIN (
                    SELECT task_id, bool_or(waits) AS waits, count(*) AS n_rows,
                        count(*) FILTER (WHERE eligible) AS n_eligible,
                        max(position) FILTER (WHERE NOT waits AND (n < n_wanted OR n = n_wanted AND eligible))
                            AS cursor_position,
                        count(*) FILTER (WHERE unwritten AND NOT waits
                            AND (n < n_wanted OR n = n_wanted AND eligible)) AS n_passed
                    FROM passed GROUP BY task_id
                ) p USING (task_id)
                WHERE a.task_id = audience.task_id
            ), person_told AS (
                -- So that whoever began to look before this statement sees that it is not the first.
                UPDATE audiences a SET skips = a.skips
                WHERE a.task_id IN (SELECT retry.task_id FROM retry WHERE retry.person IS NOT NULL)
                    AND a.task_id NOT IN (SELECT audience.task_id FROM audience)
            ), pick AS (
                SELECT turn.channel, turn.fence, turn.portfolio, turn.task_id, turn.task, retry.opening, retry.position,
                    retry.address, retry.key, retry.tries + 1 AS tries, retry.variables, retry.is_counted
                FROM retry JOIN turn USING (channel)
                UNION ALL
                SELECT t.channel, t.fence, t.portfolio, t.task_id, t.task, nextval('opening_ids'), fresh.position,
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
                    fence, portfolio, granted_at)
                SELECT nextval('attempt_ids'), opening, tries, task_id, task, channel, position,
                    address, key, fence, portfolio, now()
                FROM pick JOIN entered USING (task, address, opening)
                RETURNING id, opening, task_id, task, channel, address, key, fence, portfolio, granted_at
            ), taken AS (
                DELETE FROM retries WHERE opening IN (SELECT opening FROM granted)
            ), draft_used AS (
                UPDATE drafts d SET state = 'used'
                FROM granted g JOIN turn ON turn.channel = g.channel AND turn.by_ai
                WHERE d.task = g.task AND d.address = g.address AND d.state = 'written'
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
            ), portfolio_marked AS (
                UPDATE portfolios p SET granted = p.granted + g.n,
                    full_until = CASE WHEN room.n_used + g.n >= room.messaging_limit
                        THEN coalesce(portfolio_free_at(room.name, room.messaging_limit - g.n - room.n_unseen),
                            now() + interval '24 hours') END
                FROM room CROSS JOIN LATERAL (
                    SELECT count(*) AS n FROM granted WHERE granted.portfolio = room.name
                ) g
                WHERE p.name = room.name AND (g.n > 0 OR room.n_used >= room.messaging_limit)
            )
            SELECT g.id, g.task_id, g.task, g.channel, g.address, g.key, g.fence,
                pick.variables, tasks.opening AS "opening!",
                CASE WHEN turn.by_ai THEN (SELECT d.text FROM drafts d
                    WHERE d.task = g.task AND d.address = g.address) END AS draft,
                ai.fields->>'disclosure' AS disclosure,
                least(me.valid_s, hours_left_s(turn.hours_from_s, turn.hours_to_s, turn.timezone, now()) - 0.5)
                    AS "valid_s!"
            FROM granted g
            JOIN pick USING (opening)
            JOIN turn ON turn.channel = g.channel
            JOIN tasks ON tasks.id = g.task_id
            LEFT JOIN resources ai ON ai.kind = 'Ai' AND ai.name = tasks.fields->>'ai'
            CROSS JOIN me"#,
            executor.0,
            PERMITS_MAX,
            SKIPPED_MAX,
            LEASE_MARGIN.as_secs_f64(),
            SKIPPED_FEW
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
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
                    variables: variables_from_json(row.variables),
                    opening,
                    draft: row.draft,
                    disclosure: row.disclosure,
                    key: row.key,
                    valid_for: Duration::from_secs_f64(row.valid_s.max(0.0)),
                })
            })
            .collect()
    }
}
