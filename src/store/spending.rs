//! Spending: the greatest possible cost of a call is reserved before it and settled after it.

use chrono::{DateTime, NaiveDate, Utc};

use super::{
    connect::Store, drafts::settle_draft, encoding::count, error::StoreError, turns::HeldTurn,
};
use crate::domain::{
    id::{AiCallId, DraftId, TaskName},
    money::MicroUsd,
};

/// The leave to call an AI, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    Granted(Reserved),
    /// It would cost more than is left of the limit.
    LimitReached {
        remaining: MicroUsd,
    },
    /// Something newer happened meanwhile, or the lane has moved.
    Void,
}

impl Reservation {
    /// Why a reservation was not granted: `remaining` was read a moment later, and is absent where the lane
    /// or the turn is not ours any more. It may have grown; the call is tried again at the next pass.
    pub(super) fn refused(remaining: Option<i64>) -> Self {
        remaining.map_or(Self::Void, |remaining| Self::LimitReached {
            remaining: MicroUsd::from_micros(remaining.max(0)),
        })
    }
}

/// A reservation that stands until it is settled; for ever, if nobody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    pub call: AiCallId,
    pub at: DateTime<Utc>,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub cost: MicroUsd,
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
    /// The server did not say, and the cost is what it was reckoned to be.
    pub estimated: bool,
    /// The model that answered.
    pub model: String,
    pub ending: String,
}

/// By what spending is summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpendingPart {
    Day,
    Task,
    Ai,
    Model,
}

/// One sum; a part that was not asked for is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpendingSum {
    /// In UTC, of the reservation.
    pub day: Option<NaiveDate>,
    pub task: Option<String>,
    pub ai: Option<String>,
    pub model: Option<String>,
    pub calls: u64,
    pub spent: MicroUsd,
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
}

impl Store {
    /// Reserves the greatest possible cost of a call, if it fits into what is left of the dialogue's limit.
    pub async fn reserve(
        &self,
        turn: &HeldTurn,
        model: &str,
        amount: MicroUsd,
    ) -> Result<Reservation, StoreError> {
        let granted = sqlx::query!(
            r#"WITH reserved AS (
                UPDATE dialogues d SET spent = d.spent + $5
                FROM tasks t, lanes l
                WHERE d.id = $1 AND t.id = d.task_id AND l.channel = d.channel AND l.fence = $2
                    AND d.held_fence = $2 AND d.turn = $3 AND d.state = 'open'
                    AND d.spent + $5 <= spending_limit(t.fields) + d.allowance
                RETURNING d.id, d.task
            ), summed AS (
                INSERT INTO spending (day, task, ai, model, n_calls, spent)
                SELECT utc_day(now()), task, $4, $6, 1, $5 FROM reserved
                ON CONFLICT (day, task, ai, model) DO UPDATE SET n_calls = spending.n_calls + 1,
                    spent = spending.spent + excluded.spent
            )
            INSERT INTO ai_calls (dialogue_id, task, ai, model, fence, reserved)
            SELECT id, task, $4, $6, $2, $5 FROM reserved
            RETURNING id, at"#,
            turn.dialogue.0,
            turn.fence.0,
            turn.turn,
            turn.ai,
            amount.micros(),
            model
        )
        .fetch_optional(&self.pool)
        .await?;
        if let Some(row) = granted {
            return Ok(Reservation::Granted(Reserved { call: AiCallId(row.id), at: row.at }));
        }
        let remaining = sqlx::query_scalar!(
            r#"SELECT spending_limit(t.fields) + d.allowance - d.spent AS "remaining!"
            FROM dialogues d JOIN tasks t ON t.id = d.task_id JOIN lanes l ON l.channel = d.channel
            WHERE d.id = $1 AND l.fence = $2 AND d.held_fence = $2 AND d.turn = $3 AND d.state = 'open'"#,
            turn.dialogue.0,
            turn.fence.0,
            turn.turn
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(Reservation::refused(remaining))
    }

    /// Puts what a call cost in the place of its reservation, once. True whoever holds the lane by now: the
    /// provider has billed it.
    pub async fn settle(
        &self,
        reserved: Reserved,
        settlement: &Settlement,
    ) -> Result<(), StoreError> {
        let Settlement {
            cost,
            input_tokens,
            cached_input_tokens,
            output_tokens,
            reasoning_tokens,
            estimated,
            model,
            ending,
        } = settlement;
        let big = |tokens: &u64| i64::try_from(*tokens).unwrap_or(i64::MAX);
        let mut transaction = self.pool.begin().await?;
        let settled = sqlx::query!(
            r#"WITH settled AS (
                UPDATE ai_calls SET cost = $3, input_tokens = $4, cached_input_tokens = $5, output_tokens = $6,
                    reasoning_tokens = $7, estimated = $8, ending = $10, settled_at = clock_timestamp()
                WHERE id = $1 AND at = $2 AND settled_at IS NULL
                RETURNING dialogue_id, draft_id, task, ai, model, at, reserved
            ), moved AS (
                -- From the model that was asked to the one that answered.
                UPDATE spending s SET n_calls = s.n_calls - 1, spent = s.spent - settled.reserved
                FROM settled WHERE settled.model <> $9 AND s.day = utc_day(settled.at) AND s.task = settled.task
                    AND s.ai = settled.ai AND s.model = settled.model
            ), summed AS (
                INSERT INTO spending AS s (day, task, ai, model, n_calls, spent, input_tokens,
                    cached_input_tokens, output_tokens)
                SELECT utc_day(at), task, ai, $9, (model <> $9)::int,
                    CASE WHEN model = $9 THEN $3 - reserved ELSE $3 END, $4, $5, $6
                FROM settled
                ON CONFLICT (day, task, ai, model) DO UPDATE SET n_calls = s.n_calls + excluded.n_calls,
                    spent = s.spent + excluded.spent, input_tokens = s.input_tokens + excluded.input_tokens,
                    cached_input_tokens = s.cached_input_tokens + excluded.cached_input_tokens,
                    output_tokens = s.output_tokens + excluded.output_tokens
            ), of_dialogue AS (
                UPDATE dialogues d SET spent = greatest(0, d.spent - settled.reserved + $3)
                FROM settled WHERE d.id = settled.dialogue_id
            )
            SELECT draft_id, $3 - reserved AS "change!" FROM settled"#,
            reserved.call.0,
            reserved.at,
            cost.micros(),
            big(input_tokens),
            big(cached_input_tokens),
            big(output_tokens),
            big(reasoning_tokens),
            estimated,
            model,
            ending
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(settled) = settled
            && let Some(draft) = settled.draft_id
        {
            settle_draft(&mut transaction, DraftId(draft), settled.change).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// What was spent, summed by the parts that are wanted: the latest day first, then what cost most.
    /// Without parts it is one sum.
    pub async fn sum_spending(
        &self,
        task: Option<&TaskName>,
        since: Option<NaiveDate>,
        parts: &[SpendingPart],
        at_most: u64,
    ) -> Result<Vec<SpendingSum>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT CASE WHEN $1 THEN day END AS day, CASE WHEN $2 THEN task END AS task,
                CASE WHEN $3 THEN ai END AS ai, CASE WHEN $4 THEN model END AS model,
                coalesce(sum(n_calls), 0)::bigint AS "n_calls!", coalesce(sum(spent), 0)::bigint AS "spent!",
                coalesce(sum(input_tokens), 0)::bigint AS "input!",
                coalesce(sum(cached_input_tokens), 0)::bigint AS "cached!",
                coalesce(sum(output_tokens), 0)::bigint AS "output!"
            FROM spending
            WHERE ($5::text IS NULL OR task = $5) AND ($6::date IS NULL OR day >= $6)
            GROUP BY 1, 2, 3, 4
            ORDER BY 1 DESC NULLS LAST, 6 DESC, 2, 3, 4 LIMIT $7"#,
            parts.contains(&SpendingPart::Day),
            parts.contains(&SpendingPart::Task),
            parts.contains(&SpendingPart::Ai),
            parts.contains(&SpendingPart::Model),
            task.map(TaskName::as_str),
            since,
            i64::try_from(at_most).unwrap_or(i64::MAX)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| SpendingSum {
                day: row.day,
                task: row.task,
                ai: row.ai,
                model: row.model,
                calls: count(row.n_calls),
                spent: MicroUsd::from_micros(row.spent),
                input_tokens: count(row.input),
                cached_input_tokens: count(row.cached),
                output_tokens: count(row.output),
            })
            .collect())
    }
}
