//! Bitrix24: a lead for a dialogue, or a deal with its contact where leads are off; later events as comments.

use std::{fmt, time::Duration};

use chrono::DateTime;
use reqwest::Url;
use serde_json::{Value, json};

use super::{
    http::{Answer, Errand, Http, address, below},
    reporter::Unconnectable,
    words,
};
use crate::domain::{
    channel::Secret,
    report::{Report, ReportCall, ReportOutcome},
};

/// Under which name a portal knows who added an element. It does not enforce that an origin is one only;
/// it can be searched by it.
const ORIGINATOR: &str = "nuncio";
const CONTACT: u32 = 3;
/// The bucket of fifty calls drains by two a second.
const QUERY_LIMIT_WAIT: Duration = Duration::from_secs(5);
/// The window in which a method's run time is counted.
const OPERATION_LIMIT_WAIT: Duration = Duration::from_mins(10);
/// A person of Bitrix24's support set the limit, and takes it off.
const OVERLOAD_WAIT: Duration = Duration::from_hours(1);

/// What is added for a dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entity {
    Lead,
    Deal,
}

impl Entity {
    fn type_id(self) -> u32 {
        match self {
            Self::Lead => 1,
            Self::Deal => 2,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Deal => "deal",
        }
    }
}

/// One element of a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Element {
    entity: Entity,
    id: i64,
}

impl Element {
    /// Reads what [`Self::done`] gave.
    fn parse(text: &str) -> Option<Self> {
        let (entity, id) = text.split_once(':')?;
        let entity = [Entity::Lead, Entity::Deal].into_iter().find(|it| it.as_str() == entity)?;
        Some(Self { entity, id: id.parse().ok()? })
    }

    fn done(self) -> ReportOutcome {
        let Self { entity, id } = self;
        ReportOutcome::Done { remote_id: Some(format!("{}:{id}", entity.as_str())) }
    }
}

/// How a call failed.
enum Failed {
    /// There is no such element, or none any more.
    NotFound,
    Otherwise(ReportOutcome),
}

pub struct Bitrix24 {
    http: Http,
    /// The credential itself.
    url: Url,
}

impl fmt::Debug for Bitrix24 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bitrix24")
    }
}

impl Bitrix24 {
    pub(super) fn connect(url: &Secret, http: &Http) -> Result<Self, Unconnectable> {
        Ok(Self { http: http.clone(), url: address(url)? })
    }

    pub(super) async fn report(&self, call: &ReportCall<'_>) -> ReportOutcome {
        let errand = self.http.errand("Bitrix24", call.now);
        let portal = Portal { url: &self.url, errand: &errand };
        let known = call.remote_id.and_then(Element::parse);
        if let Some(element) = known {
            match portal.comment(element, call.report).await {
                Ok(()) => return element.done(),
                // Somebody deleted it: the event is told all the same.
                Err(Failed::NotFound) => {}
                Err(Failed::Otherwise(outcome)) => return outcome,
            }
        }
        match portal.find_or_add(call.report).await {
            Ok(element) => element.done(),
            Err(Failed::NotFound) => errand.doubt("the element vanished while it was written to"),
            Err(Failed::Otherwise(outcome)) => outcome,
        }
    }
}

struct Portal<'a> {
    url: &'a Url,
    errand: &'a Errand<'a>,
}

impl Portal<'_> {
    async fn call(&self, method: &str, parameters: Value) -> Result<Value, Failed> {
        let request = self.errand.post(below(self.url, &[method])).json(&parameters);
        let answer = self.errand.ask(request).await.map_err(Failed::Otherwise)?;
        match answer.body.get("result") {
            Some(result) if (200..300).contains(&answer.status) => Ok(result.clone()),
            _ => Err(failed(self.errand, &answer)),
        }
    }

    async fn find_or_add(&self, report: &Report) -> Result<Element, Failed> {
        let entity = self.entity().await?;
        let origin = report.origin.to_string();
        if let Some((id, comments)) = self.find(entity.type_id(), &origin).await? {
            let element = Element { entity, id };
            if !comments.contains(&words::mark(report)) {
                self.comment(element, report).await?;
            }
            return Ok(element);
        }
        let mut fields = json!({
            "title": words::title(report),
            "comments": words::whole(report),
            "sourceDescription": format!("{}, {}", report.new.task, report.new.channel),
        });
        let person = person(report);
        match entity {
            Entity::Lead => merge(&mut fields, person),
            Entity::Deal => {
                let contact = match self.find(CONTACT, &origin).await? {
                    Some((id, _)) => id,
                    None => self.add(CONTACT, &origin, person).await?,
                };
                fields["contactIds"] = json!([contact]);
            }
        }
        let id = self.add(entity.type_id(), &origin, fields).await?;
        Ok(Element { entity, id })
    }

    /// A lead, unless the portal works without them.
    async fn entity(&self) -> Result<Entity, Failed> {
        let mode = match self.call("crm.settings.mode.get", json!({})).await {
            Ok(mode) => mode,
            // A portal that does not say it is one of the usual kind.
            Err(Failed::NotFound | Failed::Otherwise(ReportOutcome::Refused { .. })) => Value::Null,
            Err(failed) => return Err(failed),
        };
        Ok(if number(&mode) == Some(2) { Entity::Deal } else { Entity::Lead })
    }

    /// The oldest element of an origin, with its comments.
    async fn find(&self, type_id: u32, origin: &str) -> Result<Option<(i64, String)>, Failed> {
        let parameters = json!({
            "entityTypeId": type_id,
            "filter": {"originatorId": ORIGINATOR, "originId": origin},
            "select": ["id", "comments"],
            "order": {"id": "ASC"},
        });
        let result = self.call("crm.item.list", parameters).await?;
        let Some(items) = result.get("items").and_then(Value::as_array) else {
            return Err(self.unreadable());
        };
        let Some(item) = items.first() else { return Ok(None) };
        let id = item.get("id").and_then(number).ok_or_else(|| self.unreadable())?;
        let comments = item.get("comments").and_then(Value::as_str).unwrap_or_default();
        Ok(Some((id, comments.to_owned())))
    }

    async fn add(&self, type_id: u32, origin: &str, mut fields: Value) -> Result<i64, Failed> {
        merge(&mut fields, json!({"originatorId": ORIGINATOR, "originId": origin}));
        let parameters = json!({"entityTypeId": type_id, "fields": fields});
        let result = self.call("crm.item.add", parameters).await?;
        result.pointer("/item/id").and_then(number).ok_or_else(|| self.unreadable())
    }

    /// Writes the report into the timeline of an element, unless it stands there.
    async fn comment(&self, element: Element, report: &Report) -> Result<(), Failed> {
        let Element { entity, id } = element;
        let parameters = json!({
            "filter": {"ENTITY_ID": id, "ENTITY_TYPE": entity.as_str()},
            "select": ["ID", "COMMENT"],
            // The latest page of fifty: nothing was written between a try and the next but by people.
            "order": {"ID": "DESC"},
        });
        let result = self.call("crm.timeline.comment.list", parameters).await?;
        let mark = words::mark(report);
        let comments = result.as_array().ok_or_else(|| self.unreadable())?;
        let texts = comments.iter().filter_map(|comment| comment.get("COMMENT")?.as_str());
        if texts.into_iter().any(|text| text.contains(&mark)) {
            return Ok(());
        }
        let parameters = json!({"fields": {
            "ENTITY_ID": id,
            "ENTITY_TYPE": entity.as_str(),
            "COMMENT": words::whole(report),
        }});
        self.call("crm.timeline.comment.add", parameters).await.map(drop)
    }

    fn unreadable(&self) -> Failed {
        Failed::Otherwise(self.errand.doubt("it answered, but not in its own form"))
    }
}

fn person(report: &Report) -> Value {
    let contact = &report.new.contact;
    let values = [("PHONE", words::phone(contact)), ("EMAIL", contact.email.as_deref())];
    let values: Vec<Value> = values
        .into_iter()
        .filter_map(|(kind, value)| {
            Some(json!({"typeId": kind, "valueType": "WORK", "value": value?}))
        })
        .collect();
    json!({"name": words::person(contact), "fm": values})
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// Older methods give numbers as texts.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// What an error code of Bitrix24 makes of the report.
enum Reaction {
    NotFound,
    Throttled(Duration),
    /// A person can mend it, at the portal or in the manifest.
    Retry,
    InDoubt,
    Gone,
}

const ERRORS: &[(&str, Reaction, &str)] = &[
    ("QUERY_LIMIT_EXCEEDED", Reaction::Throttled(QUERY_LIMIT_WAIT), "too many calls"),
    ("OPERATION_TIME_LIMIT", Reaction::Throttled(OPERATION_LIMIT_WAIT), "too much run time"),
    ("OVERLOAD_LIMIT", Reaction::Throttled(OVERLOAD_WAIT), "its support has blocked the portal"),
    ("NO_AUTH_FOUND", Reaction::Retry, "the address is refused"),
    ("EXPIRED_TOKEN", Reaction::Retry, "the address has expired"),
    ("INVALID_TOKEN", Reaction::Retry, "the address is refused"),
    ("INVALID_CREDENTIALS", Reaction::Retry, "the address is refused"),
    ("INSUFFICIENT_SCOPE", Reaction::Retry, "the webhook lacks the scope `crm`"),
    (
        "ACCESS_DENIED",
        Reaction::Retry,
        "the webhook's user may not do that, or the plan has no REST",
    ),
    ("ALLOWED_ONLY_INTRANET_USER", Reaction::Retry, "the webhook's user is no employee"),
    ("ERROR_METHOD_NOT_FOUND", Reaction::Retry, "the portal does not know the method"),
    ("NOT_FOUND", Reaction::NotFound, "there is no such element"),
    ("OWNER_NOT_FOUND", Reaction::NotFound, "there is no such element"),
    ("INTERNAL_SERVER_ERROR", Reaction::InDoubt, "it failed inside"),
    ("ERROR_UNEXPECTED_ANSWER", Reaction::InDoubt, "it failed inside"),
    ("PORTAL_DELETED", Reaction::Gone, "the portal is deleted"),
];

fn failed(errand: &Errand<'_>, answer: &Answer) -> Failed {
    let Some(code) = answer.body.get("error").and_then(Value::as_str) else {
        return Failed::Otherwise(errand.by_status(answer));
    };
    let known = ERRORS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(code));
    Failed::Otherwise(match known {
        Some((_, Reaction::NotFound, _)) => return Failed::NotFound,
        Some((code, Reaction::Throttled(wait), words)) => {
            let after = answer.retry_after.or_else(|| reset_in(errand, answer)).unwrap_or(*wait);
            errand.throttled(Some(after), &format!("{code}: {words}"))
        }
        Some((code, Reaction::Retry, words)) => errand.retry(&format!("{code}: {words}")),
        Some((code, Reaction::InDoubt, words)) => errand.doubt(&format!("{code}: {words}")),
        Some((code, Reaction::Gone, words)) => {
            ReportOutcome::Gone { reason: format!("Bitrix24: {code}: {words}") }
        }
        // A code for something within the report. Its description may repeat what was sent.
        None if answer.status == 400 => errand.refused(&format!("{}: refused", shown(code))),
        None => errand.by_status(answer),
    })
}

/// When the run time of a method is counted anew, where the answer says so.
fn reset_in(errand: &Errand<'_>, answer: &Answer) -> Option<Duration> {
    let at = answer.body.pointer("/time/operating_reset_at").and_then(number)?;
    (DateTime::from_timestamp(at, 0)? - errand.now()).to_std().ok()
}

/// A code that is one: the portal's administrators can install what answers anything.
fn shown(code: &str) -> &str {
    let is_code = !code.is_empty()
        && code.len() <= 60
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_code { code } else { "an error without a code" }
}
