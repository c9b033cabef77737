//! A day of dialogues: people write, answers are leased, paid for and said, their delivery is told, people
//! are reminded, and outcomes are reported.
//!
//! `cargo bench --bench dialogues -- 100000`. The store with a private durable Postgres in a temporary
//! folder; the AI and the providers answer at once, so that nothing but the statements is measured.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that meets an error ends"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark waits for its own tasks")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use nuncio::{
    clock,
    domain::{
        address::Address,
        attempt::{Outcome, OutcomeClass},
        dialogue::{Author, Delivery, DeliveryState, DialogueState, Received},
        id::{ChannelName, ExecutorId},
        money::MicroUsd,
        report::{NewReport, ReportContact, ReportOutcome},
        resource::DialogueEvent,
    },
    store::{
        Answer, DialogueContext, DialogueNote, DialoguesAhead, FinishedReply, HeldTurn, Parcel,
        Raw, Reservation, Settlement, Store, Sweep,
        embedded::{Durability, Embedded},
    },
};
use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use uuid::Uuid;

const CHANNELS: u64 = 120;
/// Webhooks that are taken at a time.
const WRITERS: u64 = 3;
/// Answers in the making at a time; as many as an executor makes.
const ANSWERS: usize = 16;
/// Replies on their way at a time; as many as an executor sends.
const REPLIES: usize = 64;
/// People who wait for an answer at a time.
const WAITING: usize = 3000;
/// A second of everybody's day is this long here: the reminder that comes after two hours comes after 1 s.
const REMINDER: Duration = Duration::from_secs(1);

const SETUP: &str = include_str!("dialogues.sql");

/// Times of each statement in buckets an eighth of their size wide, so that a longer run needs no more memory.
#[derive(Default)]
struct Times(Mutex<BTreeMap<&'static str, Vec<u64>>>);

impl Times {
    async fn of<T>(&self, statement: &'static str, future: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = future.await;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap().max(8);
        let power = micros.ilog2();
        let bucket = (power * 8) as usize + usize::try_from((micros >> (power - 3)) & 7).unwrap();
        let mut times = self.0.lock().unwrap();
        times.entry(statement).or_insert_with(|| vec![0; 64 * 8])[bucket] += 1;
        done
    }

    fn print(&self) {
        println!(
            "{:<26}{:>9}{:>10}{:>10}{:>10}",
            "statement", "times", "p50 ms", "p99 ms", "max ms"
        );
        for (statement, buckets) in &*self.0.lock().unwrap() {
            let n: u64 = buckets.iter().sum();
            let at = |rank: u64| {
                let mut seen = 0;
                let bucket = buckets.iter().position(|count| {
                    seen += count;
                    seen >= rank
                });
                let bucket = u64::try_from(bucket.unwrap()).unwrap();
                let micros = (9 + bucket % 8) << (bucket / 8 - 3);
                format!("{}.{:02}", micros / 1000, micros % 1000 / 10)
            };
            let (half, most, all) = (at(n.div_ceil(2)), at((n * 99).div_ceil(100)), at(n));
            println!("{statement:<26}{n:>9}{half:>10}{most:>10}{all:>10}");
        }
    }
}

/// What everybody works with.
#[derive(Clone)]
struct Day {
    store: Store,
    executor: ExecutorId,
    times: Arc<Times>,
    /// A place for each person who waits.
    places: Arc<Semaphore>,
    answered: Arc<AtomicU64>,
    messages: Arc<AtomicU64>,
}

impl Day {
    async fn receive(
        &self,
        statement: &'static str,
        channel: &ChannelName,
        peer: &str,
        what: Delivery,
    ) {
        let received = [Received::of(Address::from_stored(peer.to_owned()), None, what)];
        let raw = Some(Raw { headers: json!({}), body: b"{\"object\": \"as it came\"}" });
        let parcel = Parcel { channel, received: &received, raw, cursor: None };
        let taken = self.times.of(statement, self.store.receive(&parcel)).await.unwrap();
        assert_eq!(taken.unrouted, 0);
    }

    async fn writes(&self, peer: u64, text: &str) {
        self.places.acquire().await.unwrap().forget();
        let channel: ChannelName = format!("vk-{}", peer % CHANNELS).parse().unwrap();
        let id = self.messages.fetch_add(1, Ordering::Relaxed).to_string();
        let what = Delivery::Message { id, text: text.to_owned() };
        self.receive("receive a message", &channel, &peer.to_string(), what).await;
    }

    /// What an answer is made of, its cost, and its commit.
    async fn answer(self, turn: HeldTurn) {
        let Self { store, times, .. } = &self;
        let Some(context) = times.of("read_context", store.read_context(&turn)).await.unwrap()
        else {
            store.release_turn(&turn).await.unwrap();
            return;
        };
        let amount = MicroUsd::from_micros(2000);
        let Reservation::Granted(reserved) =
            times.of("reserve", store.reserve(&turn, "model", amount)).await.unwrap()
        else {
            store.release_turn(&turn).await.unwrap();
            return;
        };
        let settlement = Settlement {
            cost: MicroUsd::from_micros(700),
            input_tokens: 900,
            cached_input_tokens: 300,
            output_tokens: 60,
            reasoning_tokens: 0,
            estimated: false,
            model: "model".to_owned(),
            ending: "complete".to_owned(),
        };
        times.of("settle", store.settle(reserved, &settlement)).await.unwrap();
        let answer = said(&turn, context);
        let _committed =
            times.of("commit_answer", store.commit_answer(&turn, &answer)).await.unwrap();
    }

    /// The loop of dialogues, as an executor runs it.
    async fn converse(self, delivered: mpsc::Sender<FinishedReply>, n: u64) {
        let Self { store, executor, times, .. } = &self;
        let mut answers = JoinSet::new();
        while self.answered.load(Ordering::Relaxed) < n {
            while answers.try_join_next().is_some() {}
            let DialoguesAhead { answer_in, reply_in, reminder_in, .. } = times
                .of("look_at_dialogues", store.look_at_dialogues(*executor, &[]))
                .await
                .unwrap();
            let is_due = |wait: Option<Duration>| wait.is_some_and(|wait| wait.is_zero());
            if is_due(reminder_in) {
                let due = times.of("list_due_reminders", store.list_due_reminders(*executor)).await;
                for due in due.unwrap() {
                    let reminding = store.remind(&due, Some("Are you still there?"), None);
                    times.of("remind", reminding).await.unwrap();
                }
            }
            if is_due(reply_in) {
                let permits = times
                    .of("permit_replies", store.permit_replies(*executor, REPLIES))
                    .await
                    .unwrap();
                let finished: Vec<FinishedReply> = permits
                    .into_iter()
                    .map(|permit| {
                        let mut outcome = Outcome::of(OutcomeClass::Sent, "");
                        // The status names the person by it.
                        outcome.provider_message_id =
                            Some(format!("{}-{}", permit.peer, permit.message));
                        if permit.author != Author::Reminder {
                            self.answered.fetch_add(1, Ordering::Relaxed);
                            self.places.add_permits(1);
                        }
                        FinishedReply {
                            message: permit.message,
                            channel: permit.channel,
                            fence: permit.fence,
                            outcome,
                        }
                    })
                    .collect();
                times.of("record_replies", store.record_replies(&finished)).await.unwrap();
                for finished in finished {
                    delivered.send(finished).await.unwrap();
                }
            }
            let free = ANSWERS - answers.len();
            if free > 0 && is_due(answer_in) {
                for turn in
                    times.of("lease_turns", store.lease_turns(*executor, free)).await.unwrap()
                {
                    answers.spawn(self.clone().answer(turn));
                }
            }
            if !is_due(reply_in) && (free == 0 || !is_due(answer_in)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Statuses of what was sent; every third person writes a second time when they have read the first.
    async fn read(
        self,
        mut delivered: mpsc::Receiver<FinishedReply>,
        again: mpsc::UnboundedSender<u64>,
    ) {
        let mut once = vec![];
        while let Some(reply) = delivered.recv().await {
            let id = reply.outcome.provider_message_id.unwrap();
            let (peer, _) = id.split_once('-').unwrap();
            let (number, peer) = (peer.parse::<u64>().unwrap(), peer.to_owned());
            let what = Delivery::Status {
                id,
                reference: None,
                state: DeliveryState::Read,
                reason: String::new(),
            };
            self.receive("receive a status", &reply.channel, &peer, what).await;
            let at = usize::try_from(number / 3).unwrap();
            if number.is_multiple_of(3) {
                if once.len() <= at {
                    once.resize(at + 1, false);
                }
                if !std::mem::replace(&mut once[at], true) {
                    again.send(number).unwrap();
                }
            }
        }
    }

    async fn report(self, n: u64) {
        let Self { store, times, .. } = &self;
        while self.answered.load(Ordering::Relaxed) < n {
            let leased = times.of("lease_due_reports", store.lease_due_reports(16)).await.unwrap();
            if leased.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            for leased in leased {
                let outcome = ReportOutcome::Done { remote_id: None };
                times.of("record_report", store.record_report(&leased, &outcome)).await.unwrap();
            }
        }
    }
}

/// Of ten people one buys, half are to be reminded, and of fifty one wants an operator.
fn said(turn: &HeldTurn, context: DialogueContext) -> Answer {
    let number: u64 = context.peer.as_str().parse().unwrap();
    let mut answer = Answer {
        texts: vec![(Author::Ai, "It costs 100, and is delivered tomorrow.".to_owned())],
        ..Answer::default()
    };
    // The last word is said at the second message of those who write twice.
    if number.is_multiple_of(3) && context.history.len() < 2 {
        return answer;
    }
    if number % 10 == 1 {
        answer.state = Some((DialogueState::Succeeded, "wants it".to_owned()));
        answer.events =
            vec![DialogueNote { event: "success", detail: json!({ "summary": "wants it" }) }];
        answer.reports = vec![NewReport {
            dialogue: turn.dialogue,
            task: context.task,
            channel: turn.channel.clone(),
            event: DialogueEvent::Success,
            at: clock::now(),
            evidence: "I take it".to_owned(),
            contact: ReportContact { address: context.peer, name: None, phone: None, email: None },
            summary: "wants it".to_owned(),
            transcript: "- What does it cost?\n- 100.\n- I take it.".to_owned(),
            manager: "Anna".to_owned(),
        }];
    } else if number % 50 == 2 {
        // What the AI says itself is not said any more once an operator has the dialogue.
        answer.texts = vec![(Author::Handover, "A colleague will write to you.".to_owned())];
        answer.state = Some((DialogueState::WithOperator, "asks for a person".to_owned()));
    } else if number.is_multiple_of(2) {
        answer.reminder = Some((REMINDER, None));
    }
    answer
}

/// The memory of this process, in MiB.
fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::main]
async fn main() {
    let people: u64 = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::Builder::new().prefix("nuncio-bench").tempdir().unwrap();
    // Root's server runs as another user, who has to pass.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    let program = Path::new(env!("CARGO_BIN_EXE_nuncio"));
    let data = folder.path().join("data");
    let embedded = Embedded::open(&data, program, &path, Durability::Durable).await.unwrap();
    let store = Store::connect(embedded.options()).await.unwrap();
    let pool = sqlx::PgPool::connect_with(embedded.options()).await.unwrap();
    sqlx::raw_sql(SETUP).execute(&pool).await.unwrap();
    let executor = ExecutorId(Uuid::now_v7());
    let _presence = store.register_executor(executor, "bench", std::process::id()).await.unwrap();
    let Sweep::Holds { .. } = store.sweep_lanes(executor).await.unwrap() else {
        panic!("the executor is known")
    };
    // No heart beats here.
    let alive = "UPDATE executors SET alive_until = now() + interval '1 day'";
    sqlx::raw_sql(alive).execute(&pool).await.unwrap();
    let day = Day {
        store,
        executor,
        times: Arc::default(),
        places: Arc::new(Semaphore::new(WAITING)),
        answered: Arc::default(),
        messages: Arc::default(),
    };
    // Each is answered once, and every third a second time.
    let n = people + people / 3;
    let began = Instant::now();
    let (delivered, deliveries) = mpsc::channel(REPLIES);
    let (again, mut second) = mpsc::unbounded_channel();
    let mut work = JoinSet::new();
    for writer in 0..WRITERS {
        let day = day.clone();
        work.spawn(async move {
            for peer in (1..=people).filter(|peer| peer % WRITERS == writer) {
                day.writes(peer, "Hello! What does it cost, and when is it here?").await;
            }
        });
    }
    let writer = day.clone();
    work.spawn(async move {
        while let Some(peer) = second.recv().await {
            writer.writes(peer, "I take it. Where do I pay?").await;
        }
    });
    work.spawn(day.clone().read(deliveries, again));
    work.spawn(day.clone().report(n));
    work.spawn(day.clone().converse(delivered, n));
    for quarter in 1..=4 {
        while day.answered.load(Ordering::Relaxed) < n * quarter / 4 && !work.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Some(ended) = work.try_join_next() {
                ended.unwrap();
            }
        }
        let answered = day.answered.load(Ordering::Relaxed);
        let seconds = began.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = answered as f64 / seconds;
        println!(
            "{answered} answers in {seconds:.1} s, {rate:.0} a second; {} MiB resident",
            resident_mib()
        );
    }
    while let Some(ended) = work.join_next().await {
        ended.unwrap();
    }
    day.times.print();
    let sizes: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT relname::text, n_live_tup, pg_total_relation_size(relid) / 1048576 FROM pg_stat_user_tables
        WHERE pg_total_relation_size(relid) > 1048576 ORDER BY 3 DESC",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    for (table, rows, mib) in sizes {
        println!("{table:<26}{rows:>9} rows{mib:>7} MiB");
    }
}
