//! The token that calls carry: given for the client's id and secret, and kept until it ends.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Url, header::HeaderValue};
use serde::Deserialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{
    super::{
        answer::{by_status, nothing_was_sent},
        connecting::{Unconnectable, below, credential},
        http::{Answer, Http, exchange},
    },
    PROVIDER,
};
use crate::domain::{
    attempt::{Outcome, OutcomeClass},
    channel::Secret,
};

/// A token is not used in its last minute: a call takes a while, and the clocks of two machines differ.
const MARGIN: Duration = Duration::from_mins(1);
/// Avito's tokens live for a day. What claims to live longer is asked for anew all the same.
const LIFE_MAX: Duration = Duration::from_hours(24);

#[derive(Debug)]
pub(super) struct Tokens {
    url: Url,
    client_id: Secret,
    client_secret: Secret,
    /// Whoever finds it ended fetches the next while the others wait here.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<Token>,
    /// The number of the last one.
    fetched: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) number: u64,
    /// Marked as a secret.
    pub(super) authorization: HeaderValue,
    good_until: Instant,
    /// It was fetched for this very call.
    pub(super) is_new: bool,
}

/// Fields of an error may repeat what was sent and are not read.
#[derive(Deserialize)]
struct Said {
    access_token: Option<String>,
    expires_in: Option<f64>,
    error: Option<serde::de::IgnoredAny>,
}

impl Tokens {
    pub(super) fn connect(
        endpoint: &Url,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Self, Unconnectable> {
        let secret = |name| credential(secrets, name).map(|value| Secret::new(value.to_owned()));
        Ok(Self {
            url: below(endpoint, &["token"]),
            client_id: secret("clientId")?,
            client_secret: secret("clientSecret")?,
            held: Mutex::default(),
        })
    }

    /// The token that is held, or another one where there is none, it has ended, or it is the one that was
    /// `refused`: then whoever comes first fetches the next for all.
    pub(super) async fn get(
        &self,
        http: &Http,
        refused: Option<u64>,
        until: Instant,
    ) -> Result<Token, Outcome> {
        let late = |_| {
            let reason = format!("{PROVIDER}: no token came in time");
            Outcome::of(OutcomeClass::NotSent, reason)
        };
        let mut held = timeout_at(until, self.held.lock()).await.map_err(late)?;
        if let Some(token) = &held.token
            && Instant::now() < token.good_until
            && Some(token.number) != refused
        {
            return Ok(token.clone());
        }
        held.token = None;
        let (authorization, life) = self.fetch(http, until).await.map_err(nothing_was_sent)?;
        held.fetched += 1;
        let good_until = Instant::now() + life;
        let token = Token { number: held.fetched, authorization, good_until, is_new: false };
        held.token = Some(token.clone());
        Ok(Token { is_new: true, ..token })
    }

    async fn fetch(&self, http: &Http, until: Instant) -> Result<(HeaderValue, Duration), Outcome> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.client_id.reveal()),
            ("client_secret", self.client_secret.reveal()),
        ];
        let answer = exchange(http.post(self.url.clone()).form(&form), until)
            .await
            .map_err(|failure| failure.outcome(PROVIDER))?;
        read(&answer)
    }
}

fn read(answer: &Answer) -> Result<(HeaderValue, Duration), Outcome> {
    let Answer { status, retry_after, body } = answer;
    match status {
        200..300 => {}
        // OAuth answers 400 or 401 to a client that it does not know.
        400 | 401 | 403 => return Err(client_is_refused()),
        status => return Err(by_status(*status, PROVIDER, *retry_after)),
    }
    let unreadable = || {
        let reason = format!("{PROVIDER} gave no token that can be read");
        Outcome::of(OutcomeClass::NotSent, reason)
    };
    let said: Said = serde_json::from_slice(body).map_err(|_| unreadable())?;
    let Said { access_token: Some(token), expires_in, error: _ } = said else {
        return Err(if said.error.is_some() { client_is_refused() } else { unreadable() });
    };
    let mut authorization =
        HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| unreadable())?;
    authorization.set_sensitive(true);
    Ok((authorization, life(expires_in)))
}

/// A life that is not told, or that is none, ends when the token is refused.
fn life(expires_in: Option<f64>) -> Duration {
    let told = expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let told = told.filter(|life| *life > MARGIN).unwrap_or(LIFE_MAX);
    told.min(LIFE_MAX).saturating_sub(MARGIN)
}

fn client_is_refused() -> Outcome {
    let reason = format!("{PROVIDER}: the client's id or secret is refused");
    Outcome::of(OutcomeClass::CredentialRefused, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn what_is_no_token_has_a_class() {
        use OutcomeClass::{CredentialRefused, InDoubt, NotSent, OurMistake, RetryAfter};
        for (status, body, class) in [
            (400, r#"{"error":"invalid_client"}"#, CredentialRefused),
            (401, "", CredentialRefused),
            (403, r#"{"error":{"code":403,"message":"a"}}"#, CredentialRefused),
            (200, r#"{"error":"invalid_client"}"#, CredentialRefused),
            (404, "<html>", OurMistake),
            (429, "", RetryAfter),
            (200, "<html>", NotSent),
            (200, "{}", NotSent),
            (200, r#"{"access_token":"a\nb"}"#, NotSent),
            // Whoever asked for it sent nothing else.
            (500, "", InDoubt),
        ] {
            assert_eq!(read(&answer(status, body)).unwrap_err().class, class, "{status} {body}");
        }
    }

    #[test]
    fn a_token_is_given_up_before_it_ends() {
        for (expires_in, seconds) in [
            ("86400", 86_340),
            ("3600.5", 3_540),
            ("1e300", 86_340),
            ("60", 86_340),
            ("-5", 86_340),
            ("null", 86_340),
        ] {
            let body = format!(r#"{{"access_token":"a","expires_in":{expires_in}}}"#);
            let (authorization, life) = read(&answer(200, &body)).unwrap();
            assert_eq!(life.as_secs(), seconds, "{expires_in}");
            assert!(!format!("{authorization:?}").contains("Bearer"), "it is marked");
        }
    }
}
