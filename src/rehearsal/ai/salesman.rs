//! What the rehearsal's AI answers: the same to the same dialogue.

use serde_json::Value;

use super::{
    intent::{contact_in, delay_in, tools_for},
    request::{Asked, Role, ToolChoice},
    schema::fill,
};
use crate::domain::dialogue::{ContactKind, Tool};

/// A text in the two languages that the salesman speaks.
#[derive(Clone, Copy)]
struct Line {
    english: &'static str,
    russian: &'static str,
}

const OPENING: Line = Line {
    english: "Hello! May I take a minute of your time to tell you about our offer?",
    russian: "Здравствуйте! Уделите мне минуту? Расскажу о нашем предложении.",
};

/// By how often the person has written.
const TALK: &[Line] = &[
    Line {
        english: "Thank you for your answer! What matters most to you: the price or the time?",
        russian: "Спасибо за ответ! Что для вас важнее: цена или сроки?",
    },
    Line {
        english: "I see. We can fit in with that. Shall we talk about it on the phone?",
        russian: "Понимаю, это можно устроить. Обсудим по телефону?",
    },
    Line {
        english: "Good question. My colleague will count it for you in five minutes on a call.",
        russian: "Хороший вопрос. Коллега посчитает это для вас за пять минут разговора.",
    },
];

const TOLD: Line =
    Line { english: "It is noted, thank you.", russian: "Записала, спасибо." };

fn line_for(tool: Tool) -> Line {
    match tool {
        Tool::Success => Line {
            english: "Agreed! My colleague will call you and settle the details.",
            russian: "Договорились! Коллега позвонит вам и обсудит детали.",
        },
        Tool::ContactObtained => Line {
            english: "Thank you, I have noted your contact.",
            russian: "Спасибо, контакт записала.",
        },
        Tool::Interest => Line {
            english: "Glad to hear it! Shall I tell you how we work?",
            russian: "Рада слышать! Рассказать, как мы работаем?",
        },
        Tool::Close => Line {
            english: "I understand, thank you for your time. All the best!",
            russian: "Поняла вас, спасибо за время. Всего доброго!",
        },
        Tool::Operator => Line {
            english: "One moment, I am calling a colleague.",
            russian: "Минуту, зову коллегу.",
        },
        Tool::Remind => Line {
            english: "All right, I will write later.",
            russian: "Хорошо, напишу позже.",
        },
    }
}

/// What was said for the person where nobody has written yet.
const REMINDER: Line = Line {
    english: "Hello again! You asked me to write to you. Is now a good time?",
    russian: "Здравствуйте! Вы просили написать. Сейчас удобно?",
};

/// What a colleague reads of the evidence beside the person's own words.
fn summary_of(tool: &str) -> Line {
    match tool.parse() {
        Ok(Tool::Success) => Line {
            english: "The person agrees to go on.",
            russian: "Человек согласен.",
        },
        Ok(Tool::ContactObtained) => Line {
            english: "The person gave a contact.",
            russian: "Человек дал контакт.",
        },
        Ok(Tool::Interest) => Line {
            english: "The person wants to know more.",
            russian: "Человеку интересно.",
        },
        _ => Line {
            english: "It came up in the dialogue.", russian: "Это прозвучало в диалоге."
        },
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spoken {
    pub(super) text: String,
    pub(super) calls: Vec<Called>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Called {
    pub(super) name: String,
    pub(super) arguments: Value,
}

pub(super) fn answer(asked: &Asked) -> Spoken {
    let words = asked.last_words();
    let russian = if words.is_empty() { asked.system() } else { words };
    let is_russian = russian.to_lowercase().chars().any(|c| ('а'..='я').contains(&c));
    let say = |line: Line| if is_russian { line.russian } else { line.english };
    if asked.messages.last().is_some_and(|said| said.role == Role::Tool) {
        return Spoken { text: say(TOLD).to_owned(), calls: Vec::new() };
    }
    let wanted = tools_for(words);
    let line = match wanted.last() {
        Some(tool) => line_for(*tool),
        None => match asked.times_written() {
            0 => OPENING,
            times => TALK[(times - 1) % TALK.len()],
        },
    };
    Spoken { text: say(line).to_owned(), calls: calls(asked, &wanted, words, &say, line) }
}

/// The offered tools that are wanted, and the one that is demanded.
fn calls(
    asked: &Asked,
    wanted: &[Tool],
    words: &str,
    say: &dyn Fn(Line) -> &'static str,
    said: Line,
) -> Vec<Called> {
    let is_wanted = |name: &str| wanted.iter().any(|tool| tool.as_str() == name);
    let mut chosen: Vec<_> = match &asked.tool_choice {
        ToolChoice::None => Vec::new(),
        ToolChoice::Named(name) => asked.tools.iter().filter(|tool| tool.name == *name).collect(),
        ToolChoice::Auto | ToolChoice::Required => {
            asked.tools.iter().filter(|tool| is_wanted(&tool.name)).collect()
        }
    };
    if chosen.is_empty() && asked.tool_choice == ToolChoice::Required {
        chosen.extend(asked.tools.first());
    }
    let contact = contact_in(words);
    let known = |tool: &str, name: &str| -> Option<String> {
        Some(match name {
            "quote" | "reason" => words.to_owned(),
            "summary" => say(summary_of(tool)).to_owned(),
            "kind" => contact.as_ref().map_or(ContactKind::Other, |(kind, _)| *kind).to_string(),
            "value" => contact.as_ref().map_or(words, |(_, value)| value).to_owned(),
            "after" => delay_in(words),
            "text" => say(REMINDER).to_owned(),
            _ => say(said).to_owned(),
        })
    };
    let call = |tool: &super::request::Offered| Called {
        name: tool.name.clone(),
        arguments: fill(&tool.parameters, &|name: &str| known(&tool.name, name)),
    };
    chosen.into_iter().map(call).collect()
}
