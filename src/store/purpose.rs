//! What the whole database is used for: real sending, or a rehearsal.

use super::{connect::Store, error::StoreError};

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
}

impl Store {
    /// Declares what the database is used for; the first word stands.
    ///
    /// A rehearsal in a live database would mark real people as written to; a live run in a rehearsed
    /// one would pass over everybody who was rehearsed with.
    pub async fn claim_purpose(&self, purpose: Purpose) -> Result<(), StoreError> {
        let standing = sqlx::query_scalar!(
            r#"UPDATE installation SET purpose = coalesce(purpose, $1) RETURNING purpose AS "purpose!""#,
            purpose.as_str()
        )
        .fetch_one(&self.pool)
        .await?;
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
        Ok(purpose.map(|word| match word.as_str() {
            "rehearsal" => Purpose::Rehearsal,
            _ => Purpose::Live,
        }))
    }
}
