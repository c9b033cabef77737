//! What the AI may call beside answering: what is offered to it, and what it called.

use std::{sync::LazyLock, time::Duration};

use serde_json::{Map, Value, json};

use crate::domain::dialogue::{ContactKind, Tool};

/// The dialogue has one outcome; more calls than this in one answer are a model in a loop.
pub(super) const CALLS_MAX: usize = 16;

/// Of any text in a call. A quote is a sentence or two, and a CRM's fields take about as much.
const TEXT_CHARACTERS_MAX: usize = 2_000;

/// An unknown name is shown to people; names of tools have no more than this.
const NAME_CHARACTERS_MAX: usize = 64;

/// Models answer "at once" with zero; a reminder follows a silence.
const REMIND_AFTER_MIN: Duration = Duration::from_mins(1);
/// Nobody remembers a chat for longer, and most messengers' windows are long closed.
const REMIND_AFTER_MAX: Duration = Duration::from_hours(24 * 90);

/// A call of a tool. What is not essential may be missing in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolCall {
    Success(Evidence),
    ContactObtained {
        kind: ContactKind,
        value: String,
        evidence: Evidence,
    },
    Interest(Evidence),
    Close {
        reason: String,
    },
    Operator {
        reason: String,
    },
    Remind {
        after: Duration,
        text: String,
    },
    /// `reason` repeats nothing of the call.
    Unreadable {
        name: String,
        reason: &'static str,
    },
}

/// What the AI bases an outcome on. One of the two may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The person's own words.
    pub quote: String,
    pub summary: String,
}

/// A tool as it is told to the AI.
struct Offered {
    tool: Tool,
    about: &'static str,
    arguments: &'static [(&'static str, &'static str)],
}

const QUOTE: (&str, &str) = ("quote", "The person's exact words that show it.");
const SUMMARY: (&str, &str) = ("summary", "What was agreed or learnt, in one or two sentences.");

const OFFERED: &[Offered] = &[
    Offered {
        tool: Tool::Success,
        about: "Call this when the goal of the dialogue is reached: the person clearly agreed.",
        arguments: &[QUOTE, SUMMARY],
    },
    Offered {
        tool: Tool::ContactObtained,
        about: "Call this when the person gave a phone number, an e-mail address or another contact.",
        arguments: &[
            ("kind", "What kind of contact it is."),
            ("value", "The contact exactly as the person wrote it."),
            QUOTE,
            SUMMARY,
        ],
    },
    Offered {
        tool: Tool::Interest,
        about: "Call this when the person shows interest, but has not agreed to anything yet.",
        arguments: &[QUOTE, SUMMARY],
    },
    Offered {
        tool: Tool::Close,
        about: "Call this when the person is not interested, and the dialogue is to end.",
        arguments: &[("reason", "Why the dialogue ends, in one sentence.")],
    },
    Offered {
        tool: Tool::Operator,
        about: "Call this when the person asks for a human, or you cannot help.",
        arguments: &[("reason", "Why a human is needed, in one sentence.")],
    },
    Offered {
        tool: Tool::Remind,
        about: "Call this when the person asks to be written to later.",
        arguments: &[
            ("after", "How long from now, such as `30m`, `2h` or `3d`."),
            ("text", "The message to send then, in the person's language."),
        ],
    },
];

static DEFINITIONS: LazyLock<Value> =
    LazyLock::new(|| OFFERED.iter().map(Offered::definition).collect());
static DEFINITIONS_JSON: LazyLock<String> = LazyLock::new(|| DEFINITIONS.to_string());

impl Offered {
    fn definition(&self) -> Value {
        let Self { tool, about, arguments } = self;
        let property = |&(name, about): &(&str, &str)| {
            let mut schema = json!({ "type": "string", "description": about });
            if name == "kind" {
                schema["enum"] = ContactKind::ALL.iter().map(|kind| kind.as_str()).collect();
            }
            (name.to_owned(), schema)
        };
        let properties: Map<String, Value> = arguments.iter().map(property).collect();
        let required: Vec<_> = arguments.iter().map(|(name, _)| *name).collect();
        json!({
            "type": "function",
            "function": {
                "name": tool.as_str(),
                "description": about,
                "strict": true,
                "parameters": {
                    "type": "object",
                    "properties": properties,
                    "required": required,
                    "additionalProperties": false,
                },
            },
        })
    }
}

pub(super) fn definitions() -> &'static Value {
    &DEFINITIONS
}

pub(super) fn definitions_json() -> &'static str {
    &DEFINITIONS_JSON
}

/// Reads a call as servers write it: the arguments are JSON in a text, or the object itself.
pub(super) fn read(name: &str, arguments: &Value) -> ToolCall {
    let name = clean(name, NAME_CHARACTERS_MAX);
    let read = match name.parse() {
        Ok(tool) => object_of(arguments).and_then(|arguments| typed(tool, &arguments)),
        Err(_) => Err("the tool was not offered"),
    };
    read.unwrap_or_else(|reason| ToolCall::Unreadable { name, reason })
}

fn typed(tool: Tool, arguments: &Map<String, Value>) -> Result<ToolCall, &'static str> {
    let text = |name: &str| text_of(arguments.get(name));
    let evidence = || Evidence { quote: text("quote"), summary: text("summary") };
    let shown = || {
        let evidence = evidence();
        if evidence == Evidence::default() { Err("it has no evidence") } else { Ok(evidence) }
    };
    Ok(match tool {
        Tool::Success => ToolCall::Success(shown()?),
        Tool::Interest => ToolCall::Interest(shown()?),
        Tool::ContactObtained => {
            let value = text("value");
            if value.is_empty() {
                return Err("it has no contact");
            }
            let kind = text("kind").to_lowercase().parse().unwrap_or(ContactKind::Other);
            // The contact is evidence enough.
            ToolCall::ContactObtained { kind, value, evidence: evidence() }
        }
        Tool::Close => ToolCall::Close { reason: text("reason") },
        Tool::Operator => ToolCall::Operator { reason: text("reason") },
        Tool::Remind => {
            let after = duration(&text("after")).ok_or("its time is no duration")?;
            if after > REMIND_AFTER_MAX {
                return Err("its time is too far away");
            }
            let words = text("text");
            if words.is_empty() {
                return Err("it has no text");
            }
            ToolCall::Remind { after: after.max(REMIND_AFTER_MIN), text: words }
        }
    })
}

fn object_of(arguments: &Value) -> Result<Map<String, Value>, &'static str> {
    match arguments {
        Value::Object(object) => Ok(object.clone()),
        Value::Null => Ok(Map::new()),
        Value::String(text) if text.trim().is_empty() => Ok(Map::new()),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err("its arguments are no object"),
            Err(_) => Err("its arguments are no JSON"),
        },
        _ => Err("its arguments are no object"),
    }
}

/// A number counts as its digits: models write phones that way.
fn text_of(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => clean(text, TEXT_CHARACTERS_MAX),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// Without what no database keeps and nobody reads.
fn clean(text: &str, characters_max: usize) -> String {
    let shown = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    shown.take(characters_max).collect::<String>().trim().to_owned()
}

/// `90m`, `2 hours`, `3days`, and ISO 8601 as `PT2H`, in which models fall back.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let Some(iso) = text.strip_prefix('P') else {
        return humantime::parse_duration(&text.to_lowercase()).ok();
    };
    let (days, hours) = iso.split_once('T').unwrap_or((iso, ""));
    // Months and years have no length.
    if days.contains(['M', 'Y']) {
        return None;
    }
    humantime::parse_duration(&format!("{days}{hours}").to_lowercase()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_tool_is_offered_with_a_strict_schema() {
        let offered: Vec<_> = OFFERED.iter().map(|offered| offered.tool).collect();
        assert_eq!(offered, Tool::ALL);
        for definition in definitions().as_array().unwrap() {
            let parameters = &definition["function"]["parameters"];
            let mut properties: Vec<_> =
                parameters["properties"].as_object().unwrap().keys().cloned().collect();
            let mut required: Vec<String> =
                serde_json::from_value(parameters["required"].clone()).unwrap();
            properties.sort();
            required.sort();
            assert_eq!(properties, required, "{definition}");
            jsonschema::draft202012::new(parameters).unwrap();
        }
    }

    fn evidence(quote: &str, summary: &str) -> Evidence {
        Evidence { quote: quote.to_owned(), summary: summary.to_owned() }
    }

    fn remind(after: Duration) -> ToolCall {
        ToolCall::Remind { after, text: "Hi".to_owned() }
    }

    #[test]
    fn calls_are_read_as_servers_write_them() {
        let reason = |reason: &str| reason.to_owned();
        for (name, arguments, expected) in [
            (
                "success",
                json!(r#"{"quote":"ok","summary":"A call."}"#),
                ToolCall::Success(evidence("ok", "A call.")),
            ),
            ("interest", json!({ "quote": "go on" }), ToolCall::Interest(evidence("go on", ""))),
            (
                "contact_obtained",
                json!(r#"{"kind":"Phone","value":79123456789}"#),
                ToolCall::ContactObtained {
                    kind: ContactKind::Phone,
                    value: "79123456789".to_owned(),
                    evidence: Evidence::default(),
                },
            ),
            (
                "contact_obtained",
                json!({ "kind": "pigeon", "value": "\u{0}coop 7 ", "more": [1] }),
                ToolCall::ContactObtained {
                    kind: ContactKind::Other,
                    value: "coop 7".to_owned(),
                    evidence: Evidence::default(),
                },
            ),
            ("close", json!(r#"{"reason":"no"}"#), ToolCall::Close { reason: reason("no") }),
            ("operator", json!(""), ToolCall::Operator { reason: reason("") }),
            ("operator", Value::Null, ToolCall::Operator { reason: reason("") }),
            ("remind", json!({ "after": "2h", "text": "Hi" }), remind(Duration::from_hours(2))),
            ("remind", json!({ "after": "0s", "text": "Hi" }), remind(REMIND_AFTER_MIN)),
        ] {
            assert_eq!(read(name, &arguments), expected, "{name} {arguments}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_and_not_repeated() {
        for (name, arguments, reason) in [
            ("get_weather", json!("{}"), "the tool was not offered"),
            ("", json!("{}"), "the tool was not offered"),
            ("success", json!("{}"), "it has no evidence"),
            ("success", json!({ "quote": " ", "summary": null }), "it has no evidence"),
            ("success", json!(r#"{"quote":"cut o"#), "its arguments are no JSON"),
            ("success", json!("[1]"), "its arguments are no object"),
            ("close", json!(7), "its arguments are no object"),
            ("contact_obtained", json!({ "kind": "phone" }), "it has no contact"),
            ("remind", json!({ "after": "soon", "text": "Hi" }), "its time is no duration"),
            ("remind", json!({ "after": "P1M", "text": "Hi" }), "its time is no duration"),
            ("remind", json!({ "after": "1year", "text": "Hi" }), "its time is too far away"),
            ("remind", json!({ "after": "1h" }), "it has no text"),
        ] {
            let expected = ToolCall::Unreadable { name: name.to_owned(), reason };
            assert_eq!(read(name, &arguments), expected, "{name} {arguments}");
        }
        let ToolCall::Unreadable { name, .. } = read(&"a\n".repeat(900), &Value::Null) else {
            panic!("it was read");
        };
        assert!(name.chars().count() <= NAME_CHARACTERS_MAX);
    }

    #[test]
    fn durations_are_read_in_the_ways_of_models() {
        for (text, minutes) in [
            ("90m", Some(90)),
            ("2 hours", Some(120)),
            ("3days", Some(3 * 24 * 60)),
            ("1d 2h", Some(26 * 60)),
            ("2H", Some(120)),
            ("PT2H30M", Some(150)),
            ("P1D", Some(24 * 60)),
            ("P1DT1H", Some(25 * 60)),
            ("P1W", Some(7 * 24 * 60)),
            ("P1Y", None),
            ("P", None),
            ("3600", None),
            ("-2h", None),
            ("", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(duration(text), minutes.map(Duration::from_mins), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_call_is_too_odd_to_be_read(index in 0..8_usize, arguments in ".{0,80}") {
            let name = Tool::ALL.get(index).map_or("other", |tool| tool.as_str());
            let _call = read(name, &Value::String(arguments.clone()));
            for key in ["quote", "value", "after", "text", "reason"] {
                let _call = read(name, &json!({ key: arguments, "text": arguments }));
            }
        }
    }
}
