//! A report in words, for receivers that people read.

use std::fmt::Write as _;

use crate::domain::{
    report::{NewReport, Report, ReportContact, head},
    resource::DialogueEvent,
};

/// What a CRM shows of a title in its lists.
const TITLE_CHARACTERS_MAX: usize = 120;

/// How a lead is called.
pub(super) fn title(report: &Report) -> String {
    let NewReport { task, contact, .. } = &report.new;
    head(&format!("{task}: {}", person(contact)), TITLE_CHARACTERS_MAX)
}

pub(super) fn person(contact: &ReportContact) -> &str {
    match contact.name.as_deref().map(str::trim) {
        Some(name) if !name.is_empty() => name,
        _ => contact.address.as_str(),
    }
}

/// The phone that the person gave, or the one that is its address.
pub(super) fn phone(contact: &ReportContact) -> Option<&str> {
    let address = contact.address.as_str();
    contact.phone.as_deref().or_else(|| address.starts_with('+').then_some(address))
}

/// By these words a receiver's texts are searched for the report.
pub(super) fn mark(report: &Report) -> String {
    format!("nuncio report {}", report.id)
}

/// What happened, without the dialogue.
pub(super) fn brief(report: &Report) -> String {
    let NewReport { task, channel, event, evidence, contact, summary, manager, .. } = &report.new;
    let event = match event {
        DialogueEvent::Success => "Success",
        DialogueEvent::ContactObtained => "Contact obtained",
        DialogueEvent::Interest => "Interest",
    };
    let mut text = format!("{event}: {}\n", person(contact));
    let mut line = |name: &str, value: &str| {
        if !value.trim().is_empty() {
            writeln!(text, "{name}: {}", value.trim()).expect("a String takes all text");
        }
    };
    line("Summary", summary);
    line("Evidence", evidence);
    line("Phone", phone(contact).unwrap_or_default());
    line("E-mail", contact.email.as_deref().unwrap_or_default());
    line("Address", contact.address.as_str());
    line("Task", task.as_str());
    line("Channel", channel.as_str());
    line("Manager", manager);
    text
}

/// Everything, with the mark.
pub(super) fn whole(report: &Report) -> String {
    let mut text = brief(report);
    let transcript = report.new.transcript.trim();
    if !transcript.is_empty() {
        write!(text, "\n{transcript}\n").expect("a String takes all text");
    }
    text + "\n" + &mark(report)
}
