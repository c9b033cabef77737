//! Openings through many lanes: how many a second without a pause, and how exact a pause of 3 s is.
//!
//! One executor in this process, the built-in providers in another thread, and a private durable Postgres
//! in a temporary folder.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that meets an error ends"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark waits for its own tasks")]

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use nuncio::{
    channels::{Http, NoVault},
    clock,
    domain::id::ExecutorId,
    executor::{Connector, Executor, Identity},
    rehearsal::{Options, Rehearsal, read_journal, start},
    store::{
        Store,
        embedded::{Durability, Embedded},
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

const LANES: u32 = 1000;

#[tokio::main]
async fn main() {
    let folder = tempfile::Builder::new().prefix("nuncio-bench").tempdir().unwrap();
    // Root's server runs as another user, who has to pass.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    let program = Path::new(env!("CARGO_BIN_EXE_nuncio"));
    let data = folder.path().join("data");
    let embedded = Embedded::open(&data, program, &path, Durability::Durable).await.unwrap();
    let store = Store::connect(embedded.options()).await.unwrap();
    let pool = sqlx::PgPool::connect_with(embedded.options()).await.unwrap();

    let n = u64::from(LANES) * 30;
    let seconds = run(&pool, &store, &folder.path().join("burst"), 0, n).await.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = n as f64 / seconds;
    println!("{n} openings over {LANES} lanes without a pause: {seconds:.2} s, {rate:.0} a second");

    let journal = folder.path().join("paced");
    run(&pool, &store, &journal, 3000, u64::from(LANES) * 8).await;
    let mut lanes: HashMap<String, Vec<i64>> = HashMap::new();
    for entry in read_journal(&journal).unwrap() {
        lanes.entry(entry.channel).or_default().push(entry.at_ms);
    }
    let gaps: Vec<i64> =
        lanes.values().flat_map(|at| at.windows(2).map(|pair| pair[1] - pair[0])).collect();
    let mean = gaps.iter().sum::<i64>() / i64::try_from(gaps.len()).unwrap();
    println!(
        "{LANES} lanes with a pause of 3000 ms: gaps of {} ms at the least, {mean} ms on average, {} ms at the most",
        gaps.iter().min().unwrap(),
        gaps.iter().max().unwrap()
    );
}

/// Writes a task over all lanes straight into the tables, and sends until nothing is left.
async fn run(
    pool: &sqlx::PgPool,
    store: &Store,
    journal: &Path,
    pause_ms: i64,
    n: u64,
) -> Duration {
    let task = Uuid::now_v7();
    let statements = format!(
        "TRUNCATE lanes, task_channels, ledger, attempts, retries, contacts, audiences;
        DELETE FROM resources; UPDATE tasks SET phase = 'completed', deleted_at = now() WHERE deleted_at IS NULL;
        INSERT INTO tasks (id, name, phase, phase_by, fields, digest, audience_digest, file, line, outgoing,
            hours_from_s, hours_to_s, timezone, daily_limit, pause_ms, opening)
        VALUES ('{task}', 'bench', 'in-progress', 'bench', '{{}}', '', '', '', 1, true, 0, 86400, 'UTC',
            1000000, {pause_ms}, '{{\"text\": \"Hello!\"}}');
        INSERT INTO resources (kind, name, fields, digest, file, line)
        SELECT 'Channel', 'lane-' || n, '{{\"kind\": \"vk-user\", \"credentials.token\": \"env:T\"}}', '', '', 1
        FROM generate_series(1, {LANES}) n;
        INSERT INTO lanes (channel, daily_limit, drops_repeats)
        SELECT 'lane-' || n, 1000000, true FROM generate_series(1, {LANES}) n;
        INSERT INTO task_channels (task_id, channel)
        SELECT '{task}', 'lane-' || n FROM generate_series(1, {LANES}) n;
        INSERT INTO contacts (task_id, position, address)
        SELECT '{task}', n, n::text FROM generate_series(1, {n}) n;
        INSERT INTO audiences (task_id, total, waiting, last_position) VALUES ('{task}', {n}, {n}, {n});"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(pool).await.unwrap();
    sqlx::raw_sql("VACUUM ANALYZE").execute(pool).await.unwrap();

    let (shutdown, tracker) = (CancellationToken::new(), TaskTracker::new());
    let options = Options {
        faults: false,
        hang_for: Duration::from_secs(30),
        answer_delay: Duration::ZERO,
        people: None,
        journal: Some(journal.to_owned()),
        clock: clock::now,
    };
    let rehearsal = start(options, shutdown.clone(), &tracker).await.unwrap();
    let connector = Connector {
        http: Http::new().unwrap(),
        find_secret: Arc::new(|channel, credential, _| {
            Ok(Rehearsal::secret(channel.as_str(), credential))
        }),
        find_endpoint: Arc::new(move |spec| rehearsal.endpoint_of(spec)),
        find_vault: Arc::new(|_| Arc::new(NoVault)),
    };
    let identity = Identity {
        host: "bench".to_owned(),
        pid: std::process::id(),
        new_id: || ExecutorId(Uuid::now_v7()),
    };
    let started = Instant::now();
    let executor =
        tokio::spawn(Executor::new(store.clone(), connector, identity).run(shutdown.clone()));
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let sent: Option<i64> = sqlx::query_scalar("SELECT sum(n_sent)::bigint FROM task_channels")
            .fetch_one(pool)
            .await
            .unwrap();
        if sent.unwrap_or(0).unsigned_abs() >= n {
            break;
        }
    }
    let took = started.elapsed();
    shutdown.cancel();
    executor.await.unwrap();
    took
}
