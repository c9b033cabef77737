//! What can go wrong with the database, by what the caller does next.

use std::time::Duration;

use super::room::DISK_FULL;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody answers, or not now: try again later.
    #[error("{}", if hindrance(.0).is_some() { "the database cannot do it now" } else { "the database does not answer" })]
    Away(#[source] sqlx::Error),
    /// A statement never came back.
    #[error("the database does not answer any more")]
    Silent,
    /// It answers, and refuses us.
    #[error("the database refuses the connection")]
    Refused(#[source] sqlx::Error),
    /// The role of the connection lacks a right.
    #[error("the database's role may not do that")]
    Denied(#[source] sqlx::Error),
    #[error("`{0}` is no address of a Postgres server")]
    BadUrl(String),
    #[error("the server is PostgreSQL {0}; version 14 or newer is needed")]
    TooOld(String),
    #[error("the database could not be brought to this version's schema")]
    Migration(#[source] sqlx::migrate::MigrateError),
    #[error("another writer holds the lock{holder}", holder = holder.as_ref().map(|h| format!(": {h}")).unwrap_or_default())]
    Locked { holder: Option<String>, waited: Duration },
    /// Something changed between the plan and now.
    #[error("{0} was changed since the plan was made")]
    Stale(String),
    #[error("{0}")]
    WrongPurpose(String),
    /// A row that this version does not understand.
    #[error("the database holds what this version cannot read: {0}")]
    Unreadable(String),
    #[error("the database failed")]
    Failed(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Away(error),
            sqlx::Error::Tls(_) => Self::Refused(error),
            sqlx::Error::Database(answer) => match answer.code().as_deref() {
                // Class 28: wrong password or no such user; 3D: no such database.
                Some(code) if code.starts_with("28") || code.starts_with("3D") => {
                    Self::Refused(error)
                }
                Some("42501") => Self::Denied(error),
                // Starting up, shutting down, out of connections or of space, a standby that is not led yet,
                // a statement that was given up for another or for its length: it may pass.
                Some("57014" | "55P03" | "25006") => Self::Away(error),
                Some(code)
                    if ["57P", "53", "08", "40"].iter().any(|class| code.starts_with(class)) =>
                {
                    Self::Away(error)
                }
                _ => Self::Failed(error),
            },
            _ => Self::Failed(error),
        }
    }
}

impl StoreError {
    /// Whether the same may work in a moment.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Silent | Self::Locked { .. } | Self::Stale(_))
    }

    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Away(error) if hindrance(error).is_some() => hindrance(error),
            Self::Away(_) | Self::Silent => {
                Some("is the server running, and NUNCIO_DATABASE_URL right?")
            }
            Self::Refused(_) => {
                Some("check the user, the password and the database in NUNCIO_DATABASE_URL")
            }
            Self::Denied(_) => {
                Some("use the role that owns the tables; one that may only read can plan")
            }
            Self::BadUrl(_) => Some("write it like `postgres://user@host:5432/database`"),
            Self::Locked { .. } => Some("wait for it, or give --lock-timeout more time"),
            Self::Stale(_) => Some("run `nuncio plan` again and look at what is different now"),
            Self::Migration(_) => {
                Some("a newer version may have used this database; use that version")
            }
            Self::TooOld(_) | Self::WrongPurpose(_) | Self::Unreadable(_) | Self::Failed(_) => None,
        }
    }
}

/// What is in the way of a server that answers, and the way out.
fn hindrance(error: &sqlx::Error) -> Option<&'static str> {
    let code = error.as_database_error()?.code()?;
    match &*code {
        DISK_FULL => Some("make room on the disk of the database"),
        "53300" => {
            Some("raise `max_connections` of the server, or end programs that hold connections")
        }
        "25006" => Some("it is a standby: connect to the server that it follows"),
        "57014" | "55P03" => Some("try again: something else on the database took too long"),
        _ if code.starts_with("40") => {
            Some("try again: something else on the database was in the way")
        }
        _ => None,
    }
}
