//! The body of a call, in the wire format of chat completions.

use serde_json::{Map, Number, Value, json};

use super::{
    prompt::{Prompt, Turn, alternating},
    tools,
};
use crate::domain::resource::MaxTokensField;

/// Hosts, with all below them, that know the newer name and refuse the older one for some models.
/// Everywhere else the older is understood, while the newer may be ignored: then nothing would
/// bound what an answer costs.
const NEWER_LIMIT_HOSTS: &[&str] =
    &["openai.com", "openai.azure.com", "cognitiveservices.azure.com", "services.ai.azure.com"];

/// The name under which the server at this host most likely takes the greatest length.
pub(super) fn limit_field_of(host: &str) -> MaxTokensField {
    let is_below = |known: &&&str| {
        host.strip_suffix(**known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    match NEWER_LIMIT_HOSTS.iter().find(is_below) {
        Some(_) => MaxTokensField::MaxCompletionTokens,
        None => MaxTokensField::MaxTokens,
    }
}

/// How this server is to be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form<'a> {
    pub(super) model: &'a str,
    pub(super) temperature: Option<&'a Number>,
    pub(super) limit_field: MaxTokensField,
    pub(super) tools: bool,
}

pub(super) fn body(prompt: &Prompt, form: Form<'_>) -> Value {
    let Form { model, temperature, limit_field, tools } = form;
    let mut messages = Vec::with_capacity(prompt.turns.len() + 2);
    if !prompt.system.trim().is_empty() {
        // Not `developer`, which only the newest servers know and treat the same.
        messages.push(json!({ "role": "system", "content": prompt.system }));
    }
    messages.extend(alternating(&prompt.turns).iter().map(|turn| match turn {
        Turn::Person(text) => json!({ "role": "user", "content": text }),
        Turn::Ours(text) => json!({ "role": "assistant", "content": text }),
    }));
    let mut body = Map::new();
    body.insert("model".to_owned(), model.into());
    body.insert("messages".to_owned(), messages.into());
    body.insert(limit_field.as_str().to_owned(), prompt.max_output_tokens.into());
    if let Some(temperature) = temperature {
        body.insert("temperature".to_owned(), temperature.clone().into());
    }
    if tools {
        body.insert("tools".to_owned(), tools::definitions().clone());
    }
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_limit_goes_by_the_host() {
        use MaxTokensField::{MaxCompletionTokens, MaxTokens};
        for (host, field) in [
            ("api.openai.com", MaxCompletionTokens),
            ("eu.api.openai.com", MaxCompletionTokens),
            ("mine.openai.azure.com", MaxCompletionTokens),
            ("notopenai.com", MaxTokens),
            ("openai.com.example", MaxTokens),
            ("openrouter.ai", MaxTokens),
            ("127.0.0.1", MaxTokens),
            ("", MaxTokens),
        ] {
            assert_eq!(limit_field_of(host), field, "{host}");
        }
    }

    #[test]
    fn a_body_has_what_was_asked_and_nothing_else() {
        let prompt = Prompt {
            system: "You are Anna.".to_owned(),
            turns: vec![Turn::Ours("Hello".to_owned()), Turn::Person("Hi".to_owned())],
            tools: true,
            max_output_tokens: 400,
        };
        let half = Number::from_f64(0.4);
        let form = Form {
            model: "m",
            temperature: half.as_ref(),
            limit_field: MaxTokensField::MaxTokens,
            tools: false,
        };
        let messages = json!([
            { "role": "system", "content": "You are Anna." },
            { "role": "user", "content": super::super::prompt::PERSON_IS_SILENT },
            { "role": "assistant", "content": "Hello" },
            { "role": "user", "content": "Hi" },
        ]);
        let expected =
            json!({ "model": "m", "messages": messages, "max_tokens": 400, "temperature": 0.4 });
        assert_eq!(body(&prompt, form), expected);
        let form = Form { temperature: None, tools: true, ..form };
        assert_eq!(body(&prompt, form)["tools"], *tools::definitions());
    }
}
