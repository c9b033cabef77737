//! Chats within sites of others: who may show them, who is who there, and the script that puts them there.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Behaviour, Hosted};

const CHANNELS: &str = "
apiVersion: nuncio/v1
kind: Channel
metadata: {name: frame}
spec: {kind: iframe, title: Shop, allowedOrigins: ['https://shop.example', 'https://*.shop.example']}
---
apiVersion: nuncio/v1
kind: Channel
metadata: {name: button}
spec: {kind: widget, title: 'A \"shop\" </script>', accent: teal, allowedOrigins: ['http://localhost:3000']}
---
apiVersion: nuncio/v1
kind: Channel
metadata: {name: nobody}
spec: {kind: widget}
---
apiVersion: nuncio/v1
kind: Channel
metadata: {name: site}
spec: {kind: page-messenger}
---
apiVersion: nuncio/v1
kind: Task
metadata: {name: web}
spec:
  type: web
  format: incoming
  channels: [frame, button, nobody, site]
  managers: [anna]
  ai: sales
  spendingLimitPerDialogue: 0.50
  state: running
";

fn hosted() -> Hosted {
    Hosted::with(&[("web.yaml", CHANNELS)], Behaviour::default())
}

fn client() -> Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn json_of(hosted: &Hosted, request: RequestBuilder) -> (StatusCode, Value) {
    hosted.runtime.block_on(async {
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    })
}

/// A page within a site, in a browser that keeps these of its cookies.
struct Frame<'a> {
    hosted: &'a Hosted,
    client: Client,
    pass: Option<String>,
    cookie: Option<String>,
}

impl<'a> Frame<'a> {
    fn without_cookies(hosted: &'a Hosted) -> Self {
        Self { hosted, client: client(), pass: None, cookie: None }
    }

    fn request(&self, request: RequestBuilder) -> RequestBuilder {
        let shown = self.pass.iter().map(|pass| ("nuncio-visitor", pass));
        let kept = self.cookie.iter().map(|cookie| ("cookie", cookie));
        shown.chain(kept).fold(request, |request, (name, value)| request.header(name, value))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.request(self.client.get(self.hosted.url(path)))
    }

    fn send(&self, text: &str) -> (StatusCode, Value) {
        let url = self.hosted.url("/embed/button/messages");
        let request = self.request(self.client.post(url)).header("origin", self.hosted.url(""));
        let body = json!({"client_message_id": Uuid::new_v4(), "text": text});
        json_of(self.hosted, request.json(&body))
    }

    fn texts(&self) -> Vec<String> {
        let (status, answer) = json_of(self.hosted, self.get("/embed/button/messages"));
        assert_eq!(status, StatusCode::OK, "{answer}");
        let messages = answer["messages"].as_array().unwrap();
        messages.iter().map(|one| one["text"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether the server sees that the browser keeps the pass, and the cookie that it sets.
    fn hello(&self) -> (bool, Option<String>) {
        let mut response = self.hosted.fetch(self.get("/embed/button/events"));
        assert_eq!(response.status(), StatusCode::OK);
        let set = response.headers().get("set-cookie").map(|set| set.to_str().unwrap().to_owned());
        let chunk = self.hosted.runtime.block_on(response.chunk()).unwrap().unwrap();
        let hello = String::from_utf8_lossy(&chunk).into_owned();
        (hello.contains("\"is_kept\":true"), set)
    }
}

#[test]
fn each_kind_is_served_under_its_own_paths_and_tells_browsers_who_may_frame_it() {
    let hosted = hosted();
    let client = client();
    let shop = "frame-ancestors https://shop.example https://*.shop.example";
    let here = "frame-ancestors http://localhost:3000";
    let none = "frame-ancestors 'none'";
    for (path, status, framed) in [
        ("/embed/frame", 200, shop),
        ("/embed/button", 200, here),
        ("/embed/nobody", 404, none),
        ("/embed/site", 404, none),
        ("/embed/nowhere", 404, none),
        ("/chat/site", 200, none),
        ("/chat/frame", 404, none),
        ("/chat/button", 404, none),
        ("/embed/site/messages", 404, none),
        ("/embed/nobody/events", 404, none),
        ("/chat/frame/messages", 404, none),
        ("/chat/button/events", 404, none),
        ("/embed/frame/theme.css", 200, none),
        ("/chat/frame/theme.css", 404, none),
        ("/widget/button.js", 200, none),
        ("/widget/button", 404, none),
        ("/widget/frame.js", 404, none),
        ("/widget/site.js", 404, none),
        ("/widget/nowhere.js", 404, none),
    ] {
        let response = hosted.fetch(client.get(hosted.url(path)));
        assert_eq!(response.status().as_u16(), status, "{path}");
        let policy = header(&response, "content-security-policy");
        assert!(policy.ends_with(framed), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        let refused = if framed == none { "DENY" } else { "" };
        assert_eq!(header(&response, "x-frame-options"), refused, "{path}");
    }
    // Whoever is taken off the list is out at once.
    hosted
        .folder
        .write("web.yaml", &CHANNELS.replace(", allowedOrigins: ['http://localhost:3000']", ""));
    hosted.apply();
    for path in ["/embed/button", "/embed/button/messages", "/embed/button/theme.css"] {
        let response = hosted.fetch(client.get(hosted.url(path)));
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[test]
fn only_a_frame_of_an_allowed_site_is_given_the_document() {
    let hosted = hosted();
    let client = client();
    for (dest, referrer, status) in [
        ("iframe", "https://shop.example/", 200),
        ("iframe", "https://www.shop.example/", 200),
        ("iframe", "https://evil.example/", 403),
        ("document", "https://shop.example/", 403),
    ] {
        let request = client.get(hosted.url("/embed/frame")).header("sec-fetch-dest", dest);
        let response = hosted.fetch(request.header("referer", referrer));
        assert_eq!(response.status().as_u16(), status, "{dest} {referrer}");
        assert_eq!(response.headers().contains_key("set-cookie"), status == 200, "{referrer}");
        let cookie = header(&response, "set-cookie").to_owned();
        if status == 200 {
            let crossing =
                "; Path=/; Max-Age=7776000; HttpOnly; SameSite=None; Secure; Partitioned";
            assert!(cookie.ends_with(crossing), "{cookie}");
        }
        let page = hosted.runtime.block_on(response.text()).unwrap();
        assert_eq!(page.contains("data-channel"), status == 200, "{page}");
    }
}

#[test]
fn a_browser_without_cookies_is_known_by_its_pass() {
    let hosted = hosted();
    let mut frame = Frame::without_cookies(&hosted);
    let (status, answer) = frame.send("lost");
    assert_eq!((status, &answer["code"]), (StatusCode::UNAUTHORIZED, &json!("unknown-visitor")));
    frame.pass = answer["pass"].as_str().map(str::to_owned);
    assert_eq!(frame.send("mine").0, StatusCode::OK);
    assert_eq!(frame.texts(), ["mine"]);
    let mut other = Frame::without_cookies(&hosted);
    let refused = json_of(&hosted, other.get("/embed/button/messages")).1;
    other.pass = refused["pass"].as_str().map(str::to_owned);
    assert_ne!(other.pass, frame.pass);
    assert_eq!(other.send("theirs").0, StatusCode::OK);
    assert_eq!(
        (frame.texts(), other.texts()),
        (vec!["mine".to_owned()], vec!["theirs".to_owned()])
    );

    // The next time, the cookie may hold; then the page need show nothing.
    let (is_kept, set) = frame.hello();
    assert!(!is_kept);
    let set = set.unwrap();
    let cookie = set.split(';').next().unwrap().to_owned();
    assert!(cookie.ends_with(frame.pass.as_deref().unwrap()), "{set}");
    frame.cookie = Some(cookie.clone());
    assert_eq!(frame.hello(), (true, None));
    let kept = Frame { pass: None, ..Frame::without_cookies(&hosted) };
    let kept = Frame { cookie: Some(cookie.clone()), ..kept };
    assert_eq!(kept.hello(), (true, None));
    assert_eq!(kept.texts(), ["mine"]);
    // Who shows a pass is meant, whatever the cookie says.
    let both = Frame { cookie: Some(cookie), ..other };
    assert_eq!(both.texts(), ["theirs"]);

    // An id whose secret is another's is nobody's, and what is no pass says nothing.
    let (id, secret) = (frame.pass.as_deref().unwrap(), both.pass.as_deref().unwrap());
    let stolen = format!("{}.{}", id.split('.').next().unwrap(), secret.split('.').nth(1).unwrap());
    for pass in [stolen.as_str(), "x", ""] {
        let thief = Frame { pass: Some(pass.to_owned()), ..Frame::without_cookies(&hosted) };
        assert_eq!(thief.send("x").0, StatusCode::UNAUTHORIZED, "{pass}");
    }
    assert_eq!(hosted.database.value("SELECT count(*) FROM dialogues"), "2");
}

#[test]
fn a_page_of_its_own_takes_and_gives_no_pass() {
    let hosted = hosted();
    let client = client();
    let read = |pass: &str| {
        let request = client.get(hosted.url("/chat/site/messages"));
        json_of(&hosted, request.header("nuncio-visitor", pass))
    };
    let frame = Frame::without_cookies(&hosted);
    let (_, answer) = json_of(&hosted, frame.get("/embed/button/messages"));
    let (status, refusal) = read(answer["pass"].as_str().unwrap());
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(refusal["pass"].is_null(), "{refusal}");
}

#[test]
fn nothing_is_told_to_or_taken_from_pages_of_others() {
    let hosted = hosted();
    let mut frame = Frame::without_cookies(&hosted);
    frame.pass = frame.send("x").1["pass"].as_str().map(str::to_owned);
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("origin", "https://shop.example"),
        ("origin", "null"),
    ] {
        for path in ["/embed/button/messages", "/embed/button/events"] {
            let (status, answer) = json_of(&hosted, frame.get(path).header(name, value));
            assert_eq!(status, StatusCode::FORBIDDEN, "{path} {name}: {value}: {answer}");
            assert_eq!(answer["code"], "foreign-origin");
        }
        let url = hosted.url("/embed/button/messages");
        let post = frame.request(frame.client.post(url)).header(name, value);
        let body = json!({"client_message_id": Uuid::new_v4(), "text": "x"});
        assert_eq!(json_of(&hosted, post.json(&body)).0, StatusCode::FORBIDDEN, "{name}: {value}");
    }
    assert_eq!(hosted.database.value("SELECT count(*) FROM visitors"), "0");
    // Of ours it is.
    let ours = frame.get("/embed/button/messages").header("sec-fetch-site", "same-origin");
    assert_eq!(json_of(&hosted, ours).0, StatusCode::OK);
}

#[test]
fn the_script_of_a_widget_holds_what_its_manifest_says() {
    let hosted = hosted();
    let client = client();
    let get = |language: &str| {
        let request = client.get(hosted.url("/widget/button.js"));
        let response = hosted.fetch(request.header("accept-language", language));
        for (name, value) in [
            ("content-type", "text/javascript; charset=utf-8"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("cache-control", "public, max-age=300"),
            ("vary", "accept-language"),
            ("set-cookie", ""),
        ] {
            assert_eq!(header(&response, name), value, "{name}");
        }
        hosted.runtime.block_on(response.text()).unwrap()
    };
    let script = get("en");
    let (_, settings) = script.split_once("})({").unwrap();
    let settings: Value =
        serde_json::from_str(&format!("{{{}", settings.trim_end_matches(");\n"))).unwrap();
    assert_eq!(settings["channel"], "button");
    assert_eq!(settings["allowed"], json!(["http://localhost:3000"]));
    assert_eq!(settings["title"], "A \"shop\" </script>");
    assert!(settings["css"].as_str().unwrap().starts_with(".root{--accent:#008080;"));
    assert_eq!(settings["words"]["open"], "Open the chat");
    assert!(get("ru").contains("Открыть чат"));
    // The one without a list tells nobody but its own people that nobody may.
    let response = hosted.fetch(client.get(hosted.url("/widget/nobody.js")));
    let script = hosted.runtime.block_on(response.text()).unwrap();
    assert!(script.contains("\"allowed\":[]"), "{script}");
}
