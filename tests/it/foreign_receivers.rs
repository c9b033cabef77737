//! Receivers that are not ours: `standardwebhooks` verifies our signatures, and Bitrix24's own SDK talks to the
//! portal of the rehearsal.
//!
//! They are installed at the first run, in fixed versions, below the target folder. Where their registry
//! cannot be reached, or Node is absent, the tests say so and pass.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use chrono::DateTime;
use nuncio::{
    clock,
    domain::{
        address::Address,
        channel::Secret,
        id::{DialogueId, ReportId},
        report::{NewReport, Report, ReportCall, ReportContact, ReportOutcome},
        resource::{DialogueEvent, IntegrationKind, IntegrationSpec},
    },
    integrations::{Http, Reporter},
    rehearsal::{Options, Rehearsal, start},
};
use serde_json::Value;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::support::{Wanted, installed};

const PACKAGES: [&str; 2] = ["standardwebhooks@1.1.1", "@bitrix24/b24jssdk@2.2.0"];
const OLD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Answers 204 to what the library verifies, and 400 to the rest; says its port first.
const VERIFIER: &str = r#"
import http from "node:http";
import { Webhook } from "standardwebhooks";
const webhook = new Webhook(process.argv[2]);
const server = http.createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    try {
      const event = webhook.verify(body, request.headers);
      response.statusCode = event.type === "dialogue.success" ? 204 : 422;
    } catch (error) {
      response.statusCode = 400;
    }
    response.end();
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"#;

/// The SDK speaks HTTPS only; below it the rehearsal's plain HTTP is put in.
const CLIENT: &str = r#"
import http from "node:http";
import https from "node:https";
https.request = (options, callback) =>
  http.request({ ...options, protocol: "http:", agent: undefined }, callback);
const { B24Hook } = await import("@bitrix24/b24jssdk");
const b24 = new B24Hook({ b24Url: process.argv[2], userId: 1, secret: process.argv[3] });
b24.offClientSideWarning();
const call = async (method, params) => {
  const answer = await b24.actions.v2.call.make({ method, params });
  if (!answer.isSuccess) throw new Error(answer.getErrorMessages().join());
  return answer.getData().result;
};
const mode = await call("crm.settings.mode.get", {});
const fields = { title: "Ivan", originatorId: "nuncio", originId: "one", comments: "hello" };
const { item } = await call("crm.item.add", { entityTypeId: 1, fields });
const filter = { originatorId: "nuncio", originId: "one" };
const { items } = await call("crm.item.list", { entityTypeId: 1, filter, select: ["id"] });
const owner = { ENTITY_ID: item.id, ENTITY_TYPE: "lead" };
const comment = await call("crm.timeline.comment.add", { fields: { ...owner, COMMENT: "again" } });
const comments = await call("crm.timeline.comment.list", { filter: owner });
let refused = null;
try {
  await call("crm.item.add", { entityTypeId: 1, fields: {} });
} catch (error) {
  refused = String(error.message);
}
console.log(JSON.stringify({ mode, item, items, comment, comments, refused }));
process.exit(0);
"#;

fn receivers() -> Option<PathBuf> {
    installed(&Wanted {
        folder: "foreign-receivers",
        node_packages: &PACKAGES,
        scripts: &[("verifier.mjs", VERIFIER), ("client.mjs", CLIENT)],
        ..Wanted::default()
    })
}

/// A receiver that verifies with the library; ends with the value.
struct Verifier {
    child: Child,
    url: String,
}

impl Verifier {
    fn start(folder: &Path, secret: &str) -> Self {
        let mut child = Command::new("node")
            .args(["verifier.mjs", secret])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, url: format!("http://127.0.0.1:{}/", port.trim()) }
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn report() -> Report {
    let id = ReportId(Uuid::now_v7());
    Report {
        id,
        origin: id,
        integration: "crm".parse().unwrap(),
        new: NewReport {
            dialogue: DialogueId(7),
            task: "spring".parse().unwrap(),
            channel: "wa".parse().unwrap(),
            event: DialogueEvent::Success,
            at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            evidence: "«Да, беру»".to_owned(),
            contact: ReportContact {
                address: Address::from_stored("+79123456789".to_owned()),
                name: Some("Иван".to_owned()),
                phone: None,
                email: None,
            },
            summary: "согласен".to_owned(),
            transcript: "Анна: Здравствуйте!\nИван: Да, беру 🎉".to_owned(),
            manager: "Анна".to_owned(),
        },
    }
}

#[tokio::test]
async fn the_library_of_the_standard_webhooks_verifies_our_signature() {
    let Some(folder) = receivers() else { return };
    let verifier = Verifier::start(&folder, OLD_SECRET);
    let spec = IntegrationSpec {
        kind: IntegrationKind::Webhook,
        url: None,
        credentials: Vec::new(),
        chat_id: None,
        events: [DialogueEvent::Success].into(),
    };
    let http = Http::new().unwrap();
    let hour = chrono::TimeDelta::hours(1);
    for (secret, now, verified) in [
        (OLD_SECRET.to_owned(), clock::now(), true),
        (format!("{NEW_SECRET} {OLD_SECRET}"), clock::now(), true),
        (NEW_SECRET.to_owned(), clock::now(), false),
        // A replay.
        (OLD_SECRET.to_owned(), clock::now() - hour, false),
    ] {
        let secrets = BTreeMap::from([
            ("url".to_owned(), Secret::new(verifier.url.clone())),
            ("secret".to_owned(), Secret::new(secret)),
        ]);
        let reporter = Reporter::connect(&spec, &secrets, None, &http).unwrap();
        let report = report();
        let call = ReportCall { report: &report, tries: 1, remote_id: None, now };
        let outcome = reporter.report(&call).await;
        let is_done = matches!(outcome, ReportOutcome::Done { .. });
        assert_eq!(is_done, verified, "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_of_bitrix24_is_answered_by_the_rehearsal() {
    let Some(folder) = receivers() else { return };
    let options = Options {
        faults: false,
        hang_for: Duration::ZERO,
        answer_delay: Duration::ZERO,
        people: None,
        journal: None,
        clock: clock::now,
    };
    let rehearsal = start(options, CancellationToken::new(), &TaskTracker::new()).await.unwrap();
    let url = rehearsal.integration_url(IntegrationKind::Bitrix24, "crm");
    let (portal, _) = url.reveal().split_once("/rest/").unwrap();
    let secret = Rehearsal::integration_secret("crm", "url");
    let mut client = Command::new("node");
    client.args(["client.mjs", portal, secret.reveal()]).current_dir(&folder);
    let output = tokio::task::spawn_blocking(move || client.output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let answered: Value =
        serde_json::from_str(told.trim()).unwrap_or_else(|_| panic!("{told}{stderr}"));
    assert_eq!(answered["mode"], 1);
    assert_eq!(answered["items"][0]["id"], answered["item"]["id"]);
    assert_eq!(answered["comments"][0]["COMMENT"], "again");
    assert_eq!(answered["comments"][0]["ID"], answered["comment"].to_string());
    assert!(answered["refused"].to_string().contains("CRM_FIELD_ERROR_REQUIRED"), "{answered}");
    assert_eq!(rehearsal.crm_entries().len(), 2);
}
