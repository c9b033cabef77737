//! What is emitted is read back: every task and every kind of resource.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use proptest::{collection, option, prelude::*, sample};

use super::{
    diagnostic::Code,
    emit::{EmittedAudience, emit_resource, emit_suppression_list, emit_task},
    format::format_text,
    load::{load_stored, read_stored},
    lower_resource::{AI_ENDPOINT, OUTPUT_TOKENS},
    reading::{Lowered, ReadDocument},
};
use crate::domain::{
    address::Address,
    channel::{ChannelSpec, SecretReference},
    desired::AudienceSource,
    fields::FieldValue,
    id::TaskName,
    kind::{
        ALLOWED_ORIGINS, ChannelKind, Format, KINDS, MESSAGING_LIMIT, MessengerType, PORTFOLIO,
        SettingShape,
    },
    money::MicroUsd,
    phase::RunState,
    resource::{
        AiSpec, DialogueEvent, IntegrationKind, IntegrationSpec, ManagerSpec, MaxTokensField,
        Prices, Reminder, Resource, ResourceKey, ResourceKind, SuppressionSpec,
    },
    task::{Opening, Outgoing, TaskSpec},
};

/// Texts in which everything that YAML minds is frequent.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ \t\n\r#:,'\"\\[\\]&*!|>@`a0~=<?.+-]{0,12}[a-z]",
        "(\n| |\t|a|b: c|# d|---\n|- e|\u{85}|\u{2028}|\u{feff}|ё|😀|\n\n){0,8}z(\n){0,3}",
        "(yes|no|010|\\+7912|1e3|0x1F|09:00-18:00|null|~|true|2026-01-01)",
        "[A-Z][a-z]{1,8}( [a-z]{1,9}){0,30}\\.\n?",
    ]
}

fn name() -> impl Strategy<Value = String> {
    "(no|y|null|n1|e5|[a-z][a-z0-9-]{0,12})"
}

fn names<T: std::str::FromStr<Err: std::fmt::Debug> + Ord + std::fmt::Debug>()
-> impl Strategy<Value = BTreeSet<T>> {
    collection::btree_set(name().prop_map(|name| name.parse().unwrap()), 1..6)
}

fn money() -> impl Strategy<Value = MicroUsd> {
    (1..20_000_000_i64).prop_map(|micros| {
        format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000).parse().unwrap()
    })
}

fn duration() -> impl Strategy<Value = Duration> {
    (3..2_600_000_u64, prop_oneof![Just(0), Just(500_000_000), Just(1)])
        .prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

fn secret() -> impl Strategy<Value = SecretReference> {
    prop_oneof![
        "[A-Z_][A-Z0-9_]{0,9}".prop_map(SecretReference::Environment),
        text().prop_map(SecretReference::File),
    ]
}

fn opening() -> impl Strategy<Value = Opening> {
    prop_oneof![
        text().prop_map(Opening::Text),
        "Hello \\{\\{name\\}\\}!\n?".prop_map(Opening::Text),
        (text(), text(), collection::vec(text(), 0..4)).prop_map(|(name, language, variables)| {
            Opening::Template { name, language, variables }
        }),
        Just(Opening::WrittenByAi),
    ]
}

fn outgoing() -> impl Strategy<Value = Outgoing> {
    (
        0..1440_u32,
        1..1440_u32,
        sample::select(&chrono_tz::TZ_VARIANTS[..]),
        1..i32::MAX,
        duration(),
        opening(),
    )
        .prop_map(|(from, length, timezone, limit, pause, opening)| {
            let to = (from + length) % 1440;
            let minute = |at: u32| format!("{:02}:{:02}", at / 60, at % 60);
            Outgoing {
                working_hours: format!("{}-{}", minute(from), minute(to)).parse().unwrap(),
                timezone,
                daily_limit_per_channel: limit.unsigned_abs(),
                pause_between_dialogues: pause,
                opening,
            }
        })
}

fn task() -> impl Strategy<Value = TaskSpec> {
    (
        (option::of(text()), sample::select(MessengerType::ALL), names(), names(), name()),
        (option::of(name()), money(), option::of(sample::select(RunState::ALL))),
        (option::of(text()), option::of(outgoing())),
    )
        .prop_map(
            |(
                (title, messenger, channels, managers, ai),
                (integration, limit, state),
                (protect, outgoing),
            )| {
                TaskSpec {
                    title,
                    messenger,
                    format: if outgoing.is_some() {
                        Format::IncomingAndOutgoing
                    } else {
                        Format::Incoming
                    },
                    channels,
                    managers,
                    ai: ai.parse().unwrap(),
                    integration: integration.map(|name| name.parse().unwrap()),
                    spending_limit_per_dialogue: limit,
                    state,
                    protect,
                    outgoing,
                }
            },
        )
}

fn channel() -> impl Strategy<Value = Resource> {
    let one = (sample::select(KINDS), option::of(1..i32::MAX), any::<bool>());
    let values =
        (collection::vec(secret(), 5), collection::vec(option::of(text()), 5), "[0-9]{1,21}");
    (one, values).prop_map(|((facts, limit, own), (secrets, texts, digits))| {
        let mut settings = BTreeMap::new();
        for (setting, text) in facts.settings.iter().zip(texts) {
            // These are texts of a certain form.
            let text = match setting.name {
                "accent" => text.map(|text| format!("#{:06x}", text.len())),
                "callbackUrl" => text.map(|text| format!("https://shop.example/{}", text.len())),
                // The two go together.
                PORTFOLIO => own.then(|| "shop".to_owned()),
                MESSAGING_LIMIT => own.then(|| "2000".to_owned()),
                ALLOWED_ORIGINS => text.map(|text| format!("https://shop-{}.example", text.len())),
                _ => text,
            };
            let value = match setting.shape {
                SettingShape::Text { default } => {
                    text.or(default.map(str::to_owned)).map(FieldValue::Text)
                }
                SettingShape::Word(words) => {
                    let word = if text.is_some() { words[0] } else { words[words.len() - 1] };
                    Some(FieldValue::Text(word.to_owned()))
                }
                SettingShape::Digits => Some(FieldValue::Text(digits.clone())),
                SettingShape::Limit(_) => text.map(FieldValue::Text),
                SettingShape::Texts => text.map(|text| FieldValue::List(vec![text])),
            };
            settings.extend(value.map(|value| (setting.name.to_owned(), value)));
        }
        let credentials = facts.credentials.iter().zip(secrets);
        let credentials =
            credentials.map(|(credential, secret)| (credential.name.to_owned(), secret)).collect();
        let own_limit = limit.map(i32::unsigned_abs);
        Resource::Channel(ChannelSpec {
            kind: facts.kind,
            daily_limit: facts.daily_limit.map(|limit| own_limit.unwrap_or(limit.default)),
            endpoint: match facts.kind {
                ChannelKind::TelegramCloud => own.then(|| "tcp://149.154.167.40:443".to_owned()),
                _ if own => Some("http://127.0.0.1:8080/a#b".to_owned()),
                _ => facts.endpoint.map(str::to_owned),
            },
            credentials,
            settings,
        })
    })
}

fn reminders() -> impl Strategy<Value = Vec<Reminder>> {
    let silences = collection::btree_set(60..=30 * 24 * 3600_u64, 0..13);
    (silences, collection::vec(text(), 13)).prop_map(|(silences, texts)| {
        let each = silences.into_iter().zip(texts);
        each.map(|(after, text)| Reminder { after: Duration::from_secs(after), text }).collect()
    })
}

fn ai() -> impl Strategy<Value = Resource> {
    let first = (any::<bool>(), text(), option::of(secret()), text());
    let numbers = (
        option::of(0..21_u32),
        option::of(1..i32::MAX),
        (money(), money(), money()),
        any::<bool>(),
    );
    let rest = (
        (option::of(text()), option::of(text()), option::of("[a-z]{1,9}")),
        reminders(),
        option::of(sample::select(MaxTokensField::ALL)),
    );
    (first, numbers, rest).prop_map(
        |(
            (own, model, api_key, instructions),
            (temperature, tokens, prices, cached),
            ((disclosure, handover, fallback), reminders, max_tokens_field),
        )| {
            Resource::Ai(AiSpec {
                endpoint: if own { "https://a.test".to_owned() } else { AI_ENDPOINT.to_owned() },
                model,
                api_key,
                instructions,
                temperature: temperature.map(|tenths| (f64::from(tenths) / 10.0).to_string()),
                max_output_tokens: tokens.map_or(OUTPUT_TOKENS, i32::unsigned_abs),
                prices: Prices {
                    input: prices.0,
                    cached_input: if cached { prices.0 } else { prices.1 },
                    output: prices.2,
                },
                max_tokens_field,
                fallback: fallback.map(|name| name.parse().unwrap()),
                disclosure,
                handover,
                reminders,
            })
        },
    )
}

fn integration() -> impl Strategy<Value = Resource> {
    let one = (sample::select(IntegrationKind::ALL), secret(), "-?[0-9]{1,13}");
    let credentials = collection::btree_map("(token|a\\.b|1|[ -~]{1,6})", secret(), 0..4);
    let events = collection::btree_set(sample::select(DialogueEvent::ALL), 1..4);
    (one, credentials, events).prop_map(|((kind, secret, chat), mut credentials, events)| {
        let notifies = kind == IntegrationKind::TelegramNotification;
        for name in ["secret", "token"] {
            credentials.insert(name.to_owned(), secret.clone());
        }
        Resource::Integration(IntegrationSpec {
            kind,
            url: (!notifies).then_some(secret),
            credentials: credentials.into_iter().collect(),
            chat_id: notifies.then_some(chat),
            events,
        })
    })
}

fn suppression_list() -> impl Strategy<Value = Resource> {
    let entry = prop_oneof!["@[a-z_]{5,9}", "\\+7912345[0-9]{4}", "-?[1-9][0-9]{3,8}"];
    (collection::vec(entry, 0..30), option::of(names())).prop_map(|(entries, tasks)| {
        let entries = entries.iter().flat_map(|entry| Address::parse_any(entry).unwrap()).collect();
        Resource::SuppressionList(SuppressionSpec { entries, tasks })
    })
}

fn manager() -> impl Strategy<Value = Resource> {
    (text(), option::of(text()), option::of(text()), text()).prop_map(
        |(full_name, role, language, persona)| {
            Resource::Manager(ManagerSpec { full_name, role, language, persona })
        },
    )
}

fn resource() -> impl Strategy<Value = Resource> {
    prop_oneof![channel(), ai(), integration(), suppression_list(), manager()]
}

/// The one document of a text, and what is wrong with it alone.
fn read(text: &str) -> (ReadDocument, Vec<String>) {
    let mut file = read_stored(&Arc::from("emitted"), text);
    assert_eq!((file.documents.len(), file.findings.list.len()), (1, 0), "{:?}", file.findings);
    let document = file.documents.remove(0);
    let wrong = document.findings.list.iter().filter(|found| found.code != Code::AudienceFile);
    let wrong = wrong.map(|found| found.message.clone()).collect();
    (document, wrong)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_emitted_task_is_read_back(spec in task(), lines in collection::vec("[+@-]?[a-z0-9]{4,12}", 0..20)) {
        let fields = spec.fields();
        let name: TaskName = "one".parse().unwrap();
        for audience in [EmittedAudience::Lines(lines.clone()), EmittedAudience::File("a/no.csv".to_owned())] {
            let audience = spec.outgoing.as_ref().map(|_| audience);
            let text = emit_task(&name, &fields, audience.as_ref());
            prop_assert_eq!(format_text("emitted", &text).ok(), Some(text.clone()));
            let (document, wrong) = read(&text);
            // Openings that the type does not have are told; that is another matter than their text.
            prop_assert!(wrong.iter().all(|what| what.contains("cannot write first")), "{:?}\n{}", wrong, text);
            if !wrong.is_empty() {
                continue;
            }
            let Lowered::Task(Some(read)) = document.lowered else { panic!("no task:\n{text}") };
            prop_assert_eq!(&read.fields(), &fields, "{}", text);
            if let (Some(EmittedAudience::Lines(lines)), Some(read)) = (audience, document.audience) {
                let AudienceSource::Inline(read) = read.source else { panic!() };
                let read: Vec<&String> = read.iter().map(|line| &line.text).collect();
                prop_assert_eq!(read, lines.iter().collect::<Vec<_>>(), "{}", text);
            }
        }
    }

    #[test]
    fn what_the_database_keeps_of_a_resource_is_taken_back(resource in resource()) {
        let fields = resource.fields();
        match resource {
            Resource::Channel(spec) => prop_assert_eq!(ChannelSpec::from_fields(&fields), Some(spec)),
            Resource::Manager(spec) => prop_assert_eq!(ManagerSpec::from_fields(&fields), Some(spec)),
            Resource::Ai(spec) => prop_assert_eq!(AiSpec::from_fields(&fields), Some(spec)),
            Resource::Integration(spec) => {
                prop_assert_eq!(IntegrationSpec::from_fields(&fields), Some(spec));
            }
            Resource::SuppressionList(_) => {}
        }
    }

    #[test]
    fn an_emitted_resource_is_read_back(resource in resource()) {
        let fields = resource.fields();
        let key = ResourceKey { kind: resource.kind(), name: "one".to_owned() };
        let text = emit_resource(&key, &fields);
        prop_assert_eq!(format_text("emitted", &text).ok(), Some(text.clone()));
        let (document, wrong) = read(&text);
        prop_assert!(wrong.is_empty(), "{:?}\n{}", wrong, text);
        let Lowered::Resource(Some(read)) = document.lowered else { panic!("nothing:\n{text}") };
        prop_assert_eq!(&read.fields(), &fields, "{}", text);
        if let Resource::Integration(_) = resource {
            prop_assert_eq!(IntegrationSpec::from_fields(&fields).map(|spec| spec.fields()), Some(fields));
        }
    }
}

#[test]
fn a_manifest_looks_as_if_written_by_hand() {
    let sample = include_str!("../../tests/manifests/valid/everything.yaml");
    let loaded = load_stored("everything.yaml", sample);
    let mut emitted = String::new();
    let file = EmittedAudience::File("audiences/spring.csv".to_owned());
    for (name, task) in &loaded.desired.tasks {
        emitted += &emit_task(name, &task.fields, Some(&file));
    }
    for (key, resource) in &loaded.desired.resources {
        emitted += "---\n";
        emitted += &match key.kind {
            ResourceKind::SuppressionList => {
                emit_suppression_list(key, &resource.fields, "audiences/do-not-write.txt")
            }
            _ => emit_resource(key, &resource.fields),
        };
    }
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("emitted", emitted);
    });
}
