//! `watch --on-change` and `--notify`: what changed is told outward, once.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    sync::mpsc,
    thread,
};

use serde_json::Value;

use crate::support::{
    Folder, LEAVING, PATIENCE, Program, Running, TestDatabase, vk_task, wait_until,
};

struct Bench {
    folder: Folder,
    database: TestDatabase,
}

fn titled(title: &str) -> String {
    vk_task("one", "vk", "[1, 2, 3, 4, 5, 6, 7, 8]", &format!("  title: {title}"))
}

fn broken() -> String {
    titled("Broken").replace("Dialogues: 3s", "Dialogues: 2s")
}

impl Bench {
    fn new() -> Self {
        Self { folder: Folder::with_team(), database: TestDatabase::new() }
    }

    /// Every event goes into a file; a second command at the same time would leave its mark.
    fn watch(&self) -> Running {
        let command =
            "mkdir busy || touch overlap; cat >> events.jsonl; sleep 0.05; rmdir busy; exit 3";
        let arguments =
            ["watch", "--rehearse", "--journal", "journal.jsonl", "--on-change", command];
        Program::new(self.folder.root(), &arguments).database(&self.database).start()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.root().join(name)
    }

    fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file("events.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The events as `event name status`, in their order; what is told of several at once is sorted.
    fn told(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let told = self.events().into_iter().map(|event| {
            let (name, status) = (text(&event["subject"]["name"]), text(&event["after"]["status"]));
            format!("{} {name} {status}", text(&event["event"]))
        });
        told.collect()
    }

    #[track_caller]
    fn wait_for(&self, wanted: &[&str]) {
        wait_until("all is told", PATIENCE, || {
            let told = self.told();
            (told == wanted, told)
        });
    }

    fn sync(&self) -> String {
        self.database.value(
            "SELECT status FROM conditions WHERE kind = 'task' AND name = 'one' AND type = 'sync'",
        )
    }
}

#[test]
fn each_change_is_told_once_also_over_a_restart() {
    let bench = Bench::new();
    bench.folder.write("a.yaml", &titled("First"));
    let running = bench.watch();
    bench.wait_for(&["applied - -"]);
    assert!(bench.events()[0]["summary"].as_str().unwrap().starts_with("Plan: 4 to create"));

    bench.folder.write("a.yaml", &broken());
    let mut wanted = vec!["applied - -", "sync-changed one Held"];
    bench.wait_for(&wanted);
    let event = bench.events()[1].clone();
    assert_eq!(event["format_version"], "1.0");
    assert_eq!(event["before"]["status"], "Synced");
    assert_eq!(event["after"]["place"], "tasks.d/a.yaml:15:28");
    assert!(event["text"].as_str().unwrap().starts_with("task `one` is Held, was Synced: "));
    // Other passes, and another process, see the same and say nothing.
    bench.folder.write("_notes.yaml", "# nothing");
    assert_eq!(running.terminate(LEAVING), 143);
    let running = bench.watch();
    bench.folder.write("b.yaml", &vk_task("two", "vk", "[2]", ""));
    wanted.push("applied - -");
    bench.wait_for(&wanted);
    bench.folder.write("a.yaml", &titled("Mended"));
    wanted.extend(["applied - -", "sync-changed one Synced"]);
    bench.wait_for(&wanted);

    // A phase, and a folder that cannot be read and can again.
    let start =
        Program::new(bench.folder.root(), &["start", "one"]).database(&bench.database).run();
    assert_eq!(start.code, 0, "{}", start.stderr);
    wanted.push("health-changed one Progressing");
    wait_until("the start is told", PATIENCE, || {
        let told = bench.told();
        (told.starts_with(&wanted.iter().map(ToString::to_string).collect::<Vec<_>>()), told)
    });
    let aside = bench.file("aside");
    fs::rename(bench.folder.tasks(), &aside).unwrap();
    let is_told = |event: &str, status: &str| {
        let told = bench.told();
        let found = told.iter().filter(|it| it.starts_with(event) && it.ends_with(status)).count();
        (found == 1, told)
    };
    wait_until("the failure is told", PATIENCE, || is_told("not-reconciled", "Degraded"));
    fs::rename(aside, bench.folder.tasks()).unwrap();
    wait_until("its end is told", PATIENCE, || is_told("reconciled-again", "Healthy"));
    assert_eq!(bench.sync(), "Synced");
    assert!(!bench.file("overlap").exists(), "two commands ran at once");
    // The command failed each time, and that cost nothing.
    assert_eq!(running.terminate(LEAVING), 143);
}

#[test]
fn a_notice_is_posted_until_it_is_taken() {
    let bench = Bench::new();
    bench.folder.write("a.yaml", &titled("First"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook/secret", listener.local_addr().unwrap());
    let (say, said) = mpsc::channel();
    // It fails at first, as a receiver does that restarts.
    thread::spawn(move || {
        for status in ["503 Service Unavailable", "200 OK"] {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let begin = head.len();
                reader.read_line(&mut head).unwrap();
                let line = head[begin..].to_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            say.send((head, String::from_utf8(body).unwrap())).unwrap();
        }
    });
    let ended = Program::new(bench.folder.root(), &["watch", "--once"])
        .database(&bench.database)
        .env("NUNCIO_NOTIFY_URL", &url)
        .run();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    let (head, body) = said.recv().unwrap();
    assert!(head.starts_with("POST /hook/secret HTTP/1.1\r\n"), "{head}");
    assert_eq!(said.recv().unwrap().1, body, "the second try is the same notice");
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(event["event"], "applied");
    for (url, wanted) in
        [("ftp://example.test", "must be an `https://`"), ("https://a:b@c/", "NUNCIO_NOTIFY_URL")]
    {
        let run = Program::new(bench.folder.root(), &["watch", "--once", "--notify", url]);
        let ended = run.database(&bench.database).run();
        assert!(ended.stderr.contains(wanted), "{}", ended.stderr);
        assert_ne!(ended.code, 0);
    }
}
