//! Where the server is seen from outside, and whether a request was made by its own page.

use std::str::FromStr;

use axum::http::{HeaderMap, Uri, header};

/// The address by which people reach the server: `https://chat.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// Scheme, host and port, as browsers write an origin.
    origin: String,
    is_https: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the public address must look like `https://chat.example`, without a path or a password")]
pub struct InvalidPublicUrl;

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidPublicUrl)?;
        let (scheme, authority) = (uri.scheme_str(), uri.authority());
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (scheme, authority) else {
            return Err(InvalidPublicUrl);
        };
        if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") {
            return Err(InvalidPublicUrl);
        }
        if uri.query().is_some() || authority.host().is_empty() {
            return Err(InvalidPublicUrl);
        }
        let is_default = matches!(
            (scheme, authority.port_u16()),
            ("http", Some(80)) | ("https", Some(443)) | (_, None)
        );
        let host = authority.host().to_ascii_lowercase();
        let origin = match authority.port_u16() {
            Some(port) if !is_default => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        };
        Ok(Self { origin, is_https: scheme == "https" })
    }
}

impl PublicUrl {
    pub fn as_str(&self) -> &str {
        &self.origin
    }

    pub(super) fn is_https(&self) -> bool {
        self.is_https
    }
}

/// Whether a request that changes something was made by a page of ours. Browsers say where it was made
/// from, and no script of another site can keep them from it.
pub(super) fn is_our_own(headers: &HeaderMap, public: Option<&PublicUrl>) -> bool {
    let text =
        |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    match text(header::HeaderName::from_static("sec-fetch-site")) {
        Some("same-origin") => return true,
        Some(_) => return false,
        // Older browsers, and plain HTTP beyond the loopback.
        None => {}
    }
    let Some(origin) = text(header::ORIGIN) else { return false };
    let of_public = public.is_some_and(|public| public.origin == origin);
    let of_host = text(header::HOST).is_some_and(|host| {
        let said = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        said.is_some_and(|said| said.eq_ignore_ascii_case(host))
    });
    of_public || of_host
}

/// Whether a request that only reads was made by a site of somebody else.
pub(super) fn is_foreign(headers: &HeaderMap, public: Option<&PublicUrl>) -> bool {
    // Older browsers do not say where their own reads were made from.
    let says_something =
        headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    says_something && !is_our_own(headers, public)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_public_address_is_an_origin() {
        for (text, origin) in [
            ("https://Chat.Example", "https://chat.example"),
            ("https://chat.example:443/", "https://chat.example"),
            ("http://127.0.0.1:8081", "http://127.0.0.1:8081"),
        ] {
            assert_eq!(text.parse::<PublicUrl>().unwrap().as_str(), origin);
        }
        for text in ["", "chat.example", "ftp://a", "https://a/b", "https://u:p@a", "https://a?b"] {
            assert_eq!(text.parse::<PublicUrl>(), Err(InvalidPublicUrl), "{text}");
        }
    }

    #[test]
    fn only_a_page_of_ours_may_change_something() {
        let public: PublicUrl = "https://chat.example".parse().unwrap();
        for (site, origin, host, ours) in [
            (Some("same-origin"), None, "inner:80", true),
            (Some("cross-site"), Some("https://chat.example"), "chat.example", false),
            (Some("same-site"), Some("https://shop.example"), "chat.example", false),
            (Some("none"), None, "chat.example", false),
            (None, Some("https://chat.example"), "inner:80", true),
            (None, Some("http://127.0.0.1:8081"), "127.0.0.1:8081", true),
            (None, Some("https://evil.example"), "chat.example", false),
            (None, Some("https://chat.example.evil.example"), "inner:80", false),
            (None, Some("null"), "chat.example", false),
            (None, None, "chat.example", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(is_our_own(&headers, Some(&public)), ours, "{site:?} {origin:?} {host}");
            let says_nothing = site.is_none() && origin.is_none();
            assert_eq!(is_foreign(&headers, Some(&public)), !ours && !says_nothing);
        }
    }
}
