//! Openings that the AI writes, and what every first message says of it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
    time::Duration,
};

use nuncio::{
    domain::{
        address::Address,
        dialogue::{Delivery, Received},
        id::{ChannelName, ExecutorId},
        kind::{ChannelKind, MessengerType},
        money::MicroUsd,
        resource::Prices,
    },
    store::{Committed, Parcel, Reservation, Settlement, Store},
};

use crate::support::{
    Folder, PATIENCE, Program, Providers, Running, TestDatabase, channel, vk_task, wait_until,
};

/// Nobody is left, and the last call has ended too.
const EXHAUSTED: &str = "SELECT bool_and(verdict = 'audience-exhausted')
    AND NOT EXISTS (SELECT FROM lanes WHERE in_flight IS NOT NULL) FROM turns";
const DISCLOSURE: &str = "I am a virtual assistant.";
/// The team's.
const PRICES: Prices = Prices {
    input: MicroUsd::from_micros(1_000_000),
    cached_input: MicroUsd::from_micros(1_000_000),
    output: MicroUsd::from_micros(2_000_000),
};

/// A task on `vk` whose opening the AI writes, with its providers and a database.
struct Stage {
    folder: Folder,
    database: TestDatabase,
    providers: Providers,
}

impl Stage {
    fn new(delay: Duration) -> Self {
        let (folder, providers) = (Folder::new(), Providers::start(delay, true));
        let endpoint = format!("  endpoint: {}\n", providers.endpoint(ChannelKind::VkUser));
        folder.write("vk.yaml", &channel("vk", "vk-user", "token: {env: VK_TOKEN}", &endpoint));
        let stage = Self { folder, database: TestDatabase::new(), providers };
        stage.team("test-model", &stage.providers.ai_endpoint(), "Sell.");
        stage
    }

    fn team(&self, model: &str, endpoint: &str, instructions: &str) {
        self.folder.write(
            "team.yaml",
            &format!(
                "apiVersion: nuncio/v1
kind: Manager
metadata: {{name: anna}}
spec: {{fullName: Anna Petrova, persona: Friendly.}}
---
apiVersion: nuncio/v1
kind: Ai
metadata: {{name: sales}}
spec:
  model: {model}
  endpoint: {endpoint}
  apiKey: {{env: AI_KEY}}
  instructions: {instructions}
  prices: {{inputPerMillionTokens: 1, cachedInputPerMillionTokens: 1, outputPerMillionTokens: 2}}
  disclosure: {DISCLOSURE}
"
            ),
        );
    }

    fn program(&self, arguments: &[&str]) -> Program {
        Program::new(self.folder.root(), arguments)
            .database(&self.database)
            .env("VK_TOKEN", Providers::secret("vk", "token"))
            .env("AI_KEY", Providers::secret("sales", "apiKey"))
    }

    /// Applies what the folder says, and lets the task pause for milliseconds.
    #[track_caller]
    fn apply(&self) {
        let applied = self.program(&["apply", "--auto-approve"]).run();
        assert_eq!(applied.code, 0, "{}{}", applied.stdout, applied.stderr);
        self.database.run("UPDATE tasks SET pause_ms = 20");
    }

    fn task(&self, audience: &str) {
        self.folder.write("a.yaml", &by_ai(audience));
        self.apply();
    }

    fn watch(&self) -> Running {
        self.program(&["watch"]).start()
    }

    #[track_caller]
    fn wait_for(&self, query: &str, wanted: &str) {
        wait_until(query, PATIENCE, || {
            let value = self.database.value(query);
            (value == wanted, value)
        });
    }

    /// Addresses with what they read, in their order.
    fn delivered(&self) -> Vec<(String, String)> {
        let all = self.providers.deliveries();
        let mut all: Vec<_> = all.into_iter().map(|one| (one.address, one.text)).collect();
        all.sort();
        all
    }

    /// What the AI's server billed.
    fn billed(&self) -> i64 {
        let journal = self.providers.ai_journal();
        journal
            .iter()
            .filter(|call| call.is_billed())
            .map(|call| call.billed(&PRICES).micros())
            .sum()
    }

    fn with_store<T>(&self, act: impl AsyncFnOnce(Store) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { act(self.database.store().await).await })
    }
}

/// Outside of the runtime that waits for it.
fn aside<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(act).join().unwrap())
}

fn by_ai(audience: &str) -> String {
    vk_task("one", "vk", audience, "  state: running").replace("{text: Hello!}", "{writtenBy: ai}")
}

fn address(text: &str) -> Address {
    Address::parse(text, MessengerType::Vkontakte).unwrap()
}

#[test]
fn the_ai_writes_each_opening_once_and_says_that_it_is_one() {
    let stage = Stage::new(Duration::ZERO);
    stage.task("[1, 2, 3, 4, 5]");
    let watch = stage.watch();
    stage.wait_for(EXHAUSTED, "true");
    drop(watch);
    let delivered = stage.delivered();
    let people: Vec<&str> = delivered.iter().map(|(address, _)| address.as_str()).collect();
    assert_eq!(people, ["1", "2", "3", "4", "5"]);
    for (_, text) in &delivered {
        assert!(text.starts_with(&format!("{DISCLOSURE}\n\nHello! May I take")), "{text}");
    }
    assert_eq!(stage.providers.ai_journal().len(), 5, "a call a person");
    // The record agrees with the bill, to the micro-dollar.
    let spent = stage.billed().to_string();
    assert_eq!(stage.database.value("SELECT sum(spent) FROM spending"), spent);
    assert_eq!(stage.database.value("SELECT sum(spent) FROM drafts"), spent);
    assert_eq!(stage.database.value("SELECT count(*) FROM ai_calls WHERE cost IS NULL"), "0");

    // Whoever answers begins a dialogue that the opening is counted in.
    let cost = "SELECT spent FROM drafts WHERE address = '3'";
    let cost = stage.database.value(cost);
    let dialogue = stage.with_store(async |store| {
        let what = Delivery::Message { id: "m1".to_owned(), text: "Hi".to_owned() };
        let received = [Received::of(address("3"), None, what)];
        let channel: ChannelName = "vk".parse().unwrap();
        let parcel = Parcel { channel: &channel, received: &received, raw: None, cursor: None };
        store.receive(&parcel).await.unwrap()
    });
    assert_eq!(dialogue.fresh, 1);
    assert_eq!(stage.database.value("SELECT spent FROM dialogues"), cost);
    assert_eq!(stage.database.value("SELECT spent FROM drafts WHERE address = '3'"), "0");
    let said = stage.database.value("SELECT text FROM messages WHERE author = 'opening'");
    assert!(said.starts_with(DISCLOSURE), "{said}");
}

#[test]
fn a_draft_whose_lease_was_granted_unseen_is_written_all_the_same() {
    let stage = Stage::new(Duration::ZERO);
    stage.task("[1, 2]");
    let rests =
        "INSERT INTO ai_rests VALUES ('sales', 1, now() + interval '1 h', 'unavailable', '')";
    stage.database.run(rests);
    let _watch = stage.watch();
    stage.wait_for("SELECT count(*) FROM drafts", "2");
    // As by a statement whose answer was lost: nobody in the process knows of it.
    stage.database.run(
        "UPDATE drafts SET held_channel = l.channel, held_fence = l.fence FROM lanes l;
        DELETE FROM ai_rests",
    );
    stage.wait_for("SELECT count(*) FROM drafts WHERE state = 'used'", "2");
}

#[test]
fn a_text_opening_carries_the_disclosure_too() {
    let stage = Stage::new(Duration::ZERO);
    stage.folder.write("a.yaml", &vk_task("one", "vk", "[1]", "  state: running"));
    stage.apply();
    let watch = stage.watch();
    stage.wait_for(EXHAUSTED, "true");
    drop(watch);
    assert_eq!(stage.delivered(), [("1".to_owned(), format!("{DISCLOSURE}\n\nHello!"))]);
    assert!(stage.providers.ai_journal().is_empty());
}

#[test]
fn an_opening_that_is_too_dear_fails_with_its_reason_until_the_limit_is_raised() {
    let stage = Stage::new(Duration::ZERO);
    let cheap = by_ai("[1, 2]").replace("PerDialogue: 0.50", "PerDialogue: 0.000100");
    stage.folder.write("a.yaml", &cheap);
    stage.apply();
    let watch = stage.watch();
    stage.wait_for(EXHAUSTED, "true");
    assert!(stage.delivered().is_empty());
    assert!(stage.providers.ai_journal().is_empty(), "nobody was asked");
    let audience = stage.program(&["audience", "one", "--state", "failed"]).run().stdout;
    assert!(audience.contains("the spending limit per dialogue leaves $0.0001"), "{audience}");
    let status = stage.program(&["status", "one"]).run().stdout;
    assert!(status.contains("0 sent, 2 failed"), "{status}");

    stage.folder.write("a.yaml", &by_ai("[1, 2]"));
    stage.wait_for("SELECT sum(n_sent) FROM task_channels", "2");
    drop(watch);
    assert_eq!(stage.delivered().len(), 2);
}

#[test]
fn what_the_ai_does_not_write_is_not_sent_and_says_why() {
    for (model, reason) in [
        ("ai-refusal", "the AI declined to answer"),
        ("ai-cut-off", "the AI's answer was cut off"),
        ("ai-empty", "the AI's answer was empty"),
        ("ai-too-long", "context"),
    ] {
        let stage = Stage::new(Duration::ZERO);
        stage.team(model, &stage.providers.ai_endpoint(), "Sell.");
        stage.task("[1]");
        let watch = stage.watch();
        stage.wait_for(EXHAUSTED, "true");
        drop(watch);
        assert!(stage.delivered().is_empty(), "{model}");
        let seen = stage.database.value("SELECT reason FROM drafts WHERE state = 'failed'");
        assert!(seen.contains(reason), "{model}: {seen}");
    }
}

#[test]
fn a_draft_waits_for_an_ai_that_is_away_and_goes_on_when_it_is_back() {
    let stage = Stage::new(Duration::ZERO);
    // Nobody listens on a port that was just given back.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    stage.team("test-model", &format!("http://127.0.0.1:{port}/v1"), "Sell.");
    stage.task("[1, 2]");
    let watch = stage.watch();
    stage.wait_for("SELECT count(*) FROM ai_rests", "1");
    stage.wait_for("SELECT DISTINCT verdict FROM turns", "draft");
    let status = stage.program(&["status", "one"]).run().stdout;
    assert!(status.contains("the AI writes the opening"), "{status}");
    assert!(status.contains("its AI `sales` does not answer"), "{status}");
    assert_eq!(stage.database.value("SELECT count(*) FROM drafts WHERE state = 'due'"), "2");
    assert_eq!(stage.database.value("SELECT sum(spent) FROM drafts"), "0");

    // It comes back at the same address.
    let away = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let server = stage.providers.ai_endpoint();
    forward(away, &server);
    stage.database.run("UPDATE ai_rests SET not_before = now()");
    stage.wait_for(EXHAUSTED, "true");
    drop(watch);
    assert_eq!(stage.delivered().len(), 2);
    assert_eq!(stage.database.value("SELECT count(*) FROM ai_rests"), "0");
}

#[test]
fn a_manager_who_is_missing_lets_no_ai_rest() {
    let stage = Stage::new(Duration::ZERO);
    stage.task("[1]");
    stage.database.run("SET nuncio.writes = 'on'; DELETE FROM resources WHERE kind = 'Manager'");
    // A file that cannot be read puts nothing back.
    stage.folder.write("team.yaml", "kind: [");
    let watch = stage.watch();
    stage.wait_for("SELECT count(*) FROM drafts WHERE due_at > now() + interval '20 s'", "1");
    drop(watch);
    assert_eq!(stage.database.value("SELECT count(*) FROM ai_rests"), "0");
    assert!(stage.providers.ai_journal().is_empty());
}

/// Passes every connection on to the server of an endpoint, under the path that it has there.
fn forward(listener: TcpListener, endpoint: &str) {
    let rest = endpoint.strip_prefix("http://").unwrap();
    let (server, path) = rest.split_once('/').unwrap();
    let (server, path) = (server.to_owned(), format!("/{path}"));
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let (server, path) = (server.clone(), path.clone());
            thread::spawn(move || {
                let mut asked = Vec::new();
                let mut buffer = [0; 16 * 1024];
                while !is_whole(&asked) {
                    let Ok(count @ 1..) = client.read(&mut buffer) else { return };
                    asked.extend_from_slice(&buffer[..count]);
                }
                let asked = String::from_utf8(asked).unwrap().replacen("/v1", &path, 1);
                let asked = asked.replacen("\r\n", "\r\nconnection: close\r\n", 1);
                let mut upstream = std::net::TcpStream::connect(server).unwrap();
                upstream.write_all(asked.as_bytes()).unwrap();
                let mut answer = Vec::new();
                upstream.read_to_end(&mut answer).unwrap();
                drop(client.write_all(&answer));
            });
        }
    });
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.trim().parse().ok())
        .unwrap_or(0);
    request.len() >= head.len() + 4 + length
}

#[test]
fn a_kill_in_the_middle_leaves_the_money_spent_and_the_contact_to_be_written_to() {
    // Slow enough to be killed while it writes.
    let stage = Stage::new(Duration::from_secs(5));
    stage.task("[1, 2, 3]");
    for _ in 0..2 {
        let calls = stage.providers.ai_journal().len();
        let watch = stage.watch();
        wait_until("the AI is asked", PATIENCE, || {
            let n = stage.providers.ai_journal().len();
            (n > calls, n)
        });
        watch.kill();
    }
    let watch = stage.watch();
    stage.wait_for(EXHAUSTED, "true");
    drop(watch);
    assert_eq!(stage.delivered().len(), 3);
    let lost = "SELECT count(*) FROM ai_calls WHERE settled_at IS NULL";
    assert_ne!(stage.database.value(lost), "0");
    let spent: i64 = stage.database.value("SELECT sum(spent) FROM drafts").parse().unwrap();
    assert!(spent >= stage.billed(), "{spent} < {}", stage.billed());
    let within = "SELECT bool_and(d.spent <= spending_limit(t.fields)) FROM drafts d, tasks t";
    assert_eq!(stage.database.value(within), "true");
}

#[test]
fn an_edit_of_the_instructions_makes_unsent_drafts_void() {
    let stage = Stage::new(Duration::ZERO);
    stage.task("[1, 2, 3]");
    // Everything is drafted ten minutes before the hours begin, and nothing is sent.
    stage.database.run(
        "UPDATE tasks SET
            hours_from_s = (extract(epoch FROM (now() AT TIME ZONE 'UTC')::time)::int + 300) % 86400,
            hours_to_s = 1 + (extract(epoch FROM (now() AT TIME ZONE 'UTC')::time)::int + 3900) % 86400",
    );
    let watch = stage.watch();
    let written = "SELECT count(*) FROM drafts WHERE state = 'written'";
    stage.wait_for(written, "3");
    assert_eq!(stage.providers.ai_journal().len(), 3);
    // A new price is no new text.
    let team = fs::read_to_string(stage.folder.tasks().join("team.yaml")).unwrap();
    stage.folder.write(
        "team.yaml",
        &team.replace("outputPerMillionTokens: 2", "outputPerMillionTokens: 3"),
    );
    stage.wait_for("SELECT generation FROM resources WHERE kind = 'Ai'", "2");
    assert_eq!(stage.database.value("SELECT count(*) FROM drafts WHERE turn > 0"), "0");
    stage.folder.write("team.yaml", &team.replace("Sell.", "Sell more."));
    wait_until("all are written anew", PATIENCE, || {
        let n = stage.providers.ai_journal().len();
        (n == 6, n)
    });
    stage.wait_for(written, "3");
    assert!(stage.delivered().is_empty());
    drop(watch);
}

#[test]
fn nobody_is_drafted_for_who_is_suppressed_or_forgotten_and_a_draft_is_forgotten_with_its_person() {
    let stage = Stage::new(Duration::ZERO);
    stage.task("[1, 987650001, 3, 987650002]");
    let run = |arguments: &[&str]| assert_eq!(stage.program(arguments).run().code, 0);
    run(&["suppress", "1"]);
    stage.database.run("UPDATE lanes SET day = utc_day(now()), day_count = 20");
    stage.with_store(async |store| {
        let executor = ExecutorId(uuid::Uuid::new_v4());
        let presence = store.register_executor(executor, "test", 1).await.unwrap();
        drop(store.sweep_lanes(executor).await.unwrap());
        stage.database.let_no_lease_end();
        assert_eq!(store.queue_drafts(executor).await.unwrap(), 0, "the day is full");
        aside(|| stage.database.run("UPDATE lanes SET day_count = 0"));
        assert_eq!(store.queue_drafts(executor).await.unwrap(), 3);
        assert_eq!(store.queue_drafts(executor).await.unwrap(), 0, "nothing is queued twice");
        let permits = store.lease_drafts(executor, 10).await.unwrap();
        assert_eq!(permits.len(), 3);
        assert!(store.lease_drafts(executor, 10).await.unwrap().is_empty(), "held");
        for permit in &permits {
            let _ = store.save_draft(permit, "Good day").await.unwrap();
        }
        drop(presence);
    });
    run(&["forget", "987650001", "--auto-approve"]);
    let left = "SELECT string_agg(address, ' ' ORDER BY position) FROM drafts";
    assert_eq!(stage.database.value(left), "3 987650002");
    let watch = stage.watch();
    stage.wait_for(EXHAUSTED, "true");
    drop(watch);
    let people: Vec<String> = stage.delivered().into_iter().map(|(address, _)| address).collect();
    assert_eq!(people, ["3", "987650002"]);
    assert!(stage.providers.ai_journal().is_empty(), "the drafts were there");
}

#[test]
fn a_call_that_is_settled_after_the_dialogue_began_is_settled_there() {
    let stage = Stage::new(Duration::ZERO);
    stage.task("[1]");
    let money = |micros| MicroUsd::from_micros(micros);
    stage.with_store(async |store| {
        let executor = ExecutorId(uuid::Uuid::new_v4());
        let _presence = store.register_executor(executor, "test", 1).await.unwrap();
        drop(store.sweep_lanes(executor).await.unwrap());
        stage.database.let_no_lease_end();
        store.queue_drafts(executor).await.unwrap();
        let permit = store.lease_drafts(executor, 1).await.unwrap().remove(0);
        // The limit is half a dollar.
        let first = store.reserve_draft(&permit, "m", money(300_000)).await.unwrap();
        let Reservation::Granted(first) = first else { panic!("{first:?}") };
        let second = store.reserve_draft(&permit, "m", money(300_000)).await.unwrap();
        assert_eq!(second, Reservation::LimitReached { remaining: money(200_000) });

        let what = Delivery::Message { id: "m1".to_owned(), text: "Hi".to_owned() };
        let received = [Received::of(address("1"), None, what)];
        let channel: ChannelName = "vk".parse().unwrap();
        let parcel = Parcel { channel: &channel, received: &received, raw: None, cursor: None };
        let _ = store.receive(&parcel).await.unwrap();
        let spent = || aside(|| stage.database.value("SELECT spent FROM dialogues"));
        assert_eq!(spent(), "300000");
        let settlement = Settlement {
            cost: money(1_000),
            input_tokens: 1,
            cached_input_tokens: 0,
            output_tokens: 1,
            reasoning_tokens: 0,
            estimated: false,
            model: "m".to_owned(),
            ending: "complete".to_owned(),
        };
        store.settle(first, &settlement).await.unwrap();
        store.settle(first, &settlement).await.unwrap();
        assert_eq!(spent(), "1000");
        // Whoever wrote first is not greeted.
        assert_eq!(store.save_draft(&permit, "Good day").await.unwrap(), Committed::Void);
        assert_eq!(store.reserve_draft(&permit, "m", money(1)).await.unwrap(), Reservation::Void);
        assert!(store.grant_permits(executor).await.unwrap().is_empty());
    });
    let reason = stage.database.value("SELECT reason FROM drafts");
    assert_eq!(reason, "the person wrote first");
    assert_eq!(stage.database.value("SELECT verdict FROM turns"), "audience-exhausted");
}

#[test]
fn whoever_writes_while_their_draft_is_noted_is_neither_greeted_nor_paid_for() {
    let stage = Stage::new(Duration::ZERO);
    stage.task("[1]");
    stage.with_store(async |store| {
        let executor = ExecutorId(uuid::Uuid::new_v4());
        let _presence = store.register_executor(executor, "test", 1).await.unwrap();
        drop(store.sweep_lanes(executor).await.unwrap());
        stage.database.let_no_lease_end();
        let what = Delivery::Message { id: "m1".to_owned(), text: "Hi".to_owned() };
        let received = [Received::of(address("1"), None, what)];
        let channel: ChannelName = "vk".parse().unwrap();
        let parcel = Parcel { channel: &channel, received: &received, raw: None, cursor: None };
        let _ = store.receive(&parcel).await.unwrap();
        // It saw no dialogue, and neither did the dialogue see it.
        aside(|| {
            stage.database.run(
                "INSERT INTO drafts (task, address, task_id, position)
                SELECT t.name, c.address, t.id, c.position FROM tasks t JOIN contacts c ON c.task_id = t.id",
            );
        });
        assert!(store.lease_drafts(executor, 1).await.unwrap().is_empty());
        // Nothing waits for an opening that will never be written.
        aside(|| {
            stage.database.run(
                "INSERT INTO retries (opening, task_id, position, address, key, tries, ready_at, in_doubt)
                SELECT 1, task_id, position, address, 1, 0, now(), false FROM contacts;
                UPDATE audiences SET cursor_position = last_position, waiting = 0",
            );
        });
        store.queue_drafts(executor).await.unwrap();
    });
    let reason = stage.database.value("SELECT reason FROM drafts");
    assert_eq!(reason, "the person wrote first");
    assert_eq!(stage.database.value("SELECT verdict FROM turns"), "audience-exhausted");
}
