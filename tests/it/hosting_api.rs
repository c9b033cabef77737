//! The API of `api` channels: keys, idempotency, polling.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use nuncio::server::Bounds;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::support::{API_KEY, Behaviour, Hosted};

struct Caller<'a> {
    hosted: &'a Hosted,
    client: Client,
}

impl<'a> Caller<'a> {
    fn new(hosted: &'a Hosted) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(40)).build();
        Self { hosted, client: client.unwrap() }
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.call_with(API_KEY, method, path)
    }

    fn call_with(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        let url = self.hosted.url(&format!("/api/v1/{path}"));
        self.client.request(method, url).bearer_auth(key)
    }

    fn message(&self, peer: &str, key: &str, text: &str) -> RequestBuilder {
        self.call(Method::POST, &format!("shop-api/dialogues/{peer}/messages"))
            .header("idempotency-key", key)
            .json(&json!({ "text": text }))
    }

    fn run(&self, request: RequestBuilder) -> (u16, Value) {
        self.hosted.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let status = response.status();
            let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
            let is_problem = kind == "application/problem+json";
            assert_eq!(is_problem, !status.is_success(), "{status} {kind}");
            (status.as_u16(), response.json().await.unwrap())
        })
    }
}

#[test]
fn a_key_takes_one_message_once() {
    let hosted = Hosted::start();
    let caller = Caller::new(&hosted);
    let (status, first) = caller.run(caller.message("anna@shop:1", "key-1", "Hello"));
    assert_eq!(status, 201, "{first}");
    assert_eq!(first["peer"], "anna@shop:1");
    let again = hosted.fetch(caller.message("anna@shop:1", "key-1", "Hello"));
    assert_eq!(again.status(), StatusCode::CREATED);
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    let again: Value = hosted.runtime.block_on(again.json()).unwrap();
    assert_eq!(again, first);
    for (peer, text) in [("anna@shop:1", "Another"), ("boris", "Hello")] {
        let (status, problem) = caller.run(caller.message(peer, "key-1", text));
        assert_eq!((status, problem["code"].as_str()), (422, Some("key-reused")), "{problem}");
    }
    assert_eq!(hosted.database.value("SELECT count(*) FROM messages"), "1");
}

#[test]
fn only_the_key_opens_a_channel() {
    let hosted = Hosted::start();
    let caller = Caller::new(&hosted);
    let with = |path: &str, shown: Option<&str>| {
        let request = caller.client.get(hosted.url(path));
        shown.map_or_else(
            || request.try_clone().unwrap(),
            |shown| request.try_clone().unwrap().header("authorization", shown),
        )
    };
    let right = format!("Bearer {API_KEY}");
    let longer = format!("Bearer {API_KEY}x");
    for (path, shown) in [
        ("/api/v1/shop-api/messages", None),
        ("/api/v1/shop-api/messages", Some("Bearer ")),
        ("/api/v1/shop-api/messages", Some("Bearer the-key-of-the-ap")),
        ("/api/v1/shop-api/messages", Some(&longer)),
        ("/api/v1/shop-api/messages", Some(API_KEY)),
        ("/api/v1/shop-api/dialogues/anna", Some("Basic abc")),
        // No channel, and channels of another kind, look the same.
        ("/api/v1/nowhere/messages", Some(&right)),
        ("/api/v1/site/messages", Some(&right)),
        ("/api/v1/Not-A-Name/messages", Some(&right)),
    ] {
        let (status, problem) = caller.run(with(path, shown));
        assert_eq!(
            (status, problem["code"].as_str()),
            (401, Some("unauthorised")),
            "{path} {shown:?}"
        );
    }
    let (status, _) = caller.run(with("/api/v1/shop-api/messages", Some(&right)));
    assert_eq!(status, 200);
}

#[test]
fn what_is_no_message_is_refused() {
    let hosted = Hosted::start();
    let caller = Caller::new(&hosted);
    let path = "shop-api/dialogues/anna/messages";
    let long_peer = format!("shop-api/dialogues/{}/messages", "a".repeat(129));
    let post = |path: &str| caller.call(Method::POST, path).header("idempotency-key", "k");
    let text = json!({ "text": "x" });
    for (status, request) in [
        (400, caller.call(Method::POST, path).json(&text)),
        (400, caller.call(Method::POST, path).header("idempotency-key", " ").json(&text)),
        (
            400,
            caller.call(Method::POST, path).header("idempotency-key", "k".repeat(256)).json(&text),
        ),
        (400, post(&long_peer).json(&text)),
        (400, post("shop-api/dialogues/a%2Fb/messages").json(&text)),
        (400, post(path).json(&json!({"text": "x", "from": "y"}))),
        (400, post(path).json(&json!("x"))),
        (415, post(path).body("x")),
        (413, post(path).json(&json!({"text": "x".repeat(70_000)}))),
        (422, post(path).json(&json!({"text": "x".repeat(4001)}))),
        (422, post(path).json(&json!({"text": " "}))),
        (404, caller.call(Method::GET, "shop-api/dialogues/anna")),
        (404, caller.call(Method::GET, "shop-api/nothing")),
        (400, caller.call(Method::GET, "shop-api/messages?after=x")),
        (400, caller.call(Method::GET, "shop-api/messages?wait=-1")),
        (400, caller.call(Method::GET, "shop-api/dialogues/%FF")),
        (405, caller.call(Method::DELETE, "shop-api/messages")),
    ] {
        let (got, problem) = caller.run(request);
        assert_eq!(got, status, "{problem}");
        assert_eq!(problem["status"], status);
    }
    assert_eq!(hosted.database.value("SELECT count(*) FROM dialogues"), "0");
}

#[test]
fn answers_are_polled_in_one_order_and_a_poll_waits_for_them() {
    let hosted = Hosted::start();
    let _replies = hosted.send_replies();
    let caller = Caller::new(&hosted);
    caller.run(caller.message("anna", "1", "Hello"));
    let poll = |query: &str| {
        let (status, answer) =
            caller.run(caller.call(Method::GET, &format!("shop-api/messages{query}")));
        assert_eq!(status, 200, "{answer}");
        answer
    };
    assert_eq!(poll(""), json!({"messages": [], "next": 0}));
    let asked = Instant::now();
    let answer = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| poll("?after=0&wait=30"));
        hosted.say("shop-api", "Good day");
        waiting.join().unwrap()
    });
    assert!(asked.elapsed() < Duration::from_secs(20), "it did not wake up");
    let message = &answer["messages"][0];
    assert_eq!(message["text"], "Good day");
    assert_eq!((&message["peer"], &message["author"]), (&json!("anna"), &json!("operator")));
    let next = answer["next"].as_i64().unwrap();
    assert_eq!(message["id"], next);

    caller.run(caller.message("boris", "2", "Hello from Boris"));
    hosted.say("shop-api", "To Boris");
    let answer = poll(&format!("?after={next}&wait=30"));
    assert_eq!(answer["messages"][0]["peer"], "boris");
    assert_eq!(answer["messages"].as_array().unwrap().len(), 1);
    let all = poll("?after=0");
    let texts: Vec<&Value> =
        all["messages"].as_array().unwrap().iter().map(|m| &m["text"]).collect();
    assert_eq!(texts, ["Good day", "To Boris"]);

    let (_, thread) = caller.run(caller.call(Method::GET, "shop-api/dialogues/anna"));
    assert_eq!(thread["state"], "with-operator");
    let messages = thread["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2, "{thread}");
    assert_eq!(messages[0]["idempotency_key"], "1");
    assert_eq!(messages[1]["text"], "Good day");
}

/// What the description says of answers, and which of it was seen.
struct Described {
    description: Value,
    seen: BTreeSet<(String, String, u16)>,
}

const MESSAGES: &str = "/api/v1/{channel}/dialogues/{peer}/messages";
const THREAD: &str = "/api/v1/{channel}/dialogues/{peer}";
const POLL: &str = "/api/v1/{channel}/messages";

impl Described {
    fn of(caller: &Caller<'_>) -> Self {
        let (_, description) =
            caller.run(caller.client.get(caller.hosted.url("/api/v1/openapi.json")));
        Self { description, seen: BTreeSet::new() }
    }

    /// Every status that stands in the description by itself.
    fn all(&self) -> BTreeSet<(String, String, u16)> {
        let paths = self.description["paths"].as_object().unwrap();
        let mut all = BTreeSet::new();
        for (path, item) in paths {
            for method in ["get", "post"].into_iter().filter(|method| item.get(method).is_some()) {
                let statuses = item[method]["responses"].as_object().unwrap().keys();
                let numbers = statuses.filter_map(|status| status.parse().ok());
                all.extend(numbers.map(|status| (path.clone(), method.to_owned(), status)));
            }
        }
        all
    }

    /// Holds an answer against what the description says of it.
    #[track_caller]
    fn hold(&mut self, path: &str, method: &str, wanted: u16, (status, body): (u16, Value)) {
        assert_eq!(status, wanted, "{method} {path}: {body}");
        let mut response =
            &self.description["paths"][path][method]["responses"][status.to_string()];
        assert!(!response.is_null(), "{method} {path} answers {status}, which is not described");
        if let Some(shared) = response["$ref"].as_str() {
            response = self.description.pointer(shared.strip_prefix('#').unwrap()).unwrap();
        }
        let kind = if status < 400 { "application/json" } else { "application/problem+json" };
        let schema = json!({
            "allOf": [response["content"][kind]["schema"]],
            "components": self.description["components"],
        });
        assert!(!schema["allOf"][0].is_null(), "{method} {path} {status} is no {kind}");
        let validator = jsonschema::validator_for(&schema).unwrap();
        let faults: Vec<String> =
            validator.iter_errors(&body).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{method} {path} {status}: {faults:?} in {body}");
        self.seen.insert((path.to_owned(), method.to_owned(), status));
    }
}

/// A request whose body stops in the middle.
fn slowly(hosted: &Hosted) -> (u16, Value) {
    let mut socket = TcpStream::connect(hosted.address).unwrap();
    let request = format!(
        "POST /api/v1/shop-api/dialogues/anna/messages HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {API_KEY}\r\n\
        idempotency-key: slow\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 9\r\n\r\n{{"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[test]
fn every_status_that_is_described_is_given_and_every_answer_is_as_described() {
    let bounds = Bounds { body_deadline: Duration::from_millis(300), ..Bounds::default() };
    let behaviour = Behaviour { bounds, ..Behaviour::default() };
    let hosted = Hosted::start_with(behaviour);
    let _replies = hosted.send_replies();
    let caller = Caller::new(&hosted);
    let mut described = Described::of(&caller);
    let get = |path: &str| caller.call(Method::GET, path);
    let to_anna = "shop-api/dialogues/anna/messages";
    let post = || caller.call(Method::POST, to_anna);
    let keyed = || post().header("idempotency-key", "k");

    described.hold(MESSAGES, "post", 201, caller.run(caller.message("anna", "1", "Hello")));
    hosted.say("shop-api", "Good day");
    described.hold(POLL, "get", 200, caller.run(get("shop-api/messages?wait=30")));
    described.hold(THREAD, "get", 200, caller.run(get("shop-api/dialogues/anna")));
    let text = json!({ "text": "x" });
    for (status, request) in [
        (400, post().json(&text)),
        (401, caller.call_with("another", Method::POST, to_anna).json(&text)),
        (413, keyed().json(&json!({ "text": "x".repeat(70_000) }))),
        (415, keyed().body("x")),
        (422, keyed().json(&json!({ "text": " " }))),
        (422, caller.message("anna", "1", "Another")),
    ] {
        described.hold(MESSAGES, "post", status, caller.run(request));
    }
    described.hold(MESSAGES, "post", 408, slowly(&hosted));
    for (path, status, at) in [
        (THREAD, 400, "shop-api/dialogues/anna?after=x"),
        (THREAD, 401, "nowhere/dialogues/anna"),
        (THREAD, 404, "shop-api/dialogues/boris"),
        (POLL, 400, "shop-api/messages?wait=-1"),
        (POLL, 401, "nowhere/messages"),
    ] {
        described.hold(path, "get", status, caller.run(get(at)));
    }

    hosted.database.leave();
    described.hold(MESSAGES, "post", 503, caller.run(caller.message("anna", "2", "Hello")));
    described.hold(THREAD, "get", 503, caller.run(get("shop-api/dialogues/anna")));
    described.hold(POLL, "get", 503, caller.run(get("shop-api/messages")));
    hosted.database.come_back();

    // Whoever guesses has the limit of a stranger.
    for (path, method, at) in [
        (POLL, Method::GET, "shop-api/messages"),
        (THREAD, Method::GET, "shop-api/dialogues/anna"),
        (MESSAGES, Method::POST, to_anna),
    ] {
        let guess = || caller.run(caller.call_with("a guess", method.clone(), at));
        let slowed = (0..5_000).map(|_| guess()).find(|(status, _)| *status == 429);
        let method = method.as_str().to_ascii_lowercase();
        described.hold(path, &method, 429, slowed.expect("guessing is slowed down"));
    }
    assert_eq!(described.seen, described.all());
}
