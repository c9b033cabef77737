//! The script that puts a chat on a site: one file, with the settings of its channel in it.

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use super::{
    origin::PublicUrl, page, problem::Problem, site::Site, surface::Surface, words::Words,
};
use crate::domain::{id::ChannelName, kind::ChannelKind, origin::SiteOrigin};

/// A changed manifest is seen within it; a visitor who looks at ten pages asks once.
const CACHING: &str = "public, max-age=300";

static SCRIPT: LazyLock<String> = LazyLock::new(|| squeezed(include_str!("assets/widget.js")));
static STYLE: LazyLock<String> = LazyLock::new(|| squeezed(include_str!("assets/widget.css")));

pub(super) fn router() -> Router<Arc<Site>> {
    Router::new().route("/widget/{file}", get(script))
}

/// Without the comments that stand on lines of their own, and without indentation: every visitor of the
/// site loads it.
fn squeezed(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let meant =
        lines.filter(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with("/*"));
    meant.collect::<Vec<_>>().join("\n")
}

async fn script(
    State(site): State<Arc<Site>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let name = file.strip_suffix(".js").ok_or_else(Problem::unknown_channel)?;
    let channel: ChannelName = name.parse().map_err(|_| Problem::unknown_channel())?;
    let hosted = site.store.read_hosted_channel(&channel, None).await?;
    let spec = match hosted {
        Some(hosted) if hosted.spec.kind == ChannelKind::Widget => hosted.spec,
        _ => return Err(Problem::unknown_channel()),
    };
    let words = Words::of(&headers);
    let accent = page::accent(&spec);
    let allowed = spec.allowed_origins();
    let settings = json!({
        "channel": channel.as_str(),
        "frame": format!("{}/{channel}", Surface::Embedded.folder()),
        // Where the script cannot see where it came from.
        "server": site.public_url.as_ref().map(PublicUrl::as_str),
        "allowed": allowed.iter().map(SiteOrigin::as_str).collect::<Vec<_>>(),
        "title": page::title(&spec, words),
        "css": format!(".root{{--accent:{accent};--on-accent:{}}}{}", accent.text_on_it(), *STYLE),
        "words": words.for_widget(),
    });
    let headers = [
        (header::CONTENT_TYPE, page::SCRIPT),
        (header::CACHE_CONTROL, CACHING),
        (header::VARY, "accept-language"),
        // Sites of others load it; there is nothing in it that is anybody's own.
        (header::HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    Ok((headers, format!("({})({settings});\n", *SCRIPT)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_small_and_does_nothing_that_a_strict_policy_forbids() {
        let size = SCRIPT.len() + STYLE.len();
        assert!(size < 12_000, "{size} bytes");
        assert!(SCRIPT.starts_with("(settings) => {") && SCRIPT.ends_with('}'));
        for forbidden in ["innerHTML", "eval(", "Function(", "cssText", "<style", "import"] {
            assert!(!SCRIPT.contains(forbidden), "{forbidden}");
        }
        assert!(!STYLE.contains("url("));
    }

    #[test]
    fn only_comments_and_indentation_are_squeezed_out() {
        let text = "// why\n\n(a) => {\n  /* b */\n  return `x // y`;\n}\n";
        assert_eq!(squeezed(text), "(a) => {\nreturn `x // y`;\n}");
    }
}
