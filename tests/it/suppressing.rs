//! Who must not be written to: by a word, by an operator, and after having been forgotten.

use std::{collections::BTreeSet, time::Duration};

use nuncio::{
    domain::{
        address::Address,
        dialogue::{Delivery, Received},
        id::{ChannelName, DialogueId, TaskName},
        kind::{ChannelKind, MessengerType},
        stop::StopLanguage,
    },
    store::{OptOut, OptOutBy, Parcel, Raw, Reviewed, Store},
};
use serde_json::json;

use crate::support::{
    Ended, Folder, PATIENCE, Program, Providers, TestDatabase, channel, vk_task, wait_until,
};

/// Of nobody else, and found in nothing by chance.
const PERSON: &str = "987650001";

struct Stage {
    folder: Folder,
    database: TestDatabase,
    providers: Providers,
}

impl Stage {
    fn new() -> Self {
        let (folder, providers) = (Folder::with_team(), Providers::start(Duration::ZERO, false));
        let endpoint = format!("  endpoint: {}\n", providers.endpoint(ChannelKind::VkUser));
        folder.write("vk.yaml", &channel("vk", "vk-user", "token: {env: VK_TOKEN}", &endpoint));
        Self { folder, database: TestDatabase::new(), providers }
    }

    fn program(&self, arguments: &[&str]) -> Program {
        let program = Program::new(self.folder.root(), arguments).database(&self.database);
        program.env("VK_TOKEN", Providers::secret("vk", "token"))
    }

    #[track_caller]
    fn told(&self, arguments: &[&str], code: i32) -> Ended {
        let ended = self.program(arguments).run();
        assert_eq!(ended.code, code, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        ended
    }

    #[track_caller]
    fn ends(&self, arguments: &[&str], code: i32) {
        drop(self.told(arguments, code));
    }

    fn apply(&self, name: &str, audience: &str) {
        let task = vk_task(name, "vk", audience, "  state: running");
        self.folder.write(&format!("{name}.yaml"), &task);
        self.ends(&["apply", "--auto-approve"], 0);
        self.database.run("UPDATE tasks SET pause_ms = 20");
    }

    /// Who was written to, once nobody is left.
    fn written_to(&self) -> BTreeSet<String> {
        let watch = self.program(&["watch"]).start();
        let exhausted = "SELECT bool_and(verdict = 'audience-exhausted')
            AND NOT EXISTS (SELECT FROM lanes WHERE in_flight IS NOT NULL) FROM turns";
        wait_until(exhausted, PATIENCE, || {
            let value = self.database.value(exhausted);
            (value == "true", value)
        });
        watch.kill();
        self.providers.deliveries().into_iter().map(|entry| entry.address).collect()
    }

    /// The person writes by themselves.
    fn writes(&self, id: &str) {
        let what = Delivery::Message { id: id.to_owned(), text: "Hello?".to_owned() };
        let received = [Received::of(Address::from_stored(PERSON.to_owned()), None, what)];
        self.with_store(async |store| {
            let channel = "vk".parse().unwrap();
            let parcel = Parcel { channel: &channel, received: &received, raw: None, cursor: None };
            assert_eq!(store.receive(&parcel).await.unwrap().fresh, 1);
        });
    }

    fn with_store<T>(&self, act: impl AsyncFnOnce(Store) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { act(self.database.store().await).await })
    }
}

fn everybody(addresses: &[&str]) -> BTreeSet<String> {
    addresses.iter().map(|&address| address.to_owned()).collect()
}

#[test]
fn who_is_suppressed_is_written_to_by_no_task_and_no_drift_is_seen() {
    let stage = Stage::new();
    stage.apply("one", "[1, 2, 3]");
    stage.apply("two", "[2, 3, 4]");
    stage.ends(&["suppress", "3", "--reason", "by phone"], 0);
    let again = stage.told(&["suppress", "3"], 0);
    assert!(again.stderr.contains("already"), "{}", again.stderr);
    let plan = stage.told(&["plan", "--detailed-exitcode"], 0);
    assert!(!plan.stdout.contains("drift "), "{}", plan.stdout);
    assert_eq!(stage.written_to(), everybody(&["1", "2", "4"]));
    let audience = stage.told(&["audience", "one", "--state", "suppressed"], 0).stdout;
    assert!(audience.contains("suppressed by tester"), "{audience}");
    let list = stage.told(&["suppress"], 0).stdout;
    assert!(list.contains("by tester  by phone") && list.contains('…'), "{list}");
}

#[test]
fn a_suppression_ends_only_by_an_act_that_says_why_and_is_on_record() {
    let stage = Stage::new();
    stage.apply("one", "[7]");
    stage.ends(&["suppress", "7"], 0);
    stage.ends(&["unsuppress", "7"], 64);
    stage.ends(&["unsuppress", "7", "--reason", ""], 64);
    stage.ends(&["unsuppress", "7", "--reason", "asked for it by mail"], 0);
    let record = "SELECT by || ': ' || undone_by || ': ' || undone_reason FROM opt_outs";
    assert_eq!(stage.database.value(record), "tester: tester: asked for it by mail");
    stage.ends(&["unsuppress", "7", "--reason", "again"], 3);
    assert_eq!(stage.written_to(), everybody(&["7"]));
}

#[test]
fn a_list_of_a_manifest_holds_whatever_an_operator_undoes() {
    let stage = Stage::new();
    stage.folder.write(
        "list.yaml",
        "apiVersion: nuncio/v1\nkind: SuppressionList\nmetadata: {name: known}\nspec: {entries: [7]}\n",
    );
    stage.apply("one", "[7, 8]");
    stage.ends(&["suppress", "7"], 0);
    let told = stage.told(&["unsuppress", "7", "--reason", "asked"], 3);
    assert!(told.stderr.contains("known"), "{}", told.stderr);
    assert!(!told.stderr.contains("write to them"), "{}", told.stderr);
    assert_eq!(stage.written_to(), everybody(&["8"]));
}

/// As if all had been long ago that was let go.
const LONG_AGO: &str =
    "UPDATE installation SET unsuppressed_at = unsuppressed_at - interval '2 minutes';
    UPDATE audiences SET reviewed_until = reviewed_until - interval '1 hour'";

#[test]
fn whoever_was_passed_over_has_their_turn_again_once_they_are_let_go() {
    let stage = Stage::new();
    let list = |entries: &str| {
        let list = format!(
            "apiVersion: nuncio/v1\nkind: SuppressionList\nmetadata: {{name: known}}\nspec: {{entries: {entries}}}\n"
        );
        stage.folder.write("list.yaml", &list);
    };
    list("[3, 4]");
    stage.apply("one", "[1, 2, 3, 4, 5]");
    stage.ends(&["suppress", "2"], 0);
    stage.ends(&["suppress", "5"], 0);
    assert_eq!(stage.written_to(), everybody(&["1"]));
    stage.ends(&["unsuppress", "2", "--reason", "asked"], 0);
    list("[4]");
    stage.ends(&["apply", "--auto-approve"], 0);
    // Whoever grants may not have seen it yet.
    let reviewed = |stage: &Stage| stage.with_store(async |store| store.review_passed_over().await);
    assert_eq!(reviewed(&stage).unwrap(), Reviewed { again: 0, is_over: true });
    stage.database.run(LONG_AGO);
    assert_eq!(reviewed(&stage).unwrap(), Reviewed { again: 2, is_over: false });
    assert_eq!(reviewed(&stage).unwrap(), Reviewed { again: 0, is_over: true });
    let told = stage.told(&["audience", "one", "--state", "remaining"], 0).stdout;
    assert_eq!(told.matches("its turn comes again").count(), 2, "{told}");
    assert_eq!(stage.written_to(), everybody(&["1", "2", "3"]));
    assert_eq!(stage.providers.deliveries().len(), 3);
    // Who was written to is not written to again.
    list("[]");
    stage.ends(&["apply", "--auto-approve"], 0);
    stage.database.run(LONG_AGO);
    assert_eq!(reviewed(&stage).unwrap(), Reviewed { again: 1, is_over: false });
    // Somebody says STOP before their turn comes.
    stage.ends(&["suppress", "4"], 0);
    assert_eq!(stage.written_to(), everybody(&["1", "2", "3"]));
    stage.ends(&["unsuppress", "4", "--reason", "asked"], 0);
    stage.database.run(LONG_AGO);
    let watch = stage.program(&["watch"]).start();
    wait_until("a heartbeat has looked", PATIENCE, || {
        let last = stage.providers.deliveries().pop().map(|entry| entry.address);
        (last.as_deref() == Some("4"), last)
    });
    watch.kill();
    assert_eq!(stage.providers.deliveries().len(), 4);
    // A task that is completed moves no more.
    stage.database.run("UPDATE tasks SET phase = 'completed'");
    stage.ends(&["unsuppress", "5", "--reason", "asked"], 0);
    stage.database.run(LONG_AGO);
    assert_eq!(reviewed(&stage).unwrap(), Reviewed { again: 0, is_over: true });
}

#[test]
fn many_who_are_let_go_come_again_a_few_at_a_time_and_whoever_has_a_dialogue_does_not() {
    let stage = Stage::new();
    let audience: Vec<String> = (1..=500).map(|n| n.to_string()).collect();
    stage.apply("one", &format!("[{}, {PERSON}]", audience.join(", ")));
    stage.writes("1");
    stage.database.run(
        "UPDATE audiences SET cursor_position = last_position, waiting = 0;
        -- One was suppressed while they were to be tried again, another was refused for good.
        INSERT INTO attempts (id, opening, tries, task_id, task, channel, position, address, key, fence, granted_at,
            finished_at, outcome)
        SELECT position, position, 1, task_id, 'one', 'vk', position, address, position, 1, now(), now(),
            CASE address WHEN '2' THEN 'retry-after' ELSE 'recipient-permanent' END
        FROM contacts WHERE address IN ('2', '3');
        UPDATE installation SET unsuppressed_at = now()",
    );
    stage.database.run(LONG_AGO);
    let reviewed = |stage: &Stage| {
        let reviewed = stage.with_store(async |store| store.review_passed_over().await).unwrap();
        (reviewed.again, reviewed.is_over)
    };
    for again in [200, 200, 99] {
        assert_eq!(reviewed(&stage), (again, false));
        if again == 200 {
            assert_eq!(reviewed(&stage), (0, true), "so many wait already");
        }
        stage.database.run(
            "INSERT INTO ledger (task, address, opening, channel)
            SELECT 'one', address, opening, 'vk' FROM retries;
            DELETE FROM retries",
        );
    }
    assert_eq!(reviewed(&stage), (0, true));
    let left = "SELECT string_agg(address, ' ' ORDER BY position) FROM contacts
        WHERE address NOT IN (SELECT address FROM ledger)";
    assert_eq!(stage.database.value(left), format!("3 {PERSON}"));
}

#[test]
fn the_first_stop_stands_with_where_it_was_said() {
    let stage = Stage::new();
    stage.apply("one", "[7, 8]");
    let (task, channel): (TaskName, ChannelName) = ("one".parse().unwrap(), "vk".parse().unwrap());
    let address = Address::parse("7", MessengerType::Vkontakte).unwrap();
    let said = |language| OptOut {
        address: &address,
        by: OptOutBy::Person(language),
        task: Some(&task),
        channel: Some(&channel),
        dialogue: Some(DialogueId(5)),
        reason: None,
    };
    let news = stage.with_store(async |store| {
        let first = store.suppress(&said(StopLanguage::Russian)).await.unwrap();
        (first, store.suppress(&said(StopLanguage::English)).await.unwrap())
    });
    assert_eq!(news, (true, false));
    let record = "SELECT string_agg(concat_ws(' ', by, language, task, channel, dialogue), ', ') FROM opt_outs";
    assert_eq!(stage.database.value(record), "person ru one vk 5");
    assert_eq!(stage.written_to(), everybody(&["8"]));
    let audience = stage.told(&["audience", "one", "--state", "suppressed"], 0).stdout;
    assert!(audience.contains("the person said STOP"), "{audience}");
}

/// Columns of all tables that hold the person's address, in whatever form.
fn traces(database: &TestDatabase) -> BTreeSet<(String, String)> {
    let columns = database.value(
        "SELECT string_agg(c.relname || ' ' || a.attname || ' ' || (a.atttypid = 'bytea'::regtype), ',')
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
            AND a.attnum > 0 AND NOT a.attisdropped",
    );
    let mut found = BTreeSet::new();
    for column in columns.split(',') {
        let mut parts = column.split(' ');
        let (table, name, is_bytes) =
            (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let holds = if is_bytes == "true" {
            format!("position(convert_to('{PERSON}', 'UTF8') IN \"{name}\") > 0")
        } else {
            format!("position('{PERSON}' IN \"{name}\"::text) > 0")
        };
        if database.value(&format!("SELECT count(*) FROM \"{table}\" WHERE {holds}")) != "0" {
            found.insert((table.to_owned(), name.to_owned()));
        }
    }
    found
}

#[test]
fn nothing_in_any_table_names_a_person_who_was_forgotten() {
    let stage = Stage::new();
    stage.folder.write(
        "list.yaml",
        &format!(
            "apiVersion: nuncio/v1\nkind: SuppressionList\nmetadata: {{name: known}}\n\
             spec: {{entries: [{PERSON}, 5], tasks: [two]}}\n"
        ),
    );
    stage.apply("two", &format!("[5, {PERSON}]"));
    stage.apply("one", &format!("[1, {PERSON}, 2]"));
    stage.written_to();
    stage.ends(&["suppress", PERSON, "--reason", "asked"], 0);
    // What a busier life would have left.
    stage.database.run(&format!(
        "UPDATE attempts SET provider_message_id = 'true_{PERSON}@c.us', outcome = 'in-doubt'
            WHERE address = '{PERSON}';
        UPDATE task_channels SET n_in_doubt = n_in_doubt + 1, n_sent = n_sent - 1
            WHERE task_id = (SELECT id FROM tasks WHERE name = 'one');
        INSERT INTO retries (opening, task_id, position, address, key, tries, ready_at, in_doubt)
            SELECT 999, task_id, position, address, 1, 0, now(), false FROM contacts
            WHERE address = '{PERSON}' LIMIT 1;
        INSERT INTO drafts (task, address, task_id, position, state, text, due_at)
            SELECT 'one', '{PERSON}', id, 2, 'used', 'Dear {PERSON}', NULL FROM tasks WHERE name = 'one';
        INSERT INTO freed_aliases (task, address) VALUES ('one', '{PERSON}');
        INSERT INTO telegram_people (channel, address, user_id, access_hash) VALUES ('tg', '{PERSON}', 7, 9)"
    ));
    // What they wrote, and what was answered and reported.
    stage.with_store(async |store| {
        let what = Delivery::Message { id: "77".to_owned(), text: format!("I am {PERSON}") };
        let mut received = [Received::of(Address::from_stored(PERSON.to_owned()), None, what)];
        received[0].also_known_as = vec![Address::from_stored(format!("{PERSON}@lid"))];
        let raw = Raw { headers: json!({}), body: PERSON.as_bytes() };
        let channel = "vk".parse().unwrap();
        let parcel =
            Parcel { channel: &channel, received: &received, raw: Some(raw), cursor: None };
        assert_eq!(store.receive(&parcel).await.unwrap().fresh, 1);
    });
    stage.database.run(&format!(
        "INSERT INTO dialogue_events (dialogue_id, event, by, detail)
            SELECT id, 'interest', 'ai', '{{\"quote\": \"{PERSON}\"}}' FROM dialogues"
    ));
    let before = traces(&stage.database);
    let tables: BTreeSet<&str> = before.iter().map(|(table, _)| table.as_str()).collect();
    let with_people = stage.database.value(
        "SELECT string_agg(DISTINCT table_name, ',') FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name IN ('address', 'peer')
            AND table_name NOT LIKE 'attempts\\_%'
            AND table_name IN (SELECT tablename FROM pg_tables)",
    );
    for table in with_people.split(',') {
        assert!(tables.contains(table), "`{table}` has people, and this test puts none there");
    }
    assert!(tables.contains("resources") && tables.contains("revision_changes"), "{tables:?}");

    let forgotten = stage.told(&["forget", PERSON, "--auto-approve"], 0);
    assert_eq!(traces(&stage.database), BTreeSet::new());
    for named in ["task `one`", "task `two`", "list `known`"] {
        assert!(forgotten.stderr.contains(named), "{named}: {}", forgotten.stderr);
    }
    assert!(!forgotten.stderr.contains(PERSON), "{}", forgotten.stderr);
    // Nobody else lost anything, and the numbers hold.
    let kept = "SELECT string_agg(address, ' ' ORDER BY address) FROM ledger";
    assert_eq!(stage.database.value(kept), "1 2");
    let audience = "SELECT string_agg(total || '/' || waiting, ' ' ORDER BY total) FROM audiences";
    assert_eq!(stage.database.value(audience), "1/0 2/0");
    let counts = "SELECT n_sent || ' ' || n_failed || ' ' || n_in_doubt FROM task_channels
        WHERE task_id = (SELECT id FROM tasks WHERE name = 'one')";
    assert_eq!(stage.database.value(counts), "2 1 0");
    assert!(stage.told(&["resolve"], 0).stdout.is_empty(), "an operator can do nothing for it");
    // The manifests still name the person, and nothing is to be done for it.
    stage.ends(&["plan", "--detailed-exitcode"], 0);
}

#[test]
fn who_was_forgotten_is_not_written_to_though_an_audience_names_them_anew() {
    let stage = Stage::new();
    stage.ends(&["forget", PERSON], 1);
    let asked = stage.told(&["forget", PERSON], 1);
    assert!(asked.stderr.contains("--auto-approve"), "{}", asked.stderr);
    stage.ends(&["forget", "nobody", "--auto-approve"], 64);
    stage.ends(&["forget", PERSON, "--auto-approve"], 0);
    stage.apply("one", &format!("[1, {PERSON}]"));
    // A retry of the person is as little granted as a first opening.
    stage.database.run(&format!(
        "INSERT INTO retries (opening, task_id, position, address, key, tries, ready_at, in_doubt)
            SELECT 999, task_id, position, address, 1, 0, now(), false FROM contacts
            WHERE address = '{PERSON}'"
    ));
    assert_eq!(stage.written_to(), everybody(&["1"]));
    let audience = stage.told(&["audience", "one", "--state", "suppressed"], 0).stdout;
    assert!(audience.contains("the person was forgotten"), "{audience}");
    // What they write is not answered, so no AI is asked; an operator sees that they wait.
    let answers =
        "SELECT (due_at IS NOT NULL)::text || ' ' || (waiting_since IS NOT NULL) FROM dialogues";
    stage.writes("1");
    assert_eq!(stage.database.value(answers), "false true");
    // Whoever asks for it may be written to again.
    let undone = stage.told(&["unsuppress", PERSON, "--reason", "asked for it by mail"], 0);
    assert!(undone.stderr.contains("not remembered"), "{}", undone.stderr);
    stage.writes("2");
    assert_eq!(stage.database.value(answers), "true true");
    stage.apply("later", &format!("[{PERSON}]"));
    assert_eq!(stage.written_to(), everybody(&["1", PERSON]));
}

#[test]
fn an_outcome_that_comes_after_the_forgetting_names_nobody() {
    let stage = Stage::new();
    let slow = Providers::start(Duration::from_secs(2), false);
    let endpoint = format!("  endpoint: {}\n", slow.endpoint(ChannelKind::VkUser));
    stage.folder.write("vk.yaml", &channel("vk", "vk-user", "token: {env: VK_TOKEN}", &endpoint));
    stage.apply("one", &format!("[{PERSON}]"));
    let watch = stage.program(&["watch"]).start();
    let in_flight = "SELECT count(*) FROM attempts WHERE outcome IS NULL";
    wait_until("the call is under way", PATIENCE, || {
        let value = stage.database.value(in_flight);
        (value == "1", value)
    });
    stage.ends(&["forget", PERSON, "--auto-approve"], 0);
    wait_until("the call has ended", PATIENCE, || {
        let value = stage.database.value(in_flight);
        (value == "0", value)
    });
    watch.kill();
    assert_eq!(traces(&stage.database), BTreeSet::new());
    let kept = "SELECT outcome || coalesce(provider_message_id, '') || address FROM attempts";
    assert_eq!(stage.database.value(kept), "sent");
}

#[test]
fn the_hash_is_hmac_sha256_with_a_key_of_the_installation() {
    let database = TestDatabase::new();
    // RFC 4231, case 2; the pads are those of the key `Jefe`.
    let pad = |with: i32| {
        format!(
            "(SELECT string_agg(set_byte('\\x00', 0, get_byte(key, i) # {with}), '' ORDER BY i)
            FROM generate_series(0, 63) i, (SELECT convert_to('Jefe', 'UTF8')
                || decode(repeat('00', 60), 'hex') AS key) k)"
        )
    };
    let hash = database.value(&format!(
        "SELECT encode(keyed_hash('what do ya want for nothing?', {}, {}), 'hex')",
        pad(54),
        pad(92)
    ));
    assert_eq!(hash, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    let of_another = TestDatabase::new();
    // The template has a key: what tests share, installations do not.
    of_another.run("UPDATE installation SET person_key_inner = person_key_outer");
    let ours = |database: &TestDatabase| database.value("SELECT encode(person_hash('1'), 'hex')");
    assert_ne!(ours(&database), ours(&of_another));
}
