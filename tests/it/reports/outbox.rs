//! What the outbox keeps, leases and records.

use DialogueEvent::{ContactObtained, Interest, Success};
use nuncio::{
    domain::report::{ReportOutcome, ReportState},
    store::{Patience, RecordedReport, Whom},
};

use super::*;

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
    assert_eq!(stage.value("SELECT count(*) FROM reports").await, "4");
    let person = Whom::Everywhere(vec![Address::from_stored("+79120000001".to_owned())]);
    stage.store.forget(&person, "test", Patience::silent(Duration::ZERO)).await.unwrap();
    assert_eq!(stage.value("SELECT count(*) FROM reports").await, "1");
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
        (retry(None), 5.0, 6.0),
        (retry(None), 300.0, 360.0),
        (throttled.clone(), 3600.0, 4320.0),
        (retry(Some(hour)), 3600.0, 4320.0),
        (retry(None), 7200.0, 8640.0),
        (throttled, 3600.0, 4320.0),
        (retry(None), 18_000.0, 21_600.0),
    ] {
        let second = async |of: &str| -> f64 {
            stage.value(&format!("SELECT extract(epoch FROM {of})")).await.parse().unwrap()
        };
        let leased = stage.store.lease_due_reports(10).await.unwrap().remove(0);
        let before = second("clock_timestamp()").await;
        let recorded = stage.store.record_report(&leased, &outcome).await.unwrap();
        let after = second("clock_timestamp()").await;
        assert_eq!(recorded, RecordedReport::Waits);
        let ready = second("(SELECT ready_at FROM reports)").await;
        let allowed = before + at_least_s..=after + at_most_s;
        assert!(allowed.contains(&ready), "{outcome:?}: {ready} and not in {allowed:?}");
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
    assert_eq!(stage.store.next_report_in().await.unwrap(), None);
    stage.store.lift_guard("anna", "looked at").await.unwrap();
    assert_eq!(stage.store.lease_due_reports(10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hot_queries_scan_no_table() {
    let stage = Stage::new(IntegrationKind::Webhook, "crm").await;
    // A year of what arrived, and a backlog of dialogues that wait for their first.
    stage
        .run(
            "INSERT INTO reports (id, task, dialogue, channel, integration, sequence, event, about, at,
                content, state, settled_at, ready_at, fence)
            SELECT gen_random_uuid(), 'one', n, 'vk', 'crm', 1, 'success', ''::bytea, now(),
                CASE WHEN n > 20000 THEN '{}'::jsonb END, CASE WHEN n > 20000 THEN 'waiting' ELSE 'sent' END,
                CASE WHEN n <= 20000 THEN now() END, now() + interval '1 hour', 1
            FROM generate_series(1, 22000) n;
            ANALYZE reports",
        )
        .await;
    let scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'reports'";
    // Sessions tell what they did when they end, at the latest.
    let told = async |store: Store| {
        store.close().await;
        stage.value("SELECT pg_stat_clear_snapshot()").await;
        stage.value(scans).await
    };
    let before = told(stage.database.store().await).await;
    let store = stage.database.store().await;
    store.enqueue_report(&new(30_000, Success, "+79120000001")).await.unwrap();
    store.enqueue_report(&new(30_000, Interest, "+79120000001")).await.unwrap();
    let leased = store.lease_due_reports(16).await.unwrap().remove(0);
    let retry = ReportOutcome::Retry { after: None, reason: "away".to_owned() };
    store.record_report(&leased, &retry).await.unwrap();
    store.next_report_in().await.unwrap();
    assert_eq!(told(store).await, before);
    // The counter counts.
    let store = stage.database.store().await;
    let nobody = Whom::Everywhere(vec![Address::from_stored("nobody".to_owned())]);
    store.forget(&nobody, "test", Patience::silent(Duration::ZERO)).await.unwrap();
    drop(told(store).await);
    let counted = format!("SELECT ({scans}) > {before}");
    stage.wait_for(&counted, "true").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_cannot_be_has_the_name_of_its_rule() {
    let stage = Stage::new(IntegrationKind::Webhook, "crm").await;
    stage.enqueue(1, Success, "+79120000001").await;
    let mut connection = stage.database.connection().await;
    for (change, rule) in [
        ("state = 'lost', settled_at = now()", "state_is_known"),
        ("event = 'joy'", "event_is_known"),
        ("state = 'sent', content = NULL", "settled_iff_not_waiting"),
        ("settled_at = now()", "settled_iff_not_waiting"),
        ("state = 'sent', settled_at = now()", "content_until_sent"),
        ("content = NULL", "content_until_sent"),
        ("state = 'dead', settled_at = now()", "the_dead_have_a_reason"),
        (
            "state = 'dead', settled_at = now(), reason = 'x', leased_until = now()",
            "only_the_waiting_are_leased",
        ),
        ("remote_id = '1'", "only_the_sent_have_a_remote_id"),
        ("sequence = 0", "sequence_begins_at_one"),
        ("tries = 1", "every_try_has_a_fence"),
    ] {
        let statement = sqlx::AssertSqlSafe(format!("UPDATE reports SET {change}"));
        let error = sqlx::raw_sql(statement).execute(&mut connection).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().constraint(), Some(rule), "{change}");
    }
}
