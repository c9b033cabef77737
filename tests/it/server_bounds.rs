//! What the server grants to whoever connects: by real sockets, against short bounds.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use nuncio::server::Bounds;

use crate::support::{API_KEY, Behaviour, Hosted, channel, incoming_task, wait_until};

/// Much longer than any bound of these tests, and shorter than the usual ones.
const PATIENCE: Duration = Duration::from_secs(8);

const SHORT: Duration = Duration::from_millis(300);

fn hosted(bounds: Bounds) -> Hosted {
    let behaviour = Behaviour { bounds, ..Behaviour::default() };
    let api = channel("shop-api", "api", "apiKey: {env: API_KEY}", "");
    let task = incoming_task("web", "web", "shop-api");
    Hosted::with(&[("api.yaml", &api), ("web.yaml", &task)], behaviour)
}

struct Client(TcpStream);

impl Client {
    fn connect(hosted: &Hosted) -> Self {
        let socket = TcpStream::connect(hosted.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// Says a part of a request.
    fn says(hosted: &Hosted, part: &str) -> Self {
        let mut client = Self::connect(hosted);
        client.0.write_all(part.as_bytes()).unwrap();
        client
    }

    /// Everything until the server ends the connection.
    fn hears_to_the_end(mut self) -> String {
        let mut heard = Vec::new();
        match self.0.read_to_end(&mut heard) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the server did not end it in time: {error}"),
        }
        String::from_utf8(heard).unwrap()
    }
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";

#[test]
fn a_head_that_does_not_come_to_its_end_ends_the_connection() {
    let hosted = hosted(Bounds { head_deadline: SHORT, ..Bounds::default() });
    for (part, heard) in [
        ("", ""),
        ("GET /healthz HTTP/1.1\r\nhost: he", ""),
        // The next head never comes.
        ("GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n", "ok\n"),
    ] {
        let begun = Instant::now();
        let said = Client::says(&hosted, part).hears_to_the_end();
        assert!(said.ends_with(heard), "{part:?}: {said}");
        assert!(begun.elapsed() >= SHORT, "{part:?}: after {:?}", begun.elapsed());
    }
    // Not even one that grows all the time.
    let mut client = Client::says(&hosted, "GET /healthz HTTP/1.1\r\nx: ");
    wait_until("the server has no patience for more", PATIENCE, || {
        let written = client.0.write_all(b"a");
        (written.is_err(), written.err())
    });
}

#[test]
fn a_body_that_does_not_come_to_its_end_is_refused() {
    let hosted = hosted(Bounds { body_deadline: SHORT, ..Bounds::default() });
    let head = format!(
        "POST /api/v1/shop-api/dialogues/anna/messages HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {API_KEY}\r\n\
        idempotency-key: 1\r\ncontent-type: application/json\r\nconnection: close\r\n"
    );
    for body in
        ["content-length: 30\r\n\r\n{\"text\":", "transfer-encoding: chunked\r\n\r\n3\r\n{\"t\r\n"]
    {
        let said = Client::says(&hosted, &format!("{head}{body}")).hears_to_the_end();
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("\"too-slow\""), "{said}");
    }
    assert_eq!(hosted.database.value("SELECT count(*) FROM messages"), "0");
}

#[test]
fn whoever_finds_no_place_waits_for_one() {
    let hosted = hosted(Bounds { connections_max: 2, head_deadline: SHORT, ..Bounds::default() });
    let begun = Instant::now();
    let silent = [Client::connect(&hosted), Client::connect(&hosted)];
    let said = Client::says(&hosted, HEALTH).hears_to_the_end();
    assert!(said.starts_with("HTTP/1.1 200 ") && begun.elapsed() >= SHORT, "{said}");
    for silent in silent {
        assert_eq!(silent.hears_to_the_end(), "");
    }
}

#[test]
fn a_reader_who_takes_nothing_holds_a_place_no_longer_than_a_connection_may_live() {
    let bounds = Bounds { connections_max: 1, connection_lifetime: SHORT, ..Bounds::default() };
    let hosted = hosted(bounds);
    let poll = format!(
        "GET /api/v1/shop-api/messages?wait=30 HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {API_KEY}\r\n\r\n"
    );
    let begun = Instant::now();
    let reader = Client::says(&hosted, &poll);
    let said = Client::says(&hosted, HEALTH).hears_to_the_end();
    assert!(said.starts_with("HTTP/1.1 200 ") && begun.elapsed() >= SHORT, "{said}");
    assert_eq!(reader.hears_to_the_end(), "");
}
