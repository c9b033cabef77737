//! The table of drivers that the suite tries: what each kind, dialect and way of receiving promises.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::{Driver, Http, OpeningCall, Vault},
    TEXT,
    vault::MemoryVault,
};
use crate::{
    domain::{
        address::Address,
        attempt::{Message, Outcome, OutcomeClass},
        channel::{ChannelSpec, Secret},
        dialogue::ReplyCall,
        fields::FieldValue,
        id::AttemptId,
        kind::{ChannelKind, Opens},
    },
    rehearsal::Rehearsal,
};

/// What the suite has to know of a driver, and nothing of how it works. A new kind, a gateway's new dialect and
/// another way of receiving is a row each.
#[derive(Debug)]
pub(super) struct Subject {
    /// The channel has this name too.
    pub(super) name: &'static str,
    pub(super) kind: ChannelKind,
    pub(super) settings: &'static [(&'static str, &'static str)],
    pub(super) longest: Longest,
    /// What a person sees before an answer, in the words of the rehearsal's journal.
    pub(super) signs: &'static [&'static str],
    pub(super) settles: Settles,
    /// The rehearsal tells later that a message failed which it took.
    pub(super) tells_failures: bool,
    /// What an HTTP 503 means. Where a repeat is dropped, "in doubt" is as good as "not sent".
    pub(super) unavailable: OutcomeClass,
    /// A reply is refused before the person wrote.
    pub(super) has_window: bool,
    /// Calls that come before the message, by a part of their path, and an answer that lets it come. None where
    /// the driver speaks no HTTP.
    pub(super) before: Option<&'static [(&'static str, &'static str)]>,
}

/// The longest text of one message, in the provider's own unit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Longest {
    Characters(usize),
    Bytes(usize),
    /// Units of UTF-16.
    Units(usize),
}

/// By what a message that came back ends the doubt about its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settles {
    /// An echo with the key that was sent.
    Key,
    /// A status with the reference that was attached.
    Reference,
    /// A status with the key, of which the message's id was made.
    KeyInId,
    /// An echo with the text.
    Text,
    /// Nothing comes back.
    Nothing,
}

const TELEGRAM_BOT: Subject = Subject {
    name: "telegram-bot",
    kind: ChannelKind::TelegramBot,
    settings: &[("receive", "polling")],
    longest: Longest::Units(4_096),
    signs: &["typing"],
    settles: Settles::Nothing,
    tells_failures: false,
    unavailable: OutcomeClass::InDoubt,
    has_window: false,
    before: Some(&[]),
};

const TELEGRAM_BUSINESS: Subject = Subject {
    name: "telegram-business",
    kind: ChannelKind::TelegramBusiness,
    signs: &["read", "typing"],
    settles: Settles::Text,
    has_window: true,
    ..TELEGRAM_BOT
};

const PUSHED: &[(&str, &str)] = &[("receive", "webhook")];

/// A token comes before everything.
const AVITO: Subject = Subject {
    name: "avito",
    kind: ChannelKind::Avito,
    settings: &[("userId", "94235311")],
    longest: Longest::Characters(1_000),
    signs: &["read"],
    settles: Settles::Text,
    tells_failures: false,
    unavailable: OutcomeClass::NotSent,
    has_window: false,
    before: Some(&[("/token", r#"{"access_token":"t","expires_in":86400,"token_type":"Bearer"}"#)]),
};

const VK_USER: Subject = Subject {
    name: "vk-user",
    kind: ChannelKind::VkUser,
    settings: &[],
    longest: Longest::Characters(9_000),
    signs: &["read", "typing"],
    settles: Settles::Key,
    tells_failures: false,
    unavailable: OutcomeClass::InDoubt,
    has_window: false,
    before: Some(&[]),
};

const VK_PUBLIC: Subject = Subject {
    name: "vk-public",
    kind: ChannelKind::VkPublic,
    settings: &[("groupId", "200500100")],
    ..VK_USER
};

pub(super) const SUBJECTS: &[Subject] = &[
    AVITO,
    Subject {
        name: "avito-pushed",
        settings: &[("userId", "94235311"), ("receive", "webhook")],
        ..AVITO
    },
    TELEGRAM_BOT,
    Subject { name: "telegram-bot-pushed", settings: PUSHED, ..TELEGRAM_BOT },
    TELEGRAM_BUSINESS,
    Subject { name: "telegram-business-pushed", settings: PUSHED, ..TELEGRAM_BUSINESS },
    Subject {
        name: "telegram-cloud",
        kind: ChannelKind::TelegramCloud,
        settings: &[],
        longest: Longest::Units(4_096),
        signs: &["read", "typing"],
        settles: Settles::Key,
        tells_failures: false,
        unavailable: OutcomeClass::InDoubt,
        has_window: false,
        before: None,
    },
    Subject {
        name: "instagram",
        kind: ChannelKind::Instagram,
        settings: &[("accountId", "17841400000000001"), ("apiVersion", "v23.0")],
        longest: Longest::Bytes(1_000),
        signs: &["read", "typing"],
        settles: Settles::Text,
        tells_failures: false,
        unavailable: OutcomeClass::NotSent,
        has_window: true,
        before: Some(&[]),
    },
    VK_USER,
    VK_PUBLIC,
    Subject {
        name: "vk-public-pushed",
        settings: &[("groupId", "200500100"), ("receive", "webhook")],
        ..VK_PUBLIC
    },
    Subject {
        name: "waba",
        kind: ChannelKind::Waba,
        settings: &[("phoneNumberId", "106540352242922"), ("apiVersion", "v23.0")],
        longest: Longest::Characters(4_096),
        signs: &["read, typing"],
        settles: Settles::Reference,
        tells_failures: true,
        unavailable: OutcomeClass::NotSent,
        has_window: true,
        before: Some(&[]),
    },
    Subject {
        name: "whatsapp-web",
        kind: ChannelKind::WhatsappWeb,
        settings: &[("gateway", "waha"), ("session", "default")],
        longest: Longest::Characters(65_536),
        signs: &["read", "typing", "typing ended"],
        settles: Settles::Text,
        tells_failures: true,
        unavailable: OutcomeClass::NotSent,
        has_window: false,
        before: Some(&[("check-exists", r#"{"numberExists":true}"#), ("stopTyping", "{}")]),
    },
    Subject {
        name: "wuzapi",
        kind: ChannelKind::WhatsappWeb,
        settings: &[("gateway", "wuzapi"), ("session", "default")],
        longest: Longest::Characters(65_536),
        signs: &["read", "typing"],
        settles: Settles::KeyInId,
        tells_failures: false,
        unavailable: OutcomeClass::NotSent,
        has_window: false,
        before: Some(&[("/user/check", r#"{"data":{"Users":[{"IsInWhatsapp":true}]}}"#)]),
    },
];

impl Longest {
    pub(super) fn units(self) -> usize {
        match self {
            Self::Characters(units) | Self::Bytes(units) | Self::Units(units) => units,
        }
    }

    pub(super) fn length(self, text: &str) -> usize {
        match self {
            Self::Characters(_) => text.chars().count(),
            Self::Bytes(_) => text.len(),
            Self::Units(_) => text.encode_utf16().count(),
        }
    }
}

impl Subject {
    pub(super) fn of(name: &str) -> &'static Self {
        SUBJECTS.iter().find(|subject| subject.name == name).expect("SUBJECTS has it")
    }

    /// What a message with this key has attached, as the rehearsal's journal shows it.
    pub(super) fn attached(&self, key: i64, reference: &str) -> Option<String> {
        match self.settles {
            Settles::Reference => Some(reference.to_owned()),
            Settles::KeyInId => Some(format!("3EB0{key:016X}")),
            Settles::Key | Settles::Text | Settles::Nothing => None,
        }
    }

    pub(super) fn opens(&self) -> bool {
        self.kind.can_open()
    }

    pub(super) fn spec(&self, endpoint: &str) -> ChannelSpec {
        let text = |text: &str| FieldValue::Text(text.to_owned());
        let settings = self.settings.iter();
        ChannelSpec {
            kind: self.kind,
            daily_limit: self.opens().then_some(10),
            endpoint: Some(match self.before {
                Some(_) => endpoint.to_owned(),
                None => endpoint.replace("http://", "tcp://"),
            }),
            credentials: BTreeMap::new(),
            settings: settings.map(|(name, value)| ((*name).to_owned(), text(value))).collect(),
        }
    }

    pub(super) fn secrets(&self, channel: &str) -> BTreeMap<String, Secret> {
        let credentials = self.kind.facts().credentials.iter();
        credentials
            .map(|facts| (facts.name.to_owned(), Rehearsal::secret(channel, facts.name)))
            .collect()
    }

    pub(super) fn driver(&self, endpoint: &str, channel: &str, http: &Http) -> Driver {
        let vault: Arc<dyn Vault> = Arc::new(MemoryVault::of(channel));
        Driver::connect_with(&self.spec(endpoint), &self.secrets(channel), http, &vault).unwrap()
    }

    /// An address of the kind with these last digits.
    pub(super) fn address(&self, ending: &str) -> Address {
        Address::from_stored(Rehearsal::address(self.kind, ending))
    }

    pub(super) fn message(&self) -> Message {
        match self.kind.facts().opens {
            Opens::WithTemplate => Message::Template {
                name: "spring_offer".to_owned(),
                language: "ru".to_owned(),
                variables: vec![TEXT.to_owned()],
            },
            _ => Message::Text(TEXT.to_owned()),
        }
    }

    /// Sends the usual message to who has this ending: an opening where the kind opens, else a reply.
    pub(super) async fn say(&self, driver: &Driver, ending: &str, key: i64) -> Outcome {
        if !self.opens() {
            return self.reply(driver, ending, TEXT, key).await;
        }
        let (address, message) = (self.address(ending), self.message());
        let call =
            OpeningCall { address: &address, message: &message, key, attempt: AttemptId(77) };
        self.discreet(driver, ending, driver.open(&call).await)
    }

    pub(super) async fn reply(
        &self,
        driver: &Driver,
        ending: &str,
        text: &str,
        key: i64,
    ) -> Outcome {
        let peer = self.address(ending);
        let call = ReplyCall { peer: &peer, text, key, reference: "reply-1" };
        self.discreet(driver, ending, driver.reply(&call).await)
    }

    /// Looks for what must not be in an outcome, nor in what a driver shows of itself.
    fn discreet(&self, driver: &Driver, ending: &str, outcome: Outcome) -> Outcome {
        let address = self.address(ending);
        let digits = address.as_str().trim_start_matches('+');
        for secret in [digits, TEXT, "rehearsal_", "127.0.0.1", "http:", "https:"] {
            let name = self.name;
            assert!(!outcome.reason.contains(secret), "{name}: `{}` says too much", outcome.reason);
        }
        assert!(!format!("{driver:?}").contains("rehearsal_"), "{}: it shows a secret", self.name);
        outcome
    }
}
