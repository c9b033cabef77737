//! One AI: made from its specification, asked for one completion at a time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use reqwest::{
    Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde_json::{Number, Value};

use super::{
    answer::{self, Greatest},
    completion::{Completion, Ending, Usage},
    cost::greatest_input,
    failure::AiFailure,
    http::{AiHttp, Answer},
    prompt::Prompt,
    refusal::{Refusal, Sent, classify, inner_status},
    request::{self, Form, limit_field_of},
};
use crate::domain::{
    channel::Secret,
    resource::{AiSpec, MaxTokensField},
};

/// Larger than any model's context; not worth the call.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A configured model. Clones share what was learnt of its server.
#[derive(Clone, Debug)]
pub struct Ai(Arc<Connected>);

#[derive(Debug)]
struct Connected {
    http: AiHttp,
    url: Url,
    authorization: Option<HeaderValue>,
    model: String,
    temperature: Option<Number>,
    limit_field: MaxTokensField,
    /// Learnt: the server wants the other name of the two.
    limit_field_is_other: AtomicBool,
    /// Learnt: the server refuses tools.
    takes_no_tools: AtomicBool,
}

/// Why an AI cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconnectable {
    #[error("`endpoint` is {0}")]
    BadEndpoint(&'static str),
    #[error("the credential `apiKey` is empty or has characters that no credential has")]
    UnusableKey,
    #[error("`temperature` is no number")]
    BadTemperature,
}

impl Ai {
    /// Makes the client of an AI; calls nobody. Without a key none is sent, as for a server of one's own.
    pub fn connect(
        spec: &AiSpec,
        key: Option<&Secret>,
        http: &AiHttp,
    ) -> Result<Self, Unconnectable> {
        let url = completions_url(&spec.endpoint)?;
        let temperature = spec.temperature.as_deref().map(temperature).transpose()?;
        Ok(Self(Arc::new(Connected {
            http: http.clone(),
            authorization: key.map(bearer).transpose()?,
            model: spec.model.clone(),
            temperature,
            limit_field: spec
                .max_tokens_field
                .unwrap_or_else(|| limit_field_of(url.host_str().unwrap_or_default())),
            limit_field_is_other: AtomicBool::new(false),
            takes_no_tools: AtomicBool::new(false),
            url,
        })))
    }

    /// Asks once. Nothing is repeated in here: a repeat may be billed twice.
    pub async fn complete(&self, prompt: &Prompt) -> Result<Completion, AiFailure> {
        let Connected { http, url, authorization, model, temperature, .. } = &*self.0;
        let sent = self.sent(prompt);
        let temperature = temperature.as_ref();
        let Sent { limit_field, tools } = sent;
        let body = request::body(prompt, Form { model, temperature, limit_field, tools });
        let body = body.to_string();
        if body.len() > REQUEST_BYTES_MAX {
            let reason = "the dialogue is longer than any model reads".to_owned();
            return Err(AiFailure::TooLong { reason });
        }
        let mut request =
            http.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let answer = http.exchange(request).await?;
        self.read(&answer, prompt, sent)
    }

    fn sent(&self, prompt: &Prompt) -> Sent {
        use MaxTokensField::{MaxCompletionTokens, MaxTokens};
        let is_other = self.0.limit_field_is_other.load(Ordering::Relaxed);
        let limit_field = match (self.0.limit_field, is_other) {
            (usual, false) => usual,
            (MaxCompletionTokens, true) => MaxTokens,
            (MaxTokens, true) => MaxCompletionTokens,
        };
        Sent { limit_field, tools: prompt.tools && !self.0.takes_no_tools.load(Ordering::Relaxed) }
    }

    fn read(&self, answer: &Answer, prompt: &Prompt, sent: Sent) -> Result<Completion, AiFailure> {
        let Answer { status, retry_after, web_page, body } = answer;
        let (status, retry_after) = (*status, *retry_after);
        let greatest =
            Greatest { input: greatest_input(prompt), output: u64::from(prompt.max_output_tokens) };
        let json: Option<Value> = serde_json::from_slice(body).ok();
        if !(200..300).contains(&status) {
            let body = json.unwrap_or_default();
            return self.refused(classify(status, retry_after, &body, sent), sent, greatest);
        }
        let Some(json) = json else {
            return Err(if *web_page {
                let reason = "the endpoint answers with a web page; most paths end with `/v1`";
                AiFailure::OurMistake { reason: reason.to_owned() }
            } else {
                AiFailure::unanswered("the AI's server answered, but not in JSON")
            });
        };
        if let Some(status) = inner_status(&json) {
            return self.refused(classify(status, retry_after, &json, sent), sent, greatest);
        }
        answer::read(&json, greatest, &self.0.model).ok_or_else(|| {
            AiFailure::unanswered("the AI's server answered, but not with a completion")
        })
    }

    fn refused(
        &self,
        refusal: Refusal,
        sent: Sent,
        greatest: Greatest,
    ) -> Result<Completion, AiFailure> {
        match refusal {
            Refusal::Failure(failure) => Err(failure),
            // The filter's reading is billed by some, and its figures are not told.
            Refusal::Filtered => Ok(Completion {
                text: None,
                tool_calls: Vec::new(),
                ending: Ending::Filtered,
                usage: Usage { input_tokens: greatest.input, estimated: true, ..Usage::default() },
                model: self.0.model.clone(),
            }),
            Refusal::NoTools => {
                self.0.takes_no_tools.store(true, Ordering::Relaxed);
                Err(AiFailure::unavailable(
                    "the AI's server takes no tools; they are left out from now on",
                ))
            }
            Refusal::OtherLimitField => self.take_other_limit_field(sent),
        }
    }

    /// Once: a server that refuses both names would have us change for ever.
    fn take_other_limit_field(&self, sent: Sent) -> Result<Completion, AiFailure> {
        let refused = sent.limit_field;
        if refused != self.0.limit_field {
            let reason = "the AI's server takes no greatest length of an answer".to_owned();
            return Err(AiFailure::OurMistake { reason });
        }
        self.0.limit_field_is_other.store(true, Ordering::Relaxed);
        let reason = format!(
            "the AI's server does not take `{refused}`; it is given by another name from now on"
        );
        Err(AiFailure::unavailable(reason))
    }
}

/// The address of the calls, below an endpoint such as `https://api.openai.com/v1`.
fn completions_url(endpoint: &str) -> Result<Url, Unconnectable> {
    let bad = |reason| Err(Unconnectable::BadEndpoint(reason));
    let Ok(mut url) = Url::parse(endpoint) else { return bad("no URL") };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return bad("neither `http://…` nor `https://…`");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return bad("a URL with a user name or password; a secret belongs into `apiKey`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return bad("a URL with a query or a fragment");
    }
    url.path_segments_mut()
        .expect("only http and https pass, which have a path")
        .pop_if_empty()
        .extend(["chat", "completions"]);
    Ok(url)
}

/// The key as a header, marked so that no library shows it.
fn bearer(key: &Secret) -> Result<HeaderValue, Unconnectable> {
    // A file with a secret mostly ends with a line feed.
    let value = key.reveal().trim();
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Unconnectable::UnusableKey);
    }
    let header = HeaderValue::try_from(format!("Bearer {value}"));
    let mut header = header.map_err(|_| Unconnectable::UnusableKey)?;
    header.set_sensitive(true);
    Ok(header)
}

/// `0.4` is sent as `0.4` and `1` as `1`: the shortest text of a number is the one that was written.
fn temperature(text: &str) -> Result<Number, Unconnectable> {
    let integer = text.parse::<u64>().ok().map(Number::from);
    let number = integer.or_else(|| text.parse().ok().and_then(Number::from_f64));
    number.ok_or(Unconnectable::BadTemperature)
}
