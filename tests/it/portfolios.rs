//! The limit that numbers of a business portfolio share, over any 24 hours: kept by the permits, told by `status`.

use std::time::Duration;

use nuncio::{
    domain::{
        attempt::{OutcomeClass, Permit},
        id::ExecutorId,
    },
    store::{Presence, Store, Sweep},
};
use uuid::Uuid;

use crate::support::{Folder, Program, TestDatabase, channel, end_calls, vk_task, wait_until};

const LIMIT: usize = 7;

/// Eight numbers of one portfolio, each with a task and a hundred people; one number of none. No pause.
const FILL: &str = r#"
INSERT INTO tasks (id, name, phase, phase_by, fields, digest, audience_digest, file, line, outgoing,
    hours_from_s, hours_to_s, timezone, daily_limit, pause_ms, opening)
SELECT md5('task-' || n)::uuid, 'task-' || n, 'in-progress', 'test', '{}', '', '', '', 1, true, 0, 86400, 'UTC',
    1000, 0, '{"template": {"name": "hello", "language": "en", "variables": []}}'
FROM generate_series(0, 8) n;
INSERT INTO portfolios (name, messaging_limit) VALUES ('shop', 7);
INSERT INTO lanes (channel, daily_limit, drops_repeats, portfolio)
SELECT 'wa-' || n, 1000, false, CASE WHEN n < 8 THEN 'shop' END FROM generate_series(0, 8) n;
INSERT INTO task_channels (task_id, channel)
SELECT md5('task-' || n)::uuid, 'wa-' || n FROM generate_series(0, 8) n;
INSERT INTO audiences (task_id, total, waiting, last_position)
SELECT md5('task-' || n)::uuid, 100, 100, 100 FROM generate_series(0, 8) n;
INSERT INTO contacts (task_id, position, address)
SELECT md5('task-' || n)::uuid, p, '+7912345' || n || lpad(p::text, 3, '0')
FROM generate_series(0, 8) n, generate_series(1, 100) p;
"#;

/// Counted against the portfolio.
const COUNTED: &str =
    "SELECT count(*) FROM attempts WHERE portfolio = 'shop' AND granted_at > now() - interval '24 hours'
        AND (outcome IS NULL OR outcome IN ('sent', 'in-doubt'))";

struct Office {
    store: Store,
    executor: ExecutorId,
    _presence: Presence,
}

impl Office {
    async fn open(database: &TestDatabase) -> Self {
        let store = database.store().await;
        let executor = ExecutorId(Uuid::new_v4());
        let presence = store.register_executor(executor, "here", 1).await.unwrap();
        Self { store, executor, _presence: presence }
    }

    async fn sweep(&self) {
        let sweep = self.store.sweep_lanes(self.executor).await.unwrap();
        assert!(matches!(sweep, Sweep::Holds { .. }), "{sweep:?}");
    }

    /// One look: what is permitted ends as it is told to.
    async fn send(&self, class: OutcomeClass) -> Vec<Permit> {
        let permits = self.store.grant_permits(self.executor).await.unwrap();
        end_calls(&self.store, &permits, class).await;
        permits
    }
}

fn filled() -> TestDatabase {
    let database = TestDatabase::new();
    database.run(FILL);
    database
}

/// As if so much time had gone by.
fn let_pass(database: &TestDatabase, time: &str) {
    database.run(&format!(
        "UPDATE attempts SET granted_at = granted_at - interval '{time}';
        UPDATE lanes SET last_opening_at = last_opening_at - interval '{time}';
        UPDATE portfolios SET full_until = full_until - interval '{time}'"
    ));
}

#[test]
fn executors_that_grant_at_once_stay_below_the_limit_that_their_numbers_share() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap();
    for round in 0..6 {
        let database = filled();
        let offices = runtime.block_on(async {
            let mut offices = Vec::new();
            for _ in 0..4 {
                offices.push(Office::open(&database).await);
            }
            for office in &offices {
                office.sweep().await;
            }
            offices
        });
        database.let_no_lease_end();
        // Whatever the last call brought: a doubt may have arrived.
        let class = if round % 2 == 0 { OutcomeClass::Sent } else { OutcomeClass::InDoubt };
        runtime.block_on(futures_util::future::join_all(offices.iter().map(async |office| {
            for _ in 0..20 {
                office.send(class).await;
            }
        })));
        assert_eq!(database.value(COUNTED), LIMIT.to_string(), "round {round}");
        // Who belongs to no portfolio is not held back by one.
        let others = database.value("SELECT count(*) > 7 FROM attempts WHERE portfolio IS NULL");
        assert_eq!(others, "true");
        let held =
            "SELECT bool_and(verdict = 'messaging-limit' AND until > now() + interval '23 hours')
            FROM turns WHERE portfolio = 'shop'";
        assert_eq!(database.value(held), "true");
    }
}

#[test]
fn a_place_is_free_again_after_24_hours_or_when_nobody_was_reached() {
    let database = filled();
    database.run("DELETE FROM task_channels WHERE channel <> 'wa-0'; DELETE FROM lanes WHERE channel <> 'wa-0'");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let office = runtime.block_on(async {
        let office = Office::open(&database).await;
        office.sweep().await;
        office
    });
    database.let_no_lease_end();
    let look = |class| runtime.block_on(office.send(class)).len();
    let sends = |class, wanted: usize| {
        let sent: usize = (0..LIMIT + 3).map(|_| look(class)).sum();
        assert_eq!(sent, wanted, "{class:?}");
    };
    // Hours apart, so that they become free one after the other.
    for _ in 0..LIMIT {
        assert_eq!(look(OutcomeClass::Sent), 1);
        let_pass(&database, "2 hours");
    }
    sends(OutcomeClass::Sent, 0);
    let next = runtime.block_on(office.store.next_turn_in(office.executor)).unwrap().unwrap();
    let ten_hours = Duration::from_hours(10);
    assert!(
        next <= ten_hours && next > ten_hours.saturating_sub(Duration::from_mins(1)),
        "{next:?}"
    );
    let_pass(&database, "9 hours 59 minutes");
    sends(OutcomeClass::Sent, 0);
    let_pass(&database, "2 minutes");
    sends(OutcomeClass::Sent, 1);
    // The next two. The last of them reaches nobody, and leaves its place to another.
    let_pass(&database, "4 hours");
    assert_eq!(look(OutcomeClass::Sent), 1);
    assert_eq!(look(OutcomeClass::RecipientPermanent), 1);
    sends(OutcomeClass::Sent, 1);
    assert_eq!(database.value(COUNTED), LIMIT.to_string());
    let_pass(&database, "24 hours");
    sends(OutcomeClass::Sent, LIMIT);
}

#[test]
fn a_limit_is_applied_shown_and_raised_with_what_was_sent_before() {
    let folder = Folder::with_team();
    let database = TestDatabase::new();
    let write = |name: &str, limit: &str| {
        let more = format!("  phoneNumberId: 1\n  portfolio: shop\n  messagingLimit: {limit}\n");
        folder.write(&format!("{name}.yaml"), &channel(name, "waba", "token: {env: T}", &more));
    };
    let task =
        vk_task("spring", "wa-0, wa-1", "[\"+79123450001\", \"+79123450002\"]", "  state: running");
    let template = "{template: {name: hello, language: en, variables: []}}";
    folder.write(
        "spring.yaml",
        &task.replace("vkontakte", "whatsapp").replace("{text: Hello!}", template),
    );
    let run = |arguments: &[&str], code: i32| {
        let ended = Program::new(folder.root(), arguments).database(&database).run();
        assert_eq!(ended.code, code, "{arguments:?}: {ended:?}");
        ended.stdout + &ended.stderr
    };
    let plain = |name: &str| {
        let more = "  phoneNumberId: 1\n";
        folder.write(&format!("{name}.yaml"), &channel(name, "waba", "token: {env: T}", more));
    };
    plain("wa-0");
    plain("wa-1");
    run(&["apply", "--auto-approve"], 0);
    // 250 openings of an hour ago, before anybody named the portfolio, and one that reached nobody.
    database.run(
        "INSERT INTO attempts (id, opening, tries, task_id, task, channel, position, address, key, fence, granted_at,
            finished_at, outcome)
        SELECT n, n, 1, t.id, t.name, 'wa-' || n % 2, n, n::text, n, 1, now() - interval '1 hour', now(),
            CASE n WHEN 251 THEN 'recipient-permanent' WHEN 1 THEN 'in-doubt' ELSE 'sent' END
        FROM tasks t, generate_series(1, 251) n",
    );
    write("wa-0", "250");
    write("wa-1", "250");
    run(&["apply", "--auto-approve"], 0);
    let used = "portfolio `shop`: 250 of 250 openings in 24 hours";
    assert!(run(&["channel", "status", "--offline"], 0).contains(used));
    // Whoever looks next finds out, and says when it goes on.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let look = |wanted: usize| {
        runtime.block_on(async {
            let office = Office::open(&database).await;
            office.sweep().await;
            assert_eq!(office.store.grant_permits(office.executor).await.unwrap().len(), wanted);
            office.store.release_lanes(office.executor).await.unwrap();
        });
    };
    look(0);
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = words(run(&["channel", "status", "--offline"], 0));
    let reached =
        "messaging limit of the portfolio `shop` reached: 250 of 250 openings in 24 hours; next at";
    assert!(told.contains(reached), "{told}");
    let told = run(&["status", "--output", "json"], 0);
    assert!(told.contains("\"verdict\": \"messaging-limit\""), "{told}");
    let told = words(run(&["status"], 0));
    assert!(told.contains("messaging limit of the portfolio reached"), "{told}");
    write("wa-0", "2000");
    assert!(run(&["validate"], 1).contains("portfolio-limit"));
    write("wa-1", "2000");
    run(&["apply", "--auto-approve"], 0);
    look(2);
    plain("wa-0");
    plain("wa-1");
    run(&["apply", "--auto-approve"], 0);
    assert_eq!(database.value("SELECT count(*) FROM attempts WHERE portfolio IS NOT NULL"), "0");
}

#[test]
fn a_count_reads_no_more_than_the_limit_and_no_table_as_a_whole() {
    let database = TestDatabase::new();
    // One in five seconds, every second of them through the portfolio.
    database.run(
        "INSERT INTO attempts (id, opening, tries, task_id, task, channel, position, address, key, fence, granted_at,
            finished_at, outcome, portfolio)
        SELECT n, n, 1, gen_random_uuid(), 't', 'c', n, n::text, n, 1, now() - make_interval(secs => 5 * n), now(),
            'sent', CASE n % 2 WHEN 0 THEN 'shop' END
        FROM generate_series(1, 17000) n",
    );
    database.run_as_stranger("VACUUM ANALYZE attempts");
    let before = readings(&database);
    assert_eq!(database.value("SELECT portfolio_count('shop', 2000)"), "2000");
    let free = "SELECT round(extract(epoch FROM portfolio_free_at('shop', 2000) - now()) / 3600)";
    assert_eq!(database.value(free), "18");
    let after = readings(&database);
    assert_eq!(after.0, before.0, "a table is read as a whole");
    let fetched = after.1 - before.1;
    assert!(fetched <= 2 * 2000 + 100, "{fetched} rows are fetched");
}

/// Rows of attempts that were read: in whole tables, and by an index.
fn readings(database: &TestDatabase) -> (i64, i64) {
    // What a connection has read is counted when it ends.
    wait_until("all that was read is counted", Duration::from_secs(10), || {
        let others = database.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
        );
        (others == "0", others)
    });
    let of = |column: &str| {
        let sum =
            format!("SELECT sum({column}) FROM pg_stat_user_tables WHERE relname ~ '^attempts'");
        database.value(&sum).parse().unwrap()
    };
    (of("seq_tup_read"), of("idx_tup_fetch"))
}

#[test]
fn a_portfolio_that_counts_as_full_is_looked_at_again() {
    let database = filled();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let is_full = "SELECT full_until IS NOT NULL FROM portfolios";
    runtime.block_on(async {
        let office = Office::open(&database).await;
        office.sweep().await;
        office.send(OutcomeClass::Sent).await;
        office.store.recount_portfolios().await.unwrap();
    });
    assert_eq!(database.value(is_full), "true");
    // As where a permit was being decided while one of its openings turned out not to have been sent.
    database.run("UPDATE attempts SET outcome = 'not-sent' WHERE id = (SELECT min(id) FROM attempts WHERE portfolio = 'shop')");
    runtime.block_on(async { database.store().await.recount_portfolios().await.unwrap() });
    assert_eq!(database.value(is_full), "false");
}
