//! From managers, AIs, integrations and suppression lists as they are written to their specifications, with the
//! defaults filled in.

use std::{collections::BTreeSet, fs, io::BufReader, ops::ControlFlow, sync::Arc, time::Duration};

use rust_decimal::Decimal;

use super::{
    contacts::FINDINGS_MAX,
    diagnostic::{Code, Diagnostic},
    document::{
        AiDocument, Digits, IntegrationDocument, ManagerDocument, PricesDocument, ReminderDocument,
        SuppressionDocument,
    },
    ground::why,
    lines::{for_each_line, meaningful},
    lower::Lowering,
    node::Node,
};
use crate::domain::{
    address::Address,
    place::Place,
    resource::{
        AiSpec, DialogueEvent, IntegrationSpec, ManagerSpec, Prices, Reminder, Resource,
        SuppressionSpec,
    },
};

pub(super) const AI_ENDPOINT: &str = "https://api.openai.com/v1";

/// A sales message of this length is long already; the default bounds the cost of a slip.
pub(super) const OUTPUT_TOKENS: u32 = 400;

/// Who was answered a moment ago is not silent yet.
const REMINDER_MIN: Duration = Duration::from_mins(1);
/// After a month the person has forgotten what it was about.
const REMINDER_MAX: Duration = Duration::from_hours(30 * 24);

/// Lines of one suppression list: all of them are held in memory.
const SUPPRESSED_MAX: usize = 1_000_000;

impl Lowering<'_> {
    pub(super) fn ai(&mut self, document: &AiDocument) -> Option<Resource> {
        let AiDocument {
            endpoint,
            model,
            api_key,
            instructions,
            temperature,
            max_output_tokens,
            max_tokens_field,
            prices,
            fallback,
            disclosure,
            handover,
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
        let max_tokens_field = self.parse_if("maxTokensField", max_tokens_field.as_deref());
        let fallback = self.parse_if("fallback", fallback.as_deref());
        let reminders = self.reminders(reminders.iter().flatten());
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
            max_tokens_field: max_tokens_field?,
            prices: prices?,
            fallback: fallback?,
            disclosure: disclosure.clone(),
            handover: handover.clone(),
            reminders: reminders?,
        }))
    }

    fn reminders<'d>(
        &mut self,
        documents: impl Iterator<Item = &'d ReminderDocument>,
    ) -> Option<Vec<Reminder>> {
        let mut all: Vec<Reminder> = Vec::new();
        let mut whole = true;
        let mut last = None;
        for (index, ReminderDocument { after, text }) in documents.enumerate() {
            let path = format!("reminders.{index}.after");
            let Some(after) = self.duration(&path, after.as_deref()) else {
                whole = false;
                continue;
            };
            if !(REMINDER_MIN..=REMINDER_MAX).contains(&after) {
                self.bad(
                    &path,
                    "a reminder comes after 1m at the earliest, and 720h at the latest",
                    None,
                );
            } else if last.is_some_and(|last| after <= last) {
                let hint = "write the reminders in the order of their silences".to_owned();
                self.bad(
                    &path,
                    "this silence is not longer than that of the reminder before",
                    Some(hint),
                );
            }
            last = Some(after);
            match text {
                Some(text) => all.push(Reminder { after, text: text.clone() }),
                None => whole = false,
            }
        }
        whole.then_some(all)
    }

    fn prices(&mut self, document: &PricesDocument) -> Option<Prices> {
        let PricesDocument {
            input_per_million_tokens: input,
            cached_input_per_million_tokens: cached_input,
            output_per_million_tokens: output,
        } = document;
        let text = |digits: &Option<Digits>| digits.as_ref().map(|d| d.0.clone());
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
                    if wrong >= FINDINGS_MAX {
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
            let enough = wrong.len() >= FINDINGS_MAX || all.len() > SUPPRESSED_MAX;
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
