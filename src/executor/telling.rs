//! What of an answer the task's integration is told.

use serde_json::Value;

use super::answering::Job;
use crate::{
    domain::{
        dialogue::{Author, ContactKind},
        report::{NewReport, ReportContact},
        resource::DialogueEvent,
    },
    store::{Answer, DialogueNote},
};

/// A report for each of the answer's events that an integration may want.
pub(super) fn reports_of(answer: &Answer, job: &Job<'_>) -> Vec<NewReport> {
    let context = job.context;
    let said = context.history.iter().map(|one| (one.author, one.text.as_str()));
    let answered = answer.texts.iter().map(|(author, text)| (*author, text.as_str()));
    let transcript = transcript(said.chain(answered));
    let events = answer.events.iter();
    let wanted = events.filter_map(|note| Some((note.event.parse::<DialogueEvent>().ok()?, note)));
    wanted
        .map(|(event, note)| NewReport {
            dialogue: job.turn.dialogue,
            task: context.task.clone(),
            channel: job.turn.channel.clone(),
            event,
            at: context.now,
            evidence: text(&note.detail, "quote"),
            contact: contact(note, job),
            summary: text(&note.detail, "summary"),
            transcript: transcript.clone(),
            manager: job.manager.full_name.clone(),
        })
        .collect()
}

/// What is known of the person: from the channel, the audience, and what the person gave.
fn contact(note: &DialogueNote, job: &Job<'_>) -> ReportContact {
    let context = job.context;
    let address = context.peer.clone();
    let variable = |wanted: &str| {
        let found = context.variables.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.clone())
    };
    let given = text(&note.detail, "contact");
    let given_as = |kind: ContactKind| {
        (text(&note.detail, "contact_kind") == kind.as_str() && !given.is_empty())
            .then(|| given.clone())
    };
    let own_phone = address.as_str().starts_with('+').then(|| address.to_string());
    ReportContact {
        name: variable("name"),
        phone: given_as(ContactKind::Phone).or(own_phone),
        email: given_as(ContactKind::Email).or_else(|| variable("email")),
        address,
    }
}

/// The dialogue as a person reads it.
fn transcript<'a>(said: impl Iterator<Item = (Author, &'a str)>) -> String {
    let mut text = String::new();
    for (author, words) in said {
        let who = match author {
            Author::Person => "Client",
            Author::Operator => "Operator",
            _ => "We",
        };
        text.extend([who, ": ", words, "\n"]);
    }
    text
}

fn text(detail: &Value, name: &str) -> String {
    detail[name].as_str().unwrap_or_default().to_owned()
}
