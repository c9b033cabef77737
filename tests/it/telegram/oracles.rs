//! Clients of Telegram's that are not ours judge the rehearsal's Bot API: `grammy` speaks to it, and the types of
//! `aiogram` and of `frankenstein` read its updates.
//!
//! They are installed at the first run, in fixed versions, below the target folder. Where their registries cannot be
//! reached, or Node or Python is absent, the tests say so and pass.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use nuncio::{
    clock,
    domain::kind::ChannelKind::{self, TelegramBot, TelegramBusiness},
    rehearsal::{Direction, Options, Rehearsal, start},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::PATIENCE;
use crate::support::{Wanted, installed, wait_until};

/// A bot as its users write one: it answers whoever writes, and tells of everything on stdout, a line each.
const BOT: &str = r#"
import http from "node:http";
import { Bot, GrammyError, webhookCallback } from "grammy";

const [root, token, secret] = process.argv.slice(2);
const tell = (what) => console.log(JSON.stringify(what));
const bot = new Bot(token, { client: { apiRoot: root } });
const hear = async (ctx) => {
  const message = ctx.msg;
  const command = message.entities?.[0]?.type === "bot_command";
  tell({
    heard: message.text ?? `[${message.photo ? "photo" : "other"}]`, from: message.from.id,
    chat: message.chat.id, command, ours: message.sender_business_bot !== undefined,
  });
  if (!command && !message.sender_business_bot) {
    await ctx.replyWithChatAction("typing");
    const sent = await ctx.reply(`You said: ${message.text ?? "a picture"}`);
    tell({ sent: sent.message_id, to: sent.chat.id });
  }
};
bot.on("message", hear);
bot.on("business_message", hear);
bot.catch((error) => tell({ failed: String(error.error) }));

const refused = async (call) => {
  try {
    await call;
    return null;
  } catch (error) {
    if (!(error instanceof GrammyError)) throw error;
    return [error.error_code, error.description, error.parameters.retry_after ?? null];
  }
};
tell({ me: await bot.api.getMe() });
tell({ stranger: await refused(bot.api.sendMessage(7000000999, "Hello")) });
tell({ empty: await refused(bot.api.sendMessage(7000000999, "")) });
tell({ other: await refused(new Bot("1:AA", { client: { apiRoot: root } }).api.getMe()) });

if (!secret) {
  bot.start({ allowed_updates: ["message", "business_message"], onStart: () => tell({ started: true }) });
} else {
  await bot.init();
  const take = webhookCallback(bot, "http", { secretToken: secret });
  const server = http.createServer(take).listen(0, "127.0.0.1", async () => {
    const url = `http://127.0.0.1:${server.address().port}/telegram`;
    const forged = await fetch(url, {
      method: "POST", headers: { "content-type": "application/json", "x-telegram-bot-api-secret-token": "no" },
      body: JSON.stringify({ update_id: 1 }),
    });
    tell({ forged: forged.status });
    await bot.api.setWebhook(url, { secret_token: secret });
    const info = await bot.api.getWebhookInfo();
    tell({ set: info.url === url, asks: await refused(bot.api.getUpdates()) });
  });
}
"#;

/// Reads updates and answers by the types of a third party: what they require has to be there.
const JUDGE: &str = r#"
import json, sys
from aiogram.methods import GetMe, GetUpdates, GetWebhookInfo, SendMessage
from aiogram.types import BusinessConnection, Message, Update, User, WebhookInfo

TYPES = {"update": Update, "message": Message, "user": User, "webhook": WebhookInfo,
         "connection": BusinessConnection}
job = json.load(sys.stdin)
seen = []
for kind, value in job:
    read = TYPES[kind].model_validate(value)
    if kind != "update":
        seen.append(kind)
        continue
    event = read.event
    seen.append([read.event_type, event.chat.type, event.from_user.id, event.content_type.value,
                 event.text or event.caption])
json.dump(seen, sys.stdout)
"#;

/// The same by the types of a third: a program of its own, as it would take minutes to build with ours.
const RUST_JUDGE: &str = r#"
use frankenstein::{
    types::{BusinessConnection, Message, User},
    updates::{Update, UpdateContent, WebhookInfo},
};
use serde_json::{Value, from_reader, from_value, json, to_writer};

fn event(kind: &str, message: &Message) -> Value {
    let (content, text) = match (&message.text, &message.photo) {
        (Some(text), None) => ("text", Some(text)),
        (None, Some(sizes)) if !sizes.is_empty() => ("photo", message.caption.as_ref()),
        _ => panic!("neither a text nor a picture: {message:?}"),
    };
    let from = message.from.as_ref().expect("somebody wrote it");
    json!([kind, message.chat.type_field, from.id, content, text])
}

fn main() {
    let job: Vec<(String, Value)> = from_reader(std::io::stdin()).unwrap();
    let read = job.into_iter().map(|(kind, value)| {
        match kind.as_str() {
            "update" => {
                return match from_value::<Update>(value).unwrap().content {
                    UpdateContent::Message(message) => event("message", &message),
                    UpdateContent::BusinessMessage(message) => event("business_message", &message),
                    other => panic!("{other:?}"),
                };
            }
            "message" => drop(from_value::<Message>(value).unwrap()),
            "user" => drop(from_value::<User>(value).unwrap()),
            "webhook" => drop(from_value::<WebhookInfo>(value).unwrap()),
            "connection" => drop(from_value::<BusinessConnection>(value).unwrap()),
            other => panic!("{other}"),
        }
        json!(kind)
    });
    to_writer(std::io::stdout(), &read.collect::<Vec<_>>()).unwrap();
}
"#;

fn oracles() -> Option<PathBuf> {
    installed(&Wanted {
        folder: "telegram-oracles",
        node_packages: &["grammy@1.46.0"],
        python_packages: &["aiogram==3.31.0"],
        scripts: &[("bot.mjs", BOT), ("judge.py", JUDGE)],
        ..Wanted::default()
    })
}

fn rust_judge() -> Option<Command> {
    let folder = installed(&Wanted {
        folder: "telegram-types",
        crates: &[
            "frankenstein = { version = \"=0.52.1\", default-features = false }",
            "serde_json = \"1\"",
        ],
        scripts: &[("main.rs", RUST_JUDGE)],
        ..Wanted::default()
    })?;
    Some(Command::new(folder.join("target/debug/judge")))
}

/// The rehearsal, whose strangers write to whoever asks for it.
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

    fn endpoint(&self, kind: ChannelKind) -> String {
        self.rehearsal.endpoint(kind).unwrap()
    }

    /// Who was answered by the channel, in order of their addresses.
    fn answered(&self, channel: &str) -> Vec<String> {
        let entries = self.rehearsal.recent().into_iter();
        let ours = entries.filter(|entry| entry.is_delivery() && entry.channel == channel);
        let mut people: Vec<String> = ours.map(|entry| entry.address).collect();
        people.sort();
        people.dedup();
        people
    }
}

/// A bot of grammY's; it ends with the value.
struct Foreign {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Foreign {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new("node")
            .arg("bot.mjs")
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that has this field.
    fn tells(&mut self, field: &str) -> Value {
        loop {
            let line = self.lines.next().expect("the bot goes on").unwrap();
            let told: Value = serde_json::from_str(&line).unwrap();
            assert!(told.get("failed").is_none(), "{told}");
            if let Some(value) = told.get(field) {
                return value.clone();
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
fn grammy_polls_answers_and_is_refused_as_by_telegram() {
    let Some(folder) = oracles() else { return };
    for kind in [TelegramBot, TelegramBusiness] {
        let stage = Stage::new();
        let token = Rehearsal::secret("one", "token");
        let mut bot = Foreign::start(&folder, &[&stage.endpoint(kind), token.reveal()]);
        let me = bot.tells("me");
        assert_eq!(me["can_connect_to_business"], json!(kind == TelegramBusiness));
        let refused = |code: u16, description: &str| json!([code, description, null]);
        assert_eq!(bot.tells("stranger"), refused(400, "Bad Request: chat not found"));
        let empty = bot.tells("empty");
        assert_eq!(empty[0], json!(400), "{empty}");
        let other = "Unauthorized: invalid token specified";
        assert_eq!(bot.tells("other"), refused(401, other));
        assert_eq!(bot.tells("started"), json!(true));
        // All of the strangers write, and are answered.
        wait_until("everybody is answered", PATIENCE, || {
            let answered = stage.answered("one");
            (answered.len() == 5, answered)
        });
        let commands: Vec<bool> = std::iter::from_fn(|| {
            let line = bot.lines.next()?.unwrap();
            let told: Value = serde_json::from_str(&line).unwrap();
            assert!(told.get("failed").is_none(), "{told}");
            Some(told)
        })
        .filter(|told| told.get("heard").is_some())
        .take(5)
        .map(|told| told["command"].as_bool().unwrap())
        .collect();
        assert_eq!(commands.contains(&true), kind == TelegramBot, "Start was pressed");
        let typed = stage.rehearsal.recent().into_iter();
        assert!(typed.filter(|entry| entry.direction == Direction::Sign).count() >= 5, "{kind}");
    }
}

#[test]
fn grammy_takes_what_is_pushed_and_checks_its_secret() {
    let Some(folder) = oracles() else { return };
    let stage = Stage::new();
    let token = Rehearsal::secret("one", "token");
    let arguments = [&stage.endpoint(TelegramBot), token.reveal(), "a-secret_1"];
    let mut bot = Foreign::start(&folder, &arguments);
    assert_eq!(bot.tells("forged"), json!(401));
    assert_eq!(bot.tells("set"), json!(true));
    wait_until("everybody is answered", PATIENCE, || {
        let answered = stage.answered("one");
        (answered.len() == 5, answered)
    });
    let entries = stage.rehearsal.recent();
    let pushed = entries.iter().filter(|entry| entry.direction == Direction::Push);
    assert!(pushed.clone().count() >= 5);
    assert!(pushed.clone().all(|entry| entry.verdict.to_string() == "delivered"));
}

#[test]
fn the_types_of_aiogram_read_what_the_rehearsal_writes() {
    let Some(folder) = oracles() else { return };
    let mut judge = Command::new(folder.join("venv/bin/python"));
    judge.arg("judge.py").current_dir(&folder);
    reads_what_the_rehearsal_writes(judge);
}

#[test]
fn the_types_of_frankenstein_read_what_the_rehearsal_writes() {
    let Some(judge) = rust_judge() else { return };
    reads_what_the_rehearsal_writes(judge);
}

fn reads_what_the_rehearsal_writes(mut judge: Command) {
    let stage = Stage::new();
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let ask = |kind: ChannelKind, method: &str, parameters: Value| {
        let token = Rehearsal::secret(kind.as_str(), "token");
        let url = format!("{}/bot{}/{method}", stage.endpoint(kind), token.reveal());
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .body(parameters.to_string());
        stage.runtime.block_on(async {
            let answer = request.send().await.unwrap().text().await.unwrap();
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer["ok"], json!(true), "{method}: {answer}");
            answer["result"].clone()
        })
    };
    let connection = Rehearsal::secret("telegram-business", "connectionId");
    let connection = connection.reveal().to_owned();
    let mut job = Vec::new();
    let mut expected = Vec::new();
    let mut told = |kind: &str, value: Value| {
        job.push(json!([kind, value]));
        if kind != "update" {
            expected.push(json!(kind));
        }
    };
    let _entered = stage.runtime.enter();
    let photo = "telegram:7000000006";
    for kind in [TelegramBot, TelegramBusiness] {
        stage.rehearsal.person_writes(kind, kind.as_str(), photo, "[picture]");
        told("user", ask(kind, "getMe", json!({})));
        told("webhook", ask(kind, "getWebhookInfo", json!({})));
        let mut message = json!({ "chat_id": 7_000_000_006_i64, "text": "Hello!" });
        if kind == TelegramBusiness {
            let id = json!({ "business_connection_id": connection });
            message["business_connection_id"] = json!(connection);
            told("connection", ask(kind, "getBusinessConnection", id));
        }
        told("message", ask(kind, "sendMessage", message));
    }
    let mut updates = Vec::new();
    for kind in [TelegramBot, TelegramBusiness] {
        let all = ask(kind, "getUpdates", json!({ "timeout": 5 }));
        updates.extend(all.as_array().unwrap().clone());
    }
    assert!(updates.len() >= 3, "{updates:?}");
    job.extend(updates.iter().map(|update| json!(["update", update])));

    let mut judge = judge.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    judge.stdin.take().unwrap().write_all(json!(job).to_string().as_bytes()).unwrap();
    let output = judge.wait_with_output().unwrap();
    assert!(output.status.success());
    let seen: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let (others, events) = seen.split_at(expected.len());
    assert_eq!(others, expected);
    assert_eq!(events.len(), updates.len());
    for event in events {
        assert_eq!(event[1], json!("private"), "{event}");
    }
    let pictures = events.iter().filter(|event| event[3] == json!("photo")).count();
    assert!(pictures >= 2, "{events:?}");
}
