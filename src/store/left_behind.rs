//! What a process that is gone has left: what the next one takes up again.

use std::fmt;

use super::{connect::Store, encoding::count, error::StoreError};

/// What waits on lanes that nobody alive holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftBehind {
    /// Openings and replies that were on their way.
    pub calls: u64,
    /// Answers and openings that the AI was writing.
    pub writings: u64,
    pub replies: u64,
    pub dialogues: u64,
    /// What integrations, and systems behind `api` channels, are still to be told.
    pub reports: u64,
}

impl LeftBehind {
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, writings, replies, dialogues, reports } = *self;
        let parts = [
            (calls, "call whose outcome nobody recorded", "calls whose outcome nobody recorded"),
            (writings, "text that was being written", "texts that were being written"),
            (replies, "reply to be sent", "replies to be sent"),
            (dialogues, "dialogue to be answered", "dialogues to be answered"),
            (reports, "report to be told", "reports to be told"),
        ];
        let mut separator = "";
        for (n, one, many) in parts.into_iter().filter(|(n, ..)| *n > 0) {
            write!(f, "{separator}{n} {}", if n == 1 { one } else { many })?;
            separator = ", ";
        }
        Ok(())
    }
}

impl Store {
    /// Counts it. To be asked before this process takes lanes; what another one holds is at work there.
    pub async fn count_left_behind(&self) -> Result<LeftBehind, StoreError> {
        let row = sqlx::query!(
            r#"WITH free AS MATERIALIZED (
                SELECT channel, in_flight FROM lanes
                WHERE owner IS NULL OR owner NOT IN (SELECT id FROM living_executors)
            ), due AS (
                SELECT d.held_fence IS NOT NULL AS held
                FROM free JOIN dialogues d ON d.channel = free.channel AND d.due_at IS NOT NULL
                JOIN tasks t ON t.id = d.task_id AND t.phase = 'in-progress' AND t.deleted_at IS NULL
            ), alone AS (
                SELECT NOT EXISTS (SELECT FROM living_executors) AS alone
            )
            SELECT (SELECT count(*) FROM free WHERE in_flight IS NOT NULL)
                    + (SELECT count(*) FROM free JOIN messages m ON m.channel = free.channel AND m.state = 'sending')
                    AS "calls!",
                (SELECT count(*) FROM due WHERE held)
                    + (SELECT count(*) FROM free JOIN drafts d ON d.held_channel = free.channel AND d.state = 'due')
                    AS "writings!",
                (SELECT count(*) FROM free JOIN messages m ON m.channel = free.channel AND m.state = 'waiting')
                    AS "replies!",
                (SELECT count(*) FROM due WHERE NOT held) AS "dialogues!",
                CASE WHEN alone THEN (SELECT count(*) FROM reports WHERE state = 'waiting')
                    + (SELECT count(*) FROM callbacks WHERE state = 'due') ELSE 0 END AS "reports!"
            FROM alone"#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(LeftBehind {
            calls: count(row.calls),
            writings: count(row.writings),
            replies: count(row.replies),
            dialogues: count(row.dialogues),
            reports: count(row.reports),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_is_told() {
        assert!(LeftBehind::default().is_nothing());
        let left = LeftBehind { calls: 1, replies: 2, reports: 3, ..LeftBehind::default() };
        assert_eq!(
            left.to_string(),
            "1 call whose outcome nobody recorded, 2 replies to be sent, 3 reports to be told"
        );
    }
}
