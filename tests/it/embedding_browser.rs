//! Chats within sites of others, in a real browser: the promises of the chat page hold there too, whatever the
//! browser denies to frames; and the widget keeps to itself.

use std::time::Duration;

use crate::support::{Behaviour, Hosted, SitePage, run_in_browser, serve, site};

const CHAT: (&str, &str) = ("embedding_chat.mjs", include_str!("embedding_chat.mjs"));
const SITE: (&str, &str) = ("embedding_site.mjs", include_str!("embedding_site.mjs"));

/// The AI thinks for long enough to close a window meanwhile.
const AI_DELAY: Duration = Duration::from_secs(1);

/// The chat, a site that may embed it, and what else stands on the same port under other names.
struct Stage {
    hosted: Hosted,
    chat: String,
    port: String,
}

/// A strict site: nothing inline, nothing of others but the chat.
fn strict(chat: &str) -> String {
    format!(
        "content-security-policy: default-src 'none'; script-src {chat}; frame-src {chat}; \
        require-trusted-types-for 'script'; trusted-types 'none'\r\n"
    )
}

/// Works for three seconds as soon as somebody asks it for something.
const BUSY: &str = "<script>addEventListener('message', () => {
    for (const until = Date.now() + 3000; Date.now() < until;) {}
    }, { once: true })</script>";

const HOSTILE: &str = "<style>* { all: unset !important; display: none !important; opacity: .1 !important;
    transform: rotate(5deg) !important; --accent: red !important; letter-spacing: 9px !important }
    html, body, div { display: block !important }
    div { position: fixed !important; inset: 0 !important; z-index: 2147483647 !important }</style>";

fn stage() -> Stage {
    let (listener, address) = site();
    let port = address.port().to_string();
    let shop = format!("http://shop.localhost:{port}");
    let channel = |name: &str, spec: &str| {
        format!(
            "apiVersion: nuncio/v1\nkind: Channel\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
        )
    };
    let allowed = format!("allowedOrigins: ['{shop}']");
    let many = format!("allowedOrigins: ['{shop}', 'https://*.shop.example']");
    let manifests = [
        channel("button", &format!("kind: widget, title: Shop, greeting: Hello!, accent: teal, {allowed}")),
        channel("second", &format!("kind: widget, title: Help, accent: navy, {many}")),
        channel("frame", &format!("kind: iframe, title: Frame, {allowed}")),
        channel("page", "kind: page-messenger, title: Page"),
        "apiVersion: nuncio/v1\nkind: Task\nmetadata: {name: web}\nspec: {type: web, format: incoming, \
        channels: [button, second, frame, page], managers: [anna], ai: sales, spendingLimitPerDialogue: 0.5, \
        state: running}\n"
            .to_owned(),
    ];
    let behaviour = Behaviour { answer_delay: AI_DELAY, ..Behaviour::default() };
    let hosted = Hosted::with(&[("web.yaml", &manifests.join("---\n"))], behaviour);
    let chat = hosted.url("");
    let tag = |channel: &str| format!("<script src=\"{chat}/widget/{channel}.js\" async></script>");
    let frame = |path: &str| {
        format!("<iframe src=\"{chat}{path}\" title=Chat width=600 height=500></iframe>")
    };
    let page = |path, attributes: &str, inner: &str| SitePage {
        path,
        headers: String::new(),
        body: format!(
            "<!doctype html><html lang=en {attributes}><meta charset=utf-8>\
            <meta name=viewport content=\"width=device-width, initial-scale=1\"><title>Shop</title>\
            <body><main><h1>Shop</h1><p><a href=\"/other\">Other</a></p><p>Text.</p></main>{inner}<div></div></body></html>"
        ),
    };
    let button = tag("button");
    let two = [&*button, &*button, &*tag("second")].concat();
    let framed = ["/embed/frame", "/embed/button", "/chat/page"].map(frame).concat();
    serve(
        listener,
        vec![
            page("/", "", &button),
            page("/other", "", &button),
            page("/bare", "", ""),
            page("/hostile", "", &format!("{HOSTILE}{button}")),
            page("/busy", "", &format!("{BUSY}{button}")),
            page("/rtl", "dir=rtl", &button),
            page("/two", "", &two),
            page("/frame", "", &frame("/embed/frame")),
            page("/framed", "", &framed),
            SitePage { headers: strict(&chat), ..page("/strict", "", &button) },
        ],
    );
    Stage { hosted, chat, port }
}

#[test]
fn a_chat_within_a_site_keeps_every_promise_whatever_the_browser_denies_to_frames() {
    let Stage { hosted, chat, port } = stage();
    let _working = hosted.work();
    if !run_in_browser(CHAT, &[&chat, &port], |_| {}) {
        return;
    }
    // The database agrees: every message of each visitor once.
    let texts = hosted.database.value(
        "SELECT string_agg(said, E'\\n' ORDER BY said COLLATE \"C\") FROM (SELECT string_agg(text, '|' ORDER BY text COLLATE \"C\") said \
        FROM messages WHERE author = 'person' AND channel = 'button' GROUP BY dialogue_id) each_one",
    );
    let expected = [
        "<img src=x onerror=\"document.title = 1\">",
        "After a lost answer",
        "From the other tab",
        "Hello",
        "Kept over a reload",
        "Offline 1",
        "Offline 2",
        "Offline 3",
        "While it is closed",
    ];
    let one = expected.join("|");
    assert_eq!(texts, [&*one, &one, &one, "A stranger"].join("\n"));
}

#[test]
fn a_widget_is_at_home_on_its_sites_and_nowhere_else() {
    let Stage { hosted, chat, port } = stage();
    let _working = hosted.work();
    if run_in_browser(SITE, &[&chat, &port], |_| {}) {
        // Of everybody who met it, those are known who opened it on a site that may show it.
        let dialogues = "SELECT string_agg(DISTINCT channel, ' ') FROM dialogues";
        assert_eq!(hosted.database.value(dialogues), "button frame");
    }
}
