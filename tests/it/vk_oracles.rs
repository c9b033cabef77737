//! A client of VKontakte's that is not ours judges the rehearsal's API: `vk-io` calls it, asks its long poll, and
//! takes its callbacks.
//!
//! It is installed at the first run, in a fixed version, below the target folder. Where its registry cannot be
//! reached, or Node is absent, the tests say so and pass. Of a person's account it cannot ask the long poll here: it
//! knows its server by HTTPS alone.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use nuncio::{
    clock,
    domain::kind::ChannelKind::{self, VkPublic, VkUser},
    rehearsal::{Direction, Entry, Options, Rehearsal, start},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::{PATIENCE, Wanted, installed, wait_until};

const GROUP: &str = "200500100";
const SECRET: &str = "a-secret_1";

/// A program as users of vk-io write one: a community that answers whoever writes, and a person who writes. It tells of
/// everything on stdout, a line each.
const CLUB: &str = r#"
import http from "node:http";
import { APIError, VK, getRandomId } from "vk-io";

const [way, base, token, group, secret, confirmation] = process.argv.slice(2);
const tell = (what) => console.log(JSON.stringify(what));
const options = { apiBaseUrl: `${base}/method`, agent: new http.Agent(), apiRetryLimit: 0 };
const vk = new VK({
  ...options, token, pollingGroupId: Number(group), webhookSecret: secret, webhookConfirmation: confirmation,
});
const refused = async (call) => {
  try {
    await call;
    return null;
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    const said = error.params.find(({ key }) => key === "message");
    return [error.code, said ? said.value : null];
  }
};
const send = (peer_id, random_id, message = "Hello") => vk.api.messages.send({ peer_id, random_id, message });

if (way === "person") {
  tell({ sent: [await send(12345678, 7), await send(12345678, 7), await send(12345678, 8), await send(-5, 9)] });
  const other = new VK({ ...options, token: "vk1.a.other" });
  tell({ refused: [
    await refused(send(0, 1)), await refused(send(12345678, 1, "")),
    await refused(send(12345678, 1, "a".repeat(9001))).then(([code]) => code),
    await refused(send(70000403, 1)), await refused(send(70000404, 1)), await refused(send(70000410, 1)),
    await refused(other.api.users.get({})), await refused(vk.api.call("groups.leave", {})),
  ] });
  // Of "too many" it takes heed by itself.
  tell({ patient: await send(70000429, 10) });
  tell({ itself: (await vk.api.users.get({})).length });
} else {
  vk.updates.on("message_new", async (context) => {
    const { text, senderId, attachments, isUser, isInbox } = context;
    tell({ heard: text || `[${attachments.map(({ type }) => type)}]`, from: senderId, isUser, isInbox });
    await context.setActivity();
    const answer = `You said: ${text || "a picture"}`;
    tell({ answered: await send(context.peerId, getRandomId(), answer) > 0 });
  });
  vk.updates.on("message_reply", ({ text, isOutbox }) => tell({ ours: text, isOutbox }));
  tell({ club: (await vk.api.groups.getById({})).groups[0].id });
  tell({ stranger: await refused(send(70000999, 1)) });
  const events = { message_new: 1, message_reply: 1 };
  if (way === "polling") {
    tell({ off: await refused(vk.api.groups.getLongPollServer({ group_id: group })) });
    await vk.api.groups.setLongPollSettings({ group_id: group, enabled: 1, api_version: "5.199", ...events });
    await vk.updates.startPolling();
    tell({ started: true });
  } else {
    const server = http.createServer(vk.updates.getWebhookCallback("/vk")).listen(0, "127.0.0.1", async () => {
      const url = `http://127.0.0.1:${server.address().port}/vk`;
      const forged = await fetch(url, { method: "POST", body: JSON.stringify({ type: "message_new", secret: "no" }) });
      tell({ forged: forged.status });
      const entry = { group_id: group, url, title: "vk-io" };
      const { server_id } = await vk.api.groups.addCallbackServer({ ...entry, secret_key: "no" });
      const status = async () => {
        const { items } = await vk.api.groups.getCallbackServers({ group_id: group });
        return items.find(({ id }) => id === server_id).status;
      };
      tell({ wrong: await status() });
      await vk.api.groups.editCallbackServer({ ...entry, server_id, secret_key: secret });
      tell({ right: await status() });
      const settings = { group_id: group, server_id, api_version: "5.199", ...events };
      tell({ set: await vk.api.groups.setCallbackSettings(settings) });
    });
  }
}
"#;

fn oracle() -> Option<PathBuf> {
    installed(&Wanted {
        folder: "vk-oracles",
        node_packages: &["vk-io@4.10.1"],
        scripts: &[("club.mjs", CLUB)],
        ..Wanted::default()
    })
}

struct Stage {
    rehearsal: Rehearsal,
    runtime: Runtime,
}

impl Stage {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let options = Options {
            faults: true,
            hang_for: Duration::ZERO,
            answer_delay: Duration::ZERO,
            people: Some(Duration::ZERO),
            journal: None,
            clock: clock::now,
        };
        let tracker = TaskTracker::new();
        let started = start(options, CancellationToken::new(), &tracker);
        let rehearsal = runtime.block_on(started).unwrap();
        Self { rehearsal, runtime }
    }

    fn run(&self, way: &str, kind: ChannelKind) -> Option<Foreign> {
        let folder = oracle()?;
        let secret = |name| Rehearsal::secret("one", name).reveal().to_owned();
        let mut child = Command::new("node")
            .arg("club.mjs")
            .args([way, &self.rehearsal.endpoint(kind).unwrap(), &secret("token")])
            .args([GROUP, SECRET, &secret("confirmation")])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Some(Foreign { child, lines })
    }

    /// To whom the community spoke, in order of their addresses.
    fn answered(&self) -> Vec<String> {
        let entries = self.rehearsal.recent().into_iter();
        let mut people: Vec<String> =
            entries.filter(Entry::is_delivery).map(|entry| entry.address).collect();
        people.sort();
        people.dedup();
        people
    }
}

/// A program of vk-io's; it ends with the value.
struct Foreign {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Foreign {
    /// The next line that has this field, whole.
    fn tells(&mut self, field: &str) -> Value {
        loop {
            let line = self.lines.next().expect("it goes on").unwrap();
            let told: Value = serde_json::from_str(&line).unwrap();
            if told.get(field).is_some() {
                return told;
            }
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn vk_io_writes_as_a_person_and_is_refused_as_by_vkontakte() {
    let stage = Stage::new();
    let Some(mut person) = stage.run("person", VkUser) else { return };
    let sent: Vec<i64> = serde_json::from_value(person.tells("sent")["sent"].clone()).unwrap();
    // The second is a repeat of the first.
    assert!(sent[0] == sent[1] && sent[1..].is_sorted_by(|a, b| a < b), "{sent:?}");
    let refused = json!([
        [100, "Hello"],
        [100, ""],
        914,
        [900, "Hello"],
        [936, "Hello"],
        [18, "Hello"],
        [5, null],
        [3, null],
    ]);
    assert_eq!(person.tells("refused")["refused"], refused);
    assert!(person.tells("patient")["patient"].as_i64().is_some_and(|id| id > 3));
    assert_eq!(person.tells("itself")["itself"], json!(1));
    assert_eq!(stage.answered(), ["-5", "12345678", "70000429"]);
    let too_many = stage.rehearsal.recent().into_iter();
    assert_eq!(too_many.filter(|entry| entry.fault.as_deref() == Some("0429")).count(), 1);
}

#[test]
fn vk_io_hears_by_the_long_poll_of_a_community_and_by_its_callbacks() {
    for way in ["polling", "callback"] {
        let stage = Stage::new();
        let Some(mut club) = stage.run(way, VkPublic) else { return };
        assert_eq!(club.tells("club")["club"], json!(200_500_100));
        assert_eq!(club.tells("stranger")["stranger"], json!([901, "Hello"]));
        if way == "polling" {
            assert_eq!(club.tells("off")["off"], json!([100, null]));
            assert_eq!(club.tells("started")["started"], json!(true));
        } else {
            assert_eq!(club.tells("forged")["forged"], json!(403));
            assert_eq!(club.tells("wrong")["wrong"], json!("failed"));
            assert_eq!(club.tells("right")["right"], json!("ok"));
            assert_eq!(club.tells("set")["set"], json!(1));
        }
        // All of the strangers write, and are answered; who sends a picture is the fifth that is heard of.
        let _entered = stage.runtime.enter();
        stage.rehearsal.person_writes(VkPublic, "one", "700000006", "[picture]");
        let endings =
            ["0903", "0905", "0907", "0909", "5551"].map(|ending| format!("70000{ending}"));
        let everybody = [&endings[..], &["700000006".to_owned()]].concat();
        wait_until("everybody is answered", PATIENCE, || {
            let answered = stage.answered();
            (everybody.iter().all(|one| answered.contains(one)), answered)
        });
        let mut seen: Vec<Value> = Vec::new();
        while !(seen.iter().any(|told| told["heard"] == "[photo]")
            && seen.iter().any(|told| told.get("ours").is_some()))
        {
            seen.push(serde_json::from_str(&club.lines.next().unwrap().unwrap()).unwrap());
        }
        let heard = || seen.iter().filter(|told| told.get("heard").is_some());
        assert!(heard().all(|told| told["isUser"] == true && told["isInbox"] == true), "{seen:?}");
        assert!(seen.iter().all(|told| told.get("isOutbox").is_none_or(|ours| *ours == true)));
        let entries = stage.rehearsal.recent();
        let typed = entries.iter().filter(|entry| entry.direction == Direction::Sign).count();
        assert!(typed >= everybody.len(), "{way}: {typed}");
        let pushed = || entries.iter().filter(|entry| entry.direction == Direction::Push);
        assert_eq!(pushed().count() > 0, way == "callback");
        assert!(pushed().all(|entry| entry.verdict.to_string() == "delivered"), "{way}");
    }
}
