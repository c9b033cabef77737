//! Contacts that a cursor passed over, because they were suppressed or another address of theirs stood in the ledger:
//! their turn comes again when that is over.

use std::time::Duration;

use sqlx::PgConnection;

use super::{
    attempts::TRIES_MAX, connect::Store, encoding::count, error::StoreError, lanes::interval,
};
use crate::domain::attempt::OutcomeClass;

/// Whoever grants permits, or keeps a list, may not have seen an end that is younger: no statement of theirs takes so
/// long.
const SETTLED: Duration = Duration::from_secs(60);

/// Where people are let go all the time, a review begins after this all the same.
const AT_LEAST_EVERY: Duration = Duration::from_secs(600);

/// Contacts that one statement looks at: far below its deadline.
const WINDOW: i64 = 2000;

/// Openings that left the ledger of which one statement looks for the person's other addresses.
const FREED: i64 = 500;

/// So many of a task wait at once: every retry that waits costs each permit of each of its lanes a look.
const WAITING_MAX: i64 = 200;

/// What one look at those who were passed over did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// Contacts whose turn comes again.
    pub again: u64,
    /// Nothing more is to be looked at now.
    pub is_over: bool,
}

/// Notes, within somebody's transaction, that there are people who are not suppressed any more.
pub(super) async fn note_unsuppressed(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!("UPDATE installation SET unsuppressed_at = clock_timestamp()")
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// Looks, in a part of one audience, for contacts that were passed over and may be written to now; and for the
    /// other addresses of those to whose first one certainly nothing was sent.
    ///
    /// They come again as retries do: a permit looks once more at all that forbids them. Nobody comes again to whom
    /// something may have been sent, who was refused for good, who has a dialogue, or for whom the AI could write
    /// nothing.
    pub async fn review_passed_over(&self) -> Result<Reviewed, StoreError> {
        // Whoever was suppressed while they waited for such a one waits no more.
        let again = OutcomeClass::ALL.iter().filter(|class| class.is_tried_again());
        let again: Vec<String> = again.map(ToString::to_string).collect();
        let row = sqlx::query!(
            r#"WITH due AS (
                SELECT a.task_id, t.name AS task, a.review_position, a.cursor_position
                FROM installation i
                JOIN audiences a ON i.unsuppressed_at IS NOT NULL AND (a.review_position > 0
                    OR a.reviewed_until < i.unsuppressed_at AND (i.unsuppressed_at < now() - $1::interval
                        OR a.reviewed_until < i.unsuppressed_at - $2::interval))
                    AND (SELECT count(*) FROM (
                        SELECT FROM retries r WHERE r.task_id = a.task_id LIMIT $4) waiting) < $4
                JOIN tasks t ON t.id = a.task_id AND t.deleted_at IS NULL AND t.phase <> 'completed'
                -- Not one that was changed since this statement began: who was written to is seen as it was then.
                JOIN audiences seen ON seen.task_id = a.task_id AND seen.xmin = a.xmin
                LIMIT 1 FOR UPDATE OF a SKIP LOCKED
            ), part AS MATERIALIZED (
                SELECT due.task_id, due.task, c.position, c.address
                FROM due CROSS JOIN LATERAL (
                    SELECT contacts.position, contacts.address FROM contacts
                    WHERE contacts.task_id = due.task_id AND contacts.position > due.review_position
                        AND contacts.position <= due.cursor_position
                    ORDER BY contacts.position LIMIT $3
                ) c
            ), freed AS MATERIALIZED (
                SELECT f.id, f.task, f.address FROM freed_aliases f
                WHERE f.at < now() - $1::interval ORDER BY f.id LIMIT $7 FOR UPDATE SKIP LOCKED
            ), other AS MATERIALIZED (
                SELECT freed.id, t.id AS task_id, t.name AS task, c.position, c.address
                FROM freed
                JOIN aliases own ON own.address = freed.address
                JOIN aliases o ON o.person = own.person AND o.address <> own.address
                JOIN tasks t ON t.name = freed.task AND t.deleted_at IS NULL AND t.phase <> 'completed'
                JOIN audiences a ON a.task_id = t.id
                JOIN contacts c ON c.task_id = t.id AND c.address = o.address AND c.position <= a.cursor_position
            ), held AS MATERIALIZED (
                SELECT a.task_id FROM audiences a
                JOIN audiences seen ON seen.task_id = a.task_id AND seen.xmin = a.xmin
                WHERE a.task_id IN (SELECT other.task_id FROM other)
                FOR UPDATE OF a SKIP LOCKED
            ), seen_to AS (
                DELETE FROM freed_aliases f USING freed
                WHERE f.id = freed.id AND NOT EXISTS (SELECT FROM other
                    WHERE other.id = freed.id AND other.task_id NOT IN (SELECT held.task_id FROM held))
                RETURNING 1
            ), eligible AS MATERIALIZED (
                SELECT * FROM (
                    SELECT part.*, true AS in_part FROM part
                    UNION ALL
                    SELECT DISTINCT task_id, task, position, address, false FROM other JOIN held USING (task_id)
                    WHERE (task_id, position) NOT IN (SELECT part.task_id, part.position FROM part)
                ) c
                WHERE NOT EXISTS (SELECT FROM ledger l WHERE l.task = c.task AND l.address = c.address)
                    AND NOT EXISTS (SELECT FROM attempts a
                        WHERE a.task_id = c.task_id AND a.address = c.address
                            AND (a.outcome = ANY ($5) AND a.tries < $6) IS NOT TRUE)
                    AND NOT EXISTS (SELECT FROM retries r
                        WHERE r.task_id = c.task_id AND r.address = c.address)
                    AND NOT EXISTS (SELECT FROM drafts d
                        WHERE d.task = c.task AND d.address = c.address AND d.state = 'failed')
                    AND NOT EXISTS (SELECT FROM dialogues d WHERE d.peer = c.address AND d.task = c.task)
                    AND NOT is_suppressed(c.address, c.task)
                    AND NOT is_written_by_alias(c.address, c.task)
            ), chosen AS MATERIALIZED (
                SELECT * FROM eligible WHERE in_part ORDER BY position LIMIT $4
            ), again AS (
                INSERT INTO retries (opening, task_id, position, address, key, tries, ready_at, in_doubt)
                SELECT nextval('opening_ids'), task_id, position, address, opening_key(task, address), 0,
                    clock_timestamp(), false
                FROM (SELECT * FROM chosen UNION ALL SELECT * FROM eligible WHERE NOT in_part) c
                RETURNING 1
            ), moved AS (
                UPDATE audiences a SET
                    review_position = CASE WHEN taken.n = $4 THEN taken.last WHEN looked.n = $3 THEN looked.last
                        ELSE 0 END,
                    reviewed_until = CASE WHEN due.review_position > 0 THEN a.reviewed_until
                        ELSE now() - $1::interval END
                FROM due CROSS JOIN (SELECT count(*) AS n, max(position) AS last FROM part) looked
                    CROSS JOIN (SELECT count(*) AS n, max(position) AS last FROM chosen) taken
                WHERE a.task_id = due.task_id
            )
            SELECT (SELECT count(*) FROM again) AS "again!",
                (SELECT count(*) FROM due) + (SELECT count(*) FROM seen_to) AS "looked!""#,
            interval(SETTLED),
            interval(AT_LEAST_EVERY),
            WINDOW,
            WAITING_MAX,
            &again,
            TRIES_MAX,
            FREED
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Reviewed { again: count(row.again), is_over: row.looked == 0 })
    }
}
