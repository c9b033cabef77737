//! Parses the values of a `spec` by the domain's types, and tells every failure at its place.
//!
//! A document with an error is lowered as far as possible, so that all of them are told at once; how
//! a task and the other kinds are lowered stands in `lower_task` and `lower_resource`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    str::FromStr,
    time::Duration,
};

use super::{
    diagnostic::Code,
    document::SecretSource,
    findings::Findings,
    ground::Ground,
    node::{Node, Span},
};
use crate::domain::channel::SecretReference;

/// Lowers the `spec` of one document.
pub(super) struct Lowering<'a> {
    pub(super) spec: &'a Node,
    pub(super) ground: &'a Ground,
    pub(super) findings: &'a mut Findings,
}

impl Lowering<'_> {
    pub(super) fn span(&self, path: &str) -> Span {
        self.spec.at(path).map_or(self.spec.span, |node| node.span)
    }

    pub(super) fn bad(&mut self, path: &str, error: impl Display, hint: Option<String>) {
        let span = self.span(path);
        self.findings.error_with(Code::BadValue, span, format!("`{path}`: {error}"), hint);
    }

    pub(super) fn parse<T: FromStr<Err: Display>>(
        &mut self,
        path: &str,
        text: Option<&str>,
    ) -> Option<T> {
        text?.parse().map_err(|error| self.bad(path, error, None)).ok()
    }

    /// Outer `None`: the text is there and wrong.
    #[expect(clippy::option_option, reason = "absent and wrong are two things")]
    pub(super) fn parse_if<T: FromStr<Err: Display>>(
        &mut self,
        path: &str,
        text: Option<&str>,
    ) -> Option<Option<T>> {
        match text {
            None => Some(None),
            Some(text) => self.parse(path, Some(text)).map(Some),
        }
    }

    pub(super) fn set<T: FromStr<Err: Display> + Ord>(
        &mut self,
        path: &str,
        texts: Option<&Vec<String>>,
    ) -> Option<BTreeSet<T>> {
        let mut all = BTreeSet::new();
        let mut whole = true;
        for (index, text) in texts?.iter().enumerate() {
            let at = format!("{path}.{index}");
            let Some(value) = self.parse::<T>(&at, Some(text)) else {
                whole = false;
                continue;
            };
            if !all.insert(value) {
                self.bad(&at, format!("`{text}` stands here twice"), None);
            }
        }
        whole.then_some(all)
    }

    pub(super) fn secret(&mut self, path: &str, source: &SecretSource) -> Option<SecretReference> {
        let SecretSource { env, file } = source;
        if let Some(name) = env {
            let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if named {
                return Some(SecretReference::Environment(name.clone()));
            }
            // It may be the secret itself: it is not repeated.
            let span = self.span(&format!("{path}.env"));
            let message = format!("`{path}.env` is not the name of an environment variable");
            let hint = "letters, digits and `_`; if this was a real secret, change it".to_owned();
            self.findings.error_with(Code::LiteralSecret, span, message, Some(hint));
            return None;
        }
        file.clone().map(SecretReference::File)
    }

    pub(super) fn secrets(
        &mut self,
        sources: Option<&BTreeMap<String, SecretSource>>,
    ) -> Option<BTreeMap<String, SecretReference>> {
        let mut all = BTreeMap::new();
        let mut whole = true;
        for (name, source) in sources.into_iter().flatten() {
            match self.secret(&format!("credentials.{name}"), source) {
                Some(reference) => drop(all.insert(name.clone(), reference)),
                None => whole = false,
            }
        }
        whole.then_some(all)
    }

    pub(super) fn duration(&mut self, path: &str, text: Option<&str>) -> Option<Duration> {
        let text = text?.trim();
        let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if bare {
            self.bad(
                path,
                format!("`{text}` has no unit"),
                Some(format!("write `{text}s`, `{text}m` or `{text}h`")),
            );
            return None;
        }
        let known = text
            .split(|c: char| !c.is_alphabetic())
            .all(|unit| matches!(unit, "" | "s" | "m" | "h"));
        match humantime::parse_duration(text) {
            Ok(duration) if known => Some(duration),
            _ => {
                let error = format!("`{text}` is not a duration");
                self.bad(
                    path,
                    error,
                    Some("write it in s, m or h, such as `45s` or `1h 30m`".to_owned()),
                );
                None
            }
        }
    }

    pub(super) fn address_of_server(&mut self, path: &str, text: Option<&str>) -> Option<String> {
        let text = text?.trim();
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let good = host.is_some_and(|host| {
            let authority = host.split(['/', '?', '#']).next().unwrap_or_default();
            !authority.is_empty() && !authority.contains('@')
        }) && !text.contains(char::is_whitespace);
        if !good {
            // A password may stand in it: it is not repeated.
            let span = self.span(path);
            let message = format!("`{path}` is not an address such as `https://example.test`");
            self.findings.error(Code::BadValue, span, message);
            return None;
        }
        Some(text.trim_end_matches('/').to_owned())
    }
}
