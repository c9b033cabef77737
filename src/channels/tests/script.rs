//! A provider whose answers are written beforehand.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{
    super::{Driver, Http, Polled},
    subject::Subject,
};
use crate::domain::attempt::Outcome;

/// A provider that answers the calls in this order, and remembers what was asked.
pub(super) struct Script {
    pub(super) endpoint: String,
    /// Made once: it keeps what it learnt.
    pub(super) driver: Driver,
    asked: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

/// `HOST` in an answer stands for the script's own address. `HTTP 404 …` is one with that status.
pub(super) async fn script_for(subject: &str, answers: &[&str]) -> Script {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let driver = Subject::of(subject).driver(&endpoint, "one", &Http::new().unwrap());
    let answers: Vec<_> = answers.iter().map(|answer| answer.replace("HOST", &endpoint)).collect();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let task = TaskTracker::new().spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            let request = loop {
                socket.read_buf(&mut read).await.unwrap();
                let text = String::from_utf8_lossy(&read).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head.to_ascii_lowercase();
                    let length = length
                        .split("content-length: ")
                        .nth(1)
                        .map_or(0, |rest| rest.lines().next().unwrap().trim().parse().unwrap());
                    if body.len() >= length {
                        break text;
                    }
                }
            };
            noted.lock().unwrap().push(request);
            let (status, body) = match answer.strip_prefix("HTTP ") {
                Some(rest) => (&rest[..3], rest[3..].trim_start()),
                None => ("200", answer.as_str()),
            };
            let whole = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(whole.as_bytes()).await.unwrap();
        }
    });
    Script { endpoint, driver, asked, _task: AbortOnDropHandle::new(task) }
}

impl Script {
    pub(super) async fn poll(&self, cursor: Option<&str>) -> Result<Polled, Outcome> {
        self.driver.poll(cursor).await
    }

    pub(super) async fn arrange(&self, hook: Option<&str>) -> Result<(), Outcome> {
        self.driver.arrange(hook).await
    }

    pub(super) fn calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The words that the request with this number has to have.
    #[track_caller]
    pub(super) fn assert_asked(&self, number: usize, words: &[&str]) {
        let asked = self.asked.lock().unwrap();
        for word in words {
            assert!(asked[number].contains(word), "{word}: {}", asked[number]);
        }
    }
}
