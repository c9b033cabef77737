//! Calls of the Bot API. The token stands in their addresses, so nobody is shown one: failures of a transfer
//! come in the words of `http`, refusals in those of `refusals`.

use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    super::{
        answer::{by_status, unreadable},
        connecting::below,
        http::{Answer, Http, exchange_up_to},
    },
    refusals::refusal,
};
use crate::domain::{attempt::Outcome, channel::Secret};

pub(super) const PROVIDER: &str = "Telegram";

/// The server ends a list of updates at 4 MiB; everything else is far shorter.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct BotApi {
    pub(super) http: Http,
    pub(super) endpoint: Url,
    pub(super) token: Secret,
}

/// A description may repeat what was sent: it is compared, and never shown.
#[derive(Deserialize)]
struct Said {
    ok: bool,
    #[serde(default)]
    result: Value,
    error_code: Option<i64>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
}

impl BotApi {
    /// One call, and what it gives.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        parameters: &Value,
        until: Instant,
    ) -> Result<T, Outcome> {
        self.call_raw(method, parameters, until).await.map(|(result, _)| result)
    }

    /// As [`BotApi::call`], with the answer as it came.
    pub(super) async fn call_raw<T: DeserializeOwned>(
        &self,
        method: &str,
        parameters: &Value,
        until: Instant,
    ) -> Result<(T, Vec<u8>), Outcome> {
        let bot = format!("bot{}", self.token.reveal());
        let request = self.http.post(below(&self.endpoint, &[&bot, method])).json(parameters);
        let answer = exchange_up_to(ANSWER_BYTES_MAX, request, until)
            .await
            .map_err(|failure| failure.outcome(PROVIDER))?;
        Ok((read(&answer)?, answer.body))
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Outcome> {
    let Answer { status, retry_after, body } = answer;
    match serde_json::from_slice(body) {
        Ok(Said { ok: true, result, .. }) if answer.is_success() => {
            serde_json::from_value(result).map_err(|_| unreadable(PROVIDER))
        }
        Ok(Said { ok: false, error_code: Some(code), description, parameters, .. }) => {
            let named = parameters.retry_after.map(Duration::from_secs).or(*retry_after);
            Err(refusal(code, &description, named))
        }
        _ if answer.is_success() => Err(unreadable(PROVIDER)),
        _ => Err(by_status(*status, PROVIDER, *retry_after)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::attempt::OutcomeClass;

    fn of(status: u16, body: &str) -> Result<Value, Outcome> {
        read(&Answer { status, retry_after: None, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn only_an_answer_in_telegrams_own_form_says_what_became_of_the_call() {
        use OutcomeClass::{CredentialRefused, InDoubt, OurMistake, RecipientPermanent};
        assert_eq!(of(200, r#"{"ok":true,"result":[1]}"#), Ok(json!([1])));
        for (status, body, class) in [
            (200, "<html>", InDoubt),
            (200, "{}", InDoubt),
            (200, r#"{"ok":false}"#, InDoubt),
            (302, r#"{"ok":true,"result":1}"#, OurMistake),
            (403, r#"{"ok":false,"error_code":403,"description":5}"#, CredentialRefused),
            (
                403,
                r#"{"ok":false,"error_code":403,"description":"Forbidden: x"}"#,
                RecipientPermanent,
            ),
            // The code counts: a server of one's own may answer 200 to everything.
            (
                200,
                r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#,
                CredentialRefused,
            ),
            (
                500,
                r#"{"ok":false,"error_code":500,"description":"Internal Server Error"}"#,
                InDoubt,
            ),
            (502, "<html>", InDoubt),
            (404, "<html>", OurMistake),
        ] {
            assert_eq!(of(status, body).unwrap_err().class, class, "{status} {body}");
        }
        let sent: Result<Vec<Value>, _> = read(&Answer {
            status: 200,
            retry_after: None,
            body: br#"{"ok":true,"result":{}}"#.to_vec(),
        });
        assert_eq!(sent.unwrap_err().class, InDoubt);
    }

    #[test]
    fn the_wait_is_the_one_that_telegram_names() {
        let too_many = |parameters: &str| {
            let body = format!(r#"{{"ok":false,"error_code":429,"description":"x"{parameters}}}"#);
            let answer = Answer {
                status: 429,
                retry_after: Some(Duration::from_secs(9)),
                body: body.into_bytes(),
            };
            read::<Value>(&answer).unwrap_err().after
        };
        assert_eq!(too_many(r#","parameters":{"retry_after":37}"#), Some(Duration::from_secs(37)));
        assert_eq!(too_many(""), Some(Duration::from_secs(9)));
        let day = Duration::from_hours(24);
        assert_eq!(too_many(r#","parameters":{"retry_after":9999999999}"#), Some(day));
    }
}
