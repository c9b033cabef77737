//! Nothing that a driver does, nor a library below it, writes a secret, a text or an address into a log.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use super::{
    SHORT, TEXT,
    server::{Behaviour, serve},
    stage::Stage,
    subject::{SUBJECTS, Subject},
};
use crate::{
    channels::{Http, Receives},
    rehearsal::ADDRESS_FAULTS,
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Everything that the driver can be asked to do, with and without success.
async fn live(stage: &Stage, subject: &Subject) {
    let http = Http::with_deadline(SHORT).unwrap();
    for (name, endpoint) in [
        (subject.name, stage.endpoint(subject)),
        ("sales-expired", stage.endpoint(subject)),
        ("one", serve(Behaviour::BreaksOff, &[]).await.endpoint),
        ("one", "http://127.0.0.1:9".to_owned()),
    ] {
        let driver = subject.driver(&endpoint, name, &http);
        drop(driver.examine().await);
        drop(driver.arrange(Some("https://chat.example/hooks/one")).await);
        let polls = driver.receives() == Receives::Polling;
        let begun = if polls { driver.poll(None).await.ok() } else { None };
        for (key, row) in (1_i64..).zip(ADDRESS_FAULTS).filter(|(_, row)| row.ending != "0504") {
            stage.meet(subject, name, row.ending);
            subject.say(&driver, row.ending, key).await;
            subject.reply(&driver, row.ending, TEXT, key + 100).await;
            driver.show_typing(&subject.address(row.ending), Some("wamid.1")).await;
        }
        // What was said meanwhile is there at once.
        if let Some(begun) = begun {
            drop(driver.poll(Some(&begun.cursor)).await);
        }
    }
}

#[tokio::test]
async fn no_log_names_a_secret_a_person_or_their_words() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(log.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let stage = Stage::quiet(None).await;
    for subject in SUBJECTS {
        live(&stage, subject).await;
    }
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("TRACE"), "the libraries were heard");
    for line in log.lines() {
        for ending in ["0001", "0403", "0429"] {
            for subject in SUBJECTS {
                let address = subject.address(ending);
                let digits = address.as_str().rsplit([':', '+']).next().unwrap();
                assert!(!line.contains(digits), "{}: {line}", subject.name);
            }
        }
        assert!(!line.contains("rehearsal_") && !line.contains(TEXT), "{line}");
    }
}
