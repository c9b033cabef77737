//! From the documents as they are written to the values of the domain.
//!
//! Every value is parsed by its own type, and every failure is told at its place; a document with
//! an error is lowered as far as possible, so that all of them are told at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    fs,
    io::BufReader,
    ops::ControlFlow,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use chrono_tz::Tz;
use rust_decimal::Decimal;

use super::{
    audience::{digest_audience, for_each_line, meaningful},
    diagnostic::{Code, Diagnostic, nearest},
    document::{
        AiDocument, ChannelDocument, IntegrationDocument, ManagerDocument, OpeningDocument,
        OutgoingDocument, PricesDocument, ReminderDocument, SecretSource, SuppressionDocument,
        TaskDocument, TemplateDocument,
    },
    findings::Findings,
    ground::{Ground, why},
    yaml::{Node, Span, Value},
};
use crate::domain::{
    address::Address,
    channel::{ChannelSpec, SecretReference},
    desired::{AudienceSource, DesiredAudience},
    fields::FieldValue,
    kind::{ChannelKind, SettingShape},
    money::MicroUsd,
    place::{Place, Places},
    resource::{
        AiSpec, DialogueEvent, IntegrationSpec, ManagerSpec, Prices, Reminder, Resource,
        SuppressionSpec,
    },
    task::{Opening, Outgoing, PAUSE_MIN, TaskSpec},
};

const AI_ENDPOINT: &str = "https://api.openai.com/v1";

/// A sales message of this length is long already; the default bounds the cost of a slip.
const OUTPUT_TOKENS: u32 = 400;

/// Lines of one suppression list: all of them are held in memory.
const SUPPRESSED_MAX: usize = 1_000_000;

/// Lowers the `spec` of one document.
pub(super) struct Lowering<'a> {
    pub(super) spec: &'a Node,
    pub(super) ground: &'a Ground,
    pub(super) findings: &'a mut Findings,
}

impl Lowering<'_> {
    fn span(&self, path: &str) -> Span {
        self.spec.at(path).map_or(self.spec.span, |node| node.span)
    }

    fn bad(&mut self, path: &str, error: impl Display, hint: Option<String>) {
        let span = self.span(path);
        self.findings.error_with(Code::BadValue, span, format!("`{path}`: {error}"), hint);
    }

    fn parse<T: FromStr<Err: Display>>(&mut self, path: &str, text: Option<&str>) -> Option<T> {
        text?.parse().map_err(|error| self.bad(path, error, None)).ok()
    }

    /// Outer `None`: the text is there and wrong.
    #[expect(clippy::option_option, reason = "absent and wrong are two things")]
    fn parse_if<T: FromStr<Err: Display>>(
        &mut self,
        path: &str,
        text: Option<&str>,
    ) -> Option<Option<T>> {
        match text {
            None => Some(None),
            Some(text) => self.parse(path, Some(text)).map(Some),
        }
    }

    fn set<T: FromStr<Err: Display> + Ord>(
        &mut self,
        path: &str,
        texts: Option<&Vec<String>>,
    ) -> Option<BTreeSet<T>> {
        let mut all = BTreeSet::new();
        let mut whole = true;
        for (index, text) in texts?.iter().enumerate() {
            let at = format!("{path}.{index}");
            let Some(value) = self.parse::<T>(&at, Some(text)) else {
                whole = false;
                continue;
            };
            if !all.insert(value) {
                self.bad(&at, format!("`{text}` stands here twice"), None);
            }
        }
        whole.then_some(all)
    }

    fn secret(&mut self, path: &str, source: &SecretSource) -> Option<SecretReference> {
        let SecretSource { env, file } = source;
        if let Some(name) = env {
            let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if named {
                return Some(SecretReference::Environment(name.clone()));
            }
            // It may be the secret itself: it is not repeated.
            let span = self.span(&format!("{path}.env"));
            let message = format!("`{path}.env` is not the name of an environment variable");
            let hint = "letters, digits and `_`; if this was a real secret, change it".to_owned();
            self.findings.error_with(Code::LiteralSecret, span, message, Some(hint));
            return None;
        }
        file.clone().map(SecretReference::File)
    }

    fn secrets(
        &mut self,
        sources: Option<&BTreeMap<String, SecretSource>>,
    ) -> Option<BTreeMap<String, SecretReference>> {
        let mut all = BTreeMap::new();
        let mut whole = true;
        for (name, source) in sources.into_iter().flatten() {
            match self.secret(&format!("credentials.{name}"), source) {
                Some(reference) => drop(all.insert(name.clone(), reference)),
                None => whole = false,
            }
        }
        whole.then_some(all)
    }

    fn duration(&mut self, path: &str, text: Option<&str>) -> Option<Duration> {
        let text = text?.trim();
        let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if bare {
            self.bad(
                path,
                format!("`{text}` has no unit"),
                Some(format!("write `{text}s`, `{text}m` or `{text}h`")),
            );
            return None;
        }
        let known = text
            .split(|c: char| !c.is_alphabetic())
            .all(|unit| matches!(unit, "" | "s" | "m" | "h"));
        match humantime::parse_duration(text) {
            Ok(duration) if known => Some(duration),
            _ => {
                let error = format!("`{text}` is not a duration");
                self.bad(
                    path,
                    error,
                    Some("write it in s, m or h, such as `45s` or `1h 30m`".to_owned()),
                );
                None
            }
        }
    }

    fn address_of_server(&mut self, path: &str, text: Option<&str>) -> Option<String> {
        let text = text?.trim();
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let good = host.is_some_and(|host| {
            let authority = host.split(['/', '?', '#']).next().unwrap_or_default();
            !authority.is_empty() && !authority.contains('@')
        }) && !text.contains(char::is_whitespace);
        if !good {
            // A password may stand in it: it is not repeated.
            let span = self.span(path);
            let message = format!("`{path}` is not an address such as `https://example.test`");
            self.findings.error(Code::BadValue, span, message);
            return None;
        }
        Some(text.trim_end_matches('/').to_owned())
    }

    pub(super) fn task(&mut self, document: &TaskDocument) -> Option<TaskSpec> {
        let TaskDocument {
            title,
            r#type,
            format,
            channels,
            managers,
            ai,
            integration,
            spending_limit_per_dialogue,
            state,
            protect,
            outgoing,
        } = document;
        let messenger = self.parse("type", r#type.as_deref());
        let format = self.parse("format", format.as_deref());
        let channels = self.set("channels", channels.as_ref());
        let managers = self.set("managers", managers.as_ref());
        let ai = self.parse("ai", ai.as_deref());
        let integration = self.parse_if("integration", integration.as_deref());
        let path = "spendingLimitPerDialogue";
        let limit = spending_limit_per_dialogue.as_ref().map(|limit| limit.0.as_str());
        let limit = self.parse::<MicroUsd>(path, limit);
        if limit.is_some_and(|limit| limit.micros() == 0) {
            self.bad(path, "it must be more than 0", None);
        }
        let state = self.parse_if("state", state.as_deref());
        let outgoing = outgoing.as_ref().map(|outgoing| self.outgoing(outgoing));
        Some(TaskSpec {
            title: title.clone(),
            messenger: messenger?,
            format: format?,
            channels: channels?,
            managers: managers?,
            ai: ai?,
            integration: integration?,
            spending_limit_per_dialogue: limit?,
            state: state?,
            protect: protect.as_ref().and_then(|protect| protect.reason.clone()),
            outgoing: match outgoing {
                None => None,
                Some(outgoing) => Some(outgoing?),
            },
        })
    }

    fn outgoing(&mut self, document: &OutgoingDocument) -> Option<Outgoing> {
        let OutgoingDocument {
            working_hours,
            timezone,
            daily_limit_per_channel,
            pause_between_dialogues,
            opening,
            target_audience: _,
        } = document;
        let working_hours = self.parse("outgoing.workingHours", working_hours.as_deref());
        let timezone = match timezone {
            None => Some(Tz::UTC),
            Some(text) => self.timezone(text),
        };
        let limit = daily_limit_per_channel.as_ref().map(|limit| limit.0.as_str());
        let limit = self.parse("outgoing.dailyLimitPerChannel", limit);
        let path = "outgoing.pauseBetweenDialogues";
        let pause = self.duration(path, pause_between_dialogues.as_deref());
        if let Some(pause) = pause
            && pause < PAUSE_MIN
        {
            let error = format!(
                "{} is shorter than {}",
                humantime::format_duration(pause),
                humantime::format_duration(PAUSE_MIN)
            );
            self.bad(
                path,
                error,
                Some("accounts that write faster are the first to be banned".to_owned()),
            );
        }
        Some(Outgoing {
            working_hours: working_hours?,
            timezone: timezone?,
            daily_limit_per_channel: limit?,
            pause_between_dialogues: pause?,
            opening: opening_of(opening.as_ref()?)?,
        })
    }

    fn timezone(&mut self, text: &str) -> Option<Tz> {
        if let Ok(zone) = text.parse() {
            return Some(zone);
        }
        let hint = nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()))
            .map(|zone| format!("did you mean `{zone}`?"));
        self.bad("outgoing.timezone", format!("`{text}` is no IANA time zone"), hint);
        None
    }

    /// The audience of a task, with its digest.
    pub(super) fn audience(&mut self) -> Option<DesiredAudience> {
        let node = self.spec.at("outgoing.targetAudience")?;
        let source = match &node.value {
            Value::Map(_) => {
                let file = node.get("file")?;
                let named = file.text()?;
                match self.ground.file(named) {
                    Ok((path, shown)) => AudienceSource::File { path, shown },
                    Err(message) => {
                        self.findings.error(Code::AudienceFile, file.span, message);
                        return None;
                    }
                }
            }
            _ => AudienceSource::Inline(Arc::new(inline_lines(node))),
        };
        match digest_audience(&source) {
            Ok(digest) => Some(DesiredAudience { source, digest }),
            Err(error) => {
                let file = node.get("file").unwrap_or(node);
                let message = why(file.text().unwrap_or_default(), &error);
                self.findings.error(Code::AudienceFile, file.span, message);
                None
            }
        }
    }

    pub(super) fn channel(&mut self, document: &ChannelDocument) -> Option<Resource> {
        let ChannelDocument { kind, daily_limit, endpoint, credentials } = document;
        let kind = self.parse::<ChannelKind>("kind", kind.as_deref());
        let limit = daily_limit.as_ref().map(|limit| limit.0.as_str());
        let daily_limit = self.parse_if("dailyLimit", limit);
        let given = endpoint.is_some();
        let endpoint = self.address_of_server("endpoint", endpoint.as_deref());
        let credentials = self.secrets(credentials.as_ref());
        let facts = kind?.facts();
        let mut settings = BTreeMap::new();
        for setting in facts.settings {
            let node = self.spec.get(setting.name);
            let text = node.and_then(Node::text);
            let value = match setting.shape {
                SettingShape::Text { default } => {
                    text.or(default).map(|text| FieldValue::Text(text.to_owned()))
                }
                SettingShape::Word(words) => {
                    Some(FieldValue::Text(text.unwrap_or(words[0]).to_owned()))
                }
                SettingShape::Digits => {
                    if let Some(text) = text
                        && (text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()))
                    {
                        self.bad(
                            setting.name,
                            format!("`{text}` is not a number made of digits only"),
                            None,
                        );
                    }
                    text.map(|text| FieldValue::Text(text.to_owned()))
                }
                SettingShape::Texts => node
                    .map(|node| {
                        node.items().iter().filter_map(Node::text).map(str::to_owned).collect()
                    })
                    .filter(|items: &Vec<String>| !items.is_empty())
                    .map(FieldValue::List),
            };
            if let Some(value) = value {
                settings.insert(setting.name.to_owned(), value);
            }
        }
        Some(Resource::Channel(ChannelSpec {
            kind: facts.kind,
            daily_limit: daily_limit?.or(facts.daily_limit),
            endpoint: if given { Some(endpoint?) } else { facts.endpoint.map(str::to_owned) },
            credentials: credentials?,
            settings,
        }))
    }

    pub(super) fn ai(&mut self, document: &AiDocument) -> Option<Resource> {
        let AiDocument {
            endpoint,
            model,
            api_key,
            instructions,
            temperature,
            max_output_tokens,
            prices,
            disclosure,
            reminders,
        } = document;
        let endpoint =
            self.address_of_server("endpoint", Some(endpoint.as_deref().unwrap_or(AI_ENDPOINT)));
        let api_key = api_key.as_ref().map(|source| self.secret("apiKey", source));
        let temperature = temperature.as_ref().map(|text| text.0.as_str());
        let temperature = self.parse_if::<Decimal>("temperature", temperature);
        if let Some(Some(temperature)) = temperature
            && (temperature.is_sign_negative() || temperature > Decimal::TWO)
        {
            self.bad("temperature", format!("`{temperature}` is not between 0 and 2"), None);
        }
        let tokens = max_output_tokens.as_ref().map(|tokens| tokens.0.as_str());
        let tokens = self.parse_if("maxOutputTokens", tokens);
        let prices = prices.as_ref().and_then(|prices| self.prices(prices));
        let mut all_reminders = Vec::new();
        let mut whole = true;
        for (index, ReminderDocument { after, text }) in reminders.iter().flatten().enumerate() {
            let after = self.duration(&format!("reminders.{index}.after"), after.as_deref());
            match (after, text) {
                (Some(after), Some(text)) => {
                    all_reminders.push(Reminder { after, text: text.clone() });
                }
                _ => whole = false,
            }
        }
        Some(Resource::Ai(AiSpec {
            endpoint: endpoint?,
            model: model.clone()?,
            api_key: match api_key {
                None => None,
                Some(reference) => Some(reference?),
            },
            instructions: instructions.clone()?,
            temperature: temperature?.map(|temperature| temperature.normalize().to_string()),
            max_output_tokens: tokens?.unwrap_or(OUTPUT_TOKENS),
            prices: prices?,
            disclosure: disclosure.clone(),
            reminders: whole.then_some(all_reminders)?,
        }))
    }

    fn prices(&mut self, document: &PricesDocument) -> Option<Prices> {
        let PricesDocument {
            input_per_million_tokens: input,
            cached_input_per_million_tokens: cached_input,
            output_per_million_tokens: output,
        } = document;
        let text = |digits: &Option<super::document::Digits>| digits.as_ref().map(|d| d.0.clone());
        let input = self.parse("prices.inputPerMillionTokens", text(input).as_deref());
        let cached_input =
            self.parse_if("prices.cachedInputPerMillionTokens", text(cached_input).as_deref());
        let output = self.parse("prices.outputPerMillionTokens", text(output).as_deref());
        Some(Prices { input: input?, cached_input: cached_input?.or(input)?, output: output? })
    }

    pub(super) fn integration(&mut self, document: &IntegrationDocument) -> Option<Resource> {
        let IntegrationDocument { kind, url, credentials, chat_id, events } = document;
        let kind = self.parse("kind", kind.as_deref());
        let url = url.as_ref().map(|source| self.secret("url", source));
        let credentials = self.secrets(credentials.as_ref());
        let events = match events {
            None => Some(DialogueEvent::ALL.iter().copied().collect()),
            Some(_) => self.set("events", events.as_ref()),
        };
        Some(Resource::Integration(IntegrationSpec {
            kind: kind?,
            url: match url {
                None => None,
                Some(reference) => Some(reference?),
            },
            credentials: credentials?.into_iter().collect(),
            chat_id: chat_id.as_ref().map(|id| id.0.clone()),
            events: events?,
        }))
    }

    pub(super) fn suppression(&mut self, document: &SuppressionDocument) -> Option<Resource> {
        let SuppressionDocument { entries, file, tasks: _ } = document;
        let mut all = BTreeSet::new();
        let mut wrong = 0;
        for (index, entry) in entries.iter().flatten().enumerate() {
            match Address::parse_any(&entry.0) {
                Ok(addresses) => all.extend(addresses),
                Err(error) => {
                    let span = self.span(&format!("entries.{index}"));
                    self.findings.error(Code::BadAddress, span, error.to_string());
                    wrong += 1;
                    if wrong >= super::audience::FINDINGS_MAX {
                        break;
                    }
                }
            }
        }
        if let Some(file) = file {
            self.suppressed_in(file, &mut all);
        }
        let tasks = match self.spec.get("tasks") {
            None => Some(None),
            Some(node) => match node.text() {
                Some("all") => Some(None),
                Some(text) => {
                    let hint = Some("write `all`, or a list of names".to_owned());
                    self.bad("tasks", format!("`{text}` is not `all`"), hint);
                    None
                }
                None => {
                    let names =
                        node.items().iter().filter_map(Node::text).map(str::to_owned).collect();
                    self.set("tasks", Some(&names)).map(Some)
                }
            },
        };
        Some(Resource::SuppressionList(SuppressionSpec { entries: all, tasks: tasks? }))
    }

    fn suppressed_in(&mut self, named: &str, all: &mut BTreeSet<Address>) {
        let span = self.span("file");
        let opened = self.ground.file(named).and_then(|(path, shown)| {
            let file = fs::File::open(path).map_err(|error| why(named, &error))?;
            Ok((file, shown))
        });
        let (file, shown) = match opened {
            Ok(opened) => opened,
            Err(message) => return self.findings.error(Code::AudienceFile, span, message),
        };
        let mut wrong = Vec::new();
        let done = for_each_line(BufReader::new(file), |number, line| {
            let judged = match line {
                Ok(text) => match meaningful(text).map(Address::parse_any) {
                    None => Ok(()),
                    Some(Ok(addresses)) => {
                        all.extend(addresses);
                        Ok(())
                    }
                    Some(Err(error)) => Err((Code::BadAddress, error.to_string())),
                },
                Err(fault) => Err(fault),
            };
            let judged = judged.and_then(|()| {
                let message = format!("the list holds more than {SUPPRESSED_MAX} addresses");
                (all.len() <= SUPPRESSED_MAX).then_some(()).ok_or((Code::TooLarge, message))
            });
            if let Err((code, message)) = judged {
                let line = u32::try_from(number).unwrap_or(u32::MAX);
                let place = Place { file: Arc::clone(&shown), line, column: 1 };
                wrong.push(Diagnostic::error(code, place, u32::MAX, message));
            }
            let enough = wrong.len() >= super::audience::FINDINGS_MAX || all.len() > SUPPRESSED_MAX;
            if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        self.findings.list.append(&mut wrong);
        if let Err(error) = done {
            self.findings.error(Code::AudienceFile, span, why(named, &error));
        }
    }
}

pub(super) fn manager(document: &ManagerDocument) -> Option<Resource> {
    let ManagerDocument { full_name, role, language, persona } = document;
    Some(Resource::Manager(ManagerSpec {
        full_name: full_name.clone()?,
        role: role.clone(),
        language: language.clone(),
        persona: persona.clone()?,
    }))
}

fn opening_of(document: &OpeningDocument) -> Option<Opening> {
    match document {
        OpeningDocument { text: Some(text), .. } => Some(Opening::Text(text.clone())),
        OpeningDocument { template: Some(template), .. } => {
            let TemplateDocument { name, language, variables } = template;
            Some(Opening::Template {
                name: name.clone()?,
                language: language.clone()?,
                variables: variables.clone().unwrap_or_default(),
            })
        }
        OpeningDocument { written_by: Some(_), .. } => Some(Opening::WrittenByAi),
        _ => None,
    }
}

/// The lines that say something, each with its line in the manifest.
fn inline_lines(node: &Node) -> Vec<(u32, String)> {
    let mut lines = Vec::new();
    let mut take = |line, text: &str| {
        if let Some(text) = meaningful(text) {
            lines.push((line, text.to_owned()));
        }
    };
    match &node.value {
        Value::List(items) => {
            for item in items {
                take(item.span.line, item.text().unwrap_or_default());
            }
        }
        Value::Scalar(scalar) => {
            for (line, text) in (node.span.line..).zip(scalar.text.lines()) {
                take(line, text);
            }
        }
        Value::Map(_) => {}
    }
    lines
}

/// The places of a document's fields by their paths below `spec`.
pub(super) fn places(document: Place, spec: &Node) -> Places {
    let mut places = Places::at(document);
    collect("", spec, &mut places);
    places
}

fn collect(prefix: &str, node: &Node, places: &mut Places) {
    let file = Arc::clone(&places.document.file);
    let mut put = |path: String, key: Span, value: &Node| {
        // A value that begins on a later line than its key is easier found by the key.
        let span = if value.span.line == key.line { value.span } else { key };
        let place = Place { file: Arc::clone(&file), line: span.line, column: span.column };
        places.fields.insert(path.clone(), place);
        collect(&path, value, places);
    };
    let join =
        |part: &str| if prefix.is_empty() { part.to_owned() } else { format!("{prefix}.{part}") };
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                put(join(&key.text), key.span, value);
            }
        }
        Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Map(_))) => {
            for (index, item) in items.iter().enumerate() {
                put(join(&index.to_string()), item.span, item);
            }
        }
        Value::List(_) | Value::Scalar(_) => {}
    }
}
