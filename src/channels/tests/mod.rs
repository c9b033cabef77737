//! Every driver against the rehearsal and against servers that misbehave.

mod avito;
mod avito_polling;
mod conformance;
mod discretion;
mod instagram;
mod misbehaving;
mod odd;
mod polling;
mod replies;
mod script;
mod server;
mod stage;
mod subject;
mod telegram;
mod telegram_cloud;
mod telegram_login;
mod telegram_updates;
mod vault;
mod vk_arranging;
mod vk_bots_long_poll;
mod vk_callback;
mod webhook_events;
mod webhooks;
mod wuzapi;

use std::{collections::BTreeMap, time::Duration};

use super::{Driver, Http, Unconnectable};
use crate::domain::{
    channel::{ChannelSpec, Secret},
    fields::FieldValue,
    kind::{ChannelKind, Way},
};
use subject::{SUBJECTS, Subject};

/// Appears in every message, so that a reason that repeats one is found.
const TEXT: &str = "Здравствуйте, Анна";

/// For calls that end by the deadline: long enough for a loopback under load, short enough to wait
/// for.
const SHORT: Duration = Duration::from_secs(3);

#[test]
fn a_channel_that_cannot_send_says_why() {
    let http = Http::new().unwrap();
    let fails = |spec: &ChannelSpec, secrets: &BTreeMap<String, Secret>| {
        Driver::connect(spec, secrets, &http).unwrap_err()
    };
    for subject in SUBJECTS {
        let good = subject.spec("http://127.0.0.1:9");
        let credential = subject.kind.facts().credentials[0].name;
        assert_eq!(fails(&good, &BTreeMap::new()), Unconnectable::MissingCredential(credential));
        for unusable in ["", " \n", "two\nlines", "gar\u{7f}bage"] {
            let secret = Secret::new(unusable.to_owned());
            let secrets = BTreeMap::from([(credential.to_owned(), secret)]);
            assert_eq!(fails(&good, &secrets), Unconnectable::UnusableCredential(credential));
        }
        for bad in
            ["", "nonsense", "ftp://a.example", "http://u:p@a.example", "http://a.example/?q"]
        {
            let error = fails(&subject.spec(bad), &subject.secrets("one"));
            assert!(matches!(error, Unconnectable::BadEndpoint(_)), "{} {bad}", subject.name);
        }
    }
    let gateway = Subject::of("whatsapp-web");
    let mut spec = gateway.spec("http://127.0.0.1:9");
    spec.settings.insert("gateway".to_owned(), FieldValue::Text("evolution".to_owned()));
    assert_eq!(
        fails(&spec, &gateway.secrets("one")),
        Unconnectable::UnsupportedGateway("evolution".to_owned())
    );
}

#[test]
fn every_kind_that_claims_a_driver_has_one_and_is_tried() {
    let http = Http::new().unwrap();
    for kind in ChannelKind::ALL {
        let tried: Vec<_> = SUBJECTS.iter().filter(|subject| subject.kind == *kind).collect();
        let claims = kind.facts().way == Way::Provider;
        assert_eq!(!tried.is_empty(), claims, "{kind} is in SUBJECTS");
        for subject in tried {
            assert_eq!(subject.driver("http://127.0.0.1:9", "one", &http).kind(), *kind);
        }
        if !claims {
            let spec = ChannelSpec { kind: *kind, ..SUBJECTS[0].spec("http://127.0.0.1:9") };
            let refused = Driver::connect(&spec, &BTreeMap::new(), &http).unwrap_err();
            assert_eq!(refused, Unconnectable::NoDriver(*kind));
        }
    }
}
