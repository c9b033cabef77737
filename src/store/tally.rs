//! What became of all attempts, in numbers.

use super::{connect::Store, encoding::count, error::StoreError};

/// Reasons are in the providers' words; more kinds of them than this nobody reads.
const KINDS_MAX: i64 = 1000;

/// Attempts of one task through one channel that ended alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeTally {
    pub task: String,
    pub channel: String,
    /// Absent while the call is under way.
    pub outcome: Option<String>,
    pub reason: Option<String>,
    pub n: u64,
}

impl Store {
    /// Everything that was attempted; what happened most often comes first in each channel.
    pub async fn tally_outcomes(&self) -> Result<Vec<OutcomeTally>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT task, channel, outcome, reason, count(*) AS "n!"
            FROM attempts
            GROUP BY task, channel, outcome, reason
            ORDER BY task, channel, count(*) DESC, outcome, reason
            LIMIT $1"#,
            KINDS_MAX
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| OutcomeTally {
                task: row.task,
                channel: row.channel,
                outcome: row.outcome,
                reason: row.reason,
                n: count(row.n),
            })
            .collect())
    }

    /// How many calls are under way.
    pub async fn count_in_flight(&self) -> Result<u64, StoreError> {
        let n = sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM lanes WHERE in_flight IS NOT NULL"#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(count(n))
    }
}
