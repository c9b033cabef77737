//! The parameters of a call, in any of the ways in which the Bot API takes them: query, form or JSON.

use axum::http::{HeaderMap, header::CONTENT_TYPE};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

#[derive(Debug, Default)]
pub(super) struct Parameters(Map<String, Value>);

impl Parameters {
    /// `None` where they are said to be of a form that they have not.
    pub(super) fn read(query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let mut all = pairs(query.unwrap_or_default());
        let kind =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/json") && !body.is_empty() {
            all.extend(serde_json::from_slice::<Map<String, Value>>(body).ok()?);
        } else if kind.starts_with("application/x-www-form-urlencoded") {
            all.extend(pairs(std::str::from_utf8(body).ok()?));
        }
        Some(Self(all))
    }

    /// A text, or the digits of a number; empty where it is absent.
    pub(super) fn text(&self, name: &str) -> String {
        match self.0.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        }
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.text(name).trim().parse().ok()
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.0.get(name) == Some(&Value::Bool(true))
            || matches!(self.text(name).to_lowercase().as_str(), "true" | "yes" | "1")
    }

    /// A list of texts, which a form writes as JSON.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        match self.0.get(name)? {
            Value::String(text) => serde_json::from_str(text).ok(),
            value => serde_json::from_value(value.clone()).ok(),
        }
    }
}

fn pairs(encoded: &str) -> Map<String, Value> {
    let decoded = |word: &str| {
        let spaced = word.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let pairs = encoded.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), Value::String(decoded(value)))).collect()
}
