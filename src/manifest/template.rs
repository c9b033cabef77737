//! Texts with `{{variables}}`: their syntax, and the columns that they use.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Environment, UndefinedBehavior};

use super::{
    diagnostic::{Code, suggestion},
    node::{Node, Value},
};

pub(super) use super::yaml::Problem;

/// The variables that a text uses; nothing where it cannot be read.
pub fn variables_of(text: &str) -> BTreeSet<String> {
    Environment::new()
        .template_from_str(text)
        .map(|template| template.undeclared_variables(false).into_iter().collect())
        .unwrap_or_default()
}

/// Judges a text at its node; without `columns` only its syntax.
pub(super) fn check(node: &Node, path: &str, columns: Option<&BTreeSet<String>>) -> Vec<Problem> {
    let Value::Scalar(scalar) = &node.value else { return Vec::new() };
    let text = scalar.text.as_str();
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let bad = |error: &minijinja::Error| {
        let line = error.line().unwrap_or(1);
        let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let message = format!("`{path}`: line {line} of the text is not a template: {what}");
        let span = node.line(line);
        vec![Problem { code: Code::BadTemplate, span, message, hint: None }]
    };
    let template = match environment.template_from_str(text) {
        Ok(template) => template,
        Err(error) => return bad(&error),
    };
    let Some(columns) = columns else { return Vec::new() };
    let mut used: Vec<String> = template.undeclared_variables(false).into_iter().collect();
    used.sort();
    let known: Vec<&str> = columns.iter().map(String::as_str).collect();
    let unknown: Vec<Problem> = used
        .iter()
        .filter(|name| !columns.contains(*name))
        .map(|name| {
            let line =
                text.lines().position(|line| mentions(line, name)).map_or(1, |line| line + 1);
            let hint = if known.is_empty() {
                Some(
                    "only a CSV audience, separated by commas, has columns beside the address"
                        .to_owned(),
                )
            } else {
                suggestion(name, &known)
            };
            let message = format!("`{path}`: the audience has no column `{name}`");
            Problem { code: Code::UnknownVariable, span: node.line(line), message, hint }
        })
        .collect();
    if !unknown.is_empty() {
        return unknown;
    }
    // What is found only when a text is made: an unknown filter, for one.
    let sample: BTreeMap<&str, &str> = known.iter().map(|name| (*name, "x")).collect();
    template.render(minijinja::Value::from(sample)).map_or_else(|error| bad(&error), |_| Vec::new())
}

fn mentions(line: &str, name: &str) -> bool {
    line.split("{{").skip(1).any(|rest| {
        rest.trim_start_matches(['-', ' '])
            .strip_prefix(name)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    })
}
