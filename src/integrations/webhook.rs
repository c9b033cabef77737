//! A webhook, signed as the Standard Webhooks say: `webhook-id`, `webhook-timestamp`, `webhook-signature`.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Url, header};
use serde_json::json;
use sha2::Sha256;

use super::{
    http::{Errand, Http, address},
    reporter::Unconnectable,
};
use crate::domain::{
    channel::Secret,
    report::{NewReport, Report, ReportCall, ReportContact, ReportOutcome},
};

/// Shown in secrets, and no part of the key.
const SECRET_PREFIX: &str = "whsec_";
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The old and the new one, while they change.
const KEYS_MAX: usize = 2;

pub struct Webhook {
    http: Http,
    url: Url,
    keys: Vec<SigningKey>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook")
    }
}

/// A symmetric key of the Standard Webhooks.
struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Every key of a secret, the first of which is the newest.
    fn parse_all(secret: &Secret) -> Result<Vec<Self>, Unconnectable> {
        let parsed: Option<Vec<Self>> =
            secret.reveal().split_whitespace().map(Self::parse).collect();
        let keys = parsed.ok_or(Unconnectable::UnusableSigningSecret)?;
        let some = (1..=KEYS_MAX).contains(&keys.len());
        some.then_some(keys).ok_or(Unconnectable::UnusableSigningSecret)
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text.strip_prefix(SECRET_PREFIX).unwrap_or(text));
        let bytes = bytes.ok().filter(|bytes| KEY_BYTES.contains(&bytes.len()))?;
        Hmac::new_from_slice(&bytes).ok().map(Self)
    }

    /// One signature as it stands in the header.
    fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl Webhook {
    pub(super) fn connect(
        url: &Secret,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        let secret = secrets.get("secret").ok_or(Unconnectable::MissingCredential("secret"))?;
        Ok(Self { http: http.clone(), url: address(url)?, keys: SigningKey::parse_all(secret)? })
    }

    pub(super) async fn report(&self, call: &ReportCall<'_>) -> ReportOutcome {
        let errand = self.http.errand("the webhook", call.now);
        let id = call.report.id.to_string();
        let timestamp = call.now.timestamp();
        let body = body(call.report);
        let signatures: Vec<String> =
            self.keys.iter().map(|key| key.sign(&id, timestamp, &body)).collect();
        let request = errand
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures.join(" "))
            .body(body);
        // What it says beside its status counts for nothing, however long it is.
        match errand.tell(request).await {
            Ok(answer) => told(&errand, answer.status, &answer),
            // A repeat has the same id and is dropped: there is no doubt to wait for.
            Err(ReportOutcome::Retry { reason, .. }) => {
                ReportOutcome::Retry { after: None, reason }
            }
            Err(other) => other,
        }
    }
}

fn told(errand: &Errand<'_>, status: u16, answer: &super::http::Answer) -> ReportOutcome {
    match status {
        200..300 => ReportOutcome::Done { remote_id: None },
        410 => ReportOutcome::Gone {
            reason: "the webhook answered HTTP 410: it wants no reports any more".to_owned(),
        },
        // By the standard: whoever stands before the receiver cannot reach it, and it is left alone for a while.
        502 | 504 => errand.throttled(
            answer.retry_after,
            &format!("HTTP {status}: who stands before the receiver does not reach it"),
        ),
        _ => match errand.by_status(answer) {
            ReportOutcome::Retry { reason, .. } => ReportOutcome::Retry { after: None, reason },
            other => other,
        },
    }
}

/// Types are parted by full stops, and have no hyphens.
fn body(report: &Report) -> String {
    let Report { id, origin: _, integration, new } = report;
    let NewReport {
        dialogue,
        task,
        channel,
        event,
        at,
        evidence,
        contact: ReportContact { address, name, phone, email },
        summary,
        transcript,
        manager,
    } = new;
    json!({
        "type": format!("dialogue.{}", event.as_str().replace('-', "_")),
        "timestamp": written(*at),
        "data": {
            "report": id.to_string(),
            "dialogue": dialogue.to_string(),
            "task": task.as_str(),
            "channel": channel.as_str(),
            "integration": integration.as_str(),
            "event": event.as_str(),
            "manager": manager,
            "contact": {
                "address": address.as_str(),
                "name": name,
                "phone": phone,
                "email": email,
            },
            "evidence": evidence,
            "summary": summary,
            "transcript": transcript,
        },
    })
    .to_string()
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // The example of the Standard Webhooks' libraries.
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        assert_eq!(
            key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_secret_is_one_or_two_keys_of_their_length() {
        let key = |bytes: usize| BASE64_STANDARD.encode(vec![7; bytes]);
        for (text, keys) in [
            (format!("whsec_{}", key(24)), Some(1)),
            (key(64), Some(1)),
            (format!("whsec_{} whsec_{}\n", key(32), key(24)), Some(2)),
            (format!("whsec_{}", key(23)), None),
            (key(65), None),
            (String::new(), None),
            ("whsec_".to_owned(), None),
            ("not base64 at all".to_owned(), None),
            ([key(24), key(24), key(24)].join(" "), None),
        ] {
            let parsed = SigningKey::parse_all(&Secret::new(text.clone()));
            assert_eq!(parsed.ok().map(|keys| keys.len()), keys, "{text}");
        }
    }
}
