//! Reports reach their integrations: at least once, each known by its id, in order per dialogue.

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
        report::{NewReport, ReportContact, ReportOutcome, ReportState},
        resource::{DialogueEvent, IntegrationKind},
    },
    executor::{ReportConnector, Reports},
    integrations::Http,
    rehearsal::{CrmEntry, Options, Rehearsal, start},
    store::{RecordedReport, Store},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::{Folder, Program, TestDatabase, vk_task};

const PATIENCE: Duration = Duration::from_secs(30);
/// What a receiver that withholds its answer is given.
const DEADLINE: Duration = Duration::from_millis(400);
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
        let folder = Folder::with_team();
        folder.write("crm.yaml", &manifest(kind, name, ""));
        let integration = format!("  integration: {name}");
        folder.write("task.yaml", &vk_task("one", "vk", "[1]", &integration));
        let database = TestDatabase::new();
        let end = CancellationToken::new();
        let options = Options {
            faults: true,
            hang_for: DEADLINE * 3,
            answer_delay: Duration::ZERO,
            journal: None,
            people: None,
            clock: clock::now,
        };
        let rehearsal = start(options, end.clone(), &TaskTracker::new()).await.unwrap();
        let store = database.store().await;
        let away = Arc::new(AtomicBool::new(false));
        let stage = Self { folder, database, store, rehearsal, away, end };
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
            http: Http::with_deadline(DEADLINE).unwrap(),
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

use DialogueEvent::{ContactObtained, Interest, Success};

const NOT_SENT: &str = "SELECT count(*) FROM reports WHERE state <> 'sent'";
const SOME_TRIED: &str = "SELECT bool_and(reason IS NOT NULL) FROM reports WHERE sequence = 1";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_kept_once_and_only_where_it_is_wanted() {
    let stage = Stage::new(IntegrationKind::Webhook, "crm").await;
    let mut again = new(1, Success, "+79120000001");
    assert!(stage.store.enqueue_report(&again).await.unwrap().is_some());
    again.evidence = "in other words".to_owned();
    assert_eq!(stage.store.enqueue_report(&again).await.unwrap(), None);
    // Another contact is another event, the same in other letters is not.
    let mut contact = new(1, ContactObtained, "+79120000001");
    contact.contact.email = Some("ivan@example.test".to_owned());
    assert!(stage.store.enqueue_report(&contact).await.unwrap().is_some());
    contact.contact.email = Some(" Ivan@Example.test".to_owned());
    assert_eq!(stage.store.enqueue_report(&contact).await.unwrap(), None);
    contact.contact.email = Some("other@example.test".to_owned());
    assert!(stage.store.enqueue_report(&contact).await.unwrap().is_some());
    let mut elsewhere = new(1, Interest, "+79120000001");
    elsewhere.task = "unknown".parse().unwrap();
    assert_eq!(stage.store.enqueue_report(&elsewhere).await.unwrap(), None);
    let only = manifest(IntegrationKind::Webhook, "crm", "  events: [success]\n");
    stage.folder.write("crm.yaml", &only);
    stage.apply();
    let unwanted = new(2, Interest, "+79120000002");
    assert_eq!(stage.store.enqueue_report(&unwanted).await.unwrap(), None);

    // Many at once get a place each.
    let crowd = (0..20).map(|n| {
        let store = stage.store.clone();
        async move {
            let mut report = new(3, ContactObtained, &format!("+7913000{n:04}"));
            report.event = Success;
            store.enqueue_report(&report).await.unwrap()
        }
    });
    let kept = futures_util::future::join_all(crowd).await;
    assert_eq!(kept.into_iter().flatten().count(), 1);
    assert_eq!(
        stage.store.erase_reports(&Address::from_stored("+79120000001".to_owned())).await.unwrap(),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_receiver_gets_every_report_once_and_in_order_whatever_fails() {
    for (kind, name) in [
        (IntegrationKind::Webhook, "crm"),
        (IntegrationKind::Bitrix24, "crm"),
        (IntegrationKind::Bitrix24, "simple"),
        (IntegrationKind::Amocrm, "crm"),
        (IntegrationKind::TelegramNotification, "crm"),
    ] {
        let stage = Stage::new(kind, name).await;
        // Away for a day.
        stage.away.store(true, Ordering::SeqCst);
        // Nothing wrong, throttled once, refused once, taken without an answer.
        let endings = ["0001", "0429", "0503", "0504"];
        for (dialogue, ending) in (1..).zip(endings) {
            for event in [ContactObtained, Interest, Success] {
                stage.enqueue(dialogue, event, &format!("+7912000{ending}")).await;
            }
        }
        stage.deliver_until(SOME_TRIED, "true").await;
        assert!(stage.kept().is_empty());
        stage.away.store(false, Ordering::SeqCst);
        // Every report of a faulty dialogue is tried twice or three times: a lead, and its note.
        for _ in 0..24 {
            if stage.value(NOT_SENT).await == "0" {
                break;
            }
            stage.pass_time().await;
            let idle =
                "SELECT count(*) FROM reports r WHERE state = 'waiting' AND (ready_at <= now()
                OR leased_until IS NOT NULL) AND NOT EXISTS (SELECT FROM report_endpoints
                WHERE rests_until > now()) AND NOT EXISTS (SELECT FROM reports e
                WHERE e.dialogue = r.dialogue AND e.sequence < r.sequence AND e.state = 'waiting')";
            stage.deliver_until(idle, "0").await;
        }
        assert_eq!(stage.value(NOT_SENT).await, "0", "{kind}");
        for dialogue in 1..=4 {
            let at = |event: DialogueEvent| format!("dialogue {dialogue} {event}");
            let texts: Vec<String> = stage
                .kept()
                .into_iter()
                .map(|entry| entry.text)
                .filter(|text| text.contains(&format!("dialogue {dialogue} ")))
                .collect();
            let mut order: Vec<usize> = Vec::new();
            for text in &texts {
                let events = [ContactObtained, Interest, Success];
                order.extend(events.iter().position(|event| text.contains(&at(*event))));
            }
            if kind == IntegrationKind::TelegramNotification {
                // Telegram drops no repeats, and says so in them.
                order.dedup();
            }
            assert_eq!(order, [0, 1, 2], "{kind} {name}, dialogue {dialogue}: {texts:#?}");
        }
        let leads = match (kind, name) {
            (IntegrationKind::Bitrix24, "simple") => vec![("deal", 4), ("contact", 4), ("lead", 0)],
            (IntegrationKind::Bitrix24 | IntegrationKind::Amocrm, _) => vec![("lead", 4)],
            _ => vec![("lead", 0)],
        };
        for (action, count) in leads {
            assert_eq!(stage.kept_as(action).len(), count, "{kind} {name}: {action}");
        }
        // What arrived is kept without what it said.
        assert_eq!(stage.value("SELECT count(content) FROM reports").await, "0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_is_killed_before_its_record_leaves_one_lead() {
    for kind in [IntegrationKind::Bitrix24, IntegrationKind::Amocrm, IntegrationKind::Webhook] {
        let stage = Stage::new(kind, "crm").await;
        for dialogue in 0..8 {
            stage.enqueue(dialogue, Success, &format!("+791200001{dialogue:02}")).await;
        }
        // Killed at some moment of its calls, again and again.
        for round in 0..6 {
            let reports = Reports::new(stage.store.clone(), stage.connector());
            let running = reports.run(CancellationToken::new());
            drop(tokio::time::timeout(Duration::from_millis(15 + 9 * round), running).await);
            stage.pass_time().await;
        }
        stage.deliver_until(NOT_SENT, "0").await;
        let (reports, leads) = (stage.kept_as("report"), stage.kept_as("lead"));
        let keys: BTreeSet<String> =
            reports.iter().chain(&leads).map(|entry| entry.key.clone()).collect();
        assert_eq!((keys.len(), reports.len() + leads.len()), (8, 8), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_loops_share_the_work() {
    let stage = Stage::new(IntegrationKind::Webhook, "crm").await;
    for dialogue in 0..60 {
        for event in [Interest, Success] {
            stage.enqueue(dialogue, event, &format!("+791200001{dialogue:02}")).await;
        }
    }
    stage.deliver_with(2, NOT_SENT, "0").await;
    let all = stage.rehearsal.crm_entries();
    assert!(all.iter().all(CrmEntry::is_kept), "something was told twice");
    assert_eq!(all.len(), 120);
    for dialogue in 0..60 {
        let texts: Vec<&str> = all
            .iter()
            .map(|entry| entry.text.as_str())
            .filter(|text| text.contains(&format!("dialogue {dialogue} ")))
            .collect();
        assert!(texts[0].starts_with("dialogue.interest:"), "{texts:?}");
        assert!(texts[1].starts_with("dialogue.success:"), "{texts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_left_alone_until_its_manifest_changes() {
    let stage = Stage::new(IntegrationKind::Webhook, "crm-gone").await;
    stage.enqueue(1, Interest, "+79120000001").await;
    stage.enqueue(2, Success, "+79120000002").await;
    let gone = "SELECT gone_at IS NOT NULL FROM report_endpoints";
    stage.deliver_until(gone, "true").await;
    stage.wait_for("SELECT count(leased_until) FROM reports", "0").await;
    stage.pass_time().await;
    assert!(stage.store.lease_due_reports(10).await.unwrap().is_empty());
    assert_eq!(stage.store.next_report_in().await.unwrap(), None);
    // No try was lost by it.
    assert_eq!(stage.value("SELECT sum(tries) FROM reports").await, "0");
    let listed = stage.program(&["reports"]).run();
    assert!(listed.stderr.contains("integration `crm-gone` is told nothing since"), "{listed:?}");
    assert!(listed.stderr.contains("HTTP 410"), "{listed:?}");
    let changed =
        manifest(IntegrationKind::Bitrix24, "crm-gone", "  events: [success, interest]\n");
    stage.folder.write("crm.yaml", &changed);
    stage.apply();
    assert_eq!(stage.store.lease_due_reports(10).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_listed_and_replayed() {
    let stage = Stage::new(IntegrationKind::Webhook, "crm").await;
    stage.away.store(true, Ordering::SeqCst);
    stage.enqueue(1, Interest, "+79120000001").await;
    stage.enqueue(1, Success, "+79120000001").await;
    let first = "SELECT state || tries FROM reports WHERE sequence = 1";
    for tries in 1..=10 {
        let state = if tries == 10 { "dead" } else { "waiting" };
        stage.deliver_until(first, &format!("{state}{tries}")).await;
        stage.pass_time().await;
    }
    let dead = stage.program(&["reports", "--dead"]).run();
    assert_eq!(dead.stdout.lines().count(), 1, "{dead:?}");
    assert!(dead.stdout.contains("the webhook: it cannot be reached"), "{dead:?}");
    assert!(!dead.stdout.contains("+7912"), "{dead:?}");
    let id = dead.stdout.split_whitespace().next().unwrap().to_owned();
    // The next of the dialogue goes on.
    stage.away.store(false, Ordering::SeqCst);
    stage.deliver_until("SELECT state FROM reports WHERE sequence = 2", "sent").await;
    assert_eq!(stage.program(&["reports", "replay", &id]).run().code, 0);
    stage.deliver_until(NOT_SENT, "0").await;
    assert_eq!(stage.kept().len(), 2);
    assert_eq!(stage.program(&["reports", "replay", &id]).run().code, 3);
    assert_eq!(stage.program(&["reports", "replay", "--all"]).run().code, 0);
    assert_eq!(stage.program(&["reports", "--sent"]).run().stdout.lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_under_an_older_lease_changes_nothing() {
    let stage = Stage::new(IntegrationKind::Webhook, "crm").await;
    stage.enqueue(1, Success, "+79120000001").await;
    let lease = || stage.store.lease_due_reports(10);
    let first = lease().await.unwrap().remove(0);
    assert!(lease().await.unwrap().is_empty());
    stage.pass_time().await;
    let second = lease().await.unwrap().remove(0);
    let done = ReportOutcome::Done { remote_id: None };
    assert_eq!(stage.store.record_report(&first, &done).await.unwrap(), RecordedReport::Stale);
    assert_eq!(stage.store.record_report(&second, &done).await.unwrap(), RecordedReport::Sent);
    assert_eq!(stage.store.record_report(&second, &done).await.unwrap(), RecordedReport::Stale);
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_follow_the_schedule_and_the_receiver() {
    let stage = Stage::new(IntegrationKind::Webhook, "crm").await;
    stage.enqueue(1, Success, "+79120000001").await;
    let retry = |after| ReportOutcome::Retry { after, reason: "away".to_owned() };
    let hour = Duration::from_hours(1);
    let throttled = ReportOutcome::Throttled { after: hour, reason: "too many".to_owned() };
    for (outcome, at_least_s, at_most_s) in [
        (retry(None), 5, 7),
        (retry(None), 300, 361),
        (throttled.clone(), 3600, 4321),
        (retry(Some(hour)), 3600, 4321),
        (retry(None), 7200, 8641),
        (throttled, 3600, 4321),
        (retry(None), 18_000, 21_601),
    ] {
        let leased = stage.store.lease_due_reports(10).await.unwrap().remove(0);
        let recorded = stage.store.record_report(&leased, &outcome).await.unwrap();
        assert_eq!(recorded, RecordedReport::Waits);
        let wait = "SELECT ceil(extract(epoch FROM ready_at - now()))::int FROM reports";
        let wait: i64 = stage.value(wait).await.parse().unwrap();
        assert!((at_least_s..=at_most_s).contains(&wait), "{outcome:?}: {wait} s");
        stage.pass_time().await;
    }
    // A receiver that never stops to throttle is given up after a week.
    let leased = stage.store.lease_due_reports(10).await.unwrap().remove(0);
    stage.run("UPDATE reports SET tried_since = now() - interval '8 days'").await;
    let throttled = ReportOutcome::Throttled { after: hour, reason: "too many".to_owned() };
    let recorded = stage.store.record_report(&leased, &throttled).await.unwrap();
    assert_eq!(recorded, RecordedReport::Dead);
    assert_eq!(stage.store.list_reports(&[ReportState::Dead]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_database_reports_nothing() {
    let stage = Stage::new(IntegrationKind::Webhook, "crm").await;
    stage.enqueue(1, Success, "+79120000001").await;
    stage.store.raise_guard("anna", "restored").await.unwrap();
    assert!(stage.store.lease_due_reports(10).await.unwrap().is_empty());
    stage.store.lift_guard("anna", "looked at").await.unwrap();
    assert_eq!(stage.store.lease_due_reports(10).await.unwrap().len(), 1);
}
