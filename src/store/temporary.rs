//! A database that is made for one run, and taken away after it.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    embedded::{Durability, Embedded, EmbeddedError},
    error::StoreError,
};

/// Names of leftovers, if a run was killed, begin with this; the process follows.
const DATABASE_PREFIX: &str = "nuncio_rehearsal_";
const FOLDER_PREFIX: &str = "nuncio-rehearsal-";

#[derive(Debug, thiserror::Error)]
pub enum TemporaryError {
    #[error(
        "a rehearsal makes a database of its own, and the role of the given server has to be \
         allowed to; without a server it uses a private one"
    )]
    Beside(#[source] StoreError),
    #[error("a rehearsal makes a private server of its own")]
    Private(#[from] EmbeddedError),
    #[error("a rehearsal needs a temporary folder")]
    Folder(#[from] io::Error),
}

/// It has to be taken away by [`TemporaryDatabase::discard`]: a value that goes out of scope cannot wait
/// for a server.
#[derive(Debug)]
#[must_use]
pub enum TemporaryDatabase {
    /// Beside the one of `server`, which is only connected to.
    Beside { server: Box<PgConnectOptions>, name: String },
    /// On a private server in a temporary folder.
    Private { embedded: Box<Embedded>, folder: TempDir },
}

impl TemporaryDatabase {
    pub async fn beside(server: PgConnectOptions) -> Result<Self, TemporaryError> {
        let id = Uuid::new_v4().simple();
        let name = format!("{DATABASE_PREFIX}{}_{id}", std::process::id());
        let created = execute(&server, format!("CREATE DATABASE {name}")).await;
        created.map_err(TemporaryError::Beside)?;
        Ok(Self::Beside { server: Box::new(server), name })
    }

    /// `program` and `search_path` are those of [`Embedded::open`].
    pub async fn private(program: &Path, search_path: &[PathBuf]) -> Result<Self, TemporaryError> {
        // Root's server runs as another user, who has to pass.
        let open_to_pass = fs::Permissions::from_mode(0o755);
        let folder =
            tempfile::Builder::new().prefix(FOLDER_PREFIX).permissions(open_to_pass).tempdir()?;
        let embedded =
            Embedded::open(folder.path(), program, search_path, Durability::Fast).await?;
        Ok(Self::Private { embedded: Box::new(embedded), folder })
    }

    pub fn options(&self) -> PgConnectOptions {
        match self {
            Self::Beside { server, name } => PgConnectOptions::clone(server).database(name),
            Self::Private { embedded, .. } => embedded.options(),
        }
    }

    /// Where it is, for those who find it after a kill.
    pub fn shown(&self) -> String {
        match self {
            Self::Beside { name, .. } => format!("`{name}` on the given server"),
            Self::Private { folder, .. } => {
                format!("a private server in {}", folder.path().display())
            }
        }
    }

    /// Takes it away, also from under those who are connected.
    pub async fn discard(self) -> Result<(), TemporaryError> {
        match self {
            Self::Beside { server, name } => {
                let dropped = execute(&server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
                dropped.map_err(TemporaryError::Beside)
            }
            Self::Private { embedded, folder } => {
                embedded.leave().await?;
                Ok(folder.close()?)
            }
        }
    }
}

/// For statements with a name that is ours: letters, digits and underscores.
async fn execute(server: &PgConnectOptions, statement: String) -> Result<(), StoreError> {
    let mut connection = PgConnection::connect_with(server).await?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    Ok(connection.close().await?)
}
