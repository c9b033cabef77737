//! Where a chat is shown: on a page of its own, or within a site of somebody else.

use axum::http::{HeaderMap, HeaderName, Uri, header};

use crate::domain::{channel::ChannelSpec, kind::ChannelKind, origin::SiteOrigin};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surface {
    Page,
    Embedded,
}

impl Surface {
    /// The first part of the paths.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Page => "/chat",
            Self::Embedded => "/embed",
        }
    }

    /// Whether a channel is shown here at all; what nobody may embed is not.
    pub(super) fn shows(self, spec: &ChannelSpec) -> bool {
        match self {
            Self::Page => spec.kind == ChannelKind::PageMessenger,
            Self::Embedded => spec.kind.is_embedded() && !spec.allowed_origins().is_empty(),
        }
    }
}

/// Whether a document that is to be embedded was asked for by a frame of a site that may. What a browser
/// does not say here, it looks at itself: `frame-ancestors` names the same sites, of all frames around.
pub(super) fn may_be_embedded(headers: &HeaderMap, allowed: &[SiteOrigin]) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let is_frame = text(HeaderName::from_static("sec-fetch-dest"))
        .is_none_or(|dest| matches!(dest, "iframe" | "frame"));
    // A frame that loads itself anew tells of nobody.
    let by_allowed = text(header::REFERER)
        .and_then(origin_of)
        .is_none_or(|origin| allowed.iter().any(|site| site.admits(&origin)));
    is_frame && by_allowed
}

fn origin_of(referrer: &str) -> Option<String> {
    let uri: Uri = referrer.parse().ok()?;
    Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_a_frame_of_an_allowed_site_gets_the_chat() {
        let allowed = ["https://shop.example", "https://*.shop.example", "http://localhost:3000"];
        let allowed = allowed.map(|text| text.parse().unwrap());
        for (dest, referrer, may) in [
            (Some("iframe"), Some("https://shop.example/"), true),
            (Some("iframe"), Some("https://www.shop.example/cart?x=1"), true),
            (Some("iframe"), Some("http://localhost:3000/"), true),
            (Some("frame"), None, true),
            (None, None, true),
            (Some("iframe"), Some("https://evil.example/"), false),
            (Some("iframe"), Some("http://shop.example/"), false),
            (Some("iframe"), Some("https://shop.example@evil.example/"), false),
            (Some("document"), None, false),
            (Some("document"), Some("https://shop.example/"), false),
            (Some("embed"), Some("https://shop.example/"), false),
            (Some("object"), Some("https://shop.example/"), false),
            (Some("empty"), None, false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-fetch-dest", dest), ("referer", referrer)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(may_be_embedded(&headers, &allowed), may, "{dest:?} {referrer:?}");
        }
    }
}
