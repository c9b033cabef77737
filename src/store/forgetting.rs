//! Forgetting: a person is erased under every address, and stays suppressed by keyed hashes.
//!
//! First the hashes are committed, so that no permit is granted any more; then the person is erased. Whoever
//! had begun before is waited for. If it is interrupted, the person is suppressed, and the same act ends it.

use sqlx::PgConnection;

use super::{
    aliases::take_lock_to_learn,
    connect::Store,
    encoding::count,
    error::StoreError,
    whom::Whom,
    writing::{Patience, wait_for_lock},
};

/// What there was of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// The tasks in whose audience the person was: a manifest that names the person still does.
    pub tasks: Vec<String>,
    /// The suppression lists of manifests on which the person was.
    pub lists: Vec<String>,
    pub erased: Erased,
}

/// How much of what was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    pub addresses: u64,
    pub contacts: u64,
    pub dialogues: u64,
    pub messages: u64,
    /// They stay, and name nobody any more.
    pub attempts: u64,
    pub drafts: u64,
    /// What channels delivered, as it came; each may have held words of others too.
    pub deliveries: u64,
    pub reports: u64,
    pub opt_outs: u64,
}

impl Store {
    /// Erases a person under every address by which they are known; they are never written to again.
    pub async fn forget(
        &self,
        whom: &Whom,
        by: &str,
        patience: Patience<'_>,
    ) -> Result<Forgotten, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let known = suppress_for_good(&mut transaction, whom, by).await?;
        transaction.commit().await?;

        let mut forgotten = Forgotten::default();
        let Forgotten { tasks, lists, erased } = &mut forgotten;
        erased.addresses = known.len() as u64;
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
        sqlx::query("SET LOCAL nuncio.writes = 'on'").execute(&mut *transaction).await?;
        wait_for_lock(&mut transaction, patience).await?;
        *tasks = forget_contacts(&mut transaction, &known, erased).await?;
        *lists = forget_suppressions(&mut transaction, &known, erased).await?;
        forget_dialogues(&mut transaction, whom, &known, erased).await?;
        transaction.commit().await?;

        let mut transaction = self.pool.begin().await?;
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
        // Whoever was met under another name meanwhile is not lost with the name that leads there.
        suppress_for_good(&mut transaction, whom, by).await?;
        // Permits, drafts and outcomes whose statements began before the hash was there end first; those that begin
        // now see it. The rest takes an index's moment.
        sqlx::query("LOCK TABLE ledger, retries, attempts, drafts IN SHARE ROW EXCLUSIVE MODE")
            .execute(&mut *transaction)
            .await?;
        forget_attempts(&mut transaction, &known, erased).await?;
        let drafts = sqlx::query!("DELETE FROM drafts WHERE address = ANY ($1)", &known);
        erased.drafts = drafts.execute(&mut *transaction).await?.rows_affected();
        // Last: whoever begins anew finds the person's other addresses by these.
        sqlx::query!(
            "DELETE FROM aliases WHERE person IN (SELECT person FROM aliases WHERE address = ANY ($1))",
            &known
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(forgotten)
    }
}

/// Notes the hash of every address by which the person is known; gives the addresses.
async fn suppress_for_good(
    connection: &mut PgConnection,
    whom: &Whom,
    by: &str,
) -> Result<Vec<String>, StoreError> {
    take_lock_to_learn(connection).await?;
    let known = sqlx::query_scalar!(
        r#"WITH known AS (
            SELECT DISTINCT known FROM unnest($1::text[]) asked CROSS JOIN LATERAL known_addresses(asked) known
        ), noted AS (
            INSERT INTO forgotten (hash, by) SELECT person_hash(known), $2 FROM known
            ON CONFLICT (hash) DO UPDATE SET at = clock_timestamp(), by = excluded.by, undone_at = NULL,
                undone_by = NULL, undone_reason = NULL
        )
        SELECT known AS "known!" FROM known ORDER BY known"#,
        &whom.kept_as(),
        by
    )
    .fetch_all(connection)
    .await?;
    Ok(known)
}

/// Takes the person out of every audience; gives the names of the tasks.
async fn forget_contacts(
    connection: &mut PgConnection,
    addresses: &[String],
    erased: &mut Erased,
) -> Result<Vec<String>, StoreError> {
    // First the cursors: whom a permit has just taken from those that wait is not taken from them twice.
    // Both statements read all contacts, for the rare act that this is: about 150 ms of a million. Every index on the
    // address that was tried costs each load and each change of an audience more: a tree 2.7 times the load, a BRIN with
    // Bloom filters 15 times an insert into pages that are used again.
    sqlx::query!(
        "SELECT task_id FROM audiences
        WHERE task_id IN (SELECT task_id FROM contacts WHERE address = ANY ($1)) ORDER BY task_id FOR UPDATE",
        addresses
    )
    .fetch_all(&mut *connection)
    .await?;
    let tasks = sqlx::query!(
        r#"WITH gone AS (
            DELETE FROM contacts WHERE address = ANY ($1) RETURNING task_id, position, address
        ), taken AS (
            SELECT g.task_id, t.name, count(*) AS n, count(*) FILTER (WHERE g.position > a.cursor_position
                AND NOT EXISTS (SELECT FROM ledger l WHERE l.task = t.name AND l.address = g.address)) AS n_waiting
            FROM gone g JOIN tasks t ON t.id = g.task_id JOIN audiences a ON a.task_id = g.task_id
            GROUP BY g.task_id, t.name
        )
        UPDATE audiences a SET total = greatest(0, a.total - taken.n),
            waiting = greatest(0, a.waiting - taken.n_waiting)
        FROM taken WHERE a.task_id = taken.task_id
        RETURNING taken.name AS "name!", taken.n AS "n!""#,
        addresses
    )
    .fetch_all(connection)
    .await?;
    erased.contacts = tasks.iter().map(|task| count(task.n)).sum();
    Ok(tasks.into_iter().map(|task| task.name).collect())
}

/// Takes the person off every list, out of its history too; gives the names of manifests' lists.
async fn forget_suppressions(
    connection: &mut PgConnection,
    addresses: &[String],
    erased: &mut Erased,
) -> Result<Vec<String>, StoreError> {
    let opt_outs = sqlx::query!("DELETE FROM opt_outs WHERE address = ANY ($1)", addresses);
    erased.opt_outs = opt_outs.execute(&mut *connection).await?.rows_affected();
    sqlx::query!("DELETE FROM suppressions WHERE address = ANY ($1)", addresses)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "UPDATE revision_changes SET fields = jsonb_set(fields, '{entries}', (fields -> 'entries') - $1::text[])
        WHERE kind = 'SuppressionList' AND fields -> 'entries' ?| $1::text[]",
        addresses
    )
    .execute(&mut *connection)
    .await?;
    let lists = sqlx::query_scalar!(
        "UPDATE resources SET fields = jsonb_set(fields, '{entries}', (fields -> 'entries') - $1::text[])
        WHERE kind = 'SuppressionList' AND fields -> 'entries' ?| $1::text[]
        RETURNING name",
        addresses
    )
    .fetch_all(connection)
    .await?;
    Ok(lists)
}

/// Erases what was said with the person, and what was told of it and is not on its way any more: what an
/// integration has by now is there.
async fn forget_dialogues(
    connection: &mut PgConnection,
    whom: &Whom,
    known: &[String],
    erased: &mut Erased,
) -> Result<(), StoreError> {
    let peers = match whom {
        Whom::Everywhere(_) => known.to_vec(),
        Whom::On { name, .. } => vec![name.to_string()],
    };
    let channel = whom.channel();
    let gone = sqlx::query!(
        r#"WITH gone AS (
            -- A name that a system gave is another person's than the same address is elsewhere.
            DELETE FROM dialogues
            WHERE peer = ANY ($1)
                AND CASE WHEN $2::text IS NULL THEN address_on(channel, peer) = peer ELSE channel = $2 END
            RETURNING id
        ), messages_gone AS (
            DELETE FROM messages m USING gone WHERE m.dialogue_id = gone.id RETURNING m.id
        ), events_gone AS (
            DELETE FROM dialogue_events e USING gone WHERE e.dialogue_id = gone.id
        ), callbacks_gone AS (
            DELETE FROM callbacks c USING gone WHERE c.dialogue_id = gone.id
        ), reports_gone AS (
            -- What is not delivered has the address in it; what is sent keeps no such data.
            DELETE FROM reports r
            WHERE r.dialogue IN (SELECT id FROM gone)
                OR r.content ->> 'address' = ANY ($1)
                    AND CASE WHEN $2::text IS NULL THEN address_on(r.channel, r.content ->> 'address')
                            = r.content ->> 'address'
                        ELSE r.channel = $2 END
            RETURNING r.id
        )
        SELECT (SELECT count(*) FROM gone) AS "dialogues!", (SELECT count(*) FROM messages_gone) AS "messages!",
            (SELECT count(*) FROM reports_gone) AS "reports!""#,
        &peers,
        channel
    )
    .fetch_one(&mut *connection)
    .await?;
    erased.dialogues = count(gone.dialogues);
    erased.messages = count(gone.messages);
    erased.reports = count(gone.reports);
    // A visitor of our own pages has their id for an address.
    sqlx::query!("DELETE FROM visitors WHERE id::text = ANY ($1)", known)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("DELETE FROM telegram_people WHERE address = ANY ($1)", known)
        .execute(&mut *connection)
        .await?;
    let deliveries = sqlx::query!(
        "DELETE FROM deliveries WHERE peers && $1 AND ($2::text IS NULL OR channel = $2)",
        &peers,
        channel
    );
    erased.deliveries = deliveries.execute(&mut *connection).await?.rows_affected();
    Ok(())
}

/// Keeps of the attempts that something was sent, and not to whom. One in doubt needs no operator any more.
async fn forget_attempts(
    connection: &mut PgConnection,
    addresses: &[String],
    erased: &mut Erased,
) -> Result<(), StoreError> {
    let forgotten = sqlx::query_scalar!(
        r#"WITH cancelled AS (
            DELETE FROM retries WHERE address = ANY ($1) RETURNING opening, in_doubt
        ), unwritten AS (
            DELETE FROM ledger
            WHERE address = ANY ($1) AND task = ANY (ARRAY(SELECT DISTINCT name FROM tasks))
        ), known AS (
            SELECT a.id, a.granted_at,
                a.outcome = 'in-doubt' AND coalesce(a.reason, '') NOT LIKE 'resolved as %'
                    AND NOT EXISTS (SELECT FROM attempts later WHERE later.task_id = a.task_id
                        AND later.address = a.address AND later.opening = a.opening AND later.id > a.id)
                    AS is_doubtful,
                EXISTS (SELECT FROM cancelled c WHERE c.opening = a.opening) AS is_repeated
            FROM attempts a
            WHERE a.address = ANY ($1) AND a.task_id = ANY (ARRAY(SELECT id FROM tasks))
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
        addresses
    )
    .fetch_one(&mut *connection)
    .await?;
    // That the ledger has lost them, somebody has just noted.
    sqlx::query!("DELETE FROM freed_aliases WHERE address = ANY ($1)", addresses)
        .execute(connection)
        .await?;
    erased.attempts = count(forgotten);
    Ok(())
}
