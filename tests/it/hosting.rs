//! The chat page's server: who is who, what is taken once, what is shown to whom and in which order.

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Hosted, PATIENCE, Program, wait_until};

/// A browser, as far as the server can tell.
struct Visitor<'a> {
    hosted: &'a Hosted,
    client: Client,
    cookie: String,
}

fn client() -> Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

impl<'a> Visitor<'a> {
    fn new(hosted: &'a Hosted) -> Self {
        let client = client();
        let page = hosted.fetch(client.get(hosted.url("/chat/site")));
        assert_eq!(page.status(), StatusCode::OK);
        Self { hosted, client, cookie: cookie_of(&page) }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.hosted.url(path)).header("cookie", &self.cookie)
    }

    fn post(&self, body: String) -> RequestBuilder {
        self.client
            .post(self.hosted.url("/chat/site/messages"))
            .header("cookie", &self.cookie)
            .header("origin", self.hosted.url(""))
            .header("content-type", "application/json")
            .body(body)
    }

    fn message(&self, id: Uuid, text: &str) -> RequestBuilder {
        self.post(json!({"client_message_id": id, "text": text}).to_string())
    }

    fn run(&self, request: RequestBuilder) -> (StatusCode, Value) {
        self.hosted.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let status = response.status();
            (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
        })
    }

    fn send(&self, text: &str) -> Value {
        let (status, answer) = self.run(self.message(Uuid::new_v4(), text));
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    fn texts(&self) -> Vec<String> {
        let (status, answer) = self.run(self.get("/chat/site/messages"));
        assert_eq!(status, StatusCode::OK, "{answer}");
        let messages = answer["messages"].as_array().unwrap();
        messages.iter().map(|one| one["text"].as_str().unwrap().to_owned()).collect()
    }

    /// The events from one on, until one of them has the text.
    fn events_until(&self, after: Option<i64>, text: &str) -> String {
        let mut request = self.get("/chat/site/events");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        self.hosted.runtime.block_on(async {
            let mut response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let mut seen = String::new();
            while !seen.contains(text) {
                let chunk = response.chunk().await.expect("the text comes in time");
                seen.push_str(&String::from_utf8_lossy(&chunk.unwrap()));
            }
            seen
        })
    }
}

fn cookie_of(response: &Response) -> String {
    let set = response.headers()["set-cookie"].to_str().unwrap();
    assert!(set.contains("HttpOnly; SameSite=Lax"), "{set}");
    set.split(';').next().unwrap().to_owned()
}

#[test]
fn the_page_says_what_its_manifest_says_and_allows_nothing_else() {
    let hosted = Hosted::start();
    let client = client();
    let (headers, page) = hosted.runtime.block_on(async {
        let request = client.get(hosted.url("/chat/site")).header("accept-language", "ru");
        let response = request.send().await.unwrap();
        (response.headers().clone(), response.text().await.unwrap())
    });
    let policy = headers["content-security-policy"].to_str().unwrap();
    for wanted in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(wanted), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    for wanted in ["<html lang=\"ru\">", "Example &amp; Sons", "Hello!", "Напишите сообщение…"]
    {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    assert!(!page.contains("<style") && !page.contains("style="), "{page}");

    // Every file that the page names is there, and so is what the files name.
    let is_path = |piece: &&str| piece.starts_with("/chat/") || piece.starts_with("/assets/");
    let mut paths: Vec<String> = page.split('"').filter(is_path).map(str::to_owned).collect();
    let folder = paths.iter().find_map(|path| path.strip_suffix("chat.js")).unwrap().to_owned();
    paths.extend(
        ["around.js", "kept.js", "said.js", "server.js", "unseen.js"]
            .map(|name| format!("{folder}{name}")),
    );
    assert!(paths.len() >= 9, "{paths:?}");
    let mut all = String::new();
    for path in paths {
        let response = hosted.fetch(client.get(hosted.url(&path)));
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        all.push_str(&hosted.runtime.block_on(response.text()).unwrap());
    }
    assert!(all.contains("--accent: #0f6e5c; --on-accent: #ffffff;"));
    assert!(!all.contains("innerHTML"));

    for path in ["/chat/nowhere", "/chat/shop-api", "/chat/Not-A-Name", "/chat/site/nothing"] {
        let response = hosted.fetch(client.get(hosted.url(path)));
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let health = hosted.fetch(client.get(hosted.url("/healthz")));
    assert_eq!(health.status(), StatusCode::OK);
}

#[test]
fn a_message_is_taken_once_however_often_it_is_sent() {
    let hosted = Hosted::start();
    let visitor = Visitor::new(&hosted);
    let id = Uuid::new_v4();
    let answers = hosted.runtime.block_on(async {
        let sends = (0..6).map(|_| async {
            let response = visitor.message(id, "One\u{0}!").send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            response.bytes().await.unwrap()
        });
        futures_util::future::join_all(sends).await
    });
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    assert_eq!(visitor.texts(), ["One!"]);
    // With other words it is refused, and nothing of them is kept.
    let (status, problem) = visitor.run(visitor.message(id, "Two"));
    assert_eq!((status.as_u16(), &problem["code"]), (422, &json!("key-reused")), "{problem}");
    assert_eq!(visitor.texts(), ["One!"]);
    assert_eq!(hosted.database.value("SELECT count(*) FROM messages"), "1");
    let (status, again) = visitor.run(visitor.message(id, "One!"));
    let first: Value = serde_json::from_slice(&answers[0]).unwrap();
    assert_eq!((status.as_u16(), again), (200, first));
    // Of two messages that come at once, one is taken.
    let contested = Uuid::new_v4();
    let sends = ["A", "B", "A", "B"].map(|text| (text, visitor.message(contested, text)));
    let statuses = hosted.runtime.block_on(async {
        let send = async |(text, request): (&'static str, RequestBuilder)| {
            (text, request.send().await.unwrap().status().as_u16())
        };
        futures_util::future::join_all(sends.map(send)).await
    });
    let taken = visitor.texts().pop().unwrap();
    for (text, status) in statuses {
        assert_eq!(status, if text == taken { 200 } else { 422 }, "{text}, and {taken} is kept");
    }
    assert_eq!(hosted.database.value("SELECT count(*) FROM messages"), "2");
    // The same id of another visitor is another message.
    let other = Visitor::new(&hosted);
    assert_eq!(other.run(other.message(id, "Two")).0, StatusCode::OK);
    assert_eq!(other.texts(), ["Two"]);
    assert_eq!(visitor.texts(), ["One!", &*taken]);
    assert_eq!(hosted.database.value("SELECT count(*) FROM dialogues"), "2");
}

#[test]
fn a_visitor_never_sees_what_another_said() {
    let hosted = Hosted::start();
    let _replies = hosted.send_replies();
    let [one, other] = [Visitor::new(&hosted), Visitor::new(&hosted)];
    one.send("mine");
    hosted.say("site", "for one");
    other.send("theirs");
    hosted.say("site", "for the other");
    let seen = one.events_until(None, "for one");
    assert!(seen.contains("mine") && !seen.contains("theirs"), "{seen}");
    let seen = other.events_until(None, "for the other");
    assert!(seen.contains("theirs") && !seen.contains("for one"), "{seen}");

    // Whoever knows an id and not its secret is a stranger, and gets a cookie of their own.
    let id = one.cookie.split(['=', '.']).nth(1).unwrap();
    let stolen = other.cookie.split('.').nth(1).unwrap();
    for cookie in [format!("nuncio-site={id}.{stolen}"), "nuncio-site=x".to_owned(), String::new()]
    {
        let thief = Visitor { hosted: &hosted, client: client(), cookie };
        for path in ["/chat/site/messages", "/chat/site/events"] {
            let response = hosted.fetch(thief.get(path));
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert!(!cookie_of(&response).contains(id));
        }
        assert_eq!(thief.run(thief.message(Uuid::new_v4(), "x")).0, StatusCode::UNAUTHORIZED);
    }
    // Neither the secret nor anything that it could be made from is kept.
    let secret = one.cookie.split('.').nth(1).unwrap();
    let kept = hosted.database.value("SELECT string_agg(v::text, '') FROM visitors v");
    assert!(!kept.contains(secret), "{kept}");
}

#[test]
fn a_visitor_who_was_silent_for_too_long_is_a_stranger_also_after_they_were_forgotten() {
    let hosted = Hosted::start();
    let visitor = Visitor::new(&hosted);
    visitor.send("long ago");
    hosted.database.run("UPDATE visitors SET seen_at = now() - interval '91 days'");
    let history = || visitor.run(visitor.get("/chat/site/messages")).0;
    assert_eq!(history(), StatusCode::UNAUTHORIZED);
    let forgotten = hosted.runtime.block_on(hosted.store.forget_silent_visitors()).unwrap();
    assert_eq!(forgotten, 1);
    // An id that old, known to nobody: its time stands in it.
    let old = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 1_600_000_000, 0));
    let secret = visitor.cookie.split('.').nth(1).unwrap();
    let cookie = format!("nuncio-site={old}.{secret}");
    let revived = Visitor { hosted: &hosted, client: client(), cookie };
    let (status, _) = revived.run(revived.get("/chat/site/messages"));
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[test]
fn of_a_visitor_who_was_forgotten_nothing_is_left_and_their_cookie_opens_nothing() {
    let hosted = Hosted::start();
    let (visitor, other) = (Visitor::new(&hosted), Visitor::new(&hosted));
    visitor.send("forget me");
    other.send("and not me");
    let id = visitor.cookie.split(['=', '.']).nth(1).unwrap();
    let arguments = ["forget", id, "--auto-approve"];
    let ended = Program::new(hosted.folder.root(), &arguments).database(&hosted.database).run();
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    for table in ["visitors", "dialogues", "messages"] {
        let named = format!("SELECT count(*) FROM {table} t WHERE t::text LIKE '%{id}%'");
        assert_eq!(hosted.database.value(&named), "0", "{table}");
        let left = format!("SELECT count(*) FROM {table}");
        assert_eq!(hosted.database.value(&left), "1", "{table}");
    }
    assert_eq!(visitor.run(visitor.get("/chat/site/messages")).0, StatusCode::UNAUTHORIZED);
    let again = visitor.run(visitor.message(Uuid::new_v4(), "me again"));
    assert_eq!(again.0, StatusCode::UNAUTHORIZED);
    assert_eq!(hosted.database.value("SELECT count(*) FROM visitors"), "1");
    // As a stranger they are welcome.
    Visitor::new(&hosted).send("hello");
    assert_eq!(other.texts(), ["and not me"]);
}

#[test]
fn what_waited_is_not_lost_behind_what_overtook_it() {
    let hosted = Hosted::start();
    let visitor = Visitor::new(&hosted);
    visitor.send("first");
    hosted.say("site", "this waits");
    let second = visitor.send("second")["id"].as_i64().unwrap();
    assert_eq!(visitor.texts(), ["first", "second"]);
    let _replies = hosted.send_replies();
    let seen = visitor.events_until(Some(second), "this waits");
    assert!(!seen.contains("second"), "{seen}");
    assert_eq!(visitor.texts(), ["first", "second", "this waits"]);
    let (_, answer) = visitor.run(visitor.get(&format!("/chat/site/messages?before={second}")));
    assert_eq!(answer["messages"][0]["text"], "first", "{answer}");
}

#[test]
fn typing_is_shown_while_an_answer_is_made() {
    let hosted = Hosted::start();
    let visitor = Visitor::new(&hosted);
    visitor.send("hello");
    let hold = "UPDATE dialogues d SET held_turn = d.turn, held_fence = l.fence FROM lanes l \
        WHERE l.channel = d.channel";
    hosted.database.run(hold);
    visitor.events_until(None, "\"on\":true");
    // Whoever held it is gone.
    hosted.database.run("UPDATE lanes SET fence = fence + 1");
    let seen = std::thread::scope(|scope| {
        let watching = scope.spawn(|| visitor.events_until(None, "later"));
        hosted.database.run(
            "INSERT INTO messages (dialogue_id, channel, author, text) \
            SELECT id, channel, 'person', 'later' FROM dialogues; NOTIFY nuncio_dialogues",
        );
        watching.join().unwrap()
    });
    assert!(!seen.contains("\"on\":true"), "{seen}");
}

#[test]
fn what_is_no_message_of_the_page_is_refused() {
    let hosted = Hosted::start();
    let visitor = Visitor::new(&hosted);
    let id = Uuid::new_v4();
    let good = json!({"client_message_id": id, "text": "x"}).to_string();
    let of = |text: &str| json!({"client_message_id": id, "text": text}).to_string();
    let flood = format!("{{\"text\": \"{}\"}}", "x".repeat(70_000));
    for (status, body) in [
        (422, of("")),
        (422, of(" \n\u{0}\t")),
        (422, of(&"я".repeat(4001))),
        (413, flood),
        (400, "{".to_owned()),
        (400, json!({"text": "x"}).to_string()),
        (400, json!({"client_message_id": "1", "text": "x"}).to_string()),
        (400, json!({"client_message_id": id, "text": "x", "peer": "y"}).to_string()),
    ] {
        let (got, answer) = visitor.run(visitor.post(body));
        assert_eq!(got.as_u16(), status, "{answer}");
        assert_eq!(answer["status"], status);
    }
    let post =
        || visitor.client.post(hosted.url("/chat/site/messages")).header("cookie", &visitor.cookie);
    let json = |request: RequestBuilder| request.header("content-type", "application/json");
    for (status, request) in [
        (403, json(post())),
        (403, json(post()).header("origin", "https://evil.example")),
        (403, json(post()).header("origin", hosted.url("")).header("sec-fetch-site", "cross-site")),
        (415, post().header("origin", hosted.url("")).header("content-type", "text/plain")),
        (415, post().header("origin", hosted.url(""))),
    ] {
        let (got, answer) = visitor.run(request.body(good.clone()));
        assert_eq!(got.as_u16(), status, "{answer}");
    }
    assert_eq!(hosted.database.value("SELECT count(*) FROM messages"), "0");
    // And a text of the greatest length is one.
    visitor.run(visitor.post(of(&"я".repeat(4000))));
    assert_eq!(hosted.database.value("SELECT count(*) FROM messages"), "1");
}

#[test]
fn where_nobody_is_a_message_is_refused_and_nothing_is_kept_of_it() {
    let hosted = Hosted::start();
    let client = client();
    let page = |path: &str| {
        let response = hosted.fetch(client.get(hosted.url(path)));
        hosted.runtime.block_on(response.text()).unwrap()
    };
    assert!(page("/chat/empty").contains(">Nobody is here at the moment."));
    assert!(!page("/chat/site").contains(">Nobody is here at the moment."));

    let visitor = Visitor::new(&hosted);
    let id = Uuid::new_v4();
    let (_, first) = visitor.run(visitor.message(id, "taken"));
    hosted.database.run("UPDATE tasks SET phase = 'stopped'");
    // Who is known waits with the task; a stranger is told.
    visitor.send("waits");
    let stranger = Visitor::new(&hosted);
    let response = hosted.fetch(stranger.message(Uuid::new_v4(), "x"));
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "60");
    hosted.database.run("UPDATE tasks SET phase = 'completed'");
    let (status, answer) = visitor.run(visitor.message(Uuid::new_v4(), "too late"));
    assert_eq!((status.as_u16(), answer["code"].as_str()), (503, Some("nobody-here")));
    assert_eq!(visitor.run(visitor.message(id, "taken")), (StatusCode::OK, first));
    assert_eq!(visitor.texts(), ["taken", "waits"]);
}

#[test]
fn a_flood_is_slowed_down() {
    let hosted = Hosted::start();
    let visitor = Visitor::new(&hosted);
    let refused = (0..40).find_map(|n| {
        let response = hosted.fetch(visitor.message(Uuid::new_v4(), &n.to_string()));
        (response.status() != StatusCode::OK).then_some(response)
    });
    let refused = refused.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
}

#[test]
fn streams_end_with_the_server() {
    let hosted = Hosted::start();
    let visitor = Visitor::new(&hosted);
    let mut stream = hosted.fetch(visitor.get("/chat/site/events"));
    hosted.shutdown.cancel();
    // To its end, without an error: a browser comes back for the rest.
    hosted.runtime.block_on(async { while stream.chunk().await.unwrap().is_some() {} });
    wait_until("nobody is accepted", PATIENCE, || {
        let refused = std::net::TcpStream::connect(hosted.address).is_err();
        (refused, ())
    });
}
