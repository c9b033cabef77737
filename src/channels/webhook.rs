//! Webhooks: what of them is looked at, why one is refused, and the proof that it is genuine.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use super::connecting::Unconnectable;
use crate::domain::{channel::Secret, dialogue::Received};

/// A webhook as it came.
#[derive(Clone, Copy)]
pub struct Webhook<'a> {
    pub headers: &'a WebhookHeaders,
    /// What stands behind the channel in the address: the secret of providers that sign nothing.
    pub token: Option<&'a str>,
    /// A signature holds for its bytes.
    pub body: &'a [u8],
    /// When it came.
    pub at: DateTime<Utc>,
}

/// What a webhook brought. Events that are not understood are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    pub received: Vec<Received>,
    /// What the provider wants to read; most are content with any success.
    pub answer: Option<String>,
    /// The body as it may be kept, where the provider puts a secret into it, or what is for others.
    pub kept: Option<Vec<u8>>,
    /// Some of it is for other accounts, which may be channels of ours.
    pub for_others: bool,
}

impl From<Vec<Received>> for Brought {
    fn from(received: Vec<Received>) -> Self {
        Self { received, ..Self::default() }
    }
}

/// The headers of a webhook: names in lower case. Of a header that comes twice, the last counts.
#[derive(Clone, Default)]
pub struct WebhookHeaders(BTreeMap<String, String>);

impl<N: AsRef<str>, V: Into<String>> FromIterator<(N, V)> for WebhookHeaders {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let lower = |(name, value): (N, V)| (name.as_ref().to_ascii_lowercase(), value.into());
        Self(headers.into_iter().map(lower).collect())
    }
}

impl WebhookHeaders {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim())
    }
}

/// Why a webhook is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookRefused {
    #[error("the channel has no secret by which a webhook could be verified")]
    NotConfigured,
    #[error("the webhook is not signed")]
    SignatureMissing,
    #[error("the signature of the webhook is wrong")]
    SignatureWrong,
    #[error("the webhook is older, or newer, than five minutes")]
    TooOld,
    #[error("the webhook is signed, but not in the provider's form")]
    Unreadable,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Digest {
    Sha256,
    Sha512,
}

/// Verifies a signature in hexadecimal digits over the raw bytes, in constant time.
pub(super) fn verify(
    digest: Digest,
    secret: &Secret,
    body: &[u8],
    signature: &str,
) -> Result<(), WebhookRefused> {
    const ANY_LENGTH: &str = "HMAC takes a key of any length";
    let wrong = |_| WebhookRefused::SignatureWrong;
    let signature = hex::decode(signature).map_err(wrong)?;
    let key = secret.reveal().as_bytes();
    match digest {
        Digest::Sha256 => Hmac::<Sha256>::new_from_slice(key)
            .expect(ANY_LENGTH)
            .chain_update(body)
            .verify_slice(&signature),
        Digest::Sha512 => Hmac::<Sha512>::new_from_slice(key)
            .expect(ANY_LENGTH)
            .chain_update(body)
            .verify_slice(&signature),
    }
    .map_err(|_| WebhookRefused::SignatureWrong)
}

/// In constant time but for the length, which is no secret.
pub(super) fn same(secret: &Secret, presented: &str) -> bool {
    secret.reveal().as_bytes().ct_eq(presented.as_bytes()).into()
}

/// A secret that a channel may have. An empty one would make everybody's signature right.
pub(super) fn optional_secret(
    secrets: &BTreeMap<String, Secret>,
    name: &'static str,
) -> Result<Option<Secret>, Unconnectable> {
    let Some(secret) = secrets.get(name) else { return Ok(None) };
    // A file with a secret mostly ends with a line feed.
    match secret.reveal().trim() {
        "" => Err(Unconnectable::UnusableCredential(name)),
        value => Ok(Some(Secret::new(value.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_as_the_standards_vectors_say() {
        // RFC 4231, test case 2.
        let secret = Secret::new("Jefe".to_owned());
        let body = b"what do ya want for nothing?";
        let sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let sha512 = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                      9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
        for (digest, signature) in [(Digest::Sha256, sha256), (Digest::Sha512, sha512)] {
            assert_eq!(verify(digest, &secret, body, signature), Ok(()));
            assert_eq!(verify(digest, &secret, body, &signature.to_uppercase()), Ok(()));
            for wrong in [
                "",
                "00",
                "zz",
                &signature[2..],
                &format!("{signature}00"),
                &signature.replace('c', "d"),
            ] {
                let refused = Err(WebhookRefused::SignatureWrong);
                assert_eq!(verify(digest, &secret, body, wrong), refused, "{wrong}");
            }
        }
    }

    #[test]
    fn an_empty_secret_is_none_that_could_verify() {
        let of = |value: &str| {
            let secrets = BTreeMap::from([("a".to_owned(), Secret::new(value.to_owned()))]);
            optional_secret(&secrets, "a")
        };
        assert_eq!(of(" \n"), Err(Unconnectable::UnusableCredential("a")));
        assert_eq!(of("key\n"), Ok(Some(Secret::new("key".to_owned()))));
        assert_eq!(optional_secret(&BTreeMap::new(), "a"), Ok(None));
    }
}
