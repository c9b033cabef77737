//! Replies: the permit that lets one message of a dialogue leave, and the record of its outcome.

use std::{slice, time::Duration};

use super::{
    aliases::{Told, Who, learn},
    attempts::{BACKOFF_FIRST_S, BACKOFF_MAX_S, Kept, in_doubt_for_want_of_record, storable},
    connect::Store,
    encoding::parsed,
    error::StoreError,
    inbox::take_turns_with_records,
    lanes::{LEASE, LEASE_MARGIN, interval},
    takeover::owe_answers,
};
use crate::domain::{
    address::Address,
    attempt::{CALL_MAX, Outcome, OutcomeClass},
    dialogue::Author,
    id::{ChannelName, DialogueId, ExecutorId, Fence, MessageId},
};

/// About an hour of a provider that is away; then an operator decides.
const TRIES_MAX: i32 = 12;

/// So long after its permit a call is over, whoever makes it: it began while the lease had its margin left, or
/// not at all. The rest is for timers that fire late and what is on the wire.
pub(super) const CALL_OVER: Duration = LEASE
    .saturating_sub(LEASE_MARGIN)
    .saturating_add(CALL_MAX)
    .saturating_add(Duration::from_secs(2));

/// The objection of `objection_to_reply` to what an operator will say in the AI's place.
const TAKEN_OVER: &str = "an operator has taken over";

/// The permit to send one message, with the intent already committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyPermit {
    pub message: MessageId,
    pub dialogue: DialogueId,
    pub channel: ChannelName,
    pub fence: Fence,
    pub peer: Address,
    pub author: Author,
    pub text: String,
    pub key: i64,
    /// How long ago the person wrote last, by the provider's clock: a webhook may have come late.
    pub silence: Option<Duration>,
    /// Not to be called later than this after the grant: the lease ends.
    pub valid_for: Duration,
}

/// A message whose call ended.
#[derive(Clone, Debug)]
pub struct FinishedReply {
    pub message: MessageId,
    pub channel: ChannelName,
    pub fence: Fence,
    pub outcome: Outcome,
}

impl Store {
    /// Permits messages that wait on lanes of this executor, one a dialogue, in the order in which they
    /// were written. What must not be said any more is discarded here, in the statement that permits: a
    /// takeover that is committed lets no word of the AI pass. On a hosted channel the permit is the
    /// sending.
    pub async fn permit_replies(
        &self,
        executor: ExecutorId,
        at_most: usize,
    ) -> Result<Vec<ReplyPermit>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH me AS MATERIALIZED (
                SELECT id, extract(epoch FROM alive_until - now())::float8 - $3::float8 AS valid_s
                FROM executors WHERE id = $1 AND alive_until > now() + make_interval(secs => $3)
            ), place AS MATERIALIZED (
                SELECT l.channel
                FROM waiting_channels w
                JOIN lanes l ON l.channel = w.channel
                JOIN me ON me.id = l.owner
                CROSS JOIN LATERAL (
                    SELECT m.ready_at FROM messages m
                    WHERE m.channel = l.channel AND m.state = 'waiting' AND m.ready_at <= now()
                        AND NOT EXISTS (SELECT FROM messages o WHERE o.dialogue_id = m.dialogue_id
                            AND (o.state = 'sending' OR o.state = 'waiting' AND o.id < m.id))
                    ORDER BY m.ready_at LIMIT 1
                ) first
                WHERE w.ready_at <= now() AND NOT (SELECT guarded FROM installation)
                    AND may_answer(l.blocked_class, l.blocked_until)
                ORDER BY first.ready_at LIMIT $2
            ), waiting AS MATERIALIZED (
                SELECT m.id, m.dialogue_id
                FROM place CROSS JOIN LATERAL (
                    SELECT m.id, m.dialogue_id, m.ready_at FROM messages m
                    WHERE m.channel = place.channel AND m.state = 'waiting' AND m.ready_at <= now()
                        AND NOT EXISTS (SELECT FROM messages o WHERE o.dialogue_id = m.dialogue_id
                            AND (o.state = 'sending' OR o.state = 'waiting' AND o.id < m.id))
                    ORDER BY m.ready_at
                    -- Twice its share: a channel may have more to say than another.
                    LIMIT greatest(1, 2 * $2 / (SELECT count(*) FROM place))
                ) m
                ORDER BY m.ready_at
                LIMIT $2
            ), dialogue AS (
                -- Locked: whoever changes the dialogue does so before this, or after the permit.
                SELECT d.id, d.task, d.peer, d.reply_to, d.channel, d.state, d.turn FROM dialogues d
                WHERE d.id = ANY (ARRAY(SELECT dialogue_id FROM waiting))
                FOR UPDATE SKIP LOCKED
            ), judged AS (
                SELECT m.id, coalesce(d.reply_to, d.peer) AS peer, l.fence, l.hosted,
                    objection_to_reply(m.author, m.turn, d.state, d.turn, d.channel, d.peer, d.task) AS objection
                FROM waiting w JOIN dialogue d ON d.id = w.dialogue_id
                JOIN messages m ON m.id = w.id AND m.id = ANY (ARRAY(SELECT id FROM waiting))
                JOIN lanes l ON l.channel = d.channel AND l.owner = $1
            )
            UPDATE messages m SET
                state = CASE
                    -- What may have arrived was not thrown away: it is only not repeated.
                    WHEN objection IS NOT NULL AND m.doubtful THEN 'in-doubt'
                    WHEN objection IS NOT NULL THEN 'discarded'
                    WHEN j.hosted THEN 'sent'
                    ELSE 'sending' END,
                reason = objection,
                ready_at = NULL, fence = j.fence, tries = m.tries + 1,
                sending_at = CASE WHEN objection IS NULL THEN clock_timestamp() ELSE m.sending_at END,
                key = coalesce(m.key, new_message_key())
            FROM judged j
            WHERE m.id = j.id AND m.id = ANY (ARRAY(SELECT id FROM judged)) AND m.state = 'waiting'
            RETURNING m.id, m.dialogue_id, m.channel, m.author, m.text, m.key AS "key!", j.fence,
                j.peer AS "peer!", m.state AS "state!", m.reason, (SELECT valid_s FROM me) AS "valid_s!",
                (SELECT extract(epoch FROM clock_timestamp() - max(least(coalesce(p.provider_at, p.at), p.at)))::float8
                    FROM messages p
                    WHERE p.dialogue_id = m.dialogue_id AND p.author = 'person') AS silence_s"#,
            executor.0,
            i64::try_from(at_most).unwrap_or(i64::MAX),
            LEASE_MARGIN.as_secs_f64()
        )
        .fetch_all(&self.pool)
        .await?;
        let mut permits = Vec::new();
        let mut is_news = false;
        let mut owed = Vec::new();
        for row in rows {
            if row.state != "sending" {
                is_news = true;
                if row.state == "discarded" && row.reason.as_deref() == Some(TAKEN_OVER) {
                    owed.push(row.dialogue_id);
                }
                continue;
            }
            permits.push(ReplyPermit {
                message: MessageId(row.id),
                dialogue: DialogueId(row.dialogue_id),
                channel: parsed(&row.channel)?,
                fence: Fence(row.fence),
                peer: Address::from_stored(row.peer),
                author: parsed(&row.author)?,
                text: row.text,
                key: row.key,
                silence: row.silence_s.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))),
                valid_for: Duration::from_secs_f64(row.valid_s.max(0.0)),
            });
        }
        if is_news {
            // Whoever shows the dialogue looks again; so do we, for the next message of it.
            let mut transaction = self.pool.begin().await?;
            owe_answers(&mut transaction, &owed).await?;
            Self::notify_dialogues(&mut transaction).await?;
            transaction.commit().await?;
        }
        Ok(permits)
    }

    /// Records outcomes. What was settled or permitted anew since changes nothing; until then the outcome is
    /// true, whoever holds the lane by now. A refusal that is the person's or the text's own, and a doubt, are
    /// left to an operator. One that the database refuses is in doubt, and holds up no other.
    pub async fn record_replies(
        &self,
        finished: &[FinishedReply],
    ) -> Result<Kept<MessageId>, StoreError> {
        match self.record_replies_together(finished).await {
            Err(StoreError::Failed(_)) => {}
            recorded => {
                recorded?;
                return Ok(Kept::all(finished.iter().map(|one| one.message).collect()));
            }
        }
        let mut kept = Kept::all(Vec::new());
        for one in finished {
            let mut recorded = self.record_replies_together(slice::from_ref(one)).await;
            if let Err(error @ StoreError::Failed(_)) = &recorded {
                let outcome = in_doubt_for_want_of_record(&one.outcome, error);
                let doubtful = FinishedReply { outcome, ..one.clone() };
                recorded = self.record_replies_together(&[doubtful]).await;
            }
            match recorded {
                Ok(()) => kept.recorded.push(one.message),
                Err(error @ StoreError::Failed(_)) => kept.refuse(one.message, error),
                Err(error) => return Err(error),
            }
        }
        Ok(kept)
    }

    async fn record_replies_together(&self, finished: &[FinishedReply]) -> Result<(), StoreError> {
        if finished.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = finished.iter().map(|f| f.message.0).collect();
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
                let who = Who::Message(f.message);
                f.outcome.known_as.iter().map(move |known_as| Told {
                    known_as,
                    who,
                    by_person: false,
                })
            })
            .collect();
        let channels: Vec<String> = finished.iter().map(|f| f.channel.to_string()).collect();
        let mut transaction = self.pool.begin().await?;
        take_turns_with_records(&mut transaction, &channels).await?;
        learn(&mut transaction, &told).await?;
        // As everybody does who touches a dialogue and its messages.
        sqlx::query!(
            "SELECT id FROM dialogues WHERE id IN (SELECT dialogue_id FROM messages WHERE id = ANY ($1))
            ORDER BY id FOR UPDATE",
            &ids
        )
        .fetch_all(&mut *transaction)
        .await?;
        sqlx::query!(
            r#"WITH news AS (
                SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::float8[], $5::text[],
                    $6::text[], $7::bool[], $8::bool[])
                AS n (id, fence, class, after_s, reason, message_id, stops, again)
            ), done AS (
                UPDATE messages m SET
                    state = CASE
                        WHEN n.class = 'sent' THEN 'sent'
                        WHEN m.tries < $9 AND (n.again OR n.class = 'in-doubt' AND l.drops_repeats) THEN 'waiting'
                        WHEN n.class = 'in-doubt' THEN 'in-doubt'
                        ELSE 'failed' END,
                    ready_at = CASE WHEN n.class <> 'sent' AND m.tries < $9
                            AND (n.again OR n.class = 'in-doubt' AND l.drops_repeats)
                        THEN clock_timestamp() + make_interval(secs => coalesce(n.after_s,
                            least($11::float8, $10::float8 * power(2, m.tries - 1)))) END,
                    doubtful = m.doubtful OR n.class = 'in-doubt',
                    reason = nullif(n.reason, ''),
                    provider_message_id = coalesce(n.message_id, m.provider_message_id)
                FROM news n, lanes l
                WHERE m.id = n.id AND m.fence = n.fence AND m.state = 'sending'
                    AND l.channel = m.channel
                RETURNING m.id, m.dialogue_id, m.channel, m.author, m.state, n.class, n.stops, n.after_s, n.reason
            ), blocked AS (
                UPDATE lanes l SET blocked_class = done.class, blocked_reason = done.reason,
                    blocked_until = clock_timestamp() + make_interval(secs => done.after_s)
                FROM done WHERE l.channel = done.channel AND done.stops
            )
            UPDATE dialogues d SET state = 'with-operator', state_by = 'nuncio',
                state_reason = 'a reply was not delivered: ' || done.reason, state_at = clock_timestamp(),
                turn = turn + 1, due_at = NULL, reminder_at = NULL
            FROM done
            WHERE d.id = done.dialogue_id AND done.state = 'failed' AND d.state = 'open'"#,
            &ids,
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
        .execute(&mut *transaction)
        .await?;
        if finished.iter().any(|f| f.outcome.class != OutcomeClass::Sent) {
            let failed = sqlx::query_scalar!(
                "SELECT DISTINCT dialogue_id FROM messages WHERE id = ANY ($1) AND state = 'failed'",
                &ids
            )
            .fetch_all(&mut *transaction)
            .await?;
            owe_answers(&mut transaction, &failed).await?;
        }
        Self::notify_dialogues(&mut transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Settles the messages whose outcome nobody will record: under an older fence they may have arrived, and are
    /// waited for while their call may still run, because the next part would overtake it; under ours, of which
    /// we do not know, they were never called.
    pub async fn settle_abandoned_replies(
        &self,
        executor: ExecutorId,
        known: &[MessageId],
    ) -> Result<u64, StoreError> {
        let known: Vec<i64> = known.iter().map(|message| message.0).collect();
        let settled = sqlx::query!(
            "UPDATE messages m SET
                state = CASE WHEN m.fence = l.fence OR l.drops_repeats THEN 'waiting' ELSE 'in-doubt' END,
                ready_at = CASE WHEN m.fence = l.fence OR l.drops_repeats THEN clock_timestamp() END,
                doubtful = m.doubtful OR m.fence <> l.fence,
                reason = 'the executor stopped before it recorded the answer'
            FROM lanes l
            WHERE l.owner = $1 AND m.channel = l.channel AND m.state = 'sending' AND m.id <> ALL ($2)
                AND (m.fence = l.fence OR m.sending_at <= clock_timestamp() - $3::interval)",
            executor.0,
            &known,
            interval(CALL_OVER)
        )
        .execute(&self.pool)
        .await?;
        Ok(settled.rows_affected())
    }
}
