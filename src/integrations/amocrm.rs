//! amoCRM (Kommo): a lead with its contact for a dialogue, and every event as a note below it.

use std::{collections::BTreeMap, fmt, time::Duration};

use reqwest::{Url, header, header::HeaderValue};
use serde_json::{Value, json};

use super::{
    http::{Answer, Errand, Http, address, bearer, below, once_findable, token},
    reporter::Unconnectable,
    words,
};
use crate::domain::{
    channel::Secret,
    report::{Report, ReportCall, ReportOutcome},
};

/// Whoever goes on after a 429 has its address blocked; nobody says for how long.
const BLOCKED_WAIT: Duration = Duration::from_hours(1);
/// Seven calls a second are let through.
const TOO_MANY_WAIT: Duration = Duration::from_secs(5);
/// The greatest page there is.
const PAGE: &str = "250";

pub struct Amocrm {
    http: Http,
    url: Url,
    authorization: HeaderValue,
}

impl fmt::Debug for Amocrm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Amocrm")
    }
}

/// How a call failed.
enum Failed {
    /// There is no such lead, or none any more.
    NotFound,
    Otherwise(ReportOutcome),
}

impl Amocrm {
    pub(super) fn connect(
        url: &Secret,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
    ) -> Result<Self, Unconnectable> {
        let authorization = bearer(token(secrets.get("token"), "token")?)?;
        Ok(Self { http: http.clone(), url: address(url)?, authorization })
    }

    pub(super) async fn report(&self, call: &ReportCall<'_>) -> ReportOutcome {
        let errand = self.http.errand("amoCRM", call.now);
        let account = Account { amocrm: self, errand: &errand };
        let known = call.remote_id.and_then(|id| id.parse::<i64>().ok());
        if let Some(lead) = known {
            match account.note_once(lead, call.report).await {
                Ok(()) => return done(lead),
                // Somebody deleted it: the event is told all the same.
                Err(Failed::NotFound) => {}
                Err(Failed::Otherwise(outcome)) => return outcome,
            }
        }
        match account.find_or_add(call.report).await {
            Ok(lead) => done(lead),
            Err(Failed::NotFound) => errand.doubt("the lead vanished while it was written to"),
            Err(Failed::Otherwise(outcome)) => outcome,
        }
    }
}

fn done(lead: i64) -> ReportOutcome {
    ReportOutcome::Done { remote_id: Some(lead.to_string()) }
}

struct Account<'a> {
    amocrm: &'a Amocrm,
    errand: &'a Errand<'a>,
}

impl Account<'_> {
    async fn find_or_add(&self, report: &Report) -> Result<i64, Failed> {
        if let Some(lead) = self.find(report).await? {
            self.note_once(lead, report).await?;
            return Ok(lead);
        }
        let lead = self.add(report).await?;
        self.note(lead, report).await.map_err(|failed| match failed {
            Failed::Otherwise(outcome) => Failed::Otherwise(once_findable(outcome)),
            Failed::NotFound => failed,
        })?;
        Ok(lead)
    }

    /// The lead of the dialogue, by the reference in its name: leads have no field for our own id that
    /// every account has, and `request_id` drops no repeats.
    async fn find(&self, report: &Report) -> Result<Option<i64>, Failed> {
        let reference = reference(report);
        let mut url = self.url(&["leads"]);
        url.query_pairs_mut().append_pair("query", &reference).append_pair("limit", PAGE);
        let answer = self.get(url).await?;
        let leads = answer.pointer("/_embedded/leads").and_then(Value::as_array);
        Ok(leads.into_iter().flatten().find_map(|lead| {
            let name = lead.get("name")?.as_str()?;
            name.ends_with(&format!("[{reference}]")).then(|| lead.get("id")?.as_i64()).flatten()
        }))
    }

    async fn add(&self, report: &Report) -> Result<i64, Failed> {
        let contact = &report.new.contact;
        let field = |code: &str, value: Option<&str>| {
            value.map(|value| {
                json!({"field_code": code, "values": [{"value": value, "enum_code": "WORK"}]})
            })
        };
        let fields: Vec<Value> =
            [field("PHONE", words::phone(contact)), field("EMAIL", contact.email.as_deref())]
                .into_iter()
                .flatten()
                .collect();
        let mut person = json!({"first_name": words::person(contact)});
        if !fields.is_empty() {
            person["custom_fields_values"] = json!(fields);
        }
        let lead = json!([{
            "name": format!("{} [{}]", words::title(report), reference(report)),
            "request_id": report.origin.to_string(),
            "_embedded": {"tags": [{"name": "nuncio"}], "contacts": [person]},
        }]);
        let answer = self.post(self.url(&["leads", "complex"]), &lead).await?;
        // A lead that the account's own control of duplicates took for another has that one's id.
        answer.pointer("/0/id").and_then(Value::as_i64).ok_or_else(|| self.unreadable())
    }

    async fn note_once(&self, lead: i64, report: &Report) -> Result<(), Failed> {
        let mut url = self.url(&["leads", &lead.to_string(), "notes"]);
        url.query_pairs_mut().append_pair("limit", PAGE).append_pair("order[id]", "desc");
        let answer = self.get(url).await?;
        let notes = answer.pointer("/_embedded/notes").and_then(Value::as_array);
        let mark = words::mark(report);
        let mut texts =
            notes.into_iter().flatten().filter_map(|note| note.pointer("/params/text")?.as_str());
        if texts.any(|text| text.contains(&mark)) {
            return Ok(());
        }
        self.note(lead, report).await
    }

    async fn note(&self, lead: i64, report: &Report) -> Result<(), Failed> {
        let note = json!([{"note_type": "common", "params": {"text": words::whole(report)}}]);
        let url = self.url(&["leads", &lead.to_string(), "notes"]);
        self.post(url, &note).await.map(drop)
    }

    fn url(&self, segments: &[&str]) -> Url {
        below(&self.amocrm.url, &[&["api", "v4"], segments].concat())
    }

    /// Nothing found is a 204 without a body.
    async fn get(&self, url: Url) -> Result<Value, Failed> {
        let authorization = self.amocrm.authorization.clone();
        let request = self.errand.get(url).header(header::AUTHORIZATION, authorization);
        let answer = self.errand.ask(request).await.map_err(Failed::Otherwise)?;
        match answer.status {
            204 => Ok(Value::Null),
            200 if answer.body.get("_embedded").is_some() => Ok(answer.body),
            _ => Err(failed(self.errand, &answer)),
        }
    }

    async fn post(&self, url: Url, body: &Value) -> Result<Value, Failed> {
        let authorization = self.amocrm.authorization.clone();
        let request = self.errand.post(url).header(header::AUTHORIZATION, authorization).json(body);
        let answer = self.errand.ask(request).await.map_err(Failed::Otherwise)?;
        match answer.status {
            200..300 if !answer.body.is_null() => Ok(answer.body),
            _ => Err(failed(self.errand, &answer)),
        }
    }

    fn unreadable(&self) -> Failed {
        Failed::Otherwise(self.errand.doubt("it answered, but not in its own form"))
    }
}

/// The last twelve digits of the origin, which are random: short enough for a name, and 48 bits long.
fn reference(report: &Report) -> String {
    let whole = report.origin.0.simple().to_string();
    whole[whole.len() - 12..].to_owned()
}

fn failed(errand: &Errand<'_>, answer: &Answer) -> Failed {
    Failed::Otherwise(match answer.status {
        404 => return Failed::NotFound,
        400 | 422 => errand.refused(&format!("HTTP {}: {}", answer.status, objections(answer))),
        401 => errand.retry("HTTP 401: the token is refused"),
        402 => errand.retry("HTTP 402: the account is not paid for"),
        403 => errand.throttled(
            Some(answer.retry_after.unwrap_or(BLOCKED_WAIT)),
            "HTTP 403: our address is blocked, or the token may not do that",
        ),
        429 => errand.throttled(
            Some(answer.retry_after.unwrap_or(TOO_MANY_WAIT)),
            "HTTP 429: it is asked too much",
        ),
        _ => errand.by_status(answer),
    })
}

/// The codes and fields of what it does not like; its details may repeat what was sent.
fn objections(answer: &Answer) -> String {
    let all = answer.body.get("validation-errors").and_then(Value::as_array);
    let errors = all.into_iter().flatten().filter_map(|one| one.get("errors")?.as_array());
    let shown: Vec<String> = errors
        .flatten()
        .filter_map(|error| {
            let word = |name: &str| {
                let text = error.get(name)?.as_str()?;
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
                (text.len() <= 80 && text.chars().all(plain)).then_some(text)
            };
            Some(format!("{} at `{}`", word("code")?, word("path")?))
        })
        .take(5)
        .collect();
    if shown.is_empty() { "it does not take the lead".to_owned() } else { shown.join(", ") }
}
