//! What became of each contact of a task: put together from ledger, attempts, retries and suppressions.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{connect::Store, encoding::parsed, error::StoreError};
use crate::domain::{
    address::Address,
    contact::ContactState,
    id::{TaskId, TaskName},
};

/// Contacts of one statement: far below the statements' deadline, and little to hold.
const PAGE: i64 = 10_000;

/// A contact with what became of it.
#[derive(Clone, Debug)]
pub struct ContactFate {
    pub position: i64,
    pub address: Address,
    pub state: ContactState,
    pub channel: Option<String>,
    /// Of the last attempt.
    pub at: Option<DateTime<Utc>>,
    /// Why it stands so, where there is something to say.
    pub reason: Option<String>,
}

/// The task's audience to be read in pages, in the order of its positions. Each page is of its own
/// moment: a long reading holds no snapshot.
#[derive(Debug)]
pub struct FateReader<'s> {
    store: &'s Store,
    task_id: TaskId,
    task: &'s TaskName,
    after: Option<i64>,
}

impl Store {
    pub fn read_fates<'s>(&'s self, task_id: TaskId, task: &'s TaskName) -> FateReader<'s> {
        FateReader { store: self, task_id, task, after: Some(i64::MIN) }
    }

    /// How many contacts are in each state; every state is there.
    pub async fn count_fates(
        &self,
        task_id: TaskId,
        task: &TaskName,
    ) -> Result<BTreeMap<ContactState, u64>, StoreError> {
        let mut counts: BTreeMap<ContactState, u64> =
            ContactState::ALL.iter().map(|state| (*state, 0)).collect();
        let mut reader = self.read_fates(task_id, task);
        while let Some(page) = reader.next_page().await? {
            for fate in page {
                *counts.entry(fate.state).or_default() += 1;
            }
        }
        Ok(counts)
    }
}

impl FateReader<'_> {
    /// The next contacts; nothing after the last.
    pub async fn next_page(&mut self) -> Result<Option<Vec<ContactFate>>, StoreError> {
        let Some(after) = self.after else { return Ok(None) };
        let rows = sqlx::query!(
            r#"SELECT c.position, c.address,
                CASE
                    WHEN a.id IS NOT NULL AND a.outcome IS NULL THEN 'remaining'
                    WHEN a.outcome = 'sent' THEN 'written'
                    WHEN r.opening IS NOT NULL AND s.why IS NULL THEN 'remaining'
                    WHEN a.outcome = 'in-doubt' AND a.reason LIKE 'resolved as dropped %' THEN 'failed'
                    WHEN a.outcome = 'in-doubt' THEN 'in-doubt'
                    WHEN r.opening IS NOT NULL THEN 'suppressed'
                    WHEN d.reason IS NOT NULL AND l.task IS NULL THEN 'failed'
                    WHEN e.id IS NOT NULL AND e.outcome IS NULL THEN 'remaining'
                    WHEN e.outcome = 'in-doubt' AND coalesce(e.reason, '') NOT LIKE 'resolved as dropped %' THEN 'in-doubt'
                    WHEN e.outcome <> 'sent' THEN 'failed'
                    WHEN l.task IS NOT NULL AND a.id IS NULL THEN 'written'
                    WHEN l.task IS NULL AND s.why IS NULL AND c.position > au.cursor_position
                        THEN 'remaining'
                    WHEN a.id IS NOT NULL THEN 'failed'
                    ELSE 'suppressed'
                END AS "state!",
                coalesce(a.channel, r.channel, l.channel) AS channel,
                coalesce(a.finished_at, a.granted_at, l.written_at) AS at,
                CASE
                    WHEN a.id IS NOT NULL AND a.outcome IS NULL THEN 'the call is under way'
                    WHEN a.outcome = 'sent' THEN NULL
                    WHEN r.opening IS NOT NULL AND s.why IS NULL AND a.id IS NULL THEN 'its turn comes again'
                    WHEN r.opening IS NOT NULL AND s.why IS NULL
                        THEN concat_ws(': ', 'it will be tried again', a.reason)
                    WHEN d.reason IS NOT NULL AND l.task IS NULL THEN d.reason
                    WHEN a.id IS NOT NULL AND (l.task IS NOT NULL OR c.position <= au.cursor_position)
                        THEN coalesce(a.reason, a.outcome)
                    WHEN l.task IS NOT NULL THEN concat_ws(': ', 'by an earlier incarnation of the task',
                        CASE WHEN e.outcome <> 'sent' THEN coalesce(e.reason, e.outcome)
                            WHEN e.id IS NOT NULL AND e.outcome IS NULL THEN 'the call is under way' END)
                    WHEN s.why IS NOT NULL THEN s.why
                    WHEN c.position <= au.cursor_position THEN 'it was not to be written to when its turn came'
                END AS reason
            FROM (
                SELECT * FROM contacts WHERE task_id = $1 AND position > $3 ORDER BY position LIMIT $4
            ) c
            JOIN audiences au ON au.task_id = c.task_id
            LEFT JOIN LATERAL (
                -- The limit keeps it to one look a contact: a join would read the ledger for each page.
                SELECT * FROM ledger l WHERE l.task = $2 AND l.address = c.address LIMIT 1
            ) l ON true
            LEFT JOIN LATERAL (
                -- Whoever the cursor has still to pass, and nobody has written to, has no attempt.
                SELECT * FROM attempts a
                WHERE a.task_id = c.task_id AND a.address = c.address
                    AND (l.task IS NOT NULL OR c.position <= au.cursor_position)
                ORDER BY a.id DESC LIMIT 1
            ) a ON true
            LEFT JOIN LATERAL (
                -- The last attempt of an earlier incarnation, which has the same key.
                SELECT e.id, e.outcome, e.reason FROM attempts e
                WHERE l.task IS NOT NULL AND a.id IS NULL AND e.channel = l.channel
                    AND e.key = opening_key($2, c.address) AND e.opening = l.opening
                ORDER BY e.id DESC LIMIT 1
            ) e ON true
            LEFT JOIN (
                SELECT DISTINCT ON (position) position, opening, channel FROM retries
                WHERE task_id = $1 ORDER BY position, opening DESC
            ) r ON r.position = c.position
            LEFT JOIN LATERAL (
                -- Why the AI has written no opening.
                SELECT d.reason FROM drafts d
                WHERE d.task = $2 AND d.address = c.address AND d.task_id = $1 AND d.state = 'failed' LIMIT 1
            ) d ON true
            LEFT JOIN LATERAL (
                -- Why the contact may not be written to.
                SELECT coalesce(
                    (SELECT CASE WHEN o.language IS NULL THEN 'suppressed by ' || o.by
                        ELSE 'the person said STOP' END
                    FROM opt_outs o WHERE o.address = ANY (known.addresses) AND o.undone_at IS NULL
                    ORDER BY o.number LIMIT 1),
                    (SELECT 'on the list ' || min(s.list) FROM suppressions s
                    WHERE s.address = ANY (known.addresses) AND s.task IN ('', $2)),
                    (SELECT 'the person was forgotten' WHERE EXISTS (SELECT FROM forgotten)
                        AND EXISTS (SELECT FROM installation i CROSS JOIN unnest(known.addresses) address JOIN forgotten f
                            ON f.hash = keyed_hash(address, i.person_key_inner, i.person_key_outer)
                            AND f.undone_at IS NULL)),
                    (SELECT 'the person was written to under another address'
                    WHERE l.task IS NULL AND r.opening IS NULL AND array_length(known.addresses, 1) > 1
                        AND is_written_by_alias(c.address, $2))
                ) AS why
                FROM (SELECT array_agg(address) AS addresses FROM known_addresses(c.address) address) known
            ) s ON true
            ORDER BY c.position"#,
            self.task_id.0,
            self.task.as_str(),
            after,
            PAGE
        )
        .fetch_all(&self.store.pool)
        .await?;
        let is_full = i64::try_from(rows.len()).is_ok_and(|length| length == PAGE);
        self.after = rows.last().filter(|_| is_full).map(|row| row.position);
        let fates = rows.into_iter().map(|row| {
            Ok(ContactFate {
                position: row.position,
                address: Address::from_stored(row.address),
                state: parsed(&row.state)?,
                channel: row.channel,
                at: row.at,
                reason: row.reason,
            })
        });
        fates.collect::<Result<_, StoreError>>().map(Some)
    }
}
