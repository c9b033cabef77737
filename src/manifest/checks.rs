//! What holds between documents: names, references, suitable channels, templates and variables.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    audience::columns_of,
    diagnostic::{Code, Diagnostic, listed, suggestion},
    limits::{Portfolio, check_portfolio, check_risk},
    node::Span,
    reading::{Lowered, ReadDocument, ReadFile},
    schema::DocumentKind,
    template::{self, Problem},
};
use crate::domain::{
    desired::AudienceSource,
    kind::{
        ALLOWED_ORIGINS, ChannelKind, Format, KindFacts, MESSAGING_LIMIT, MessengerType, Opens,
        PORTFOLIO,
    },
    place::Place,
    resource::Resource,
};

/// What the checks need of the documents that others refer to.
struct Index {
    places: BTreeMap<(DocumentKind, String), Place>,
    channels: BTreeMap<String, Channel>,
    portfolios: BTreeMap<String, Portfolio>,
    /// By the name of an AI, the one that answers while it fails.
    fallbacks: BTreeMap<String, String>,
    /// A document whose name is unknown may be the one that is missed.
    has_unnamed: bool,
}

struct Channel {
    kind: ChannelKind,
    daily_limit: Option<u32>,
    messaging_limit: Option<String>,
}

/// `is_blind`: something in the folder could not even be looked at.
pub(super) fn check(files: &mut [ReadFile], is_blind: bool) {
    let mut index = Index {
        places: BTreeMap::new(),
        channels: BTreeMap::new(),
        portfolios: BTreeMap::new(),
        fallbacks: BTreeMap::new(),
        has_unnamed: is_blind || files.iter().any(|file| file.unnamed),
    };
    for document in files.iter_mut().flat_map(|file| &mut file.documents) {
        let key = (document.kind, document.name.clone());
        let place = document.findings.place(document.name_span);
        if let Some(first) = index.places.get(&key) {
            let message = format!("the {} `{}` exists already: first at {first}", key.0, key.1);
            document.findings.error(Code::DuplicateName, document.name_span, message);
            continue;
        }
        index.places.insert(key, place);
        if document.kind == DocumentKind::Ai
            && let Some(fallback) = document.text("fallback")
        {
            index.fallbacks.insert(document.name.clone(), fallback.to_owned());
        }
        if document.kind == DocumentKind::Channel
            && let Some(kind) = document.text("kind").and_then(|kind| kind.parse().ok())
        {
            let daily_limit = match &document.lowered {
                Lowered::Resource(Some(resource)) => match resource.as_ref() {
                    Resource::Channel(channel) => channel.daily_limit,
                    _ => None,
                },
                _ => None,
            };
            let messaging_limit = document.text(MESSAGING_LIMIT).map(str::to_owned);
            if let (Some(name), Some(limit)) = (document.text(PORTFOLIO), &messaging_limit) {
                let portfolio = || Portfolio {
                    limit: limit.clone(),
                    channel: document.name.clone(),
                    place: document.findings.place(document.span(MESSAGING_LIMIT)),
                };
                index.portfolios.entry(name.to_owned()).or_insert_with(portfolio);
            }
            let channel = Channel { kind, daily_limit, messaging_limit };
            index.channels.insert(document.name.clone(), channel);
        }
    }
    for document in files.iter_mut().flat_map(|file| &mut file.documents) {
        match document.kind {
            DocumentKind::Task => {
                let found = check_task(document, &index);
                document.findings.list.extend(found);
            }
            DocumentKind::SuppressionList if document.text("tasks").is_none() => {
                let mut found = Vec::new();
                refer(document, &index, "tasks", DocumentKind::Task, &mut found);
                document.findings.list.extend(found);
            }
            DocumentKind::Channel => {
                let found = check_channel(document, &index);
                document.findings.list.extend(found);
            }
            DocumentKind::Ai => {
                let found = check_ai(document, &index);
                document.findings.list.extend(found);
            }
            _ => {}
        }
    }
}

fn check_channel(channel: &ReadDocument, index: &Index) -> Vec<Diagnostic> {
    let Some(kind) = channel.text("kind").and_then(|kind| kind.parse::<ChannelKind>().ok()) else {
        return Vec::new();
    };
    let limit = channel.text("dailyLimit").and_then(|text| text.parse().ok());
    let tier = channel.text(MESSAGING_LIMIT);
    let risky = limit.and_then(|limit| check_risk(channel, "dailyLimit", limit, kind, tier));
    let apart = check_portfolio(channel, &index.portfolios);
    risky
        .into_iter()
        .chain(apart)
        .chain(check_embedding(channel, kind))
        .chain(check_hearing(channel, kind))
        .collect()
}

/// A channel that writes and hears nobody does not hear either who asks it to stop.
fn check_hearing(channel: &ReadDocument, kind: ChannelKind) -> Option<Diagnostic> {
    let facts = kind.facts();
    // One that may ask for its messages instead was told of it as an error, where it does not.
    if facts.has_choice_of_receiving() {
        return None;
    }
    let credentials = channel.root.at("spec.credentials")?;
    let absent = facts.proofs().find(|proof| credentials.get(proof.name).is_none())?;
    let name = absent.name;
    let message = format!(
        "`credentials.{name}` is absent: no webhook is believed, and nobody is heard, not even a STOP"
    );
    let hint = format!("name the secret `{name}`, by which webhooks are known as the provider's");
    Some(warning(channel, Code::NothingHeard, channel.span("credentials"), message).hint(hint))
}

fn check_embedding(channel: &ReadDocument, kind: ChannelKind) -> Option<Diagnostic> {
    if !kind.is_embedded() || !channel.texts(ALLOWED_ORIGINS).is_empty() {
        return None;
    }
    let message = format!("`{ALLOWED_ORIGINS}` is absent: no site may embed this `{kind}`");
    let hint = "name the sites, such as `[https://shop.example]`";
    Some(warning(channel, Code::NobodyMayEmbed, channel.span("kind"), message).hint(hint))
}

fn check_ai(ai: &ReadDocument, index: &Index) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    refer(ai, index, "fallback", DocumentKind::Ai, &mut found);
    let cycle = fallbacks(ai, index);
    // It is one mistake of all of them, and told once.
    if let Some(cycle) = cycle
        && cycle.iter().min() == Some(&ai.name.as_str())
    {
        let names = listed(cycle.iter().chain(cycle.first()));
        let message = format!("`fallback`: these AIs fall back on each other in a circle: {names}");
        let hint = "let the last of them have no `fallback`".to_owned();
        found.push(error(ai, Code::FallbackCycle, ai.span("fallback"), message).hint(hint));
    }
    if ai.root.at("spec.disclosure").is_none() {
        let message = "`disclosure` is absent: people are not told that an AI writes to them";
        let hint = "write a sentence for the first message; the law of many countries asks for it";
        found.push(
            warning(ai, Code::NoDisclosure, ai.name_span, message.to_owned()).hint(hint.to_owned()),
        );
    }
    found
}

/// The AIs that are asked one after the other from this one on, if the last falls back on this one.
fn fallbacks<'a>(ai: &'a ReadDocument, index: &'a Index) -> Option<Vec<&'a str>> {
    let mut asked = vec![ai.name.as_str()];
    let mut next = index.fallbacks.get(&ai.name)?;
    while *next != ai.name {
        // A circle that this one only leads to is not its own mistake.
        if asked.contains(&next.as_str()) {
            return None;
        }
        asked.push(next);
        next = index.fallbacks.get(next)?;
    }
    Some(asked)
}

fn refer(
    document: &ReadDocument,
    index: &Index,
    path: &str,
    kind: DocumentKind,
    found: &mut Vec<Diagnostic>,
) {
    if index.has_unnamed {
        return;
    }
    for (name, span) in document.texts(path) {
        if index.places.contains_key(&(kind, name.to_owned())) {
            continue;
        }
        let known: Vec<&str> = index
            .places
            .keys()
            .filter(|(other, _)| *other == kind)
            .map(|(_, name)| name.as_str())
            .collect();
        let hint = match known.as_slice() {
            [] => Some(format!("no document of kind {kind} stands in the folder")),
            known => suggestion(name, known),
        };
        let message = format!("`{path}`: there is no {kind} named `{name}`");
        found.push(error(document, Code::UnknownReference, span, message).hint_if(hint));
    }
}

pub(super) fn error(
    document: &ReadDocument,
    code: Code,
    span: Span,
    message: String,
) -> Diagnostic {
    Diagnostic::error(code, document.findings.place(span), span.length(), message)
}

pub(super) fn warning(
    document: &ReadDocument,
    code: Code,
    span: Span,
    message: String,
) -> Diagnostic {
    Diagnostic::warning(code, document.findings.place(span), span.length(), message)
}

fn check_task(task: &ReadDocument, index: &Index) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (path, kind) in [
        ("channels", DocumentKind::Channel),
        ("managers", DocumentKind::Manager),
        ("ai", DocumentKind::Ai),
        ("integration", DocumentKind::Integration),
    ] {
        refer(task, index, path, kind, &mut found);
    }
    let format: Option<Format> = task.text("format").and_then(|text| text.parse().ok());
    let suitable = check_channels(task, format, index, &mut found);
    if format == Some(Format::IncomingAndOutgoing) {
        check_opening(task, &suitable, &mut found);
        let span = task.span("outgoing.targetAudience");
        if let Some(audience) = &task.audience
            && let AudienceSource::Inline(lines) = &audience.source
            && lines.is_empty()
            && !task.findings.has_errors_in(span)
        {
            let message = "the audience is empty: the task will write to nobody".to_owned();
            found.push(warning(task, Code::AudienceEmpty, span, message));
        }
    }
    found
}

/// The channels that the task can use, each with the place where it is named.
fn check_channels<'a>(
    task: &'a ReadDocument,
    format: Option<Format>,
    index: &Index,
    found: &mut Vec<Diagnostic>,
) -> Vec<(&'a str, Span, &'static KindFacts)> {
    let messenger: Option<MessengerType> = task.text("type").and_then(|text| text.parse().ok());
    let limit =
        task.text("outgoing.dailyLimitPerChannel").and_then(|text| text.parse::<u32>().ok());
    let mut suitable = Vec::new();
    for (name, span) in task.texts("channels") {
        let Some(Channel { kind, daily_limit, messaging_limit }) = index.channels.get(name) else {
            continue;
        };
        let facts = kind.facts();
        let would_do = |messenger: MessengerType| {
            let kinds: Vec<ChannelKind> = messenger
                .kinds()
                .map(|facts| facts.kind)
                .filter(|kind| format.is_none_or(|format| kind.formats().contains(&format)))
                .collect();
            (!kinds.is_empty()).then(|| format!("these kinds would do: {}", listed(kinds)))
        };
        if let Some(messenger) = messenger
            && facts.messenger != messenger
        {
            let message = format!(
                "channel `{name}` is of kind `{kind}`, which belongs to type `{}`; the task is of type `{messenger}`",
                facts.messenger
            );
            found.push(
                error(task, Code::UnsuitableChannel, span, message).hint_if(would_do(messenger)),
            );
            continue;
        }
        if let (Some(Format::IncomingAndOutgoing), Opens::No(why)) = (format, facts.opens) {
            // Where no kind of the type can open, the format itself was told to be wrong.
            if facts.messenger.kinds().any(|facts| facts.kind.can_open()) {
                let message = format!(
                    "channel `{name}` is of kind `{kind}`, which cannot open a dialogue: {why}"
                );
                let hint = would_do(facts.messenger);
                found.push(error(task, Code::UnsuitableChannel, span, message).hint_if(hint));
            }
            continue;
        }
        if format == Some(Format::IncomingAndOutgoing) {
            if let (Some(limit), Some(cap)) = (limit, *daily_limit)
                && limit > cap
            {
                let message = format!(
                    "{limit} openings a day are asked for, but channel `{name}` has a limit of {cap} over all tasks, which wins"
                );
                let span = task.span("outgoing.dailyLimitPerChannel");
                found.push(warning(task, Code::CappedByChannel, span, message));
            }
            // One warning for all channels of a kind: settling drops those that say the same.
            let most = limit.map(|limit| daily_limit.map_or(limit, |cap| limit.min(cap)));
            if let (Some(limit), Some(most)) = (limit, most)
                && let path = "outgoing.dailyLimitPerChannel"
                && let tier = messaging_limit.as_deref()
                && check_risk(task, path, most, *kind, tier).is_some()
            {
                found.extend(check_risk(task, path, limit, *kind, tier));
            }
        }
        suitable.push((name, span, facts));
    }
    suitable
}

fn check_opening(
    task: &ReadDocument,
    channels: &[(&str, Span, &'static KindFacts)],
    found: &mut Vec<Diagnostic>,
) {
    let opening = "outgoing.opening";
    let by_ai = format!("{opening}.writtenBy");
    let text = format!("{opening}.text");
    let template = format!("{opening}.template");
    let spec = task.root.at("spec");
    let has_text = task.text(&text).is_some() || task.text(&by_ai).is_some();
    let has_template = spec.and_then(|spec| spec.at(&template)).is_some();
    for (name, span, facts) in channels {
        let kind = facts.kind;
        if has_text && facts.opens == Opens::WithTemplate {
            let message = format!(
                "channel `{name}` is of kind `{kind}`, which opens only with an approved template"
            );
            let hint = format!("write `{opening}.template` with its name, language and variables");
            found.push(error(task, Code::TemplateNeeded, *span, message).hint(hint));
        }
        if has_template && facts.opens == Opens::WithText {
            let message = format!("channel `{name}` is of kind `{kind}`, which knows no templates");
            found.push(
                error(task, Code::TemplateForbidden, *span, message)
                    .hint("write `outgoing.opening.text`"),
            );
        }
    }
    let columns = task.audience.as_ref().map(|audience| columns_of(&audience.source));
    let columns: Option<BTreeSet<String>> =
        columns.and_then(Result::ok).map(|columns| columns.into_iter().collect());
    let mut parts: Vec<&str> = vec![&text];
    let variables = format!("{template}.variables");
    let items = spec.and_then(|spec| spec.at(&variables)).map_or(0, |node| node.items().len());
    let variables: Vec<String> = (0..items).map(|item| format!("{variables}.{item}")).collect();
    parts.extend(variables.iter().map(String::as_str));
    for path in parts {
        let Some(node) = spec.and_then(|spec| spec.at(path)) else { continue };
        for Problem { code, span, message, hint } in template::check(node, path, columns.as_ref()) {
            found.push(error(task, code, span, message).hint_if(hint));
        }
    }
}
