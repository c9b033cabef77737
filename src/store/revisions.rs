//! Revisions: the history of what was written, by whom and from which commit.

use sqlx::PgConnection;

use super::{
    connect::Store,
    encoding::{fields_from_json, fields_to_json, parsed},
    error::StoreError,
    writing::{Recorded, Writing},
};
use crate::domain::{
    contact::AudienceChange,
    fields::Fields,
    resource::ResourceKey,
    revision::{PhaseMove, Provenance, Revision, RevisionChange, RevisionNumber},
    subject::Subject,
};

/// Revisions that one look reads at most.
pub const REVISIONS_MAX: i64 = 1000;

/// How much of a change is read: twenty revisions of ten thousand tasks fill a memory with their fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Actions,
    Fields,
}

/// The number that the writer of this transaction gives; the lock keeps it from being given twice.
pub(super) async fn next(connection: &mut PgConnection) -> Result<RevisionNumber, StoreError> {
    let last = sqlx::query_scalar!(r#"SELECT coalesce(max(number), 0) AS "last!" FROM revisions"#)
        .fetch_one(connection)
        .await?;
    Ok(RevisionNumber(last + 1))
}

pub(super) fn subject(kind: &str, name: String) -> Result<Subject, StoreError> {
    Ok(match kind {
        "Task" => Subject::Task(parsed(&name)?),
        kind => Subject::Resource(ResourceKey { kind: parsed(kind)?, name }),
    })
}

/// In numbers: whom an audience names is for the audience alone.
fn audience_to_json(change: &AudienceChange) -> serde_json::Value {
    let AudienceChange {
        total,
        added,
        removed,
        altered,
        duplicates,
        written_before: _,
        shared_with: _,
        added_examples: _,
        removed_examples: _,
    } = change;
    serde_json::json!({
        "total": total, "added": added, "removed": removed, "altered": altered,
        "duplicates": duplicates,
    })
}

fn audience_from_json(value: &serde_json::Value) -> AudienceChange {
    let number = |key: &str| value.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0);
    AudienceChange {
        total: number("total"),
        added: number("added"),
        removed: number("removed"),
        altered: number("altered"),
        duplicates: number("duplicates"),
        ..AudienceChange::default()
    }
}

impl Writing {
    pub(super) async fn write_revision(&mut self) -> Result<(), StoreError> {
        let Self { transaction, provenance, revision, recorded, deleted: _ } = self;
        let Provenance { cause, by, commit, dirty, message } = provenance;
        sqlx::query!(
            "INSERT INTO revisions (number, cause, by, commit, dirty, message)
            VALUES ($1, $2, $3, $4, $5, $6)",
            revision.0,
            cause.as_str(),
            by.as_str(),
            commit.as_deref(),
            *dirty,
            message.as_deref()
        )
        .execute(&mut **transaction)
        .await?;
        let (mut kinds, mut names, mut actions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut ids, mut all_fields, mut audiences) = (Vec::new(), Vec::new(), Vec::new());
        let (mut phases_from, mut phases_to) = (Vec::new(), Vec::new());
        for (subject, news) in recorded {
            let Recorded { action, id, fields, phase, audience } = news;
            kinds.push(subject.kind().to_owned());
            names.push(subject.name().to_owned());
            actions.push(action.as_str().to_owned());
            ids.push(id.map(|id| id.0));
            all_fields.push(fields.as_ref().map(fields_to_json));
            audiences.push(audience.as_ref().map(audience_to_json));
            phases_from.push(phase.and_then(|step| step.from).map(|from| from.as_str().to_owned()));
            phases_to.push(phase.map(|step| step.to.as_str().to_owned()));
        }
        sqlx::query!(
            "INSERT INTO revision_changes (revision, kind, name, action, task_id, fields, phase_from,
                phase_to, audience)
            SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::uuid[], $6::jsonb[],
                $7::text[], $8::text[], $9::jsonb[])",
            revision.0,
            &kinds,
            &names,
            &actions,
            &ids as &[Option<uuid::Uuid>],
            &all_fields as &[Option<serde_json::Value>],
            &phases_from as &[Option<String>],
            &phases_to as &[Option<String>],
            &audiences as &[Option<serde_json::Value>]
        )
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }
}

impl Store {
    /// The newest revisions, newest first, without what they changed; only those of a subject if one is
    /// given.
    pub async fn list_revisions(
        &self,
        of: Option<&Subject>,
        limit: i64,
    ) -> Result<Vec<Revision>, StoreError> {
        let rows = sqlx::query!(
            "SELECT number, at, cause, by, commit, dirty, message FROM revisions r
            WHERE $1::text IS NULL OR EXISTS (
                SELECT FROM revision_changes c
                WHERE c.revision = r.number AND c.kind = $1 AND c.name = $2
            )
            ORDER BY number DESC LIMIT $3",
            of.map(Subject::kind),
            of.map(Subject::name),
            limit.min(REVISIONS_MAX)
        )
        .fetch_all(&self.pool)
        .await?;
        let mut revisions = Vec::with_capacity(rows.len());
        for row in rows {
            revisions.push(Revision {
                number: RevisionNumber(row.number),
                at: row.at,
                provenance: Provenance {
                    cause: parsed(&row.cause)?,
                    by: row.by,
                    commit: row.commit,
                    dirty: row.dirty,
                    message: row.message,
                },
                changes: Vec::new(),
            });
        }
        Ok(revisions)
    }

    /// Fills in what some revisions changed; only of a subject if one is given.
    pub async fn read_revision_changes(
        &self,
        revisions: &mut [Revision],
        of: Option<&Subject>,
        detail: Detail,
    ) -> Result<(), StoreError> {
        let numbers: Vec<i64> = revisions.iter().map(|revision| revision.number.0).collect();
        let rows = sqlx::query!(
            r#"SELECT c.revision, c.kind, c.name, c.action, CASE WHEN $4 THEN c.fields END AS fields,
                c.phase_from, c.phase_to,
                c.audience, before.fields AS "before?"
            FROM revision_changes c
            LEFT JOIN LATERAL (
                SELECT CASE WHEN p.action <> 'delete' THEN p.fields END AS fields FROM revision_changes p
                WHERE p.kind = c.kind AND p.name = c.name AND p.revision < c.revision
                    AND (p.fields IS NOT NULL OR p.action = 'delete')
                ORDER BY p.revision DESC LIMIT 1
            ) before ON $4 AND (c.fields IS NOT NULL OR c.action = 'delete')
            WHERE c.revision = ANY($1) AND ($2::text IS NULL OR c.kind = $2 AND c.name = $3)
            ORDER BY c.revision, c.kind DESC, c.name"#,
            &numbers,
            of.map(Subject::kind),
            of.map(Subject::name),
            detail == Detail::Fields
        )
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            let fields = |value: Option<serde_json::Value>| -> Result<Option<Fields>, StoreError> {
                value.as_ref().map(fields_from_json).transpose()
            };
            let change = RevisionChange {
                subject: subject(&row.kind, row.name)?,
                action: parsed(&row.action)?,
                before: fields(row.before)?,
                after: fields(row.fields)?,
                audience: row.audience.as_ref().map(audience_from_json),
                phase: match row.phase_to {
                    None => None,
                    Some(to) => Some(PhaseMove {
                        from: row.phase_from.as_deref().map(parsed).transpose()?,
                        to: parsed(&to)?,
                    }),
                },
            };
            let number = RevisionNumber(row.revision);
            if let Some(revision) = revisions.iter_mut().find(|known| known.number == number) {
                revision.changes.push(change);
            }
        }
        Ok(())
    }

    /// One revision with what it changed.
    pub async fn read_revision(
        &self,
        number: RevisionNumber,
    ) -> Result<Option<Revision>, StoreError> {
        let row = sqlx::query!(
            "SELECT number, at, cause, by, commit, dirty, message FROM revisions WHERE number = $1",
            number.0
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let mut revision = [Revision {
            number,
            at: row.at,
            provenance: Provenance {
                cause: parsed(&row.cause)?,
                by: row.by,
                commit: row.commit,
                dirty: row.dirty,
                message: row.message,
            },
            changes: Vec::new(),
        }];
        self.read_revision_changes(&mut revision, None, Detail::Fields).await?;
        Ok(revision.into_iter().next())
    }

    /// The specification that a subject had after a revision; absent if it was not there then.
    pub async fn read_fields_at(
        &self,
        of: &Subject,
        number: RevisionNumber,
    ) -> Result<Option<Fields>, StoreError> {
        let fields = sqlx::query_scalar!(
            "SELECT fields FROM revision_changes
            WHERE kind = $1 AND name = $2 AND revision <= $3
                AND (fields IS NOT NULL OR action = 'delete')
            ORDER BY revision DESC LIMIT 1",
            of.kind(),
            of.name(),
            number.0
        )
        .fetch_optional(&self.pool)
        .await?;
        fields.flatten().as_ref().map(fields_from_json).transpose()
    }

    /// Who changed a task last, for whom finds it changed.
    pub async fn last_writer(&self, of: &Subject) -> Result<Option<String>, StoreError> {
        let last = sqlx::query_scalar!(
            r#"SELECT format('revision %s: %s by %s at %s UTC', r.number, r.cause, r.by,
                to_char(r.at, 'YYYY-MM-DD HH24:MI')) AS "last!"
            FROM revision_changes c JOIN revisions r ON r.number = c.revision
            WHERE c.kind = $1 AND c.name = $2 ORDER BY c.revision DESC LIMIT 1"#,
            of.kind(),
            of.name()
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(last)
    }
}
