//! Leases that were granted unseen: the database's answer was lost, and nobody works on what was leased.

use super::{connect::Store, error::StoreError};
use crate::domain::id::{DialogueId, DraftId, ExecutorId};

impl Store {
    /// Frees the dialogues that are held under the fences of this executor and that it does not know of. Says
    /// how many.
    pub async fn free_unseen_turns(
        &self,
        executor: ExecutorId,
        known: &[DialogueId],
    ) -> Result<u64, StoreError> {
        let known: Vec<i64> = known.iter().map(|dialogue| dialogue.0).collect();
        let freed = sqlx::query!(
            "UPDATE dialogues d SET held_fence = NULL, held_turn = NULL
            FROM lanes l
            WHERE l.owner = $1 AND d.channel = l.channel AND d.due_at IS NOT NULL
                AND d.held_fence = l.fence AND d.id <> ALL ($2)",
            executor.0,
            &known
        )
        .execute(&self.pool)
        .await?;
        Ok(freed.rows_affected())
    }

    /// The same for drafts.
    pub async fn free_unseen_drafts(
        &self,
        executor: ExecutorId,
        known: &[DraftId],
    ) -> Result<u64, StoreError> {
        let known: Vec<i64> = known.iter().map(|draft| draft.0).collect();
        let freed = sqlx::query!(
            "UPDATE drafts d SET held_channel = NULL, held_fence = NULL
            -- By the tasks, of which few are drafting: nobody who was written to long ago is looked at.
            FROM (SELECT DISTINCT task_id FROM drafting WHERE owner = $1) task, lanes l
            WHERE d.task_id = task.task_id AND d.state = 'due' AND l.owner = $1
                AND d.held_channel = l.channel AND d.held_fence = l.fence AND d.id <> ALL ($2)",
            executor.0,
            &known
        )
        .execute(&self.pool)
        .await?;
        Ok(freed.rows_affected())
    }
}
