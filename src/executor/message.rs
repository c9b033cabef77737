//! The words of an opening: its text or template, with the contact's variables filled in.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior};

use crate::domain::{
    attempt::{Message, Permit},
    task::Opening,
};

/// Why an opening cannot be said to this contact. Names the variable, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsayable {
    #[error("the opening needs a variable that this contact does not have")]
    MissingVariable,
    #[error("the opening is not a template that can be filled in")]
    BadTemplate,
    #[error("this version does not write openings by the AI")]
    WrittenByAi,
}

pub(super) fn compose(permit: &Permit) -> Result<Message, Unsayable> {
    let variables: BTreeMap<String, String> = permit.variables.iter().cloned().collect();
    match &permit.opening {
        Opening::Text(text) => Ok(Message::Text(fill_in(text, &variables)?)),
        Opening::Template { name, language, variables: texts } => Ok(Message::Template {
            name: name.clone(),
            language: language.clone(),
            variables: texts
                .iter()
                .map(|text| fill_in(text, &variables))
                .collect::<Result<_, _>>()?,
        }),
        Opening::WrittenByAi => Err(Unsayable::WrittenByAi),
    }
}

fn fill_in(text: &str, variables: &BTreeMap<String, String>) -> Result<String, Unsayable> {
    let mut environment = Environment::new();
    // A variable that is not there must not become an empty word in a message to a person.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.render_str(text.trim_end(), variables.clone()).map_err(|error| match error.kind() {
        minijinja::ErrorKind::UndefinedError => Unsayable::MissingVariable,
        _ => Unsayable::BadTemplate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_is_never_an_empty_word() {
        let named = |value: &str| BTreeMap::from([("name".to_owned(), value.to_owned())]);
        let variables = named("Anna");
        assert_eq!(fill_in("Hello {{name}}!\n", &variables).unwrap(), "Hello Anna!");
        assert_eq!(fill_in("Until {{until}}", &variables), Err(Unsayable::MissingVariable));
        assert_eq!(fill_in("Until {{until", &variables), Err(Unsayable::BadTemplate));
        let sly = named("{{secret}} <b>&</b>");
        assert_eq!(fill_in("{{name}}", &sly).unwrap(), "{{secret}} <b>&</b>");
    }
}
