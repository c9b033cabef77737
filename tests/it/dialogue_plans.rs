//! Statements on dialogues at 100,000 of them: each reads what it needs, and no table as a whole.

use std::{collections::BTreeMap, time::Duration};

use nuncio::{
    domain::{
        address::Address,
        attempt::{Outcome, OutcomeClass},
        dialogue::{Author, Delivery, DeliveryState, DialogueState, Received, TypedByHand},
        id::{ChannelName, DialogueId, ExecutorId},
        money::MicroUsd,
        report::{NewReport, ReportContact, ReportOutcome},
        resource::DialogueEvent,
    },
    store::{
        Answer, Committed, DialogueAct, DialogueActed, DialogueNote, FinishedReply, HeldTurn,
        Parcel, Presence, Raw, Repeat, Reservation, Said, Settlement, Store, Sweep, Taken, Words,
    },
};
use serde_json::json;
use uuid::Uuid;

use crate::support::{TestDatabase, wait_until};

/// Often enough for a plan that is the same for all values.
const ROUNDS: usize = 8;

/// Ten tasks on twenty channels each. 7,000 dialogues are to be answered, 7,000 to be reminded of,
/// hundreds of these now, and 10,000 replies wait.
const FILL: &str = r#"
INSERT INTO tasks (id, name, phase, phase_by, fields, digest, audience_digest, file, line, outgoing,
    hours_from_s, hours_to_s, timezone, daily_limit, pause_ms, opening)
SELECT md5('task-' || n)::uuid, 'task-' || n, 'in-progress', 'test',
    jsonb_build_object('ai', 'sales-' || n % 3, 'managers', '["anna"]'::jsonb, 'integration', 'crm',
        'spendingLimitPerDialogue', '{"number": "0.50"}'::jsonb),
    '', '', '', 1, true, 0, 86400, 'UTC', 1000, 3000, '{"text": "Hello!"}'
FROM generate_series(0, 9) n;
INSERT INTO resources (kind, name, fields, digest, file, line)
SELECT 'Channel', 'vk-' || n, '{"kind": "vk-user"}'::jsonb, '\x00'::bytea, '', 1 FROM generate_series(0, 199) n
UNION ALL SELECT 'Ai', 'sales-' || n, '{}', '\x00', '', 1 FROM generate_series(0, 2) n
UNION ALL SELECT 'Manager', 'anna', '{}', '\x00', '', 1;
INSERT INTO resources (kind, name, fields, digest, file, line)
VALUES ('Integration', 'crm', '{"events": ["success", "interest"]}', decode(repeat('00', 32), 'hex'), '', 1);
INSERT INTO lanes (channel, daily_limit, drops_repeats) SELECT 'vk-' || n, 1000, true FROM generate_series(0, 199) n;
INSERT INTO task_channels (task_id, channel)
SELECT md5('task-' || n % 10)::uuid, 'vk-' || n FROM generate_series(0, 199) n;
INSERT INTO dialogues (task_id, task, channel, peer, manager, state, waiting_since, due_at, reminder_at)
SELECT md5('task-' || n % 10)::uuid, 'task-' || n % 10, 'vk-' || n % 200, n::text, 'anna',
    CASE WHEN n % 10 < 7 THEN 'open' WHEN n % 100 = 9 THEN 'blocked' WHEN n % 10 = 8 THEN 'closed'
        WHEN n % 20 = 7 THEN 'succeeded' ELSE 'with-operator' END,
    CASE WHEN n % 10 < 7 AND n / 10 % 10 = 0 THEN now() - make_interval(secs => n % 1000) END,
    CASE WHEN n % 10 < 7 AND n / 10 % 10 = 0 THEN now() - make_interval(secs => n % 1000) END,
    CASE WHEN n % 10 < 7 AND n / 10 % 10 = 1 THEN now() + make_interval(secs => n % 7200 - 600) END
FROM generate_series(1, 100000) n;
-- As quickly as a test may take: the last message is named at once, and not by the trigger.
ALTER TABLE messages DISABLE TRIGGER USER;
INSERT INTO messages (dialogue_id, channel, author, text, state, provider_message_id, key, turn, ready_at)
SELECT d.id, d.channel, CASE n % 2 WHEN 1 THEN 'person' ELSE 'ai' END, 'Hello, how are you?',
    CASE WHEN n % 2 = 1 THEN NULL WHEN n = 4 AND d.id % 10 = 2 THEN 'waiting'
        WHEN n = 4 AND d.id % 1000 = 3 THEN 'in-doubt' ELSE 'sent' END,
    CASE WHEN n < 4 OR d.id % 10 <> 2 THEN d.peer || '-' || n END,
    CASE WHEN n % 2 = 0 THEN d.id * 10 + n END, 0,
    CASE WHEN n = 4 AND d.id % 10 = 2 THEN now() - make_interval(secs => d.id % 1000) END
FROM generate_series(1, 5) n, dialogues d;
ALTER TABLE messages ENABLE TRIGGER USER;
INSERT INTO ai_calls (dialogue_id, task, ai, model, fence, reserved, cost, settled_at)
SELECT d.id, d.task, 'sales-0', 'model', 1, 100, 50, now() FROM dialogues d;
INSERT INTO dialogue_events (dialogue_id, event, by) SELECT id, 'interest', 'ai' FROM dialogues;
INSERT INTO deliveries (channel, headers, body, peers) SELECT channel, '{}', 'x', ARRAY[peer] FROM dialogues;
INSERT INTO attempts (id, opening, tries, task_id, task, channel, position, address, key, fence, granted_at,
    finished_at, outcome, provider_message_id)
SELECT id, id, 1, task_id, task, channel, id, peer, opening_key(task, peer), 1, now(), now(), 'sent', peer || '-o'
FROM dialogues;
INSERT INTO ledger (task, address, opening, channel) SELECT task, peer, id, channel FROM dialogues;
INSERT INTO reports (id, task, dialogue, channel, integration, sequence, event, about, at, content, state,
    settled_at)
SELECT md5(id::text)::uuid, task, id, channel, 'crm', 1, 'interest', '', now(),
    CASE WHEN id % 100 = 0 THEN '{"address": "1", "evidence": "", "summary": "", "transcript": "", "manager": ""}'::jsonb END,
    CASE WHEN id % 100 = 0 THEN 'waiting' ELSE 'sent' END, CASE WHEN id % 100 <> 0 THEN now() END
FROM dialogues WHERE id % 5 = 0;
"#;

/// The rows that were read of the large tables: in whole ones, and by an index.
#[derive(Clone, Debug)]
struct Readings {
    whole: BTreeMap<String, i64>,
    fetched: i64,
}

struct Load {
    database: TestDatabase,
    executor: ExecutorId,
    _presence: Presence,
    runtime: tokio::runtime::Runtime,
    n_connections: i64,
}

impl Load {
    fn new() -> Self {
        let database = TestDatabase::new();
        database.run(FILL);
        database.run_as_stranger("VACUUM ANALYZE");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let executor = ExecutorId(Uuid::new_v4());
        let presence = runtime.block_on(async {
            let store = database.store().await;
            let presence = store.register_executor(executor, "here", 1).await.unwrap();
            let Sweep::Holds { lanes, .. } = store.sweep_lanes(executor).await.unwrap() else {
                panic!("the executor is known");
            };
            assert_eq!(lanes.len(), 200);
            store.close().await;
            presence
        });
        database.let_no_lease_end();
        Self { database, executor, _presence: presence, runtime, n_connections: 1 }
    }

    fn readings(&self) -> Readings {
        // What a connection has read is counted when it ends.
        wait_until("all that was read is counted", Duration::from_secs(10), || {
            let others = self.database.value(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
            );
            (others.parse::<i64>().unwrap() <= self.n_connections, others)
        });
        let tables = "FROM pg_stat_user_tables WHERE relname ~
            '^(dialogues|messages|ai_calls|dialogue_events|deliveries|reports|attempts|ledger)'";
        let whole =
            self.database.value(&format!("SELECT json_object_agg(relname, seq_tup_read) {tables}"));
        let fetched = self.database.value(&format!("SELECT sum(idx_tup_fetch) {tables}"));
        Readings { whole: serde_json::from_str(&whole).unwrap(), fetched: fetched.parse().unwrap() }
    }

    /// Runs something several times on one connection. On average a time fetches at most so many rows, and
    /// none reads a large table as a whole.
    #[track_caller]
    fn reads<T>(
        &self,
        name: &str,
        rows_max: i64,
        mut act: impl AsyncFnMut(&Store, usize) -> T,
    ) -> Vec<T> {
        let before = self.readings();
        let done = self.runtime.block_on(async {
            let store = self.database.store().await;
            let mut done = Vec::with_capacity(ROUNDS);
            for round in 0..ROUNDS {
                done.push(act(&store, round).await);
            }
            store.close().await;
            done
        });
        let after = self.readings();
        // An empty partition is read as a whole, and has nothing.
        assert_eq!(after.whole, before.whole, "{name} reads a whole table");
        let fetched = (after.fetched - before.fetched) / i64::try_from(ROUNDS).unwrap();
        assert!(fetched <= rows_max, "{name} fetches {fetched} rows, and not {rows_max} at most");
        done
    }
}

fn channel_of(peer: usize) -> ChannelName {
    format!("vk-{}", peer % 200).parse().unwrap()
}

/// One thing of a channel, as it would come.
async fn receive(store: &Store, peer: usize, what: Delivery) -> Taken {
    let channel = channel_of(peer);
    let received = [Received::of(Address::from_stored(peer.to_string()), None, what)];
    let raw = Some(Raw { headers: json!({}), body: b"{}" });
    let parcel = Parcel { channel: &channel, received: &received, raw, cursor: Some("7") };
    store.receive(&parcel).await.unwrap()
}

fn answer(turn: &HeldTurn, peer: &Address) -> Answer {
    let report = NewReport {
        dialogue: turn.dialogue,
        task: format!(
            "task-{}",
            turn.channel.as_str().rsplit('-').next().unwrap().parse::<usize>().unwrap() % 10
        )
        .parse()
        .unwrap(),
        channel: turn.channel.clone(),
        event: DialogueEvent::Success,
        at: nuncio::clock::now(),
        evidence: "yes".to_owned(),
        contact: ReportContact { address: peer.clone(), name: None, phone: None, email: None },
        summary: "wants it".to_owned(),
        transcript: "…".to_owned(),
        manager: "Anna".to_owned(),
    };
    Answer {
        texts: vec![(Author::Ai, "Gladly.".to_owned())],
        state: Some((DialogueState::Succeeded, "wants it".to_owned())),
        events: vec![DialogueNote { event: "success", detail: json!({}) }],
        reports: vec![report],
        ..Answer::default()
    }
}

#[test]
fn no_statement_on_dialogues_reads_a_whole_table_at_100_000() {
    let load = Load::new();
    for plans in ["auto", "force_generic_plan"] {
        load.database.run_as_stranger(&format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET plan_cache_mode = {plans}',
                current_database()); END $$"
        ));
        every_statement(&load, if plans == "auto" { 0 } else { 20_000 });
    }
}

fn every_statement(load: &Load, first: usize) {
    let executor = load.executor;
    // Dialogues that are open and owe nothing.
    let peer = |round: usize| first + 10_021 + 200 * round;
    let text = || "Hello again".to_owned();

    let ahead = load.reads("a look", 2500, async |store, _| {
        store.look_at_dialogues(executor, &[]).await.unwrap()
    });
    let ahead = ahead.last().unwrap();
    assert_eq!(ahead.abandoned_in, None);
    for wait in [ahead.answer_in, ahead.reply_in, ahead.reminder_in] {
        assert_eq!(wait, Some(Duration::ZERO), "{ahead:?}");
    }

    let turns = load.reads("a lease of turns", 1500, async |store, _| {
        store.lease_turns(executor, 16).await.unwrap()
    });
    assert!(turns.iter().all(|turns| turns.len() == 16));
    let turns: Vec<HeldTurn> = turns.into_iter().map(|mut turns| turns.remove(0)).collect();
    let peers = load.reads("the context of an answer", 100, async |store, round| {
        let context = store.read_context(&turns[round]).await.unwrap().unwrap();
        assert!(context.history.len() >= 5);
        context.peer
    });
    let reserved = load.reads("a reservation", 20, async |store, round| {
        let amount = MicroUsd::from_micros(1000);
        match store.reserve(&turns[round], "model", amount).await.unwrap() {
            Reservation::Granted(reserved) => reserved,
            other => panic!("{other:?}"),
        }
    });
    load.reads("a settlement", 20, async |store, round| {
        let settlement = Settlement {
            cost: MicroUsd::from_micros(500),
            input_tokens: 100,
            cached_input_tokens: 0,
            output_tokens: 20,
            reasoning_tokens: 0,
            estimated: false,
            model: "another".to_owned(),
            ending: "complete".to_owned(),
        };
        store.settle(reserved[round], &settlement).await.unwrap();
    });
    load.reads("the commit of an answer", 60, async |store, round| {
        let answer = answer(&turns[round], &peers[round]);
        assert_eq!(store.commit_answer(&turns[round], &answer).await.unwrap(), Committed::Taken);
    });
    let more = load.reads("a lease of one turn", 1500, async |store, _| {
        store.lease_turns(executor, 1).await.unwrap().remove(0)
    });
    load.reads("putting a turn off", 10, async |store, round| {
        store.put_turn_off(&more[round], None).await.unwrap();
    });

    let permits = load.reads("permits of replies", 3000, async |store, _| {
        store.permit_replies(executor, 64).await.unwrap()
    });
    assert!(permits.iter().all(|permits| permits.len() > 32), "few were permitted");
    load.reads("abandoned replies", 600, async |store, _| {
        let known: Vec<_> = permits.iter().flatten().map(|permit| permit.message).collect();
        assert_eq!(store.settle_abandoned_replies(executor, &known).await.unwrap(), 0);
    });
    load.reads("the record of replies", 64 * 12, async |store, round| {
        let finished: Vec<FinishedReply> = permits[round]
            .iter()
            .map(|permit| FinishedReply {
                message: permit.message,
                channel: permit.channel.clone(),
                fence: permit.fence,
                outcome: Outcome::of(OutcomeClass::Sent, ""),
            })
            .collect();
        store.record_replies(&finished).await.unwrap();
    });

    let due = load.reads("due reminders", 1500, async |store, _| {
        store.list_due_reminders(executor).await.unwrap()
    });
    assert_eq!(due[0].len(), 100);
    load.reads("a reminder", 20, async |store, round| {
        store.remind(&due[0][round], Some("Are you there?"), None).await.unwrap();
    });

    let taken = load.reads("a message of a person", 30, async |store, round| {
        let id = format!("again-{}", peer(round));
        receive(store, peer(round), Delivery::Message { id, text: text() }).await
    });
    assert!(taken.iter().all(|taken| taken.fresh == 1), "{taken:?}");
    load.reads("a message of a stranger", 40, async |store, round| {
        let stranger = 1_000_000 + first + round;
        let what = Delivery::Message { id: format!("new-{stranger}"), text: text() };
        assert_eq!(receive(store, stranger, what).await.fresh, 1);
    });
    load.reads("a wish to be left alone", 40, async |store, round| {
        let what =
            Delivery::Message { id: format!("stop-{}", peer(round) + 1), text: "STOP".to_owned() };
        assert_eq!(receive(store, peer(round) + 1, what).await.fresh, 1);
    });
    load.reads("an echo of ours", 30, async |store, round| {
        let id = format!("{}-2", peer(round) + 2);
        let what = Delivery::Echo {
            id,
            reference: None,
            text: text(),
            typed_by_hand: TypedByHand::Untold,
        };
        assert_eq!(receive(store, peer(round) + 2, what).await.repeated, 1);
    });
    load.reads("an echo of an operator's", 60, async |store, round| {
        let id = format!("hand-{}", peer(round));
        let what =
            Delivery::Echo { id, reference: None, text: text(), typed_by_hand: TypedByHand::Yes };
        assert_eq!(receive(store, peer(round), what).await.fresh, 1);
    });
    for (name, message, reference) in
        [("a reply", "2", None), ("an opening", "o", None), ("nothing of ours", "x", Some("-5"))]
    {
        let taken = load.reads(&format!("news of {name}"), 30, async |store, round| {
            let id = format!("{}-{message}", peer(round) + 3);
            let (state, reason) = (DeliveryState::Read, String::new());
            let reference = reference.map(str::to_owned);
            receive(store, peer(round) + 3, Delivery::Status { id, reference, state, reason }).await
        });
        let fresh = usize::from(message != "x");
        assert!(taken.iter().all(|taken| taken.fresh == fresh), "{name}: {taken:?}");
    }

    let dialogue = |round: usize| {
        let query = format!("SELECT id FROM dialogues WHERE peer = '{}'", peer(round) + 4);
        DialogueId(load.database.value(&query).parse().unwrap())
    };
    let dialogues: Vec<DialogueId> = (0..ROUNDS).map(dialogue).collect();
    load.reads("a takeover", 30, async |store, round| {
        let act = DialogueAct::Take;
        let acted = store.act_on_dialogue(dialogues[round], act, "eva", None).await.unwrap();
        assert!(matches!(acted, DialogueActed::Done { .. }), "{acted:?}");
    });
    load.reads("an operator's words", 30, async |store, round| {
        let parts = ["I am Eva".to_owned()];
        let words = Words { parts: &parts, by: "eva", repeat: Repeat::Accident };
        let said = store.say(dialogues[round], &words).await.unwrap();
        assert!(matches!(said, Said::Accepted(_)), "{said:?}");
    });
    load.reads("a thread", 60, async |store, round| {
        assert!(store.read_thread(dialogues[round]).await.unwrap().is_some());
    });

    let reports = load.reads("a lease of reports", 100, async |store, _| {
        let mut leased = store.lease_due_reports(1).await.unwrap();
        let report = leased.remove(0);
        let outcome = ReportOutcome::Done { remote_id: None };
        store.record_report(&report, &outcome).await.unwrap()
    });
    assert_eq!(reports.len(), ROUNDS);
    load.reads("the next report", 100, async |store, _| store.next_report_in().await.unwrap());
}
