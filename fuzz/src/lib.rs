//! What the targets share: a driver that believes its webhooks, and what has to hold of whatever it reads.

use std::collections::BTreeMap;

use chrono::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use nuncio::{
    channels::{Brought, Driver, Http, Webhook, WebhookHeaders},
    domain::{
        address::Address,
        channel::{ChannelSpec, Secret},
        dialogue::{Delivery, Received},
        fields::FieldValue,
        kind::{ChannelKind, CredentialFacts, MessengerType},
    },
};
use serde_json::Value;
use sha2::{Sha256, Sha512};

const SECRET: &str = "a-secret-that-nobody-keeps";
/// When every webhook comes, in milliseconds. The seeds say the same.
const NOW_MS: i64 = 1_790_000_000_000;

/// A driver of one kind, with everything that a webhook needs to be believed.
pub struct Reader(Driver);

impl Reader {
    pub fn of(kind: ChannelKind, settings: &[(&str, &str)]) -> Self {
        let text = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), FieldValue::Text((*value).to_owned()))
        };
        let spec = ChannelSpec {
            kind,
            daily_limit: None,
            endpoint: Some("http://127.0.0.1:9/".to_owned()),
            credentials: BTreeMap::new(),
            settings: settings.iter().map(text).collect(),
        };
        let secret = |credential: &CredentialFacts| {
            (credential.name.to_owned(), Secret::new(SECRET.to_owned()))
        };
        let secrets = kind.facts().credentials.iter().map(secret).collect();
        let http = Http::new().expect("the client needs nothing from outside");
        Self(Driver::connect(&spec, &secrets, &http).expect("the settings are the target's"))
    }

    /// Reads a body as it is, and in the forms in which a provider puts its secret into it.
    pub fn read(&self, body: &[u8]) {
        self.read_one(body);
        if let Ok(Value::Object(mut event)) = serde_json::from_slice(body) {
            event.insert("secret".to_owned(), Value::from(SECRET));
            self.read_one(Value::Object(event).to_string().as_bytes());
        }
        if let Ok(data) = str::from_utf8(body) {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("jsonData", data).append_pair("token", SECRET);
            self.read_one(form.finish().as_bytes());
        }
    }

    fn read_one(&self, body: &[u8]) {
        let headers: WebhookHeaders = [
            ("x-hub-signature-256", format!("sha256={}", signed::<Hmac<Sha256>>(body))),
            ("x-webhook-hmac", signed::<Hmac<Sha512>>(body)),
            ("x-webhook-hmac-algorithm", "sha512".to_owned()),
            ("x-webhook-timestamp", NOW_MS.to_string()),
            ("x-telegram-bot-api-secret-token", SECRET.to_owned()),
        ]
        .into_iter()
        .collect();
        let at = DateTime::from_timestamp_millis(NOW_MS).expect("a time");
        let webhook = Webhook { headers: &headers, token: Some(SECRET), body, at };
        if let Ok(brought) = self.0.read_webhook(&webhook) {
            assert_sound(&brought);
        }
    }
}

/// Whether it can be stored as it is, and keeps no secret.
fn assert_sound(brought: &Brought) {
    let Brought { received, answer: _, kept, for_others: _ } = brought;
    for Received { peer, also_known_as, at: _, what } in received {
        assert_name(peer.as_str());
        for name in also_known_as {
            assert_name(name.as_str());
            assert_ne!(name, peer, "a person's other name is the first again");
        }
        match what {
            Delivery::Message { id, text } => {
                assert_name(id);
                assert!(!text.trim().is_empty(), "a message that says nothing");
            }
            Delivery::Echo { id, reference, .. } | Delivery::Status { id, reference, .. } => {
                assert_name(id);
                assert!(reference.as_deref().is_none_or(|reference| !reference.contains('\0')));
            }
            Delivery::Barred | Delivery::Moved => {}
        }
    }
    if let Some(kept) = kept {
        let has_secret = kept.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        assert!(!has_secret, "a secret is kept");
    }
}

fn assert_name(name: &str) {
    assert!(!name.is_empty() && !name.chars().any(char::is_control), "no name: {name:?}");
}

fn signed<M: Mac + KeyInit>(body: &[u8]) -> String {
    let mut mac = <M as KeyInit>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// Reads a text in every way in which people are named. What was read is read again as the same.
pub fn read_addresses(text: &str) {
    for messenger in MessengerType::ALL {
        if let Ok(address) = Address::parse(text, *messenger) {
            assert_name(address.as_str());
            assert_eq!(Address::parse(address.as_str(), *messenger).as_ref(), Ok(&address));
            assert!(Address::parse_any(text).expect("one may be meant").contains(&address));
        }
        if let Some(address) = Address::of_id(*messenger, text) {
            assert_eq!(address.id_of(*messenger), Some(text));
        }
    }
    for address in Address::parse_person(text).unwrap_or_default() {
        assert_name(address.as_str());
        let again = Address::parse_person(address.as_str()).expect("it was read once");
        assert!(again.contains(&address), "{address} is {again:?} the second time");
        if let Some(other) = address.other_form() {
            assert_name(other.as_str());
            assert_ne!(other, address);
        }
    }
}
