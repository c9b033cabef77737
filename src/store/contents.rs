//! What is in a database, in numbers, without changing it.

use chrono::{DateTime, Utc};

use super::{encoding::count, error::StoreError, examination::Examination, guard::Guard};

/// What a database of this version's schema holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// `live` or `rehearsal`, once a `watch` has sent from it.
    pub purpose: Option<String>,
    pub guard: Option<Guard>,
    pub living_watches: u64,
    pub living_executors: u64,
    pub tasks: u64,
    pub running_tasks: u64,
    pub contacts: u64,
    /// Attempts and replies in doubt that wait for an operator.
    pub in_doubt: u64,
}

#[derive(sqlx::FromRow)]
struct Row {
    purpose: Option<String>,
    guarded_at: Option<DateTime<Utc>>,
    guarded_by: Option<String>,
    guard_reason: Option<String>,
    living_watches: i64,
    living_executors: i64,
    tasks: i64,
    running_tasks: i64,
    contacts: i64,
    in_doubt: i64,
}

impl Examination {
    /// How much the database takes on its server's disk.
    pub async fn size_bytes(&mut self) -> Result<u64, StoreError> {
        let size = sqlx::query_scalar("SELECT pg_database_size(current_database())")
            .fetch_one(&mut self.connection)
            .await?;
        Ok(count(size))
    }

    /// Only for a schema that is this version's.
    pub async fn contents(&mut self) -> Result<Contents, StoreError> {
        let row: Row = sqlx::query_as(
            "SELECT i.purpose, g.at AS guarded_at, g.by AS guarded_by, g.reason AS guard_reason,
                (SELECT count(*) FROM living_watches) AS living_watches,
                (SELECT count(*) FROM living_executors) AS living_executors,
                (SELECT count(*) FROM tasks WHERE deleted_at IS NULL) AS tasks,
                (SELECT count(*) FROM tasks WHERE deleted_at IS NULL AND phase = 'in-progress')
                    AS running_tasks,
                (SELECT coalesce(sum(a.total), 0)::bigint FROM audiences a
                    JOIN tasks t ON t.id = a.task_id AND t.deleted_at IS NULL) AS contacts,
                -- Those that nobody but an operator ends.
                (SELECT count(*) FROM attempts a
                    WHERE a.outcome = 'in-doubt' AND coalesce(a.reason, '') NOT LIKE 'resolved as %'
                        AND NOT EXISTS (SELECT FROM attempts later WHERE later.task_id = a.task_id
                            AND later.address = a.address AND later.opening = a.opening
                            AND later.id > a.id)
                        AND NOT EXISTS (SELECT FROM retries r WHERE r.opening = a.opening))
                    + (SELECT count(*) FROM messages m
                        WHERE m.state = 'in-doubt' AND m.author <> 'opening')
                    AS in_doubt
            FROM installation i
            LEFT JOIN LATERAL (SELECT * FROM guard_acts ORDER BY number DESC LIMIT 1) g ON i.guarded",
        )
        .fetch_one(&mut self.connection)
        .await?;
        let guard = match (row.guarded_at, row.guarded_by, row.guard_reason) {
            (Some(since), Some(by), Some(reason)) => Some(Guard { since, by, reason }),
            _ => None,
        };
        Ok(Contents {
            purpose: row.purpose,
            guard,
            living_watches: count(row.living_watches),
            living_executors: count(row.living_executors),
            tasks: count(row.tasks),
            running_tasks: count(row.running_tasks),
            contacts: count(row.contacts),
            in_doubt: count(row.in_doubt),
        })
    }
}
