//! What is refused, and that it costs nothing: no row, no call of the AI.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use nuncio::rehearsal::Rehearsal;

use super::{
    Hook, PATIENCE, Stage, now,
    wire::{cloud_message, cloud_status, gate_message, gate_message_at, signed_by_meta},
};

const PEER: &str = "+79161000001";

fn genuine() -> Hook {
    cloud_message(PEER, "wamid.1", "Hello", now().timestamp())
}

#[test]
fn whatever_is_not_proven_is_refused_and_costs_nothing() {
    let stage = Stage::new();
    let before = stage.everything();
    let minutes = |minutes: i64| now() + TimeDelta::minutes(minutes);
    let at = |minutes_ago| gate_message_at(PEER, "AAAA", "Hello", minutes(minutes_ago));
    let (cloud, gate) = (genuine(), gate_message(PEER, "AAAA", "Hello", now().timestamp()));
    let wrong = cloud.headers[0].1.replace(['0', '1'], "2");
    let foreign = signed_by_meta("idle", &cloud.body).headers[0].1.clone();
    let mut tampered = cloud.body.clone();
    tampered.push(b' ');
    for (status, hook) in [
        (401, cloud.without_header("x-hub-signature-256")),
        (401, cloud.with_header("x-hub-signature-256", &wrong)),
        (401, cloud.with_header("x-hub-signature-256", "sha256=")),
        (401, cloud.with_header("x-hub-signature-256", &wrong[7..])),
        // Of another channel, of another body, and of none.
        (401, cloud.with_header("x-hub-signature-256", &foreign)),
        (401, cloud.with_body(&tampered)),
        (401, cloud.with_body(b"")),
        (401, gate.without_header("x-webhook-hmac")),
        (401, gate.with_header("x-webhook-hmac", "00")),
        (401, gate.with_header("x-webhook-hmac-algorithm", "md5")),
        // A replay, a clock that is wrong, and a time that somebody moved.
        (403, at(-6)),
        (403, at(6)),
        (
            403,
            at(-6).with_header("x-webhook-timestamp", &minutes(0).timestamp_millis().to_string()),
        ),
        (403, at(-6).without_header("x-webhook-timestamp")),
        (400, signed_by_meta("cloud", b"{")),
        (400, signed_by_meta("cloud", b"\xff\xfe")),
        (400, signed_by_meta("cloud", b"null")),
        (404, Hook { channel: "nowhere", ..cloud.clone() }),
        (404, Hook { channel: "Not%20A%20Name", ..cloud.clone() }),
    ] {
        stage.answers(&hook, status);
    }
    assert_eq!(stage.everything(), before);
    assert_eq!(stage.value("SELECT count(*) FROM dialogues WHERE due_at IS NOT NULL"), "0");
    // The same, proven, is taken.
    stage.takes(&cloud);
    stage.takes(&at(-4));
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "2");
}

#[test]
fn the_challenge_is_answered_to_whoever_knows_the_token() {
    let stage = Stage::new();
    let token = Rehearsal::secret("cloud", "verifyToken").reveal().to_owned();
    let ask = |path: String| {
        let request = stage.client.get(stage.hosted.url(&path));
        stage.hosted.runtime.block_on(async {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        })
    };
    let query = |mode: &str, token: &str, challenge: &str| {
        format!("?hub.mode={mode}&hub.verify_token={token}&hub.challenge={challenge}")
    };
    let good = query("subscribe", &token, "1158201444");
    assert_eq!(ask(format!("/hooks/cloud{good}")), (200, "1158201444".to_owned()));
    for (status, path) in [
        (403, format!("/hooks/cloud{}", query("subscribe", "x", "1158201444"))),
        (403, format!("/hooks/cloud{}", query("unsubscribe", &token, "1158201444"))),
        (403, format!("/hooks/cloud{}", query("subscribe", &token, "%3Cscript%3E"))),
        (403, "/hooks/cloud".to_owned()),
        (403, format!("/hooks/gate{good}")),
        (404, format!("/hooks/nowhere{good}")),
    ] {
        let (got, answer) = ask(path.clone());
        assert_eq!(got, status, "{path}: {answer}");
        assert!(!answer.contains("1158201444") && !answer.contains(&token), "{answer}");
    }
}

#[test]
fn what_no_task_wants_is_to_be_brought_again_and_nothing_of_it_is_kept() {
    let stage = Stage::new();
    let before = stage.everything();
    let body = genuine().body;
    let hook = signed_by_meta("idle", &body);
    stage.answers(&hook, 503);
    assert_eq!(stage.everything(), before);
    // News of what nobody sent is nobody's loss.
    stage.takes(&signed_by_meta("idle", &cloud_status(PEER, "wamid.9", "read", None).body));
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "0");
}

#[test]
fn while_the_database_is_away_nothing_is_taken_and_the_repeat_is() {
    let stage = Stage::new();
    let hook = genuine();
    // The channel's specification is known by now.
    stage.takes(&cloud_message(PEER, "wamid.0", "Hello", now().timestamp()));
    stage.hosted.database.run("ALTER TABLE messages RENAME TO messages_away");
    stage.answers(&hook, 503);
    stage.hosted.database.run("ALTER TABLE messages_away RENAME TO messages");
    assert_eq!(stage.value("SELECT turn FROM dialogues"), "1", "all of it, or nothing");
    stage.takes(&hook);
    stage.takes(&hook);
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "2");
    // And away as a whole, also for a channel of which nothing is known yet.
    let last = cloud_message(PEER, "wamid.2", "Hello?", now().timestamp());
    stage.hosted.database.leave();
    stage.answers(&last, 503);
    stage.answers(&Hook { channel: "gate", ..hook }, 503);
    stage.hosted.database.come_back();
    stage.takes(&last);
    assert_eq!(stage.value("SELECT count(*) FROM messages"), "3");
}

const LARGE: usize = 50 * 1024 * 1024;

/// Sends a head, and then pieces of a body until the server has had enough. Gives its answer, and how much it
/// let through.
fn stream(stage: &Stage, head: &str, piece: &[u8], pause: Duration) -> (String, usize) {
    let mut socket = TcpStream::connect(stage.hosted.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut reader = socket.try_clone().unwrap();
    let answer = std::thread::spawn(move || {
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => answer.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("no answer: {error}"),
            }
        }
        String::from_utf8(answer).unwrap()
    });
    let start = format!("POST /hooks/cloud HTTP/1.1\r\nhost: test\r\n{head}\r\n");
    socket.write_all(start.as_bytes()).unwrap();
    let mut sent = 0;
    let until = Instant::now() + PATIENCE;
    while sent < LARGE && Instant::now() < until && !answer.is_finished() {
        if socket.write_all(piece).is_err() {
            break;
        }
        sent += piece.len();
        // Not a wait for anything: it is the pace of the writer.
        std::thread::sleep(pause);
    }
    (answer.join().unwrap(), sent)
}

#[test]
fn a_body_without_an_end_is_refused_early() {
    let stage = Stage::new();
    let before = stage.everything();
    let zeros = vec![b'0'; 64 * 1024];
    let chunk = [format!("{:x}\r\n", zeros.len()).as_bytes(), &zeros, b"\r\n"].concat();
    let signed = format!("x-hub-signature-256: {}\r\n", genuine().headers[0].1);
    let quick = Duration::ZERO;
    // Whoever says how much it will be is refused before the first byte.
    let head = format!("{signed}content-length: {LARGE}\r\n");
    let (answer, _) = stream(&stage, &head, b"", Duration::from_millis(10));
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close\r\n"), "{answer}");
    let (answer, sent) = stream(&stage, &head, &zeros, quick);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(sent < LARGE / 2, "{sent}");
    let head = format!("{signed}transfer-encoding: chunked\r\n");
    let (answer, sent) = stream(&stage, &head, &chunk, quick);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(sent < LARGE / 2, "{sent}");
    // And whoever drips has ten seconds.
    let began = Instant::now();
    let (answer, _) = stream(&stage, &head, b"1\r\n0\r\n", Duration::from_millis(50));
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(stage.everything(), before);
}
