//! Every driver against the rehearsal and against servers that misbehave.

mod conformance;
mod misbehaving;
mod polling;
mod replies;
mod server;
mod webhook_events;
mod webhooks;

use std::{collections::BTreeMap, time::Duration};

use super::{Driver, Http, OpeningCall, Unconnectable};
use crate::{
    domain::{
        address::Address,
        attempt::{Message, Outcome},
        channel::{ChannelSpec, Secret},
        fields::FieldValue,
        id::AttemptId,
        kind::{ChannelKind, Opens, Way},
    },
    rehearsal::Rehearsal,
};

const KINDS: [ChannelKind; 3] = [ChannelKind::VkUser, ChannelKind::Waba, ChannelKind::WhatsappWeb];

/// Appears in every message, so that a reason that repeats one is found.
const TEXT: &str = "Здравствуйте, Анна";

/// For calls that end by the deadline: long enough for a loopback under load, short enough to wait
/// for.
const SHORT: Duration = Duration::from_millis(800);

fn spec(kind: ChannelKind, endpoint: &str) -> ChannelSpec {
    let text = |text: &str| FieldValue::Text(text.to_owned());
    let settings: &[(&str, &str)] = match kind {
        ChannelKind::Waba => &[("phoneNumberId", "106540352242922"), ("apiVersion", "v23.0")],
        ChannelKind::WhatsappWeb => &[("gateway", "waha"), ("session", "default")],
        _ => &[],
    };
    ChannelSpec {
        kind,
        daily_limit: Some(10),
        endpoint: Some(endpoint.to_owned()),
        credentials: BTreeMap::new(),
        settings: settings.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect(),
    }
}

fn secrets(kind: ChannelKind, channel: &str) -> BTreeMap<String, Secret> {
    let credentials = kind.facts().credentials.iter();
    credentials
        .map(|facts| (facts.name.to_owned(), Rehearsal::secret(channel, facts.name)))
        .collect()
}

fn driver(kind: ChannelKind, endpoint: &str, channel: &str, http: &Http) -> Driver {
    Driver::connect(&spec(kind, endpoint), &secrets(kind, channel), http).unwrap()
}

/// An address of the kind with these last digits.
fn address(kind: ChannelKind, ending: &str) -> Address {
    let start = if kind == ChannelKind::VkUser { "1234" } else { "+7912345" };
    Address::from_stored(format!("{start}{ending}"))
}

fn message(kind: ChannelKind) -> Message {
    match kind.facts().opens {
        Opens::WithTemplate => Message::Template {
            name: "spring_offer".to_owned(),
            language: "ru".to_owned(),
            variables: vec![TEXT.to_owned()],
        },
        _ => Message::Text(TEXT.to_owned()),
    }
}

/// Sends the usual message, and looks for what must not be in an outcome.
async fn open(driver: &Driver, kind: ChannelKind, ending: &str, key: i64) -> Outcome {
    let address = address(kind, ending);
    let message = message(kind);
    let call = OpeningCall { address: &address, message: &message, key, attempt: AttemptId(77) };
    let outcome = driver.open(&call).await;
    let digits = address.as_str().trim_start_matches('+');
    for secret in [digits, TEXT, "rehearsal.", "127.0.0.1", "http:", "https:"] {
        assert!(!outcome.reason.contains(secret), "{kind}: `{}` says too much", outcome.reason);
    }
    assert!(!format!("{driver:?}").contains("rehearsal."), "{kind}: a driver shows its secret");
    outcome
}

#[test]
fn a_channel_that_cannot_send_says_why() {
    let http = Http::new().unwrap();
    let fails = |spec: &ChannelSpec, secrets: &BTreeMap<String, Secret>| {
        Driver::connect(spec, secrets, &http).unwrap_err()
    };
    for kind in KINDS {
        let good = spec(kind, "http://127.0.0.1:9");
        let credential = kind.facts().credentials[0].name;
        assert_eq!(fails(&good, &BTreeMap::new()), Unconnectable::MissingCredential(credential));
        for unusable in ["", " \n", "two\nlines", "gar\u{7f}bage"] {
            let secret = Secret::new(unusable.to_owned());
            let secrets = BTreeMap::from([(credential.to_owned(), secret)]);
            assert_eq!(fails(&good, &secrets), Unconnectable::UnusableCredential(credential));
        }
        for bad in
            ["", "nonsense", "ftp://a.example", "http://u:p@a.example", "http://a.example/?q"]
        {
            let error = fails(&spec(kind, bad), &secrets(kind, "one"));
            assert!(matches!(error, Unconnectable::BadEndpoint(_)), "{kind} {bad}");
        }
    }
    let bot = spec(ChannelKind::TelegramBot, "http://127.0.0.1:9");
    assert_eq!(fails(&bot, &BTreeMap::new()), Unconnectable::NoDriver(ChannelKind::TelegramBot));
    let mut wuzapi = spec(ChannelKind::WhatsappWeb, "http://127.0.0.1:9");
    wuzapi.settings.insert("gateway".to_owned(), FieldValue::Text("wuzapi".to_owned()));
    assert_eq!(
        fails(&wuzapi, &secrets(ChannelKind::WhatsappWeb, "one")),
        Unconnectable::UnsupportedGateway("wuzapi".to_owned())
    );
}

#[test]
fn every_kind_that_claims_a_driver_has_one() {
    let http = Http::new().unwrap();
    for kind in ChannelKind::ALL {
        let made =
            Driver::connect(&spec(*kind, "http://127.0.0.1:9"), &secrets(*kind, "one"), &http);
        assert_eq!(made.is_ok(), kind.facts().way == Way::Provider, "{kind}");
    }
}
