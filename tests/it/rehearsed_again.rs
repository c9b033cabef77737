//! A rehearsal that was killed, and goes on.

use std::{net::TcpListener, path::PathBuf};

use nuncio::rehearsal::{Direction, Entry, read_journal};

use crate::support::{
    Folder, PATIENCE, Program, Running, TestDatabase, channel, vk_task, wait_until,
};

struct Stage {
    folder: Folder,
    database: TestDatabase,
}

impl Stage {
    fn new() -> Self {
        let folder = Folder::with_team();
        folder.write("vk.yaml", &channel("vk", "vk-user", "token: {env: VK_TOKEN}", ""));
        Self { folder, database: TestDatabase::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.root().join(name)
    }

    fn watch(&self) -> Running {
        let arguments = ["watch", "--rehearse", "--journal", "journal.jsonl"];
        let program = Program::new(self.folder.root(), &arguments).database(&self.database);
        program.start_logging(&self.path("log"))
    }

    /// Where the log says that chats are.
    fn port(&self) -> u16 {
        let at = "web chats are at http://127.0.0.1:";
        let log = wait_until("the log says where chats are", PATIENCE, || {
            let log = std::fs::read_to_string(self.path("log")).unwrap();
            (log.contains(at), log)
        });
        let after = &log[log.find(at).unwrap() + at.len()..];
        after[..after.find('/').unwrap()].parse().unwrap()
    }

    fn journal(&self) -> Vec<Entry> {
        read_journal(&self.path("journal.jsonl")).unwrap_or_default()
    }
}

#[test]
fn chats_are_at_the_same_port_after_a_kill_and_the_log_says_where_it_is_taken() {
    let stage = Stage::new();
    let first = stage.watch();
    let port = stage.port();
    first.kill();
    let again = stage.watch();
    assert_eq!(stage.port(), port);
    again.kill();
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let _elsewhere = stage.watch();
    assert_ne!(stage.port(), port);
    let log = std::fs::read_to_string(stage.path("log")).unwrap();
    assert!(log.contains(&format!("port {port} is taken")), "{log}");
}

#[test]
fn a_person_says_after_a_kill_what_they_were_about_to_say() {
    // Thinks for two seconds, and asks for a human.
    let task = vk_task("talk", "vk", "[12345608]", "  state: running");
    let said = |entry: &Entry| entry.direction == Direction::FromPerson;
    let killed_in_time = || {
        let stage = Stage::new();
        stage.folder.write("talk.yaml", &task);
        let first = stage.watch();
        wait_until("the opening is there", PATIENCE, || {
            let journal = stage.journal();
            (journal.iter().any(Entry::is_delivery), journal.len())
        });
        first.kill();
        (!stage.journal().iter().any(said)).then_some(stage)
    };
    // On a busy machine the kill may come too late to show anything.
    let stage = (0..5).find_map(|_| killed_in_time()).expect("killed too late each time");
    let _again = stage.watch();
    let heard = "SELECT string_agg(text, '|') FROM messages WHERE author = 'person'";
    wait_until("the person goes on", PATIENCE, || {
        let heard = stage.database.value(heard);
        (heard != "NULL", heard)
    });
    let words: Vec<String> =
        stage.journal().into_iter().filter(said).map(|entry| entry.text).collect();
    assert_eq!(words, ["I want to talk to a human, please."]);
}
