//! Sites of others that may embed a chat, as browsers name them.

use std::{fmt, str::FromStr};

use url::{Host, Url};

/// A site as browsers write its origin, `https://shop.example`; or all sites below a domain of somebody's
/// own, `https://*.shop.example`. Made of nothing that would mean something in a header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteOrigin(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSiteOrigin {
    #[error("this is no origin of a site")]
    NoOrigin,
    #[error("`*` stands for the first part of a host alone: everybody could embed the chat")]
    Everybody,
    #[error("anybody can have a site below `{0}`")]
    PublicSuffix(String),
    #[error("plain `http` can be changed on its way to the visitor")]
    PlainHttp,
    #[error("browsers let no number stand for a site there, but 127.0.0.1")]
    Number,
    #[error("browsers never write an origin like this")]
    NotAsWritten { meant: String },
}

impl InvalidSiteOrigin {
    /// What to write instead.
    pub fn way_out(&self) -> String {
        match self {
            Self::NoOrigin => "write scheme and host, such as `https://shop.example`".to_owned(),
            Self::Everybody => {
                "name the sites, or all below one of your own: `https://*.shop.example`".to_owned()
            }
            Self::PublicSuffix(_) => "name each site".to_owned(),
            Self::PlainHttp => "write `https`; `http` is for localhost and 127.0.0.1".to_owned(),
            Self::Number => "write the name of the host".to_owned(),
            Self::NotAsWritten { meant } => format!("write `{meant}`"),
        }
    }
}

const EVERY: &str = "*.";

impl FromStr for SiteOrigin {
    type Err = InvalidSiteOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidSiteOrigin> {
        let (scheme, rest) = text.split_once("://").ok_or(match text {
            "*" => InvalidSiteOrigin::Everybody,
            _ => InvalidSiteOrigin::NoOrigin,
        })?;
        let (every, rest) = match rest.strip_prefix(EVERY) {
            Some(below) => (EVERY, below),
            None => ("", rest),
        };
        if rest.contains('*') {
            return Err(InvalidSiteOrigin::Everybody);
        }
        let url: Url =
            format!("{scheme}://{rest}").parse().map_err(|_| InvalidSiteOrigin::NoOrigin)?;
        let host = match url.host() {
            Some(Host::Domain(host)) => host,
            Some(Host::Ipv4(number)) if number.is_loopback() && every.is_empty() => "127.0.0.1",
            Some(_) => return Err(InvalidSiteOrigin::Number),
            None => return Err(InvalidSiteOrigin::NoOrigin),
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if !host.bytes().all(is_plain) || host.ends_with('.') {
            return Err(InvalidSiteOrigin::NoOrigin);
        }
        let is_here = host == "127.0.0.1" || host == "localhost" || host.ends_with(".localhost");
        match url.scheme() {
            "https" => {}
            "http" if is_here => {}
            "http" => return Err(InvalidSiteOrigin::PlainHttp),
            _ => return Err(InvalidSiteOrigin::NoOrigin),
        }
        if !every.is_empty() && (is_here || psl::domain_str(host).is_none()) {
            return Err(InvalidSiteOrigin::PublicSuffix(host.to_owned()));
        }
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        let written = format!("{}://{every}{host}{port}", url.scheme());
        if written == text {
            Ok(Self(written))
        } else {
            Err(InvalidSiteOrigin::NotAsWritten { meant: written })
        }
    }
}

impl SiteOrigin {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a site, as a browser names it, is meant.
    pub fn admits(&self, origin: &str) -> bool {
        match self.0.split_once(EVERY) {
            None => self.0 == origin,
            Some((scheme, below)) => origin
                .strip_prefix(scheme)
                .and_then(|site| site.strip_suffix(below))
                .is_some_and(|own| own.len() > 1 && own.ends_with('.')),
        }
    }
}

impl fmt::Display for SiteOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_taken_as_browsers_write_it() {
        for text in [
            "https://shop.example",
            "https://shop.example:8443",
            "https://xn--80aafc.xn--p1ai",
            "https://*.shop.example",
            "https://*.shop.co.uk",
            "https://*.shop.example:8443",
            "http://localhost",
            "http://localhost:3000",
            "http://shop.localhost:3000",
            "http://127.0.0.1:3000",
            "https://localhost",
        ] {
            assert_eq!(text.parse::<SiteOrigin>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_no_origin_is_refused_with_the_way_out() {
        use InvalidSiteOrigin::{Everybody, NoOrigin, Number, PlainHttp, PublicSuffix};
        let meant = |meant: &str| InvalidSiteOrigin::NotAsWritten { meant: meant.to_owned() };
        for (text, error) in [
            ("", NoOrigin),
            ("shop.example", NoOrigin),
            ("null", NoOrigin),
            ("localhost", NoOrigin),
            ("file:///", NoOrigin),
            ("ftp://shop.example", NoOrigin),
            ("https://", NoOrigin),
            ("https://shop.example.", NoOrigin),
            ("https://a_b.shop.example", NoOrigin),
            ("https://shop.example; script-src", NoOrigin),
            ("*", Everybody),
            ("https://*", Everybody),
            ("https://*.*.example", Everybody),
            ("https://shop.*", Everybody),
            ("https://*shop.example", Everybody),
            ("https://*.com", PublicSuffix("com".to_owned())),
            ("https://*.co.uk", PublicSuffix("co.uk".to_owned())),
            ("https://*.github.io", PublicSuffix("github.io".to_owned())),
            ("https://*.example", PublicSuffix("example".to_owned())),
            ("https://*.localhost", PublicSuffix("localhost".to_owned())),
            ("http://shop.example", PlainHttp),
            ("http://*.shop.example", PlainHttp),
            ("http://localhost.shop.example", PlainHttp),
            ("https://192.0.2.1", Number),
            ("https://*.127.0.0.1", Number),
            ("http://[::1]:3000", Number),
            ("https://shop.example/", meant("https://shop.example")),
            ("https://shop.example/chat?x#y", meant("https://shop.example")),
            ("https://shop.example:443", meant("https://shop.example")),
            ("HTTPS://Shop.Example", meant("https://shop.example")),
            ("https://user:s3cr3t@shop.example", meant("https://shop.example")),
            ("https://магазин.рф", meant("https://xn--80aairftm.xn--p1ai")),
            ("http://127.1", meant("http://127.0.0.1")),
        ] {
            assert_eq!(text.parse::<SiteOrigin>(), Err(error.clone()), "{text}");
            assert!(!error.way_out().is_empty() && !error.to_string().contains("s3cr3t"));
        }
    }

    #[test]
    fn only_what_is_meant_is_admitted() {
        for (allowed, origin, admitted) in [
            ("https://shop.example", "https://shop.example", true),
            ("https://shop.example", "http://shop.example", false),
            ("https://shop.example", "https://shop.example:8443", false),
            ("https://shop.example", "https://www.shop.example", false),
            ("https://shop.example", "https://shop.example.evil.example", false),
            ("https://shop.example", "null", false),
            ("https://*.shop.example", "https://www.shop.example", true),
            ("https://*.shop.example", "https://a.b.shop.example", true),
            ("https://*.shop.example", "https://shop.example", false),
            ("https://*.shop.example", "https://.shop.example", false),
            ("https://*.shop.example", "https://evilshop.example", false),
            ("https://*.shop.example", "http://www.shop.example", false),
            ("https://*.shop.example", "https://www.shop.example:8443", false),
            ("https://*.shop.example:8443", "https://www.shop.example:8443", true),
        ] {
            let allowed: SiteOrigin = allowed.parse().unwrap();
            assert_eq!(allowed.admits(origin), admitted, "{allowed} {origin}");
        }
    }
}
