//! The samples, rehearsed: whole dialogues, on which the database, what operators are told, and the journals of
//! the providers, of the AI and of the CRM agree to the message.

mod agreement;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use nuncio::rehearsal::{Direction, Entry, Person, Verdict, Way, read_journal};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Folder, PATIENCE, Program, TestDatabase, wait_until};

/// The channels that only answer, and how many strangers of the rehearsal write to each.
const ANSWERING: &[&str] = &["avito-shop", "insta-shop", "tg-bot"];
const STRANGERS: usize = 5;

/// A person on a channel.
type Who = (String, String);

struct Stage {
    folder: Folder,
    database: TestDatabase,
    journal: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let folder = Folder::new();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tasks.d"), &folder.tasks());
        let journal = folder.root().join("journal.jsonl");
        Self { folder, database: TestDatabase::new(), journal }
    }

    fn program(&self, arguments: &[&str]) -> Program {
        Program::new(self.folder.root(), arguments).database(&self.database)
    }

    /// What a command that succeeds says.
    #[track_caller]
    fn told(&self, line: &str) -> String {
        let ended = self.program(&line.split(' ').collect::<Vec<_>>()).run();
        assert_eq!(ended.code, 0, "{line}: {ended:?}");
        ended.stdout
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.told(&format!("{line} --output json"))).unwrap()
    }

    fn value(&self, query: &str) -> String {
        self.database.value(query)
    }

    fn number(&self, query: &str) -> usize {
        self.value(query).parse().unwrap()
    }

    /// The tasks of the folder.
    fn n_tasks(&self) -> usize {
        let files = std::fs::read_dir(self.folder.tasks()).unwrap();
        let texts = files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok());
        texts.map(|text| text.lines().filter(|line| *line == "kind: Task").count()).sum()
    }

    /// The rows of a query.
    fn rows(&self, query: &str) -> Vec<Value> {
        let rows = format!("SELECT coalesce(json_agg(r), '[]') FROM ({query}) r");
        serde_json::from_str(&self.value(&rows)).unwrap()
    }

    /// One column of a query by person.
    fn texts(&self, query: &str) -> BTreeMap<Who, Vec<String>> {
        let mut all: BTreeMap<Who, Vec<String>> = BTreeMap::new();
        for row in self.rows(query) {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            all.entry((text("channel"), text("peer"))).or_default().push(text("text"));
        }
        all
    }

    fn journal(&self) -> Vec<Entry> {
        read_journal(&self.journal).unwrap_or_default()
    }

    /// What is still to come; nothing, when every dialogue is where it stays.
    fn awaited(&self) -> Vec<String> {
        let mut awaited = Vec::new();
        // First: a stranger who comes after the rest was looked at has not been talked to yet.
        for channel in ANSWERING {
            let met = format!("SELECT count(*) FROM dialogues WHERE channel = '{channel}'");
            let strangers = self.number(&met);
            if strangers < STRANGERS {
                awaited.push(format!("{strangers} strangers on {channel}"));
            }
        }
        let journal = self.journal();
        let talk = |entry: &&Entry| is_said(entry) || entry.is_delivery();
        let talks = by_person(journal.iter().filter(talk));
        for (channel, address) in talks.into_keys() {
            let person = Person::of_address(&address);
            let theirs = |e: &&Entry| e.channel == channel && e.address == address;
            let heard = journal.iter().filter(theirs).filter(|entry| entry.is_delivery()).count();
            // Who wrote first is a turn ahead; and before anything else, a bot's Start was pressed.
            let first = journal.iter().filter(theirs).find(|entry| talk(entry));
            let first = first.filter(|entry| is_said(entry));
            let started = first.is_some_and(|entry| entry.text.starts_with("[start"));
            let turns = heard + usize::from(first.is_some());
            let lines = (0..turns).map(|turn| person.lines(turn).len()).sum::<usize>()
                + usize::from(started);
            let said = journal.iter().filter(theirs).filter(|entry| is_said(entry)).count();
            let brought = journal.iter().filter(theirs).filter(|e| is_brought(e)).count();
            let times = if person.way == Way::Straight { 1 } else { 3 };
            let is_pushed =
                !["avito-shop", "vk-anna", "tg-anna", "tg-bot"].contains(&channel.as_str());
            if said < lines || is_pushed && brought < lines * times {
                awaited.push(format!("{address} says more"));
            }
            let known = format!(
                "SELECT count(*) FROM messages m JOIN dialogues d ON d.id = m.dialogue_id
                WHERE d.channel = '{channel}' AND d.peer = '{address}' AND m.author = 'person'"
            );
            if self.number(&known) < lines {
                awaited.push(format!("{address} is not heard yet"));
            }
        }
        // Then: what is heard is to be answered from the moment in which it is known.
        for (what, query) in [
            (
                "openings",
                "SELECT count(*) FROM turns WHERE running AND verdict <> 'audience-exhausted'",
            ),
            ("calls", "SELECT count(*) FROM lanes WHERE in_flight IS NOT NULL"),
            (
                "answers",
                "SELECT count(*) FROM dialogues WHERE due_at IS NOT NULL OR held_fence IS NOT NULL",
            ),
            ("replies", "SELECT count(*) FROM messages WHERE state IN ('waiting', 'sending')"),
            (
                "statuses",
                "SELECT count(*) FROM messages WHERE channel IN ('waba-main', 'whatsapp-boris', 'insta-shop')
                    AND author <> 'person' AND state <> 'read'",
            ),
        ] {
            match self.number(query) {
                0 => {}
                n => awaited.push(format!("{n} {what}")),
            }
        }
        if self.number("SELECT count(*) FROM tasks") == 0 {
            awaited.push("an apply".to_owned());
        }
        // And whoever was written to since the journal was read has not answered yet.
        if self.journal().len() > journal.len() {
            awaited.push("the end of what happens".to_owned());
        }
        awaited
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let there = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &there);
        } else {
            fs::copy(path, there).unwrap();
        }
    }
}

fn is_said(entry: &Entry) -> bool {
    entry.direction == Direction::FromPerson
}

/// A person's message that a webhook brought, and that was taken.
fn is_brought(entry: &Entry) -> bool {
    entry.direction == Direction::Push
        && entry.note.as_deref() == Some("message")
        && entry.verdict == Verdict::Delivered
}

fn by_person<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeMap<Who, Vec<String>> {
    let mut all: BTreeMap<Who, Vec<String>> = BTreeMap::new();
    for Entry { channel, address, text, .. } in entries {
        all.entry((channel.clone(), address.clone())).or_default().push(text.clone());
    }
    all
}

/// A visitor of the chat page, who talks as long as it takes to succeed.
async fn visit(base: &str) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let page = loop {
        // It listens a moment after it was started, and takes visitors when the folder is applied.
        match client.get(format!("{base}/chat/site")).send().await {
            Ok(page) if page.status().is_success() => break page,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let cookie = page.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let url = format!("{base}/chat/site/messages");
    for (n, text) in ["Hello!", "I agree, call me: +7 912 345-67-92"].into_iter().enumerate() {
        let body = json!({ "client_message_id": Uuid::new_v4(), "text": text }).to_string();
        loop {
            let request = client.post(&url).header("cookie", &cookie).header("origin", base);
            let request = request.header("content-type", "application/json").body(body.clone());
            if request.send().await.unwrap().status().is_success() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        loop {
            let shown = client.get(&url).header("cookie", &cookie).send().await.unwrap();
            let shown: Value = serde_json::from_str(&shown.text().await.unwrap()).unwrap();
            if shown["messages"].as_array().is_some_and(|messages| messages.len() == 2 * (n + 1)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[test]
fn the_samples_show_whole_dialogues_on_which_everybody_agrees() {
    let stage = Stage::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let arguments = ["watch", "--rehearse", "--journal", "journal.jsonl", "--listen", &free];
    let watch = stage.program(&arguments).start();
    let n_tasks = stage.n_tasks();
    wait_until("the folder is applied", PATIENCE, || {
        let n = stage.number("SELECT count(*) FROM tasks");
        (n == n_tasks, n)
    });
    stage.database.run("UPDATE tasks SET pause_ms = 300 WHERE outgoing");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, visit(&format!("http://{free}"))).await.unwrap();
    });
    wait_until("every dialogue is where it stays", PATIENCE, || {
        let awaited = stage.awaited();
        (awaited.is_empty(), awaited)
    });
    // A CRM that failed inside is asked again minutes later, in case it is slow to find what it keeps.
    wait_until("everything is reported", PATIENCE, || {
        stage.database.run(
            "UPDATE reports SET ready_at = now() WHERE state = 'waiting' AND leased_until IS NULL;
            NOTIFY nuncio_dialogues",
        );
        let waiting = stage.number("SELECT count(*) FROM reports WHERE state = 'waiting'");
        (waiting == 0, waiting)
    });
    assert_eq!(watch.interrupt(PATIENCE), 130);

    agreement::every_kind_of_end_is_there(&stage);
    agreement::every_type_has_a_whole_conversation(&stage);
    agreement::providers_and_database_agree(&stage);
    agreement::nobody_is_written_to_after_stop(&stage);
    agreement::the_ai_billed_what_was_spent(&stage);
    agreement::the_crm_has_every_success_once(&stage);
    agreement::operators_are_told_the_same(&stage);
}
