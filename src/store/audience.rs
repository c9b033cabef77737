//! Contacts: loaded by COPY or in one statement, compared by streaming, never row by row.

use std::collections::{BTreeMap, HashSet};

use futures_util::TryStreamExt as _;
use sqlx::{PgConnection, postgres::PgCopyIn};

use super::{
    connect::Store,
    encoding::{count, variables_from_json},
    error::StoreError,
};
use crate::domain::{
    address::Address,
    contact::Contact,
    id::{TaskId, TaskName},
};

/// What goes to the server in one message of a COPY: large enough to amortise the call.
const COPY_CHUNK_BYTES: usize = 64 * 1024;
/// Contacts up to which one statement is faster than a COPY.
const SMALL_MAX: usize = 1000;

/// A contact as it was loaded.
#[derive(Clone, Debug)]
pub struct StoredContact {
    pub position: i64,
    pub contact: Contact,
}

/// Writes into one task's audience. Dropped without `finish`, it leaves nothing.
///
/// A small audience is one statement: the end of a COPY waits for the network's delayed acknowledgement,
/// forty milliseconds for each task.
pub struct AudienceWriter<'w> {
    task_id: TaskId,
    position: i64,
    state: State<'w>,
}

enum State<'w> {
    Small {
        connection: &'w mut PgConnection,
        contacts: Vec<Contact>,
    },
    Copying {
        copy: PgCopyIn<&'w mut PgConnection>,
        buffer: Vec<u8>,
    },
    /// A COPY could not be begun.
    Failed,
}

impl AudienceWriter<'_> {
    pub async fn write(&mut self, contact: &Contact) -> Result<(), StoreError> {
        if let State::Small { contacts, .. } = &mut self.state {
            if contacts.len() < SMALL_MAX {
                contacts.push(contact.clone());
                return Ok(());
            }
            self.begin_copy().await?;
        }
        self.copy(contact).await
    }

    async fn begin_copy(&mut self) -> Result<(), StoreError> {
        let State::Small { connection, contacts } =
            std::mem::replace(&mut self.state, State::Failed)
        else {
            return Ok(());
        };
        let copy = connection
            .copy_in_raw("COPY contacts (task_id, position, address, variables) FROM STDIN")
            .await?;
        let buffer = Vec::with_capacity(COPY_CHUNK_BYTES + 4096);
        self.state = State::Copying { copy, buffer };
        for contact in &contacts {
            self.copy(contact).await?;
        }
        Ok(())
    }

    async fn copy(&mut self, contact: &Contact) -> Result<(), StoreError> {
        let Self { task_id, position, state } = self;
        let State::Copying { copy, buffer } = state else { return Ok(()) };
        *position += 1;
        buffer.extend_from_slice(format!("{task_id}\t{position}\t").as_bytes());
        escape(contact.address.as_str(), buffer);
        buffer.push(b'\t');
        if contact.variables.is_empty() {
            buffer.extend_from_slice(b"\\N");
        } else {
            escape(&variables_json(&contact.variables).to_string(), buffer);
        }
        buffer.push(b'\n');
        if buffer.len() >= COPY_CHUNK_BYTES {
            copy.send(buffer.as_slice()).await?;
            buffer.clear();
        }
        Ok(())
    }

    /// Ends the writing; gives the last position that was written.
    pub async fn finish(self) -> Result<i64, StoreError> {
        let Self { task_id, position, state } = self;
        match state {
            State::Small { connection, contacts } => {
                insert(connection, task_id, position, &contacts).await
            }
            State::Copying { mut copy, buffer } => {
                copy.send(buffer.as_slice()).await?;
                copy.finish().await?;
                Ok(position)
            }
            State::Failed => Ok(position),
        }
    }
}

async fn insert(
    connection: &mut PgConnection,
    task_id: TaskId,
    after_position: i64,
    contacts: &[Contact],
) -> Result<i64, StoreError> {
    if contacts.is_empty() {
        return Ok(after_position);
    }
    let addresses: Vec<String> = contacts.iter().map(|c| c.address.as_str().to_owned()).collect();
    let variables: Vec<Option<serde_json::Value>> = contacts
        .iter()
        .map(|Contact { variables, .. }| (!variables.is_empty()).then(|| variables_json(variables)))
        .collect();
    let inserted = sqlx::query!(
        "INSERT INTO contacts (task_id, position, address, variables)
        SELECT $1, $2 + n, address, variables
        FROM unnest($3::text[], $4::jsonb[]) WITH ORDINALITY AS news (address, variables, n)",
        task_id.0,
        after_position,
        &addresses,
        &variables as &[Option<serde_json::Value>]
    )
    .execute(connection)
    .await?;
    Ok(after_position + i64::try_from(inserted.rows_affected()).unwrap_or(i64::MAX))
}

/// COPY's text format gives these four a meaning.
fn escape(text: &str, into: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'\t' => into.extend_from_slice(b"\\t"),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            other => into.push(other),
        }
    }
}

fn variables_json(variables: &BTreeMap<String, String>) -> serde_json::Value {
    variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(super) fn append(
    connection: &mut PgConnection,
    task_id: TaskId,
    after_position: i64,
) -> AudienceWriter<'_> {
    let state = State::Small { connection, contacts: Vec::new() };
    AudienceWriter { task_id, position: after_position, state }
}

/// Takes contacts out of an audience. One that was written to keeps its place in the ledger; an opening
/// that waits to be tried again is not tried again. If it may have arrived, [`Store::settle_orphans`]
/// hands it to an operator.
pub(super) async fn remove(
    connection: &mut PgConnection,
    task_id: TaskId,
    positions: &[i64],
) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH gone AS (
            DELETE FROM contacts WHERE task_id = $1 AND position = ANY($2)
        ), cancelled AS (
            DELETE FROM retries WHERE task_id = $1 AND position = ANY($2) AND NOT in_doubt
            RETURNING opening, address
        ), undrafted AS (
            -- What was spent on them counts, should they come back.
            UPDATE drafts SET state = 'void', text = NULL, reason = NULL, due_at = NULL, turn = turn + 1,
                held_channel = NULL, held_fence = NULL
            WHERE task_id = $1 AND position = ANY($2) AND state IN ('due', 'written', 'failed')
        )
        DELETE FROM ledger l USING cancelled c, tasks t
        WHERE t.id = $1 AND l.task = t.name AND l.address = c.address AND l.opening = c.opening",
        task_id.0,
        positions
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn alter(
    connection: &mut PgConnection,
    task_id: TaskId,
    altered: &[(i64, BTreeMap<String, String>)],
) -> Result<(), StoreError> {
    let positions: Vec<i64> = altered.iter().map(|(position, _)| *position).collect();
    let variables: Vec<Option<serde_json::Value>> = altered
        .iter()
        .map(|(_, variables)| (!variables.is_empty()).then(|| variables_json(variables)))
        .collect();
    sqlx::query!(
        "WITH redrafted AS (
            -- Written with the old ones.
            UPDATE drafts SET state = 'due', text = NULL, due_at = clock_timestamp(), turn = turn + 1,
                failures = 0, held_channel = NULL, held_fence = NULL
            WHERE task_id = $1 AND position = ANY($2) AND state IN ('due', 'written') AND dialogue_id IS NULL
        )
        UPDATE contacts c SET variables = news.variables
        FROM unnest($2::bigint[], $3::jsonb[]) AS news (position, variables)
        WHERE c.task_id = $1 AND c.position = news.position",
        task_id.0,
        &positions,
        &variables as &[Option<serde_json::Value>]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts an audience anew after its contacts changed.
pub(super) async fn recount(
    connection: &mut PgConnection,
    task_id: TaskId,
    task: &TaskName,
    last_position: i64,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE audiences a SET last_position = greatest(a.last_position, $3),
            total = (SELECT count(*) FROM contacts c WHERE c.task_id = $1),
            waiting = (SELECT count(*) FROM contacts c
                WHERE c.task_id = $1 AND c.position > a.cursor_position
                    AND NOT EXISTS (SELECT FROM ledger l WHERE l.task = $2 AND l.address = c.address))
        WHERE a.task_id = $1",
        task_id.0,
        task.as_str(),
        last_position
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// The addresses at some positions, in their order.
    pub async fn list_addresses(
        &self,
        task_id: TaskId,
        positions: &[i64],
    ) -> Result<Vec<Address>, StoreError> {
        let addresses = sqlx::query_scalar!(
            "SELECT address FROM contacts WHERE task_id = $1 AND position = ANY($2) ORDER BY position",
            task_id.0,
            positions
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(addresses.into_iter().map(Address::from_stored).collect())
    }

    /// Contacts still to be written to that lack a variable.
    pub async fn count_contacts_without(
        &self,
        task_id: TaskId,
        variables: &[String],
    ) -> Result<u64, StoreError> {
        let lacking = sqlx::query_scalar!(
            r#"SELECT count(*) AS "lacking!" FROM contacts c JOIN audiences a USING (task_id)
            WHERE c.task_id = $1 AND NOT coalesce(c.variables, '{}') ?& $2
                AND (c.position > a.cursor_position OR EXISTS (
                    SELECT FROM retries r WHERE r.task_id = $1 AND r.position = c.position))"#,
            task_id.0,
            variables
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(count(lacking))
    }

    /// The keys of the addresses to which a task has written, or may have. An opening that certainly reached nobody,
    /// and is to be repeated, is not counted.
    pub async fn read_written(&self, task: &TaskName) -> Result<HashSet<u128>, StoreError> {
        let mut rows = sqlx::query_scalar!(
            "SELECT address FROM ledger l WHERE task = $1 AND NOT EXISTS (SELECT FROM retries r
                JOIN tasks t ON t.id = r.task_id AND t.name = $1 AND t.deleted_at IS NULL
                WHERE r.opening = l.opening AND NOT r.in_doubt)",
            task.as_str()
        )
        .fetch(&self.pool);
        let mut keys = HashSet::new();
        while let Some(address) = rows.try_next().await? {
            keys.insert(Address::from_stored(address).key());
        }
        Ok(keys)
    }

    /// Reads every contact of a task, one after the other.
    pub async fn for_each_contact(
        &self,
        task_id: TaskId,
        mut each: impl FnMut(StoredContact),
    ) -> Result<(), StoreError> {
        let mut rows = sqlx::query!(
            "SELECT position, address, variables FROM contacts WHERE task_id = $1",
            task_id.0
        )
        .fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            let contact = Contact {
                address: Address::from_stored(row.address),
                variables: variables_from_json(row.variables),
            };
            each(StoredContact { position: row.position, contact });
        }
        Ok(())
    }
}
