//! The loop against receivers that fail, hang, are away or gone; killed, doubled, given up and replayed.

use DialogueEvent::{ContactObtained, Interest, Success};

use super::*;

const NOT_SENT: &str = "SELECT count(*) FROM reports WHERE state <> 'sent'";
const SOME_TRIED: &str = "SELECT bool_and(reason IS NOT NULL) FROM reports WHERE sequence = 1";

#[tokio::test(flavor = "multi_thread")]
async fn every_receiver_gets_every_report_once_and_in_order_whatever_fails() {
    for (kind, name) in [
        (IntegrationKind::Webhook, "crm"),
        (IntegrationKind::Bitrix24, "crm"),
        (IntegrationKind::Bitrix24, "simple"),
        (IntegrationKind::Amocrm, "crm"),
        (IntegrationKind::TelegramNotification, "crm"),
    ] {
        let stage = Stage::withholding(kind, name).await;
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
        let stage = Stage::with_delay(kind, "crm", Duration::from_millis(25)).await;
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
    assert!(dead.stdout.lines().all(|line| line.chars().count() <= 80), "{dead:?}");
    assert_eq!(dead.stdout.lines().filter(|line| !line.starts_with(' ')).count(), 1, "{dead:?}");
    assert!(dead.stdout.contains("the webhook: it cannot be reached"), "{dead:?}");
    assert!(!dead.stdout.contains("+7912"), "{dead:?}");
    assert!(
        dead.stdout.replace("\n    ", " ").contains(" after 10 tries: the webhook"),
        "{dead:?}"
    );
    let json = stage.program(&["reports", "--dead", "--output", "json"]).run();
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&json["reports"][0]["state"], &json["reports"][0]["tries"]),
        (&"dead".into(), &10.into())
    );
    assert_eq!(json["complete"], true);
    let id = dead.stdout.split_whitespace().next().unwrap().to_owned();
    // The next of the dialogue goes on.
    stage.away.store(false, Ordering::SeqCst);
    stage.deliver_until("SELECT state FROM reports WHERE sequence = 2", "sent").await;
    assert_eq!(stage.program(&["reports", "replay", &id]).run().code, 0);
    stage.deliver_until(NOT_SENT, "0").await;
    assert_eq!(stage.kept().len(), 2);
    assert_eq!(stage.program(&["reports", "replay", &id]).run().code, 3);
    let none = stage.program(&["reports", "replay", "--all", "--output", "json"]).run();
    let none: serde_json::Value = serde_json::from_str(&none.stdout).unwrap();
    assert_eq!((&none["reports"], &none["callbacks"]), (&0.into(), &0.into()));
    assert_eq!(stage.program(&["reports", "--sent"]).run().stdout.lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_delivers_and_rehearses_the_receiver() {
    let stage = Stage::new(IntegrationKind::Bitrix24, "crm").await;
    stage.run("UPDATE installation SET purpose = 'rehearsal'").await;
    let journal = stage.folder.root().join("journal.jsonl");
    let arguments = ["watch", "--rehearse", "--journal", journal.to_str().unwrap()];
    let watch = stage.program(&arguments).start();
    stage.enqueue(1, Interest, "+79120000001").await;
    stage.enqueue(1, Success, "+79120000001").await;
    stage.wait_for(NOT_SENT, "0").await;
    drop(watch);
    let told = std::fs::read_to_string(journal.with_extension("crm.jsonl")).unwrap();
    let told: Vec<CrmEntry> =
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let actions: Vec<&str> = told.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["lead", "comment"]);
}
