//! Attempts and their outcomes, and what becomes of an opening after each.

use std::{error::Error as _, slice};

use sqlx::PgConnection;

use super::{
    aliases::{Told, Who, learn},
    connect::Store,
    encoding::parsed,
    error::StoreError,
    inbox::kept,
    news::{recount, settle_attempt},
};
use crate::domain::{
    attempt::{Outcome, OutcomeClass},
    id::{AttemptId, ChannelName, ExecutorId, Fence},
};

/// A provider that is away is asked again after 5 s, 10 s, 20 s … and at most every quarter of an hour.
pub(super) const BACKOFF_FIRST_S: f64 = 5.0;
pub(super) const BACKOFF_MAX_S: f64 = 900.0;
/// About a day of a provider that is away; then the opening fails, and says so.
pub(super) const TRIES_MAX: i32 = 100;

/// Characters of a provider's id or reason that are kept.
const PROVIDER_WORDS_MAX: usize = 500;

/// What an attempt is about to say.
#[derive(Clone, Debug)]
pub struct Intended {
    pub attempt: AttemptId,
    pub channel: ChannelName,
    pub fence: Fence,
    pub text: String,
}

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

/// What grows by the month, and the column that says which.
const PARTITIONED: &[(&str, &str)] =
    &[("attempts", "granted_at"), ("deliveries", "received_at"), ("ai_calls", "at")];

/// Creates the partitions of this month and the next, so that rows seldom fall into the default one.
pub(super) async fn create_partitions(connection: &mut PgConnection) -> Result<(), StoreError> {
    for (table, column) in PARTITIONED {
        sqlx::query("SELECT create_partitions($1, $2)")
            .bind(table)
            .bind(column)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// A provider's words as they can be kept: no control characters, of which one (U+0000) Postgres refuses,
/// and no more than a person reads.
pub(super) fn storable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(PROVIDER_WORDS_MAX).collect()
}

/// What was recorded of many outcomes.
#[derive(Debug)]
pub struct Kept<Id> {
    pub recorded: Vec<Id>,
    /// What the database refuses to keep in any form: it stays under way, and is to be recorded again.
    pub refused: Vec<Id>,
    /// Why the last of them is.
    pub why: Option<StoreError>,
}

impl<Id> Kept<Id> {
    pub(super) fn all(recorded: Vec<Id>) -> Self {
        Self { recorded, refused: Vec::new(), why: None }
    }

    pub(super) fn refuse(&mut self, one: Id, why: StoreError) {
        self.refused.push(one);
        self.why = Some(why);
    }
}

/// What is kept in the place of an outcome that the database refuses: that nobody knows it.
pub(super) fn in_doubt_for_want_of_record(outcome: &Outcome, error: &StoreError) -> Outcome {
    let class = outcome.class;
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let reason = format!("it ended as {class}, which the database refuses to keep: {cause}");
    Outcome::of(OutcomeClass::InDoubt, &reason)
}

impl Store {
    /// Keeps what is about to be said, before it is: whoever answers it, or settles the attempt of a process
    /// that is gone, has the words. What is not in the answer is not to be said any more: the lane has another
    /// fence by now, or the person was forgotten.
    pub async fn intend(&self, intended: &[Intended]) -> Result<Vec<AttemptId>, StoreError> {
        let attempts: Vec<i64> = intended.iter().map(|i| i.attempt.0).collect();
        let channels: Vec<&str> = intended.iter().map(|i| i.channel.as_str()).collect();
        let fences: Vec<i64> = intended.iter().map(|i| i.fence.0).collect();
        let texts: Vec<String> = intended.iter().map(|i| kept(&i.text)).collect();
        let ids = sqlx::query_scalar!(
            r#"WITH lane AS (
                SELECT l.in_flight, l.in_flight_granted_at, i.text
                FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) AS i (attempt, channel, fence, text)
                JOIN lanes l ON l.channel = i.channel AND l.fence = i.fence AND l.in_flight = i.attempt
                -- As where outcomes are recorded, lanes are locked first, and in the order of an apply.
                ORDER BY l.channel COLLATE "C"
                FOR UPDATE OF l
            )
            UPDATE attempts a SET text = lane.text FROM lane
            WHERE a.id = lane.in_flight AND a.granted_at = lane.in_flight_granted_at
                AND a.outcome IS NULL AND a.address <> ''
            RETURNING a.id"#,
            &attempts,
            &channels as &[&str],
            &fences,
            &texts
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().map(AttemptId).collect())
    }

    /// Records many outcomes. One whose lane has another fence by now changes nothing: whoever holds
    /// the lane has settled the attempt already. One that the database refuses is in doubt, and holds up no
    /// other.
    pub async fn record_outcomes(
        &self,
        finished: &[Finished],
    ) -> Result<Kept<AttemptId>, StoreError> {
        match self.record_outcomes_together(finished).await {
            Err(StoreError::Failed(_)) => {}
            recorded => return Ok(Kept::all(recorded?)),
        }
        let mut kept = Kept::all(Vec::new());
        for one in finished {
            let mut recorded = self.record_outcomes_together(slice::from_ref(one)).await;
            if let Err(error @ StoreError::Failed(_)) = &recorded {
                let outcome = in_doubt_for_want_of_record(&one.outcome, error);
                let doubtful = Finished { outcome, ..one.clone() };
                recorded = self.record_outcomes_together(&[doubtful]).await;
            }
            match recorded {
                Ok(attempts) => kept.recorded.extend(attempts),
                Err(error @ StoreError::Failed(_)) => kept.refuse(one.attempt, error),
                Err(error) => return Err(error),
            }
        }
        Ok(kept)
    }

    async fn record_outcomes_together(
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
        let told: Vec<Told<'_>> = finished
            .iter()
            .flat_map(|f| {
                let who = Who::Attempt(f.attempt);
                f.outcome.known_as.iter().map(move |known_as| Told {
                    known_as,
                    who,
                    by_person: false,
                })
            })
            .collect();
        let mut transaction = self.pool.begin().await?;
        learn(&mut transaction, &told).await?;
        let recorded = sqlx::query!(
            r#"WITH news AS (
                SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::float8[],
                    $6::text[], $7::text[], $8::bool[], $9::bool[])
                AS n (attempt, channel, fence, class, after_s, reason, message_id, stops, again)
            ), lane AS (
                SELECT l.channel, l.in_flight_granted_at, l.failures, l.drops_repeats, l.day, news.attempt,
                    news.class, news.after_s, news.reason, news.message_id, news.stops, news.again
                FROM lanes l JOIN news ON l.channel = news.channel AND l.fence = news.fence
                    AND l.in_flight = news.attempt
                -- In the order in which an apply locks them, whatever the collation of the database.
                ORDER BY l.channel COLLATE "C"
                FOR UPDATE OF l
            ), done AS (
                UPDATE attempts a SET finished_at = clock_timestamp(), outcome = lane.class,
                    -- Of a person who was forgotten meanwhile nothing is kept: a provider's id may be made of
                    -- the address.
                    reason = CASE WHEN a.address <> '' THEN coalesce(nullif(lane.reason, ''), a.reason)
                        WHEN lane.class = 'in-doubt' THEN 'resolved as dropped: the person was forgotten' END,
                    provider_message_id = CASE WHEN a.address <> ''
                        THEN coalesce(lane.message_id, a.provider_message_id) END
                FROM lane
                WHERE a.id = lane.attempt AND a.granted_at = lane.in_flight_granted_at
                    AND a.outcome IS NULL
                RETURNING a.id, a.opening, a.tries, a.task_id, a.task, a.channel, a.position, a.address,
                    a.key, a.delivery, a.reason, utc_day(a.granted_at) AS day, lane.class, lane.stops, lane.after_s,
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
                    n_in_doubt = n_in_doubt + (done.class = 'in-doubt' AND NOT repeated AND address <> '')::int,
                    n_failed = n_failed + (done.class <> 'sent' AND NOT repeated
                        AND (done.class <> 'in-doubt' OR address = ''))::int,
                    day_count = CASE WHEN tc.day = done.day AND repeated AND NOT doubt THEN greatest(0, tc.day_count - 1)
                        ELSE tc.day_count END
                FROM done WHERE tc.task_id = done.task_id AND tc.channel = done.channel
            ), room_made AS (
                -- Who was certainly not written to gives their place in the portfolio's limit back.
                -- Where an apply holds the row, it begins anew anyway.
                UPDATE portfolios p SET full_until = NULL FROM (
                    SELECT f.name FROM portfolios f JOIN lanes l ON l.portfolio = f.name
                    JOIN done ON done.channel = l.channel
                    WHERE f.full_until IS NOT NULL AND NOT is_counted(done.class)
                    FOR UPDATE OF f SKIP LOCKED
                ) freed
                WHERE p.name = freed.name
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
                UPDATE audiences a SET waiting = waiting + h.n
                FROM (SELECT task_id, count(*) AS n FROM heir WHERE NOT is_passed GROUP BY task_id) h
                WHERE a.task_id = h.task_id
            )
            SELECT id AS "id!", channel AS "channel!", delivery, reason FROM done"#,
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
        .fetch_all(&mut *transaction)
        .await?;
        // In a statement of its own: whoever answered while the call ran has a dialogue since, with the opening as it
        // was known then.
        let ids: Vec<i64> = recorded.iter().map(|attempt| attempt.id).collect();
        sqlx::query!(
            "UPDATE messages m SET
                -- What was certainly not said stands in the place of nothing that may have been.
                text = CASE WHEN a.outcome IN ('sent', 'in-doubt') THEN coalesce(a.text, m.text) ELSE m.text END,
                provider_message_id = coalesce(m.provider_message_id, a.provider_message_id),
                state = CASE WHEN a.outcome = 'sent' THEN coalesce(a.delivery, 'sent')
                    WHEN a.outcome = 'in-doubt' OR EXISTS (SELECT FROM retries r
                        WHERE r.opening = a.opening AND r.in_doubt) THEN 'in-doubt' ELSE 'failed' END
            FROM attempts a
            WHERE a.id = ANY ($1) AND a.address <> '' AND m.key = a.key AND m.channel = a.channel
                AND m.author = 'opening' AND m.state IN ('in-doubt', 'failed')
                -- An earlier incarnation's, which has the same key, stays what it was.
                AND m.at >= (SELECT min(b.granted_at) FROM attempts b
                    WHERE b.task_id = a.task_id AND b.address = a.address AND b.opening = a.opening)",
            &ids
        )
        .execute(&mut *transaction)
        .await?;
        for attempt in &recorded {
            // The provider told of the message before it answered the call.
            if let Some(delivery) = &attempt.delivery {
                let reason = attempt.reason.as_deref().unwrap_or_default();
                let delivery = parsed(delivery)?;
                let settled =
                    settle_attempt(&mut transaction, attempt.id, delivery, None, reason).await?;
                let channel = parsed(&attempt.channel)?;
                recount(&mut transaction, &channel, settled.as_slice()).await?;
            }
        }
        transaction.commit().await?;
        Ok(recorded.into_iter().map(|attempt| AttemptId(attempt.id)).collect())
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

    /// Keeps the partitions ahead of the calendar.
    pub async fn keep_partitions(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        create_partitions(&mut connection).await
    }
}
