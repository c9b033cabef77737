//! A server that answers as it is told, or breaks off, drips and floods.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// What the server does with a request that it has read whole.
#[derive(Clone, Debug)]
pub(super) enum Behaviour {
    Answers {
        status: u16,
        headers: String,
        body: String,
    },
    Closes,
    Hangs,
    BreaksOff,
    /// A byte now and then, for ever.
    Drips,
    /// An answer of 50 MB.
    Floods,
}

pub(super) struct Server {
    pub(super) endpoint: String,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
    _task: AbortOnDropHandle<()>,
}

pub(super) fn answers(status: u16, body: &impl ToString) -> Behaviour {
    let headers = "Content-Type: application/json\r\n".to_owned();
    Behaviour::Answers { status, headers, body: body.to_string() }
}

/// Serves the first request with the first behaviour, and so on; the last stays.
pub(super) async fn serve(behaviours: &[Behaviour]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&requests);
    let behaviours = behaviours.to_vec();
    let task = TaskTracker::new().spawn(async move {
        for n in 0.. {
            let (mut socket, _) = listener.accept().await.unwrap();
            let Some(request) = read_request(&mut socket).await else { continue };
            noted.lock().unwrap().push(request);
            let behaviour = behaviours.get(n).unwrap_or_else(|| behaviours.last().unwrap());
            drop(misbehave(socket, behaviour.clone()).await);
        }
    });
    Server { endpoint, requests, _task: AbortOnDropHandle::new(task) }
}

impl Server {
    /// The heads and bodies that came.
    pub(super) fn requests(&self) -> Vec<(String, Value)> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<(String, Value)> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
            });
            if body.len() >= length.unwrap_or(0_usize) {
                return Some((head.to_owned(), serde_json::from_str(body).ok()?));
            }
        }
        if socket.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

async fn misbehave(mut socket: TcpStream, behaviour: Behaviour) -> std::io::Result<()> {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    match behaviour {
        Behaviour::Closes => Ok(()),
        Behaviour::Hangs => std::future::pending().await,
        Behaviour::Answers { status, headers, body } => {
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} Whatever\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            socket.write_all(answer.as_bytes()).await
        }
        Behaviour::BreaksOff => {
            let begun = format!("{HEAD}Content-Length: 900\r\n\r\n{{\"choices\":");
            socket.write_all(begun.as_bytes()).await
        }
        Behaviour::Drips => {
            socket.write_all(format!("{HEAD}Content-Length: 900\r\n\r\n").as_bytes()).await?;
            loop {
                socket.write_all(b" ").await?;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        Behaviour::Floods => {
            socket.write_all(format!("{HEAD}Content-Length: 50000000\r\n\r\n").as_bytes()).await?;
            for _ in 0..1_000 {
                socket.write_all(&vec![b' '; 50_000]).await?;
            }
            Ok(())
        }
    }
}
