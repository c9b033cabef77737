//! AIs that rest because they did not answer, and the totals of dialogues that `status` shows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    connect::Store,
    encoding::{count, parsed},
    error::StoreError,
};
use crate::domain::{dialogue::DialogueState, money::MicroUsd};

/// A shorter rest passes by itself, as a pause does: it is no change of a task's health.
const PASSING_S: f64 = 60.0;

/// Why a task's AI is not asked at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AiRest {
    pub ai: String,
    /// The AI that answers in its place.
    pub fallback: Option<String>,
    pub class: String,
    pub reason: String,
    pub since: DateTime<Utc>,
    /// When it is asked again, if anybody waits for it.
    pub not_before: DateTime<Utc>,
    /// It does not pass by itself, or has not for a while.
    pub lasts: bool,
}

impl AiRest {
    /// The AI and the reason, where that is more than a pause and nothing answers in its place.
    pub fn lasting(self) -> Option<(String, String)> {
        (self.lasts && self.fallback.is_none()).then_some((self.ai, self.reason))
    }
}

/// What a task's dialogues come to, over all of its incarnations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogueTotals {
    /// Only states that there are.
    pub states: BTreeMap<DialogueState, u64>,
    /// Those that have succeeded at some time, in whatever state they are by now.
    pub successes: u64,
    /// People who wrote where no AI answers, and no success was before.
    pub waiting_for_operator: u64,
    /// People who wrote on after a success, mostly to say thank you.
    pub wrote_after_success: u64,
    /// People whom the AI is to answer.
    pub waiting_for_ai: u64,
    pub spent_today: MicroUsd,
    pub spent: MicroUsd,
}

impl Store {
    /// The tasks whose AI rests, or one of them.
    pub async fn list_resting(
        &self,
        task: Option<&str>,
    ) -> Result<BTreeMap<String, AiRest>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT t.name, r.ai, awake_ai(r.ai) AS fallback, r.class, r.reason, r.since, r.not_before,
                r.class IN ('quota', 'credential-refused', 'our-mistake')
                    OR r.since < now() - make_interval(secs => $2) AS "lasts!"
            FROM ai_rests r JOIN tasks t ON t.fields->>'ai' = r.ai AND t.deleted_at IS NULL
            WHERE $1::text IS NULL OR t.name = $1"#,
            task,
            PASSING_S
        )
        .fetch_all(&self.pool)
        .await?;
        let all = rows.into_iter().map(|row| {
            let rest = AiRest {
                ai: row.ai,
                fallback: row.fallback,
                class: row.class,
                reason: row.reason,
                since: row.since,
                not_before: row.not_before,
                lasts: row.lasts,
            };
            (row.name, rest)
        });
        Ok(all.collect())
    }

    /// Of every task that has dialogues, or has spent anything.
    pub async fn total_dialogues(&self) -> Result<BTreeMap<String, DialogueTotals>, StoreError> {
        let mut all: BTreeMap<String, DialogueTotals> = BTreeMap::new();
        let states = sqlx::query!(
            r#"SELECT task, state, count(*) AS "n!", count(succeeded_at) AS "n_succeeded!"
            FROM dialogues GROUP BY task, state"#
        )
        .fetch_all(&self.pool)
        .await?;
        for row in states {
            let totals = all.entry(row.task).or_default();
            totals.states.insert(parsed(&row.state)?, count(row.n));
            totals.successes += count(row.n_succeeded);
        }
        let waiting = sqlx::query!(
            r#"SELECT task, count(*) FILTER (WHERE state = 'open') AS "for_ai!",
                count(*) FILTER (WHERE state IN ('with-operator', 'blocked')) AS "for_operator!",
                count(*) FILTER (WHERE state = 'succeeded') AS "after_success!"
            FROM dialogues WHERE waiting_since IS NOT NULL AND state <> 'closed' GROUP BY task"#
        )
        .fetch_all(&self.pool)
        .await?;
        for row in waiting {
            let totals = all.entry(row.task).or_default();
            totals.waiting_for_ai = count(row.for_ai);
            totals.waiting_for_operator = count(row.for_operator);
            totals.wrote_after_success = count(row.after_success);
        }
        let spent = sqlx::query!(
            r#"SELECT task, sum(spent)::bigint AS "spent!",
                coalesce(sum(spent) FILTER (WHERE day = utc_day(now())), 0)::bigint AS "today!"
            FROM spending GROUP BY task"#
        )
        .fetch_all(&self.pool)
        .await?;
        for row in spent {
            let totals = all.entry(row.task).or_default();
            totals.spent = MicroUsd::from_micros(row.spent);
            totals.spent_today = MicroUsd::from_micros(row.today);
        }
        Ok(all)
    }
}
