//! Forgetting: a person is erased, and stays suppressed by a keyed hash.
//!
//! First the hash is committed, so that no permit is granted any more; then the person is erased. Whoever
//! had begun before is waited for. If it is interrupted, the person is suppressed, and the same act ends it.

use sqlx::PgConnection;

use super::{
    connect::Store,
    encoding::count,
    error::StoreError,
    writing::{Patience, wait_for_lock},
};
use crate::domain::address::Address;

/// What there was of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// The tasks in whose audience the person was: a manifest that names the person still does.
    pub tasks: Vec<String>,
    /// The suppression lists of manifests on which the person was.
    pub lists: Vec<String>,
    pub attempts: u64,
}

impl Store {
    /// Erases a person, who is never written to again.
    pub async fn forget(
        &self,
        address: &Address,
        by: &str,
        patience: Patience<'_>,
    ) -> Result<Forgotten, StoreError> {
        sqlx::query!(
            "INSERT INTO forgotten (hash, by) VALUES (person_hash($1), $2)
            ON CONFLICT (hash) DO UPDATE SET at = clock_timestamp(), by = excluded.by, undone_at = NULL,
                undone_by = NULL, undone_reason = NULL",
            address.as_str(),
            by
        )
        .execute(&self.pool)
        .await?;
        let mut transaction = self.pool.begin().await?;
        // An audience of millions is read as a whole: contacts are not looked for by address otherwise.
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
        sqlx::query("SET LOCAL nuncio.writes = 'on'").execute(&mut *transaction).await?;
        wait_for_lock(&mut transaction, patience).await?;
        let tasks = forget_contacts(&mut transaction, address).await?;
        let lists = forget_suppressions(&mut transaction, address).await?;
        forget_dialogues(&mut transaction, address).await?;
        transaction.commit().await?;

        let mut transaction = self.pool.begin().await?;
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
        // Permits, drafts and outcomes whose statements began before the hash was there end first; those that begin
        // now see it. The rest takes an index's moment.
        sqlx::query("LOCK TABLE ledger, retries, attempts, drafts IN SHARE ROW EXCLUSIVE MODE")
            .execute(&mut *transaction)
            .await?;
        let attempts = forget_attempts(&mut transaction, address).await?;
        sqlx::query!("DELETE FROM drafts WHERE address = $1", address.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Forgotten { tasks, lists, attempts })
    }
}

/// Takes the person out of every audience; gives the names of the tasks.
async fn forget_contacts(
    connection: &mut PgConnection,
    address: &Address,
) -> Result<Vec<String>, StoreError> {
    let tasks = sqlx::query_scalar!(
        "WITH gone AS (
            DELETE FROM contacts WHERE address = $1 RETURNING task_id, position
        )
        UPDATE audiences a SET total = greatest(0, a.total - 1),
            waiting = greatest(0, a.waiting - (g.position > a.cursor_position AND NOT EXISTS (
                SELECT FROM ledger l WHERE l.task = t.name AND l.address = $1))::int)
        FROM gone g JOIN tasks t ON t.id = g.task_id
        WHERE a.task_id = g.task_id
        RETURNING t.name",
        address.as_str()
    )
    .fetch_all(connection)
    .await?;
    Ok(tasks)
}

/// Takes the person off every list, out of its history too; gives the names of manifests' lists.
async fn forget_suppressions(
    connection: &mut PgConnection,
    address: &Address,
) -> Result<Vec<String>, StoreError> {
    let address = address.as_str();
    sqlx::query!("DELETE FROM opt_outs WHERE address = $1", address)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("DELETE FROM suppressions WHERE address = $1", address)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "UPDATE revision_changes SET fields = jsonb_set(fields, '{entries}', (fields -> 'entries') - $1::text)
        WHERE kind = 'SuppressionList' AND fields -> 'entries' ? $1::text",
        address
    )
    .execute(&mut *connection)
    .await?;
    let lists = sqlx::query_scalar!(
        "UPDATE resources SET fields = jsonb_set(fields, '{entries}', (fields -> 'entries') - $1::text)
        WHERE kind = 'SuppressionList' AND fields -> 'entries' ? $1::text
        RETURNING name",
        address
    )
    .fetch_all(connection)
    .await?;
    Ok(lists)
}

/// Erases what was said with the person, and what was told of it and is not on its way any more: what an
/// integration has by now is there.
async fn forget_dialogues(
    connection: &mut PgConnection,
    address: &Address,
) -> Result<(), StoreError> {
    let address = address.as_str();
    sqlx::query!(
        "WITH gone AS (
            DELETE FROM dialogues WHERE peer = $1 RETURNING id
        ), messages_gone AS (
            DELETE FROM messages m USING gone WHERE m.dialogue_id = gone.id
        ), events_gone AS (
            DELETE FROM dialogue_events e USING gone WHERE e.dialogue_id = gone.id
        ), callbacks_gone AS (
            DELETE FROM callbacks c USING gone WHERE c.dialogue_id = gone.id
        )
        -- What is not delivered has the address in it; what is sent keeps no such data.
        DELETE FROM reports r
        WHERE r.dialogue IN (SELECT id FROM gone) OR r.content ->> 'address' = $1",
        address
    )
    .execute(&mut *connection)
    .await?;
    // A visitor of our own pages has their id for an address.
    sqlx::query!("DELETE FROM visitors WHERE id::text = $1", address)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("DELETE FROM deliveries WHERE $1 = ANY (peers)", address)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Keeps of the attempts that something was sent, and not to whom. One in doubt needs no operator any more.
async fn forget_attempts(
    connection: &mut PgConnection,
    address: &Address,
) -> Result<u64, StoreError> {
    let address = address.as_str();
    let forgotten = sqlx::query_scalar!(
        r#"WITH cancelled AS (
            DELETE FROM retries WHERE address = $1 RETURNING opening, in_doubt
        ), unwritten AS (
            DELETE FROM ledger WHERE address = $1 AND task = ANY (ARRAY(SELECT DISTINCT name FROM tasks))
        ), known AS (
            SELECT a.id, a.granted_at,
                a.outcome = 'in-doubt' AND coalesce(a.reason, '') NOT LIKE 'resolved as %'
                    AND NOT EXISTS (SELECT FROM attempts later WHERE later.task_id = a.task_id
                        AND later.address = a.address AND later.opening = a.opening AND later.id > a.id)
                    AS is_doubtful,
                EXISTS (SELECT FROM cancelled c WHERE c.opening = a.opening) AS is_repeated
            FROM attempts a
            WHERE a.address = $1 AND a.task_id = ANY (ARRAY(SELECT id FROM tasks))
        ), erased AS (
            -- The key is made of the address, and tells it to whoever tries all of them.
            UPDATE attempts a SET address = '', key = 1, provider_message_id = NULL, text = NULL,
                reason = CASE WHEN a.outcome = 'in-doubt'
                    THEN 'resolved as dropped: the person was forgotten' END
            FROM known k WHERE a.id = k.id AND a.granted_at = k.granted_at
            RETURNING a.task_id, a.channel, k.is_doubtful, k.is_repeated
        ), counted AS (
            UPDATE task_channels tc SET n_failed = n_failed + e.n_dropped,
                n_in_doubt = greatest(0, n_in_doubt - e.n_doubtful)
            FROM (
                SELECT task_id, channel, count(*) FILTER (WHERE is_doubtful) AS n_dropped,
                    count(*) FILTER (WHERE is_doubtful AND NOT is_repeated) AS n_doubtful
                FROM erased GROUP BY task_id, channel
            ) e
            WHERE tc.task_id = e.task_id AND tc.channel = e.channel
        )
        SELECT count(*) AS "forgotten!" FROM erased"#,
        address
    )
    .fetch_one(connection)
    .await?;
    Ok(count(forgotten))
}
