//! Reports reach their integrations: at least once, each known by its id, in order per dialogue.

mod delivery;
mod outbox;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::DateTime;
use nuncio::{
    clock,
    domain::{
        address::Address,
        channel::Secret,
        id::DialogueId,
        report::{NewReport, ReportContact},
        resource::{DialogueEvent, IntegrationKind},
    },
    executor::{ReportConnector, Reports},
    integrations::Http,
    rehearsal::{CrmEntry, Options, Rehearsal, start},
    store::Store,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::{Folder, PATIENCE, Program, TestDatabase, vk_task};

/// What a receiver is given that withholds some answers.
const DEADLINE: Duration = Duration::from_millis(400);
/// And another, on a busy machine.
const UNHURRIED: Duration = Duration::from_secs(20);
/// As if so much time had passed: what waits is due, and leases have run out.
const TIME_PASSES: &str = "UPDATE reports SET ready_at = ready_at - interval '8 days',
    leased_until = leased_until - interval '8 days' WHERE state = 'waiting';
    UPDATE report_endpoints SET rests_until = rests_until - interval '8 days'";

/// A task with an integration, its receiver and a database.
struct Stage {
    folder: Folder,
    database: TestDatabase,
    store: Store,
    rehearsal: Rehearsal,
    /// Where nobody listens, while it is true.
    away: Arc<AtomicBool>,
    deadline: Duration,
    end: CancellationToken,
}

fn manifest(kind: IntegrationKind, name: &str, more: &str) -> String {
    let chat = match kind {
        IntegrationKind::TelegramNotification => "chatId: -100",
        _ => "url: {env: URL}",
    };
    format!(
        "apiVersion: nuncio/v1
kind: Integration
metadata: {{name: {name}}}
spec:
  kind: {kind}
  {chat}
  credentials: {{secret: {{env: SECRET}}, token: {{env: TOKEN}}}}
{more}"
    )
}

impl Stage {
    async fn new(kind: IntegrationKind, name: &str) -> Self {
        Self::with(kind, name, Duration::ZERO, UNHURRIED).await
    }

    /// Where some answers are withheld.
    async fn withholding(kind: IntegrationKind, name: &str) -> Self {
        Self::with(kind, name, Duration::ZERO, DEADLINE).await
    }

    /// With a receiver that has written it down and then thinks before it answers.
    async fn with_delay(kind: IntegrationKind, name: &str, delay: Duration) -> Self {
        Self::with(kind, name, delay, UNHURRIED).await
    }

    async fn with(kind: IntegrationKind, name: &str, delay: Duration, deadline: Duration) -> Self {
        let folder = Folder::with_team();
        folder.write("crm.yaml", &manifest(kind, name, ""));
        let integration = format!("  integration: {name}");
        folder.write("task.yaml", &vk_task("one", "vk", "[1]", &integration));
        let database = TestDatabase::new();
        let end = CancellationToken::new();
        let options = Options {
            faults: true,
            hang_for: DEADLINE * 3,
            answer_delay: delay,
            people: None,
            journal: None,
            clock: clock::now,
        };
        let rehearsal = start(options, end.clone(), &TaskTracker::new()).await.unwrap();
        let store = database.store().await;
        let away = Arc::new(AtomicBool::new(false));
        let stage = Self { folder, database, store, rehearsal, away, deadline, end };
        stage.apply();
        stage
    }

    fn apply(&self) {
        let applied = self.program(&["apply", "--auto-approve"]).run();
        assert_eq!(applied.code, 0, "{}{}", applied.stdout, applied.stderr);
    }

    fn program(&self, arguments: &[&str]) -> Program {
        Program::new(self.folder.root(), arguments).database(&self.database)
    }

    fn connector(&self) -> ReportConnector {
        let (rehearsal, away) = (self.rehearsal.clone(), Arc::clone(&self.away));
        ReportConnector {
            http: Http::with_deadline(self.deadline).unwrap(),
            find_secret: Arc::new(|integration, credential, _| {
                Ok(Rehearsal::integration_secret(integration.as_str(), credential))
            }),
            find_endpoint: Arc::new(move |integration, kind| {
                let nowhere = || Secret::new("http://127.0.0.1:9/".to_owned());
                let there = || rehearsal.integration_url(kind, integration.as_str());
                Some(if away.load(Ordering::SeqCst) { nowhere() } else { there() })
            }),
            clock: clock::now,
        }
    }

    async fn enqueue(&self, dialogue: i64, event: DialogueEvent, address: &str) {
        assert!(self.store.enqueue_report(&new(dialogue, event, address)).await.unwrap().is_some());
    }

    /// Runs a loop until a query gives what is wanted.
    async fn deliver_until(&self, query: &str, wanted: &str) {
        self.deliver_with(1, query, wanted).await;
    }

    async fn deliver_with(&self, loops: usize, query: &str, wanted: &str) {
        let shutdown = CancellationToken::new();
        let tracker = TaskTracker::new();
        for _ in 0..loops {
            let reports = Reports::new(self.store.clone(), self.connector());
            tracker.spawn(reports.run(shutdown.clone()));
        }
        tracker.close();
        self.wait_for(query, wanted).await;
        shutdown.cancel();
        tracker.wait().await;
    }

    async fn wait_for(&self, query: &str, wanted: &str) {
        let mut connection = self.database.connection().await;
        let query = format!("SELECT coalesce(({query})::text, 'NULL')");
        let mut seen = String::new();
        let looked = async {
            while seen != wanted {
                let asked = sqlx::query_scalar(sqlx::AssertSqlSafe(query.clone()));
                seen = asked.fetch_one(&mut connection).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, looked).await.is_ok(), "{query}: {seen}");
    }

    async fn pass_time(&self) {
        let mut connection = self.database.connection().await;
        sqlx::raw_sql(TIME_PASSES).execute(&mut connection).await.unwrap();
        self.store.wake_others().await.unwrap();
    }

    async fn value(&self, query: &str) -> String {
        let mut connection = self.database.connection().await;
        let query = format!("SELECT coalesce(({query})::text, 'NULL')");
        sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&mut connection).await.unwrap()
    }

    async fn run(&self, statement: &'static str) {
        let mut connection = self.database.connection().await;
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }

    /// What the receiver has, without what it refused or dropped.
    fn kept(&self) -> Vec<CrmEntry> {
        self.rehearsal.crm_entries().into_iter().filter(CrmEntry::is_kept).collect()
    }

    fn kept_as(&self, action: &str) -> Vec<CrmEntry> {
        self.kept().into_iter().filter(|entry| entry.action == action).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

fn new(dialogue: i64, event: DialogueEvent, address: &str) -> NewReport {
    NewReport {
        dialogue: DialogueId(dialogue),
        task: "one".parse().unwrap(),
        channel: "vk".parse().unwrap(),
        event,
        at: DateTime::from_timestamp(1_700_000_000 + dialogue, 0).unwrap(),
        evidence: "\"Yes, I take it\"".to_owned(),
        contact: ReportContact {
            address: Address::from_stored(address.to_owned()),
            name: Some("Ivan".to_owned()),
            phone: (event == DialogueEvent::ContactObtained).then(|| address.to_owned()),
            email: None,
        },
        summary: format!("dialogue {dialogue} {event}"),
        transcript: "Anna: Hello!\nIvan: Yes, I take it".to_owned(),
        manager: "Anna Petrova".to_owned(),
    }
}
