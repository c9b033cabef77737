//! What the whole database is used for: real sending, or a rehearsal.

use super::{connect::Store, error::StoreError, examination::Examination};

/// What a database is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Live,
    Rehearsal,
}

impl Purpose {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Rehearsal => "rehearsal",
        }
    }

    fn of_word(word: &str) -> Self {
        if word == Self::Rehearsal.as_str() { Self::Rehearsal } else { Self::Live }
    }
}

impl Store {
    /// Declares what the database is used for; the first word stands.
    ///
    /// A rehearsal in a live database would mark real people as written to; a live run in a rehearsed
    /// one would pass over everybody who was rehearsed with. An apply says neither: it may come before
    /// both. But what was applied by itself is taken for real, and a rehearsal begins in an empty database.
    pub async fn claim_purpose(&self, purpose: Purpose) -> Result<(), StoreError> {
        let standing = sqlx::query_scalar!(
            r#"WITH standing AS (
                UPDATE installation SET purpose = coalesce(purpose, $1)
                WHERE purpose IS NOT NULL OR $1 <> 'rehearsal' OR NOT EXISTS (SELECT FROM tasks)
                RETURNING purpose
            )
            SELECT purpose FROM standing"#,
            purpose.as_str()
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(standing) = standing.flatten() else {
            return Err(StoreError::WrongPurpose(
                "tasks were applied to this database for real; a rehearsal would mark real people \
                as written to. Give the rehearsal a database of its own: NUNCIO_DATA=FOLDER nuncio \
                watch --rehearse, or nuncio rehearse, which leaves nothing"
                    .to_owned(),
            ));
        };
        if standing == purpose.as_str() {
            return Ok(());
        }
        Err(StoreError::WrongPurpose(match purpose {
            Purpose::Live => {
                "this database was used for a rehearsal; its records are not real. Use \
                another database (NUNCIO_DATABASE_URL or NUNCIO_DATA) for real sending"
                    .to_owned()
            }
            Purpose::Rehearsal => {
                "this database is used for real sending; a rehearsal would mark real \
                people as written to. Use another database (NUNCIO_DATABASE_URL or NUNCIO_DATA)"
                    .to_owned()
            }
        }))
    }

    /// What the database was declared to be used for; nothing, until a `watch` sends from it.
    pub async fn read_purpose(&self) -> Result<Option<Purpose>, StoreError> {
        let purpose =
            sqlx::query_scalar!("SELECT purpose FROM installation").fetch_one(&self.pool).await?;
        Ok(purpose.as_deref().map(Purpose::of_word))
    }
}

impl Examination {
    /// Only for a schema that is this version's.
    pub async fn purpose(&mut self) -> Result<Option<Purpose>, StoreError> {
        let purpose: Option<String> = sqlx::query_scalar("SELECT purpose FROM installation")
            .fetch_one(&mut self.connection)
            .await?;
        Ok(purpose.as_deref().map(Purpose::of_word))
    }
}
