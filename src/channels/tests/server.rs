//! A server that breaks off, drips or talks nonsense.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::{
    ServerConfig, ServerConnection,
    crypto::ring,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// What the server does with a request that it has read whole.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behaviour {
    Closes,
    Hangs,
    Answers {
        status: &'static str,
        headers: &'static str,
        body: &'static str,
    },
    BreaksOff,
    /// A byte now and then, for ever.
    Drips,
    /// An answer of 50 MB.
    Floods,
    /// A head that never ends.
    FloodsHead,
    /// Answers as VK does, keeps the connection, and closes it when the next request has come.
    ClosesSecond,
}

pub(super) struct Server {
    pub(super) endpoint: String,
    posts: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

/// Serves every request with `behaviour`, but for calls that come before a message: those are answered as
/// `before` says.
pub(super) async fn serve(
    behaviour: Behaviour,
    before: &'static [(&'static str, &'static str)],
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let posts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&posts);
    let task = TaskTracker::new().spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let Some(head) = read_request(&mut socket).await else { continue };
            let line = head.lines().next().unwrap_or_default();
            let behaviour = match before.iter().find(|(path, _)| line.contains(path)) {
                Some((_, body)) => Behaviour::Answers { status: "200 OK", headers: "", body },
                None => {
                    counted.fetch_add(usize::from(line.starts_with("POST")), Ordering::Relaxed);
                    behaviour
                }
            };
            drop(misbehave(socket, behaviour, &counted).await);
        }
    });
    Server { endpoint, posts, _task: AbortOnDropHandle::new(task) }
}

impl Server {
    /// The messages that were posted, to whatever end.
    pub(super) fn posts(&self) -> usize {
        self.posts.load(Ordering::Relaxed)
    }
}

/// A server that proves to be another than it is taken for.
pub(super) struct WrongCertificate {
    pub(super) endpoint: String,
    /// Connections on which it showed its certificate.
    pub(super) greeted: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

/// Self-signed, for `elsewhere.example`, until the year 2126.
const CERTIFICATE: &[u8] = include_bytes!("wrong_certificate.der");
const CERTIFICATE_KEY: &[u8] = include_bytes!("wrong_certificate.key");

pub(super) async fn serve_wrong_certificate() -> WrongCertificate {
    let key = PrivatePkcs8KeyDer::from(CERTIFICATE_KEY).into();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(CERTIFICATE)], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let greeted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&greeted);
    let task = TaskTracker::new().spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            drop(greet(&mut socket, &config, &counted).await);
        }
    });
    WrongCertificate { endpoint, greeted, _task: AbortOnDropHandle::new(task) }
}

/// One handshake, until the client turns away.
async fn greet(
    socket: &mut TcpStream,
    config: &Arc<ServerConfig>,
    greeted: &AtomicUsize,
) -> io::Result<()> {
    let mut connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut buffer = [0_u8; 4_096];
    loop {
        let n_read = socket.read(&mut buffer).await?;
        if n_read == 0 {
            return Ok(());
        }
        let mut read = &buffer[..n_read];
        while !read.is_empty() {
            connection.read_tls(&mut read)?;
            connection.process_new_packets().map_err(io::Error::other)?;
        }
        let mut answer = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut answer)?;
        }
        if !answer.is_empty() {
            greeted.fetch_add(1, Ordering::Relaxed);
        }
        socket.write_all(&answer).await?;
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
        if socket.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

async fn misbehave(
    mut socket: TcpStream,
    behaviour: Behaviour,
    posts: &AtomicUsize,
) -> std::io::Result<()> {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    match behaviour {
        Behaviour::Closes => Ok(()),
        Behaviour::Hangs => std::future::pending().await,
        Behaviour::Answers { status, headers, body } => {
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            socket.write_all(answer.as_bytes()).await
        }
        Behaviour::BreaksOff => {
            let begun = format!("{HEAD}Content-Length: 900\r\n\r\n{{\"response\":");
            socket.write_all(begun.as_bytes()).await
        }
        Behaviour::ClosesSecond => {
            let answer = format!("{HEAD}Content-Length: 14\r\n\r\n{{\"response\":1}}");
            socket.write_all(answer.as_bytes()).await?;
            if read_request(&mut socket).await.is_some() {
                posts.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
        Behaviour::Drips => {
            socket.write_all(format!("{HEAD}Content-Length: 900\r\n\r\n").as_bytes()).await?;
            loop {
                socket.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Behaviour::Floods => {
            socket.write_all(format!("{HEAD}Content-Length: 50000000\r\n\r\n").as_bytes()).await?;
            for _ in 0..1_000 {
                socket.write_all(&vec![b' '; 50_000]).await?;
            }
            Ok(())
        }
        Behaviour::FloodsHead => {
            socket.write_all(HEAD.as_bytes()).await?;
            loop {
                socket.write_all(format!("X-More: {}\r\n", "x".repeat(8_000)).as_bytes()).await?;
            }
        }
    }
}
