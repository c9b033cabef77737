//! What is changed while a statement is looking, or waits for a lock: it acts on what is so by then.

use nuncio::{
    domain::{
        address::Address,
        attempt::{OutcomeClass, Permit},
        dialogue::{Delivery, Received},
        id::{ChannelName, DialogueId, ExecutorId},
    },
    store::{Parcel, Presence, Repeat, Reviewed, Said, Store, Words},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::{Folder, Program, TestDatabase, begin_calls, channel, end_calls, vk_task};

/// Ends once somebody waits for this session.
const SOMEBODY_WAITS: &str = "DO 'BEGIN
    WHILE NOT EXISTS (SELECT FROM pg_locks l WHERE NOT l.granted AND pg_backend_pid() = ANY (pg_blocking_pids(l.pid)))
    LOOP PERFORM pg_sleep(0.01); END LOOP; END'";

/// Permits wait, once they have begun to look, for whoever has the lock 7.
const PERMITS_WAIT: &str =
    "CREATE OR REPLACE FUNCTION hours_open(from_s integer, to_s integer, zone text, at timestamptz)
    RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN true; END'";

const ONE_PERSON: &str = "INSERT INTO aliases (address, person) VALUES ('1', 1), ('2', 1)";

/// As whoever was passed over comes again: of these addresses.
const AGAIN: &str =
    "INSERT INTO retries (opening, task_id, position, address, key, tries, ready_at, in_doubt)
    SELECT nextval('opening_ids'), task_id, position, address, position, 0, now(), false FROM contacts
    WHERE address IN ";

/// A running task without a pause on two channels, and an executor that holds both.
struct Stage {
    folder: Folder,
    database: TestDatabase,
    runtime: tokio::runtime::Runtime,
    store: Store,
    executor: ExecutorId,
    _presence: Presence,
}

impl Stage {
    fn new(channels: &str, audience: &str) -> Self {
        let (folder, database) = (Folder::with_team(), TestDatabase::new());
        for name in ["vk-a", "vk-b"] {
            folder.write(&format!("{name}.yaml"), &channel(name, "vk-user", "token: {env: T}", ""));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        apply(&folder, &database, channels, audience, &[]);
        let (store, executor, presence) = runtime.block_on(async {
            let store = database.store().await;
            let executor = ExecutorId(Uuid::new_v4());
            let presence = store.register_executor(executor, "test", 1).await.unwrap();
            drop(store.sweep_lanes(executor).await.unwrap());
            (store, executor, presence)
        });
        database.let_no_lease_end();
        Self { folder, database, runtime, store, executor, _presence: presence }
    }

    async fn grant(&self) -> Vec<Permit> {
        self.store.grant_permits(self.executor).await.unwrap()
    }

    /// Who is written to by one look, each call with this end.
    fn send(&self, class: OutcomeClass) -> Vec<String> {
        self.runtime.block_on(async {
            let permits = self.grant().await;
            self.record(&permits, class).await;
            permits.iter().map(|permit| permit.address.to_string()).collect()
        })
    }

    async fn record(&self, permits: &[Permit], class: OutcomeClass) {
        end_calls(&self.store, permits, class).await;
    }

    async fn writes(&self, peer: &str) {
        let what = Delivery::Message { id: format!("id-{peer}"), text: "Yes?".to_owned() };
        let received = [Received::of(Address::from_stored(peer.to_owned()), None, what)];
        let channel: ChannelName = "vk-a".parse().unwrap();
        let parcel = Parcel { channel: &channel, received: &received, raw: None, cursor: None };
        assert_eq!(self.store.receive(&parcel).await.unwrap().fresh, 1);
    }
}

fn apply(folder: &Folder, database: &TestDatabase, channels: &str, audience: &str, more: &[&str]) {
    folder.write("talk.yaml", &vk_task("talk", channels, audience, "  state: running"));
    let arguments = [&["apply", "--auto-approve"], more].concat();
    let applied = Program::new(folder.root(), &arguments).database(database).env("T", "t").run();
    assert_eq!(applied.code, 0, "{}{}", applied.stdout, applied.stderr);
    database.run("UPDATE tasks SET pause_ms = 0");
}

async fn run(connection: &mut PgConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(connection).await.unwrap();
}

#[test]
fn whoever_comes_while_a_permit_is_decided_is_not_passed_over() {
    let stage = Stage::new("vk-a", "[1, 2]");
    // Both were written to before, so the cursor passes to the end.
    stage.database.run(
        "INSERT INTO ledger (task, address, opening, channel)
        SELECT 'talk', n::text, n, 'vk-a' FROM generate_series(1, 2) n;
        UPDATE audiences SET waiting = 0",
    );
    stage.database.run(PERMITS_WAIT);
    stage.runtime.block_on(async {
        let mut other = stage.database.connection().await;
        run(&mut other, "SELECT pg_advisory_lock(7)").await;
        let (early, ()) = tokio::join!(stage.grant(), async {
            run(&mut other, SOMEBODY_WAITS).await;
            run(
                &mut other,
                "BEGIN; SELECT FROM audiences FOR UPDATE;
                INSERT INTO contacts (task_id, position, address) SELECT task_id, 3, '3' FROM audiences;
                UPDATE audiences SET last_position = 3, total = 3, waiting = waiting + 1; COMMIT;
                SELECT pg_advisory_unlock(7)",
            )
            .await;
        });
        assert!(early.is_empty());
    });
    assert_eq!(stage.send(OutcomeClass::Sent), ["3"]);
    assert_eq!(stage.database.value("SELECT waiting FROM audiences"), "0");
}

#[test]
fn two_lanes_that_are_due_together_do_not_write_to_two_addresses_of_one_person() {
    // They were one person only after both had been tried.
    const TRIED: &str = "INSERT INTO ledger (task, address, opening, channel) SELECT 'talk', address, opening, 'vk-a' FROM retries";
    const DOUBTED: &str =
        "UPDATE retries SET in_doubt = true, channel = 'vk-a' WHERE address = '2'";
    for (what, again, cursor, then, expected) in [
        ("both have their turn", None, 0, vec![], "1"),
        ("one comes again", Some("('1')"), 1, vec![], "1"),
        ("both come again", Some("('1', '2')"), 2, vec![], "1"),
        ("both are tried again", Some("('1', '2')"), 2, vec![TRIED], "1"),
        ("the second may have arrived", Some("('1', '2')"), 2, vec![TRIED, DOUBTED], "2"),
    ] {
        let stage = Stage::new("vk-a, vk-b", "[1, 2, 3]");
        stage.database.run(ONE_PERSON);
        stage.database.run(&format!("UPDATE audiences SET cursor_position = {cursor}"));
        if let Some(people) = again {
            stage.database.run(&format!("{AGAIN}{people}"));
        }
        for statement in then {
            stage.database.run(statement);
        }
        let mut people = Vec::new();
        for _ in 0..4 {
            people.extend(stage.send(OutcomeClass::Sent));
            stage.runtime.block_on(stage.store.settle_orphans()).unwrap();
        }
        people.sort();
        assert_eq!(people, [expected, "3"], "{what}");
        let verdicts = "SELECT string_agg(DISTINCT verdict, ' ') FROM turns";
        assert_eq!(stage.database.value(verdicts), "audience-exhausted", "{what}");
    }
}

#[test]
fn two_executors_do_not_write_to_two_addresses_of_one_person_who_come_again() {
    let stage = Stage::new("vk-a, vk-b", "[1, 2]");
    stage.database.run(ONE_PERSON);
    stage.database.run(&format!("UPDATE audiences SET cursor_position = 2; {AGAIN}('1', '2')"));
    // The first statement that looks waits for whoever has the lock 7.
    stage.database.run(
        "CREATE OR REPLACE FUNCTION hours_open(from_s integer, to_s integer, zone text, at timestamptz)
        RETURNS boolean LANGUAGE plpgsql AS 'BEGIN
            IF pg_try_advisory_xact_lock(8) THEN PERFORM pg_advisory_xact_lock_shared(7); END IF; RETURN true; END'",
    );
    let (late, early) = stage.runtime.block_on(async {
        let other = ExecutorId(Uuid::new_v4());
        let _presence = stage.store.register_executor(other, "test", 2).await.unwrap();
        // One gives a lane away, and the other takes it.
        drop(stage.store.sweep_lanes(stage.executor).await.unwrap());
        drop(stage.store.sweep_lanes(other).await.unwrap());
        let mut lock = stage.database.connection().await;
        run(&mut lock, "SELECT pg_advisory_lock(7)").await;
        tokio::join!(async { stage.store.grant_permits(other).await.unwrap() }, async {
            run(&mut lock, SOMEBODY_WAITS).await;
            let early = stage.grant().await;
            run(&mut lock, "SELECT pg_advisory_unlock(7)").await;
            early
        })
    });
    assert_eq!((early.len(), late.len()), (1, 0));
    let owners = "SELECT count(DISTINCT owner) FROM lanes";
    assert_eq!(stage.database.value(owners), "2", "each has a lane");
}

#[test]
fn of_two_addresses_of_one_person_the_second_has_its_turn_once_nothing_arrived_at_the_first() {
    for (what, class, audience, again) in [
        ("it arrived", OutcomeClass::Sent, "[1, 2]", 0),
        ("it may have arrived", OutcomeClass::InDoubt, "[1, 2]", 0),
        ("it is tried again", OutcomeClass::RetryAfter, "[1, 2]", 0),
        ("it was refused for good", OutcomeClass::RecipientPermanent, "[1, 2]", 1),
        ("it was removed while it waited", OutcomeClass::RetryAfter, "[2]", 1),
    ] {
        let stage = Stage::new("vk-a, vk-b", "[1, 2]");
        stage.database.run(ONE_PERSON);
        let permits = stage.runtime.block_on(stage.grant());
        assert_eq!(permits.len(), 1, "{what}");
        // The second is passed over while the call runs.
        assert!(stage.send(OutcomeClass::Sent).is_empty(), "{what}");
        // As of a record during which that is learnt.
        stage.database.run("DELETE FROM aliases");
        stage.runtime.block_on(stage.record(&permits, class));
        stage.database.run(ONE_PERSON);
        stage.database.run("UPDATE retries SET ready_at = now() + interval '1 hour'");
        apply(&stage.folder, &stage.database, "vk-a, vk-b", audience, &[]);
        let reviewed = || stage.runtime.block_on(stage.store.review_passed_over()).unwrap();
        // Whoever grants may not have seen it yet.
        assert_eq!(reviewed(), Reviewed { again: 0, is_over: true }, "{what}");
        stage.database.run("UPDATE freed_aliases SET at = at - interval '2 minutes'");
        assert_eq!(reviewed(), Reviewed { again, is_over: again == 0 }, "{what}");
        assert_eq!(stage.database.value("SELECT count(*) FROM freed_aliases"), "0", "{what}");
        let second: &[&str] = if again == 0 { &[] } else { &["2"] };
        assert_eq!(stage.send(OutcomeClass::Sent), second, "{what}");
        assert_eq!(reviewed(), Reviewed { again: 0, is_over: true }, "{what}");
    }
}

#[test]
fn whose_call_failed_while_their_task_was_recreated_is_written_to_by_the_new_one() {
    for has_passed in [false, true] {
        let stage = Stage::new("vk-a", "[1, 2]");
        let permits = stage.runtime.block_on(stage.grant());
        apply(&stage.folder, &stage.database, "vk-b", "[1, 2]", &["--recreate", "talk"]);
        if has_passed {
            assert_eq!(stage.send(OutcomeClass::Sent), ["2"]);
        }
        // As of a record that saw the contact of the old task, which the apply was taking away.
        stage.database.run(
            "INSERT INTO contacts (task_id, position, address)
            SELECT id, 1, '1' FROM tasks WHERE deleted_at IS NOT NULL",
        );
        stage.runtime.block_on(stage.record(&permits, OutcomeClass::RetryAfter));
        stage.database.run(
            "DELETE FROM contacts c USING tasks t WHERE t.id = c.task_id AND t.deleted_at IS NOT NULL",
        );
        assert_eq!(stage.database.value("SELECT count(*) FROM retries"), "1");
        stage.runtime.block_on(stage.store.settle_orphans()).unwrap();
        let mut left = [stage.send(OutcomeClass::Sent), stage.send(OutcomeClass::Sent)].concat();
        left.sort();
        let expected: &[&str] = if has_passed { &["1"] } else { &["1", "2"] };
        assert_eq!(left, expected);
        let waiting = "SELECT waiting FROM audiences a JOIN tasks t ON t.id = a.task_id AND t.deleted_at IS NULL";
        assert_eq!(stage.database.value(waiting), "0");
    }
}

#[test]
fn an_opening_that_was_answered_before_its_call_ended_is_told_what_became_of_it() {
    let told = "SELECT state || ' ' || text FROM messages WHERE author = 'opening'";
    for (class, expected) in [
        (OutcomeClass::Sent, "sent Hello Anna"),
        (OutcomeClass::InDoubt, "in-doubt Hello Anna"),
        (OutcomeClass::RecipientPermanent, "failed Hello Anna"),
    ] {
        let stage = Stage::new("vk-a", "[1]");
        let permits = stage.runtime.block_on(async {
            let permits = stage.grant().await;
            begin_calls(&stage.store, &permits, "Hello Anna").await;
            stage.writes("1").await;
            permits
        });
        assert_eq!(stage.database.value(told), "in-doubt Hello Anna");
        stage.runtime.block_on(stage.record(&permits, class));
        assert_eq!(stage.database.value(told), expected, "{class}");
        if class == OutcomeClass::RecipientPermanent {
            // Nobody was reached, so another incarnation tries; what was then stays what it was.
            apply(&stage.folder, &stage.database, "vk-b", "[1]", &["--recreate", "talk"]);
            assert_eq!(stage.send(OutcomeClass::Sent), ["1"]);
            assert_eq!(stage.database.value(told), expected, "{class}");
        }
    }
}

#[test]
fn what_may_have_been_said_outlives_words_that_certainly_were_not() {
    let told = "SELECT state || ' ' || text FROM messages WHERE author = 'opening'";
    for answers_at_once in [true, false] {
        let stage = Stage::new("vk-a", "[1]");
        stage.runtime.block_on(async {
            let permits = stage.grant().await;
            begin_calls(&stage.store, &permits, "Hello Anna").await;
            stage.record(&permits, OutcomeClass::InDoubt).await;
            if answers_at_once {
                stage.writes("1").await;
            }
            // Its text was edited, and the repeat was never made.
            let permits = stage.grant().await;
            begin_calls(&stage.store, &permits, "Good day").await;
            stage.record(&permits, OutcomeClass::NotSent).await;
            if !answers_at_once {
                stage.writes("1").await;
            }
        });
        assert_eq!(stage.database.value(told), "in-doubt Hello Anna", "{answers_at_once}");
    }
}

#[test]
fn a_doubt_of_an_earlier_incarnation_is_one_until_it_is_resolved() {
    for (word, then) in [("sent", "written"), ("drop", "failed")] {
        let stage = Stage::new("vk-a", "[1]");
        assert_eq!(stage.send(OutcomeClass::InDoubt), ["1"]);
        apply(&stage.folder, &stage.database, "vk-b", "[1]", &["--recreate", "talk"]);
        stage.runtime.block_on(stage.store.settle_orphans()).unwrap();
        let run = |arguments: &[&str]| {
            let program = Program::new(stage.folder.root(), arguments).database(&stage.database);
            program.env("T", "t").run()
        };
        let is_told = |state: &str| {
            let told = run(&["audience", "talk", "--state", state]).stdout;
            told.contains("by an earlier incarnation of the task")
        };
        assert!(is_told("in-doubt"));
        let attempt = stage.database.value("SELECT id FROM attempts");
        let resolved = run(&["resolve", &attempt, word]);
        assert_eq!(resolved.code, 0, "{resolved:?}");
        assert!(is_told(then) && !is_told("in-doubt"), "{word}");
    }
}

#[test]
fn a_call_is_made_only_with_words_that_were_kept() {
    const TAKEN: &str = "UPDATE lanes SET fence = fence + 1";
    const SETTLED: &str = "UPDATE attempts SET outcome = 'in-doubt', finished_at = now()";
    const FORGOTTEN: &str = "UPDATE attempts SET address = ''";
    for (what, then, n_calls) in [
        ("nothing happens", None, 1),
        ("the lane is taken", Some(TAKEN), 0),
        ("the attempt is settled", Some(SETTLED), 0),
        ("the person is forgotten", Some(FORGOTTEN), 0),
    ] {
        let stage = Stage::new("vk-a", "[1]");
        let permits = stage.runtime.block_on(stage.grant());
        if let Some(statement) = then {
            stage.database.run(statement);
        }
        let may = stage.runtime.block_on(begin_calls(&stage.store, &permits, "Hello Anna"));
        assert_eq!(may.len(), n_calls, "{what}");
        let kept = stage.database.value("SELECT count(*) FROM attempts WHERE text = 'Hello Anna'");
        assert_eq!(kept, n_calls.to_string(), "{what}");
    }
}

#[test]
fn an_operator_who_waits_for_a_stop_says_nothing_after_it() {
    let stage = Stage::new("vk-a", "[9]");
    let said = stage.runtime.block_on(async {
        stage.writes("1").await;
        let mut other = stage.database.connection().await;
        run(&mut other, "BEGIN; SELECT FROM dialogues FOR UPDATE").await;
        let parts = ["Wait!".to_owned()];
        let words = Words { parts: &parts, by: "anna", repeat: Repeat::Accident };
        let (said, ()) = tokio::join!(stage.store.say(DialogueId(1), &words), async {
            run(&mut other, SOMEBODY_WAITS).await;
            run(
                &mut other,
                "INSERT INTO suppressions (address, task, list) VALUES ('1', '', '!stop');
                UPDATE dialogues SET state = 'closed', due_at = NULL; COMMIT",
            )
            .await;
        });
        said.unwrap()
    });
    assert!(matches!(said, Said::Suppressed), "{said:?}");
    assert_eq!(stage.database.value("SELECT state FROM dialogues"), "closed");
}
