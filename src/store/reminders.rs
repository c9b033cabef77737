//! Reminders: what is said after a silence, inside the task's working hours.

use std::time::Duration;

use super::{
    answers::insert_event, connect::Store, encoding::fields_from_json, error::StoreError,
    inbox::kept, lanes::interval,
};
use crate::domain::{
    fields::Fields,
    id::{DialogueId, ExecutorId},
};

/// One pass's worth; more follow at once.
const REMINDERS_MAX: i64 = 100;

/// A dialogue whose person is to be reminded.
#[derive(Clone, Debug)]
pub struct DueReminder {
    pub dialogue: DialogueId,
    pub turn: i64,
    /// The reminder of the AI's manifest that is next.
    pub index: usize,
    /// The AI's own words, where it asked for the reminder.
    pub text: Option<String>,
    pub ai_fields: Option<Fields>,
}

impl Store {
    /// The reminders that are due on lanes of this executor, and whose task may write now.
    pub async fn list_due_reminders(
        &self,
        executor: ExecutorId,
    ) -> Result<Vec<DueReminder>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH place AS MATERIALIZED (
                SELECT p.channel, p.task_id, t.fields->>'ai' AS ai
                FROM reminder_places p
                JOIN lanes l ON l.channel = p.channel AND l.owner = $1
                    AND may_answer(l.blocked_class, l.blocked_until)
                JOIN tasks t ON t.id = p.task_id AND t.phase = 'in-progress' AND t.deleted_at IS NULL
                WHERE p.reminder_at <= now() AND NOT (SELECT guarded FROM installation)
                    AND (NOT t.outgoing OR hours_open(t.hours_from_s, t.hours_to_s, t.timezone, now()))
                ORDER BY p.reminder_at LIMIT $2
            )
            SELECT d.id, d.turn, d.reminder_index, d.reminder_text, ai.fields AS "ai_fields?"
            FROM place
            CROSS JOIN LATERAL (
                SELECT o.* FROM dialogues o
                WHERE o.channel = place.channel AND o.task_id = place.task_id AND o.reminder_at <= now()
                ORDER BY o.reminder_at
                -- Twice its share: one place may be more behind than another.
                LIMIT greatest(1, 2 * $2 / (SELECT count(*) FROM place))
            ) d
            LEFT JOIN resources ai ON ai.kind = 'Ai' AND ai.name = place.ai
            ORDER BY d.reminder_at LIMIT $2"#,
            executor.0,
            REMINDERS_MAX
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(DueReminder {
                    dialogue: DialogueId(row.id),
                    turn: row.turn,
                    index: usize::try_from(row.reminder_index).unwrap_or(0),
                    text: row.reminder_text,
                    ai_fields: row.ai_fields.as_ref().map(fields_from_json).transpose()?,
                })
            })
            .collect()
    }

    /// Says a reminder, or nothing where there is none, and sets the time of the next. Without effect when
    /// the person has written meanwhile, or somebody else has reminded them.
    pub async fn remind(
        &self,
        due: &DueReminder,
        text: Option<&str>,
        next_after: Option<Duration>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        let moved = sqlx::query_scalar!(
            "UPDATE dialogues SET reminder_at = clock_timestamp() + $4, reminder_text = NULL,
                -- The AI's own reminder is none of the manifest's.
                reminder_index = reminder_index + (reminder_text IS NULL)::int
            WHERE id = $1 AND turn = $2 AND reminder_index = $3 AND reminder_at <= clock_timestamp()
                AND state = 'open'
            RETURNING id",
            due.dialogue.0,
            due.turn,
            i32::try_from(due.index).unwrap_or(i32::MAX),
            next_after.map(interval)
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if moved.is_some()
            && let Some(text) = text
        {
            sqlx::query!(
                "INSERT INTO messages (dialogue_id, channel, author, text, state, key, ready_at, turn)
                SELECT id, channel, 'reminder', $2, 'waiting', new_message_key(), clock_timestamp(), turn
                FROM dialogues WHERE id = $1",
                due.dialogue.0,
                kept(text)
            )
            .execute(&mut *transaction)
            .await?;
            let detail = serde_json::json!({ "index": due.index });
            insert_event(&mut transaction, due.dialogue, "reminded", "nuncio", &detail).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}
