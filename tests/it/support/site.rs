//! A site of somebody else, on this machine: a page a path, under whatever name a browser asks for it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

/// More than a browser needs to send what it asks for.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// What a path answers with: headers of its own, each a whole line, and the document.
pub(crate) struct SitePage {
    pub(crate) path: &'static str,
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// Takes a free port; nobody is answered before [`serve`].
pub(crate) fn site() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Serves the pages for as long as the test's process lives.
pub(crate) fn serve(listener: TcpListener, pages: Vec<SitePage>) {
    let pages = Arc::new(pages);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // A browser opens connections that it never uses: none may keep the others waiting.
            let pages = Arc::clone(&pages);
            std::thread::spawn(move || answer(&connection, &pages));
        }
    });
}

fn answer(mut connection: &TcpStream, pages: &[SitePage]) -> std::io::Result<()> {
    connection.set_read_timeout(Some(REQUEST_DEADLINE))?;
    let mut lines = BufReader::new(connection).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split([' ', '?']).nth(1).unwrap_or_default();
    match pages.iter().find(|page| page.path == path) {
        Some(SitePage { headers, body, .. }) => write!(
            connection,
            "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n{headers}\
            connection: close\r\n\r\n{body}",
            body.len()
        ),
        // A browser asks for a picture of the site that nobody named.
        None => write!(connection, "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"),
    }
}
