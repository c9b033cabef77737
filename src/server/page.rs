//! The documents and files of the page: rendered from the channel's manifest, or kept in the program.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use minijinja::{AutoEscape, Environment, Value, context};
use sha2::{Digest as _, Sha256};

use super::{chat::TEXT_CHARACTERS_MAX, problem::Problem, surface::Surface, words::Words};
use crate::{
    domain::{
        channel::ChannelSpec,
        colour::{Colour, DEFAULT_ACCENT},
        id::ChannelName,
    },
    store::HostedChannel,
};

/// Nothing inline, nothing from elsewhere; who may frame it follows.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors";

pub(super) const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files of the page: name, type, text.
const ASSETS: [(&str, &str, &str); 8] = [
    ("chat.js", SCRIPT, include_str!("assets/chat.js")),
    ("around.js", SCRIPT, include_str!("assets/around.js")),
    ("kept.js", SCRIPT, include_str!("assets/kept.js")),
    ("said.js", SCRIPT, include_str!("assets/said.js")),
    ("server.js", SCRIPT, include_str!("assets/server.js")),
    ("unseen.js", SCRIPT, include_str!("assets/unseen.js")),
    ("chat.css", "text/css; charset=utf-8", include_str!("assets/chat.css")),
    ("chat.svg", "image/svg+xml", include_str!("assets/chat.svg")),
];

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    for (name, text) in [
        ("chat", include_str!("assets/chat.html")),
        ("missing", include_str!("assets/missing.html")),
    ] {
        templates.add_template(name, text).expect("a test renders every template");
    }
    templates
});

/// Stands in the paths of the files and changes with them, so that browsers may keep them for ever.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest(ASSETS.map(|(_, _, text)| text).concat());
    URL_SAFE_NO_PAD.encode(&digest[..9])
});

pub(super) fn chat(
    channel: &ChannelName,
    hosted: &HostedChannel,
    surface: Surface,
    words: &Words,
) -> Response {
    let HostedChannel { spec, attended } = hosted;
    let values = context! {
        channel => channel.as_str(),
        kind => spec.kind.as_str(),
        // Its slashes may stay as they are.
        base => Value::from_safe_string(format!("{}/{channel}", surface.folder())),
        is_embedded => surface == Surface::Embedded,
        title => title(spec, words),
        greeting => said(spec, "greeting"),
        attended => attended,
        words => for_template(words),
        words_json => serde_json::to_string(words).expect("texts are JSON"),
        text_max => TEXT_CHARACTERS_MAX,
        version => VERSION.as_str(),
        accent => accent(spec).to_string(),
    };
    let framed_by: Vec<String> = match surface {
        Surface::Page => Vec::new(),
        Surface::Embedded => spec.allowed_origins().iter().map(ToString::to_string).collect(),
    };
    render("chat", &values, StatusCode::OK, &framed_by)
}

/// A setting that says something.
fn said<'a>(spec: &'a ChannelSpec, name: &str) -> Option<&'a str> {
    spec.setting(name).filter(|text| !text.trim().is_empty())
}

pub(super) fn title<'a>(spec: &'a ChannelSpec, words: &'a Words) -> &'a str {
    said(spec, "title").unwrap_or(words.title)
}

fn for_template(words: &Words) -> Value {
    let words = serde_json::to_value(words).expect("texts are JSON");
    let texts = words.as_object().into_iter().flatten();
    Value::from_pairs(
        texts.map(|(name, text)| (name.clone(), text.as_str().unwrap_or_default().to_owned())),
    )
}

/// In place of a page that cannot be shown.
pub(super) fn missing(words: &Words, problem: Problem) -> Response {
    let mut answer = problem.into_response();
    let status = answer.status();
    let (title, hint) = match status {
        StatusCode::NOT_FOUND => (words.missing, words.missing_hint),
        StatusCode::FORBIDDEN => (words.elsewhere, words.elsewhere_hint),
        _ => (words.away, words.away_hint),
    };
    let values = context! {
        words => for_template(words),
        title => title,
        hint => hint,
        version => VERSION.as_str(),
    };
    let mut response = render("missing", &values, status, &[]);
    if let Some(after) = answer.headers_mut().remove(header::RETRY_AFTER) {
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    response
}

fn render(template: &str, values: &Value, status: StatusCode, framed_by: &[String]) -> Response {
    let template = TEMPLATES.get_template(template).expect("every template is added above");
    let html = template.render(values).expect("a test renders every template");
    let framed_by = if framed_by.is_empty() { "'none'" } else { &framed_by.join(" ") };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, &format!("{POLICY} {framed_by}")),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept-language"),
    ];
    (status, headers, html).into_response()
}

pub(super) fn accent(spec: &ChannelSpec) -> Colour {
    spec.setting("accent").and_then(Colour::parse).unwrap_or(DEFAULT_ACCENT)
}

/// The colours of one channel, in a file of their own because nothing inline is allowed.
pub(super) fn theme(hosted: &HostedChannel) -> Response {
    let accent = accent(&hosted.spec);
    let css = format!(":root {{ --accent: {accent}; --on-accent: {}; }}\n", accent.text_on_it());
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, css).into_response()
}

/// A file of the page. Whoever has an older page in a tab gets today's file.
pub(super) async fn asset(Path((version, name)): Path<(String, String)>) -> Response {
    let Some((_, kind, text)) = ASSETS.into_iter().find(|(known, _, _)| *known == name) else {
        let detail = "there is nothing here";
        return Problem::new(StatusCode::NOT_FOUND, "not-found", detail).into_response();
    };
    let caching =
        if version == *VERSION { "public, max-age=31536000, immutable" } else { "no-store" };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, caching)], text).into_response()
}
