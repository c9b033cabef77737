//! A visitor of a page: a pass that holds an id and a secret, in a cookie, or in a header where browsers keep
//! no cookies for a frame.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::{problem::Problem, site::Site, surface::Surface};
use crate::{
    domain::{
        address::Address,
        id::{ChannelName, VisitorId},
    },
    store::{Acquaintance, VISITOR_SILENCE},
};

/// By it a page within a site shows its pass, where the browser took the cookie away.
const PASS_HEADER: &str = "nuncio-visitor";

/// Clocks of several machines of ours may differ.
const CLOCK_DIFFERENCE: TimeDelta = TimeDelta::minutes(5);

/// Somebody who showed the secret that belongs to the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Visitor(pub(super) VisitorId);

impl Visitor {
    /// Under which address the dialogues know them.
    pub(super) fn peer(self) -> Address {
        Address::from_stored(self.0.to_string())
    }

    /// Lets two tabs see whether they belong to the same visitor, and nobody who it is.
    pub(super) fn thread_tag(self) -> String {
        let digest = Sha256::digest(self.0.0.as_bytes());
        URL_SAFE_NO_PAD.encode(&digest[..9])
    }
}

/// Proves who somebody is.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pass {
    id: VisitorId,
    secret: [u8; 32],
}

impl Pass {
    pub(super) fn issue() -> Option<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).ok()?;
        Some(Self { id: VisitorId(Uuid::now_v7()), secret })
    }

    fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.split_once('.')?;
        let id: Uuid = id.parse().ok()?;
        let secret = URL_SAFE_NO_PAD.decode(secret).ok()?.try_into().ok()?;
        (id.get_version_num() == 7).then_some(Self { id: VisitorId(id), secret })
    }

    /// As the script of a page within a site keeps it.
    pub(super) fn reveal(&self) -> String {
        let Self { id, secret } = self;
        format!("{id}.{}", URL_SAFE_NO_PAD.encode(secret))
    }

    fn shown(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(PASS_HEADER)?.to_str().ok()?)
    }

    /// The pass of a request's cookies.
    pub(super) fn of(headers: &HeaderMap, name: &str) -> Option<Self> {
        let cookies = headers.get_all(header::COOKIE).iter();
        cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .find(|(known, _)| *known == name)
            .and_then(|(_, value)| Self::parse(value))
    }

    /// Whether a visitor with this id may still be one. An id tells when it was issued, so that one who
    /// was forgotten cannot come back to what was said under it.
    fn is_of_our_time(&self, now: DateTime<Utc>) -> bool {
        let Some((seconds, _)) = self.id.0.get_timestamp().map(|time| time.to_unix()) else {
            return false;
        };
        let issued = i64::try_from(seconds).ok().and_then(|s| DateTime::from_timestamp(s, 0));
        issued.is_some_and(|issued| issued < now + CLOCK_DIFFERENCE)
    }

    fn is_older_than_silence(&self, now: DateTime<Utc>) -> bool {
        let issued = self.id.0.get_timestamp().map_or(0, |time| time.to_unix().0);
        let now = u64::try_from(now.timestamp()).unwrap_or(0);
        now.saturating_sub(issued) > VISITOR_SILENCE.as_secs()
    }

    fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    pub(super) fn set_cookie(
        &self,
        channel: &ChannelName,
        surface: Surface,
        is_https: bool,
    ) -> Option<HeaderValue> {
        let reach = match (surface, is_https) {
            (Surface::Page, false) => "SameSite=Lax",
            (Surface::Page, true) => "SameSite=Lax; Secure",
            // A jar of its own for each site around. Without HTTPS it is kept on the loopback alone.
            (Surface::Embedded, _) => "SameSite=None; Secure; Partitioned",
        };
        let (name, age) = (cookie_name(channel, is_https), VISITOR_SILENCE.as_secs());
        let pass = self.reveal();
        let text = format!("{name}={pass}; Path=/; Max-Age={age}; HttpOnly; {reach}");
        HeaderValue::try_from(text).ok()
    }
}

/// A name of its own for each channel: who is a visitor here need not be one there.
pub(super) fn cookie_name(channel: &ChannelName, is_https: bool) -> String {
    // Browsers take a `__Host-` cookie only from this very host, over HTTPS.
    format!("{}nuncio-{channel}", if is_https { "__Host-" } else { "" })
}

/// Why somebody is no visitor.
#[derive(Debug)]
pub(super) enum Stranger {
    Unknown,
    Problem(Problem),
}

impl Stranger {
    /// They get a pass, and may ask again: in a cookie, and where that may be taken away, for the page itself.
    pub(super) fn welcome(site: &Site, channel: &ChannelName, surface: Surface) -> Response {
        let problem = Problem::new(
            StatusCode::UNAUTHORIZED,
            "unknown-visitor",
            "ask again with the new pass",
        );
        let Some(pass) = Pass::issue() else { return problem.into_response() };
        let mut response = match surface {
            Surface::Page => problem.into_response(),
            Surface::Embedded => problem.with_pass(pass.reveal()).into_response(),
        };
        if let Some(set) = pass.set_cookie(channel, surface, site.is_https()) {
            response.headers_mut().insert(header::SET_COOKIE, set);
        }
        response
    }
}

/// A visitor, and whether the browser keeps their pass.
#[derive(Clone)]
pub(super) struct Recognised {
    pub(super) visitor: Visitor,
    pub(super) pass: Pass,
    /// The cookie says the same.
    pub(super) is_kept: bool,
}

/// Who asks: by the pass that a page within a site shows, else by the cookie.
pub(super) async fn recognise(
    site: &Site,
    channel: &ChannelName,
    surface: Surface,
    headers: &HeaderMap,
) -> Result<Recognised, Stranger> {
    let now = (site.clock)();
    let kept = Pass::of(headers, &cookie_name(channel, site.is_https()));
    let shown = match surface {
        Surface::Page => None,
        Surface::Embedded => Pass::shown(headers),
    };
    let pass = shown.or_else(|| kept.clone()).filter(|pass| pass.is_of_our_time(now));
    let pass = pass.ok_or(Stranger::Unknown)?;
    let is_kept = kept.as_ref() == Some(&pass);
    let digest = pass.digest();
    let problem = |error| Stranger::Problem(Problem::from(error));
    if pass.is_older_than_silence(now)
        && !site.store.knows_visitor(channel, pass.id).await.map_err(problem)?
    {
        return Err(Stranger::Unknown);
    }
    match site.store.meet_visitor(channel, pass.id, &digest).await.map_err(problem)? {
        Acquaintance::Known { secret_digest, is_seen_anew } => {
            if !bool::from(secret_digest.ct_eq(&digest[..])) {
                return Err(Stranger::Unknown);
            }
            if is_seen_anew {
                site.store.note_visitor_seen(channel, pass.id).await.map_err(problem)?;
            }
            Ok(Recognised { visitor: Visitor(pass.id), pass, is_kept })
        }
        Acquaintance::Expired => Err(Stranger::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_read_as_it_was_written() {
        let channel: ChannelName = "shop".parse().unwrap();
        let pass = Pass::issue().unwrap();
        for (surface, is_https, attributes) in [
            (Surface::Page, true, "SameSite=Lax; Secure"),
            (Surface::Page, false, "SameSite=Lax"),
            (Surface::Embedded, true, "SameSite=None; Secure; Partitioned"),
            (Surface::Embedded, false, "SameSite=None; Secure; Partitioned"),
        ] {
            let set = pass.set_cookie(&channel, surface, is_https).unwrap();
            let set = set.to_str().unwrap();
            let expected = format!("Path=/; Max-Age=7776000; HttpOnly; {attributes}");
            assert_eq!(set.split_once("; ").unwrap().1, expected);
            assert_eq!(set.starts_with("__Host-nuncio-shop="), is_https);
            let sent = format!("a=b; {}; c=d", set.split(';').next().unwrap());
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::try_from(sent).unwrap());
            assert!(Pass::of(&headers, &cookie_name(&channel, is_https)) == Some(pass.clone()));
            assert!(Pass::of(&headers, "nuncio-other").is_none());
        }
        let mut headers = HeaderMap::new();
        headers.insert(PASS_HEADER, HeaderValue::try_from(pass.reveal()).unwrap());
        assert!(Pass::shown(&headers) == Some(pass));
    }

    #[test]
    fn what_is_no_pass_is_none() {
        let v4 = Uuid::new_v4();
        let secret = URL_SAFE_NO_PAD.encode([7; 32]);
        let short = URL_SAFE_NO_PAD.encode([7; 31]);
        let v7 = Uuid::now_v7();
        for text in
            ["", ".", &format!("{v4}.{secret}"), &format!("{v7}.{short}"), &format!("{v7}."), "x.y"]
        {
            assert!(Pass::parse(text).is_none(), "{text}");
        }
        assert!(Pass::parse(&format!("{v7}.{secret}")).is_some());
    }
}
