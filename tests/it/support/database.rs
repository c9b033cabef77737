//! A database a test, from a template, on one server that all test processes share.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use nuncio::{
    domain::fields::Digest,
    store::{
        Store,
        embedded::{Durability, Embedded},
    },
};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

/// The server of this test process: `TEST_DATABASE_URL`, or an embedded one without fsync.
struct Server {
    options: PgConnectOptions,
    template: String,
    _embedded: Option<Embedded>,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        // On a thread of its own: a test may have a runtime already.
        std::thread::spawn(|| blocking(start())).join().unwrap()
    })
}

/// Runs a future to its end, outside any other runtime.
pub(super) fn blocking<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn start() -> Server {
    let (options, embedded) = match std::env::var("TEST_DATABASE_URL") {
        Ok(url) => (url.parse().unwrap(), None),
        Err(_) => {
            let user = rustix::process::getuid().as_raw();
            let data = std::env::temp_dir().join(format!("nuncio-tests-{user}"));
            let program = Path::new(env!("CARGO_BIN_EXE_nuncio"));
            let path: Vec<PathBuf> =
                std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
            let embedded = Embedded::open(&data, program, &path, Durability::Fast).await.unwrap();
            (embedded.options(), Some(embedded))
        }
    };
    let options = options.disable_statement_logging();
    let template = format!("template_{}", migrations_digest());
    let mut admin = PgConnection::connect_with(&options).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(77)").execute(&mut admin).await.unwrap();
    let exists: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)",
    )
    .bind(&template)
    .fetch_one(&mut admin)
    .await
    .unwrap();
    if !exists {
        execute(&mut admin, format!("DROP DATABASE IF EXISTS {template}")).await;
        execute(&mut admin, format!("CREATE DATABASE {template}")).await;
        Store::connect(options.clone().database(&template)).await.unwrap().close().await;
        execute(&mut admin, format!("ALTER DATABASE {template} IS_TEMPLATE true")).await;
    }
    admin.close().await.unwrap();
    Server { options, template, _embedded: embedded }
}

async fn execute(connection: &mut PgConnection, statement: String) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(connection).await.unwrap();
}

fn migrations_digest() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migrations");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let whole = |file: &PathBuf| {
        let name = file.file_name().unwrap().as_encoded_bytes().to_vec();
        [name, fs::read(file).unwrap()].concat()
    };
    let all: Vec<u8> = files.iter().flat_map(whole).collect();
    Digest::of_bytes(&all).to_string()[..16].to_owned()
}

/// A database of its own; dropped with the value.
pub(crate) struct TestDatabase {
    name: String,
}

impl TestDatabase {
    pub(crate) fn new() -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let statement = format!("CREATE DATABASE {name} TEMPLATE {}", server().template);
        Self::admin(statement);
        Self { name }
    }

    fn admin(statement: String) {
        by_admin(async move |admin| execute(admin, statement).await);
    }

    /// Nobody reaches it any more, whoever had it open either.
    pub(crate) fn leave(&self) {
        let name = &self.name;
        Self::admin(format!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS false;
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ));
    }

    pub(crate) fn come_back(&self) {
        Self::admin(format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name));
    }

    fn options(&self) -> PgConnectOptions {
        server().options.clone().database(&self.name)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The socket of the server of all test databases, if it is reached through one.
    pub(super) fn server_socket() -> Option<PathBuf> {
        server().options.get_socket().map(|folder| folder.join(".s.PGSQL.5432"))
    }

    /// The address for `NUNCIO_DATABASE_URL`.
    pub(crate) fn url(&self) -> String {
        let options = &server().options;
        match options.get_socket() {
            Some(socket) => {
                let folder = socket.to_string_lossy().replace('/', "%2F");
                format!("postgres://nuncio@{folder}/{}", self.name)
            }
            None => self.options().to_url_lossy().to_string(),
        }
    }

    pub(crate) async fn store(&self) -> Store {
        Store::connect(self.options()).await.unwrap()
    }

    /// A connection for what only a test looks at.
    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect_with(&self.options()).await.unwrap()
    }

    /// Runs a statement as if nuncio had: what it changes counts as applied.
    pub(crate) fn run(&self, statement: &str) {
        self.run_as_stranger(&format!("SET nuncio.writes = 'on'; {statement}"));
    }

    /// Executors of a test, whose hearts do not beat, stay alive. Also within a runtime.
    pub(crate) fn let_no_lease_end(&self) {
        let alive = "UPDATE executors SET alive_until = now() + interval '1 hour'";
        std::thread::scope(|scope| scope.spawn(|| self.run(alive)).join().unwrap());
    }

    /// Runs a statement as somebody who does not use nuncio.
    pub(crate) fn run_as_stranger(&self, statement: &str) {
        let statement = statement.to_owned();
        blocking(async { execute(&mut self.connection().await, statement).await });
    }

    /// One value, as text.
    pub(crate) fn value(&self, query: &str) -> String {
        let query = format!("SELECT coalesce(({query})::text, 'NULL')");
        blocking(async {
            let mut connection = self.connection().await;
            sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&mut connection).await.unwrap()
        })
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = self.name.clone();
        let n_deadlocks: i64 = by_admin(async move |admin| {
            let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = $1";
            let n = sqlx::query_scalar(deadlocks).bind(&name).fetch_one(&mut *admin).await.unwrap();
            execute(admin, format!("DROP DATABASE {name} WITH (FORCE)")).await;
            n
        });
        // Postgres ends them after a second each, and whoever was chosen begins anew: nothing else would show them.
        if !std::thread::panicking() {
            assert_eq!(n_deadlocks, 0, "transactions waited for each other");
        }
    }
}

/// Also where a test runs in a runtime of its own.
fn by_admin<T: Send + 'static>(
    act: impl AsyncFnOnce(&mut PgConnection) -> T + Send + 'static,
) -> T {
    std::thread::spawn(|| {
        blocking(async {
            let mut admin = PgConnection::connect_with(&server().options).await.unwrap();
            let done = act(&mut admin).await;
            admin.close().await.unwrap();
            done
        })
    })
    .join()
    .unwrap()
}
