//! The table of channel kinds: the one place that says what belongs to what and who may open.
//!
//! Validation, schemas, documentation and the executor all read [`KINDS`]; a correction is one line.

use std::time::Duration;

use super::word::words;

words! {
    /// The messenger of a task.
    MessengerType {
        Telegram = "telegram", Whatsapp = "whatsapp", Vkontakte = "vkontakte",
        Avito = "avito", Web = "web", Instagram = "instagram",
    }

    /// Whether a task only answers, or writes first as well.
    Format { Incoming = "incoming", IncomingAndOutgoing = "incoming-and-outgoing" }

    /// The kinds of channel; [`ChannelKind::facts`] says what each can do.
    ChannelKind {
        TelegramCloud = "telegram-cloud", TelegramBot = "telegram-bot",
        TelegramBusiness = "telegram-business", WhatsappWeb = "whatsapp-web", Waba = "waba",
        VkUser = "vk-user", VkPublic = "vk-public", Avito = "avito",
        PageMessenger = "page-messenger", Iframe = "iframe", Widget = "widget", Api = "api",
        Instagram = "instagram",
    }

    /// How a channel learns of incoming messages where it has the choice.
    Receive { Polling = "polling", Webhook = "webhook" }
}

/// Whether a channel of a kind may start a dialogue with a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opens {
    /// The other side starts; the text says how.
    No(&'static str),
    /// With any text.
    WithText,
    /// Only with a template that the provider has approved.
    WithTemplate,
}

/// How messages of a kind leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A driver calls the provider.
    Provider,
    /// Nobody is called: its people read them from this program.
    Hosted,
}

/// A credential that a manifest refers to, never holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialFacts {
    pub name: &'static str,
    /// Sending is impossible without it.
    pub required: bool,
    /// Without it no webhook is believed.
    pub proves_webhooks: bool,
}

/// What a setting of a channel's `spec` looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingShape {
    /// A text, with the default that stands for an absent one.
    Text { default: Option<&'static str> },
    /// A text of digits that YAML would read as a number.
    Digits,
    /// One of a few words; the first is the default.
    Word(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// One of a few numbers, or [`UNLIMITED`]; absent: none is kept.
    Limit(&'static [u32]),
}

/// The word for a limit that is none.
pub const UNLIMITED: &str = "unlimited";

/// One field of a channel's `spec` that only some kinds have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingFacts {
    pub name: &'static str,
    pub shape: SettingShape,
    pub required: bool,
    /// Shown as hover text.
    pub about: &'static str,
}

/// How many strangers a day an account of a kind may be let write to. No provider publishes what it bears; the
/// figures are the low end of what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyLimit {
    /// Openings a day over all tasks where the manifest names no `dailyLimit`: low enough for a young account.
    pub default: u32,
    /// With more than these the account is at risk, however old it is.
    pub risky_above: u32,
    /// Why so few, after "because".
    pub reason: &'static str,
    /// Where that is read.
    pub source: &'static str,
}

/// Everything that is known of a kind of channel.
#[derive(Clone, Copy, Debug)]
pub struct KindFacts {
    pub kind: ChannelKind,
    pub messenger: MessengerType,
    pub opens: Opens,
    pub credentials: &'static [CredentialFacts],
    pub settings: &'static [SettingFacts],
    /// `None` where nothing can be opened.
    pub daily_limit: Option<DailyLimit>,
    /// The provider's own address; `None` where the manifest must give one or none is called.
    pub endpoint: Option<&'static str>,
    /// The provider drops a second message with the same key, so an attempt in doubt may be repeated.
    pub drops_repeats: bool,
    pub way: Way,
    /// For so long after the person's last message a text may be sent.
    pub reply_window: Option<Duration>,
}

impl ChannelKind {
    pub fn facts(self) -> &'static KindFacts {
        KINDS.iter().find(|facts| facts.kind == self).expect("KINDS has a row for every kind")
    }

    pub fn can_open(self) -> bool {
        !matches!(self.facts().opens, Opens::No(_))
    }

    /// Whether it is made to be shown within a site of somebody else.
    pub fn is_embedded(self) -> bool {
        self.facts().settings.iter().any(|setting| setting.name == ALLOWED_ORIGINS)
    }

    /// The formats of tasks that may use the kind.
    pub fn formats(self) -> &'static [Format] {
        if self.can_open() { Format::ALL } else { &[Format::Incoming] }
    }
}

impl KindFacts {
    /// The credentials without which no webhook is believed.
    pub fn proofs(&self) -> impl Iterator<Item = &'static CredentialFacts> {
        self.credentials.iter().filter(|credential| credential.proves_webhooks)
    }

    /// Whether a channel chooses how messages reach it; otherwise they are brought, or streamed.
    pub fn has_choice_of_receiving(&self) -> bool {
        self.settings.iter().any(|setting| setting.name == RECEIVE_SETTING)
    }
}

impl MessengerType {
    pub fn kinds(self) -> impl Iterator<Item = &'static KindFacts> {
        KINDS.iter().filter(move |facts| facts.messenger == self)
    }
}

const fn must(name: &'static str) -> CredentialFacts {
    CredentialFacts { name, required: true, proves_webhooks: false }
}

const fn may(name: &'static str) -> CredentialFacts {
    CredentialFacts { name, required: false, proves_webhooks: false }
}

const fn proof(name: &'static str) -> CredentialFacts {
    CredentialFacts { name, required: false, proves_webhooks: true }
}

const fn text(name: &'static str, about: &'static str) -> SettingFacts {
    SettingFacts { name, shape: SettingShape::Text { default: None }, required: false, about }
}

const fn digits(name: &'static str, required: bool, about: &'static str) -> SettingFacts {
    SettingFacts { name, shape: SettingShape::Digits, required, about }
}

/// The name of the setting of kinds that can ask for messages or have them brought.
pub const RECEIVE_SETTING: &str = "receive";

const RECEIVE: SettingFacts = SettingFacts {
    name: RECEIVE_SETTING,
    shape: SettingShape::Word(&["polling", "webhook"]),
    required: false,
    about: "How incoming messages arrive: asked for (polling) or pushed by the provider (webhook).",
};

const TITLE: SettingFacts = text("title", "The heading that a visitor reads.");
const GREETING: SettingFacts = text("greeting", "What a visitor reads before the first message.");
const ACCENT: SettingFacts = text("accent", "The colour of buttons, as in CSS.");
/// The name of the setting that says who may embed a chat.
pub const ALLOWED_ORIGINS: &str = "allowedOrigins";

const EMBEDDED_BY: SettingFacts = SettingFacts {
    name: ALLOWED_ORIGINS,
    shape: SettingShape::Texts,
    required: false,
    about: "The sites that may embed the chat, as browsers write their origins: `https://shop.example`, \
        or `https://*.shop.example` for all below it. `http` is for `localhost` and `127.0.0.1`. \
        Without it nobody may.",
};

const API_VERSION: SettingFacts = SettingFacts {
    name: "apiVersion",
    shape: SettingShape::Text { default: Some("v23.0") },
    required: false,
    about: "The version of the Graph API.",
};

/// The name of the setting that says to which business portfolio a number belongs.
pub const PORTFOLIO: &str = "portfolio";
/// The name of the setting that says how many people the portfolio may open a dialogue with in 24 hours.
pub const MESSAGING_LIMIT: &str = "messagingLimit";
/// Meta's own: a new portfolio has the first.
const MESSAGING_LIMITS: &[u32] = &[250, 2_000, 10_000, 100_000];

/// Meta's and Telegram's rule for businesses, and VKontakte's for communities.
const REPLY_WINDOW: Duration = Duration::from_hours(24);

/// The table of channel kinds.
pub const KINDS: &[KindFacts] = &[
    KindFacts {
        kind: ChannelKind::TelegramCloud,
        messenger: MessengerType::Telegram,
        opens: Opens::WithText,
        credentials: &[must("apiId"), must("apiHash"), must("phone"), may("session")],
        settings: &[],
        daily_limit: Some(DailyLimit {
            default: 10,
            risky_above: 20,
            reason: "Telegram limits whoever writes to many strangers; some were limited after five",
            source: "https://github.com/LonamiWebs/Telethon/issues/4009",
        }),
        endpoint: None,
        drops_repeats: true,
        way: Way::Provider,
        reply_window: None,
    },
    KindFacts {
        kind: ChannelKind::TelegramBot,
        messenger: MessengerType::Telegram,
        opens: Opens::No("the person must press Start"),
        credentials: &[must("token"), proof("webhookSecret")],
        settings: &[RECEIVE],
        daily_limit: None,
        endpoint: Some("https://api.telegram.org"),
        drops_repeats: false,
        way: Way::Provider,
        reply_window: None,
    },
    KindFacts {
        kind: ChannelKind::TelegramBusiness,
        messenger: MessengerType::Telegram,
        opens: Opens::No("only chats that were active in the last 24 hours"),
        credentials: &[must("token"), proof("webhookSecret"), must("connectionId")],
        settings: &[RECEIVE],
        daily_limit: None,
        endpoint: Some("https://api.telegram.org"),
        drops_repeats: false,
        way: Way::Provider,
        reply_window: Some(REPLY_WINDOW),
    },
    KindFacts {
        kind: ChannelKind::WhatsappWeb,
        messenger: MessengerType::Whatsapp,
        opens: Opens::WithText,
        credentials: &[must("apiKey"), proof("webhookKey")],
        settings: &[
            SettingFacts {
                name: "gateway",
                shape: SettingShape::Word(&["waha", "wuzapi"]),
                required: false,
                about: "The dialect of the gateway that holds the linked device.",
            },
            SettingFacts {
                name: "session",
                shape: SettingShape::Text { default: Some("default") },
                required: false,
                about: "The gateway's session of this account.",
            },
        ],
        daily_limit: Some(DailyLimit {
            default: 10,
            risky_above: 20,
            reason: "a few an hour are advised, and five to ten reports of spam get a number banned",
            source: "https://waha.devlike.pro/docs",
        }),
        endpoint: Some("http://127.0.0.1:3000"),
        drops_repeats: false,
        way: Way::Provider,
        reply_window: None,
    },
    KindFacts {
        kind: ChannelKind::Waba,
        messenger: MessengerType::Whatsapp,
        opens: Opens::WithTemplate,
        credentials: &[must("token"), proof("appSecret"), may("verifyToken")],
        settings: &[
            digits("phoneNumberId", true, "The id of the phone number that sends."),
            digits("businessAccountId", false, "The id of the WhatsApp Business account."),
            API_VERSION,
            text(
                PORTFOLIO,
                "The business portfolio that the number belongs to, by a name of yours. Channels with the same one \
                 share its `messagingLimit`.",
            ),
            SettingFacts {
                name: MESSAGING_LIMIT,
                shape: SettingShape::Limit(MESSAGING_LIMITS),
                required: false,
                about: "How many people the portfolio may open a dialogue with in any 24 hours: 250, 2000, 10000, \
                    100000 or unlimited. WhatsApp Manager shows it. Openings of all its channels count, and nothing \
                    leaves beyond it.",
            },
        ],
        daily_limit: Some(DailyLimit {
            default: 200,
            risky_above: 250,
            reason: "a new business portfolio may reach 250 people in 24 hours, over all of its numbers",
            source: "https://developers.facebook.com/docs/whatsapp/messaging-limits",
        }),
        endpoint: Some("https://graph.facebook.com"),
        drops_repeats: false,
        way: Way::Provider,
        reply_window: Some(REPLY_WINDOW),
    },
    KindFacts {
        kind: ChannelKind::VkUser,
        messenger: MessengerType::Vkontakte,
        opens: Opens::WithText,
        credentials: &[must("token")],
        settings: &[],
        daily_limit: Some(DailyLimit {
            default: 20,
            risky_above: 20,
            reason: "about 20 strangers a day are said to pass before flood control and captchas begin",
            source: "what users tell; VKontakte publishes no figure",
        }),
        endpoint: Some("https://api.vk.ru"),
        drops_repeats: true,
        way: Way::Provider,
        reply_window: None,
    },
    KindFacts {
        kind: ChannelKind::VkPublic,
        messenger: MessengerType::Vkontakte,
        opens: Opens::No("only people who wrote first"),
        credentials: &[must("token"), proof("secret"), may("confirmation")],
        settings: &[RECEIVE, digits("groupId", true, "The id of the community, without a sign.")],
        daily_limit: None,
        endpoint: Some("https://api.vk.ru"),
        drops_repeats: true,
        way: Way::Provider,
        reply_window: Some(REPLY_WINDOW),
    },
    KindFacts {
        kind: ChannelKind::Avito,
        messenger: MessengerType::Avito,
        opens: Opens::No("the buyer opens the chat"),
        credentials: &[must("clientId"), must("clientSecret"), proof("webhookSecret")],
        settings: &[RECEIVE, digits("userId", true, "The number of the Avito account.")],
        daily_limit: None,
        endpoint: Some("https://api.avito.ru"),
        drops_repeats: false,
        way: Way::Provider,
        reply_window: None,
    },
    KindFacts {
        kind: ChannelKind::PageMessenger,
        messenger: MessengerType::Web,
        opens: Opens::No("the visitor opens the chat"),
        credentials: &[],
        settings: &[TITLE, GREETING, ACCENT],
        daily_limit: None,
        endpoint: None,
        drops_repeats: true,
        way: Way::Hosted,
        reply_window: None,
    },
    KindFacts {
        kind: ChannelKind::Iframe,
        messenger: MessengerType::Web,
        opens: Opens::No("the visitor opens the chat"),
        credentials: &[],
        settings: &[TITLE, GREETING, ACCENT, EMBEDDED_BY],
        daily_limit: None,
        endpoint: None,
        drops_repeats: true,
        way: Way::Hosted,
        reply_window: None,
    },
    KindFacts {
        kind: ChannelKind::Widget,
        messenger: MessengerType::Web,
        opens: Opens::No("the visitor opens the chat"),
        credentials: &[],
        settings: &[TITLE, GREETING, ACCENT, EMBEDDED_BY],
        daily_limit: None,
        endpoint: None,
        drops_repeats: true,
        way: Way::Hosted,
        reply_window: None,
    },
    KindFacts {
        kind: ChannelKind::Api,
        messenger: MessengerType::Web,
        opens: Opens::No("the calling system opens the chat"),
        credentials: &[must("apiKey"), may("callbackSecret")],
        settings: &[text("callbackUrl", "Where replies are posted; absent: they are polled.")],
        daily_limit: None,
        endpoint: None,
        drops_repeats: true,
        way: Way::Hosted,
        reply_window: None,
    },
    KindFacts {
        kind: ChannelKind::Instagram,
        messenger: MessengerType::Instagram,
        opens: Opens::No("the person writes first; replies within 24 hours"),
        credentials: &[must("token"), proof("appSecret"), may("verifyToken")],
        settings: &[
            digits(
                "accountId",
                true,
                "The id of the Instagram professional account, by which webhooks name it: `user_id` of `/me`, \
                 17 digits.",
            ),
            API_VERSION,
        ],
        daily_limit: None,
        endpoint: Some("https://graph.instagram.com"),
        drops_repeats: false,
        way: Way::Provider,
        reply_window: Some(REPLY_WINDOW),
    },
];
