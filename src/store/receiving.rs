//! How receiving goes: what keeps a channel from hearing people, and the block that a refusal of its account is.

use super::{connect::Store, error::StoreError};
use crate::domain::{
    attempt::Outcome,
    id::{ChannelName, ExecutorId},
};

impl Store {
    /// Notes why nothing is received on a lane of this executor, or that it goes well again. What stops a
    /// channel when it sends, stops it here too.
    pub async fn note_receiving(
        &self,
        executor: ExecutorId,
        channel: &ChannelName,
        problem: Option<&Outcome>,
    ) -> Result<(), StoreError> {
        let stopping = problem.filter(|outcome| outcome.class.stops_channel());
        sqlx::query!(
            "UPDATE lanes SET unheard_reason = $3,
                unheard_since = CASE WHEN $3::text IS NOT NULL THEN coalesce(unheard_since, now()) END,
                -- The first word stands: a block for another cause is not replaced.
                blocked_class = coalesce(blocked_class, $4::text),
                blocked_reason = CASE WHEN blocked_class IS NULL AND $4::text IS NOT NULL THEN $3
                    ELSE blocked_reason END
            WHERE channel = $1 AND owner = $2
                AND (unheard_reason IS DISTINCT FROM $3 OR blocked_class IS NULL AND $4::text IS NOT NULL)",
            channel.as_str(),
            executor.0,
            problem.map(|outcome| outcome.reason.as_str()),
            stopping.map(|outcome| outcome.class.as_str())
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Whether what kept the channel from hearing stands as it was noted; an operator may have ended it.
    pub async fn is_unheard(&self, channel: &ChannelName) -> Result<bool, StoreError> {
        let unheard = sqlx::query_scalar!(
            r#"SELECT unheard_reason IS NOT NULL AS "unheard!" FROM lanes WHERE channel = $1"#,
            channel.as_str()
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(unheard.unwrap_or_default())
    }
}
