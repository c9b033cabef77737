//! A proxy before the database whose connections can go silent without being closed, as a failover or a
//! lost route leaves them.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::TestDatabase;

pub(crate) struct Proxy {
    folder: TempDir,
    /// Connections of an older generation are silent.
    generation: Arc<AtomicU64>,
}

impl Proxy {
    /// Before the server's socket; `None` where it is reached otherwise.
    pub(crate) fn start() -> Option<Self> {
        let server = TestDatabase::server_socket()?;
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let generation = Arc::new(AtomicU64::new(0));
        let current = Arc::clone(&generation);
        // Ends with the process: a listener of a removed folder hears of nobody.
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, UnixStream::connect(&server)) else {
                    continue;
                };
                let born = current.load(Ordering::SeqCst);
                for (from, to) in
                    [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    let current = Arc::clone(&current);
                    thread::spawn(move || forward(from, to, born, &current));
                }
            }
        });
        Some(Self { folder, generation })
    }

    /// From now on nothing passes through the connections that are open.
    pub(crate) fn silence(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn url(&self, database: &TestDatabase) -> String {
        let folder = self.folder.path().to_string_lossy().replace('/', "%2F");
        format!("postgres://nuncio@{folder}/{}", database.name())
    }
}

fn forward(mut from: UnixStream, mut to: UnixStream, born: u64, current: &AtomicU64) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        while current.load(Ordering::SeqCst) != born {
            // Keeps both ends open, and says nothing.
            thread::sleep(Duration::from_millis(500));
        }
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
    drop(to.shutdown(std::net::Shutdown::Both));
}
