//! What becomes of a completion: what is said, what is noted, and who goes on.

use serde_json::json;

use super::message::disclosed;
use crate::{
    domain::{
        dialogue::{Author, DialogueState},
        resource::{AiSpec, DialogueEvent, Reminder},
    },
    intelligence::{Completion, Ending, Evidence, ToolCall},
    store::{Answer, DialogueNote},
};

/// No answer in a chat is as long: a server that minds no limit would have a person read hundreds of messages.
const TEXT_CHARACTERS_MAX: usize = 20_000;

/// What an answer is decided on beside the completion.
#[derive(Debug)]
pub(super) struct Grounds<'a> {
    pub(super) ai: &'a AiSpec,
    /// Nothing of ours was said in the dialogue yet that could carry the disclosure.
    pub(super) is_first_text: bool,
}

/// A completion that only an operator can go on with; says why.
pub(super) fn objection(completion: &Completion) -> Option<String> {
    Some(match &completion.ending {
        Ending::Complete => {
            let text = completion.text.as_deref().unwrap_or_default();
            let is_endless = text.chars().nth(TEXT_CHARACTERS_MAX).is_some();
            return is_endless.then(|| "the AI's answer was too long for a message".to_owned());
        }
        Ending::CutOff => "the AI's answer was cut off".to_owned(),
        Ending::Refused => "the AI declined to answer".to_owned(),
        Ending::Filtered => "the AI's answer was filtered".to_owned(),
        Ending::Empty => "the AI's answer was empty".to_owned(),
        Ending::Other(word) => format!("the AI ended with `{word}`"),
    })
}

/// Whether the tools that were called leave nothing to be said.
pub(super) fn needs_no_words(completion: &Completion) -> bool {
    completion.tool_calls.iter().any(|call| matches!(call, ToolCall::Operator { .. }))
}

/// What was noted, for the AI itself.
pub(super) fn noted(completion: &Completion) -> String {
    let names: Vec<&str> = completion
        .tool_calls
        .iter()
        .map(|call| match call {
            ToolCall::Success(_) => "the goal is reached",
            ToolCall::ContactObtained { .. } => "the person gave a contact",
            ToolCall::Interest(_) => "the person is interested",
            ToolCall::Close { .. } => "the dialogue ends",
            ToolCall::Operator { .. } => "a colleague takes over",
            ToolCall::Remind { .. } => "the person is reminded later",
            ToolCall::Unreadable { .. } => "nothing",
        })
        .collect();
    names.join(", ")
}

/// An answer that hands the dialogue to an operator, with the sentence that says so where there is one.
pub(super) fn hand_over(state: DialogueState, reason: String, grounds: &Grounds<'_>) -> Answer {
    let texts = grounds.ai.handover.iter().map(|text| (Author::Handover, text.clone())).collect();
    Answer { texts, state: Some((state, reason)), ..Answer::default() }
}

/// The answer of a complete completion.
pub(super) fn decide(completion: &Completion, grounds: &Grounds<'_>) -> Answer {
    let mut answer = Answer::default();
    let mut state: Option<(DialogueState, String)> = None;
    let mut asked_for = None;
    for call in &completion.tool_calls {
        match call {
            ToolCall::Success(evidence) => {
                answer.events.push(note(DialogueEvent::Success, evidence, None));
                raise(&mut state, DialogueState::Succeeded, &evidence.summary);
            }
            ToolCall::Interest(evidence) => {
                answer.events.push(note(DialogueEvent::Interest, evidence, None));
            }
            ToolCall::ContactObtained { kind, value, evidence } => {
                let contact = Some((kind.as_str(), value.as_str()));
                answer.events.push(note(DialogueEvent::ContactObtained, evidence, contact));
            }
            ToolCall::Close { reason } => raise(&mut state, DialogueState::Closed, reason),
            ToolCall::Operator { reason } => raise(&mut state, DialogueState::WithOperator, reason),
            ToolCall::Remind { after, text } => asked_for = Some((*after, Some(text.clone()))),
            ToolCall::Unreadable { name, reason } => answer.events.push(DialogueNote {
                event: "unreadable-call",
                detail: json!({ "tool": name, "reason": reason }),
            }),
        }
    }
    match (&completion.text, &state) {
        // Whoever asked for a person hears of one, in the manifest's words.
        (_, Some((DialogueState::WithOperator, reason))) => {
            let mut handed = hand_over(DialogueState::WithOperator, reason.clone(), grounds);
            handed.events = answer.events;
            return handed;
        }
        (Some(text), _) => {
            let disclosure = grounds.ai.disclosure.as_deref().filter(|_| grounds.is_first_text);
            answer.texts.push((Author::Ai, disclosed(text.trim(), disclosure)));
        }
        (None, _) => {}
    }
    let usual = grounds.ai.reminders.first().map(|Reminder { after, .. }| (*after, None));
    answer.reminder = if state.is_none() { asked_for.or(usual) } else { None };
    answer.state = state;
    answer
}

/// The strongest outcome counts: a person who takes over, then success, then the end.
fn raise(state: &mut Option<(DialogueState, String)>, to: DialogueState, reason: &str) {
    let strength = |state: DialogueState| match state {
        DialogueState::WithOperator => 3,
        DialogueState::Succeeded => 2,
        _ => 1,
    };
    if state.as_ref().is_none_or(|(now, _)| strength(*now) < strength(to)) {
        *state = Some((to, reason.to_owned()));
    }
}

fn note(event: DialogueEvent, evidence: &Evidence, contact: Option<(&str, &str)>) -> DialogueNote {
    let Evidence { quote, summary } = evidence;
    let mut detail = json!({ "quote": quote, "summary": summary });
    if let Some((kind, value)) = contact {
        detail["contact_kind"] = json!(kind);
        detail["contact"] = json!(value);
    }
    DialogueNote { event: event.as_str(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intelligence::Usage;

    fn complete(text: String) -> Completion {
        let (tool_calls, usage, model) = (Vec::new(), Usage::default(), String::new());
        Completion { text: Some(text), tool_calls, ending: Ending::Complete, usage, model }
    }

    #[test]
    fn an_answer_without_an_end_is_said_to_nobody() {
        assert_eq!(objection(&complete("ы".repeat(TEXT_CHARACTERS_MAX))), None);
        let objection = objection(&complete("ы".repeat(TEXT_CHARACTERS_MAX + 1))).unwrap();
        assert_eq!(objection, "the AI's answer was too long for a message");
    }
}
