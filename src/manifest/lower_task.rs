//! From a task as it is written to its specification and its audience.

use std::sync::Arc;

use chrono_tz::Tz;

use super::{
    audience::digest_audience,
    diagnostic::{Code, nearest},
    document::{OpeningDocument, OutgoingDocument, TaskDocument, TemplateDocument},
    ground::why,
    lines::meaningful,
    lower::Lowering,
    node::{Node, Span, Value},
};
use crate::domain::{
    desired::{AudienceSource, DesiredAudience, InlineLine},
    money::MicroUsd,
    task::{Opening, Outgoing, PAUSE_MAX, PAUSE_MIN, TaskSpec},
};

impl Lowering<'_> {
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
        if pause.is_some_and(|pause| pause > PAUSE_MAX) {
            let error = format!("longer than {}", humantime::format_duration(PAUSE_MAX));
            self.bad(path, error, Some("pause the task instead".to_owned()));
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
fn inline_lines(node: &Node) -> Vec<InlineLine> {
    let mut lines = Vec::new();
    let mut take = |span: Span, text: &str| {
        if let Some(text) = meaningful(text) {
            let Span { line, column, .. } = span;
            lines.push(InlineLine { line, column, length: span.length(), text: text.to_owned() });
        }
    };
    match &node.value {
        Value::List(items) => {
            for item in items {
                take(item.span, item.text().unwrap_or_default());
            }
        }
        Value::Scalar(scalar) => {
            for (number, text) in (1..).zip(scalar.text.lines()) {
                take(node.line(number), text);
            }
        }
        Value::Map(_) => {}
    }
    lines
}
