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
    #[error("the AI has not written the opening")]
    NoDraft,
}

pub(super) fn compose(permit: &Permit) -> Result<Message, Unsayable> {
    let Permit { opening, draft, disclosure, variables, .. } = permit;
    let variables: BTreeMap<String, String> = variables.iter().cloned().collect();
    let text = |text: &str| Message::Text(disclosed(text, disclosure.as_deref()));
    match opening {
        Opening::Text(template) => Ok(text(&fill_in(template, &variables)?)),
        // The provider approved its words, and no others.
        Opening::Template { name, language, variables: texts } => Ok(Message::Template {
            name: name.clone(),
            language: language.clone(),
            variables: texts
                .iter()
                .map(|text| fill_in(text, &variables))
                .collect::<Result<_, _>>()?,
        }),
        // What the AI wrote is no template, whatever it looks like.
        Opening::WrittenByAi => Ok(text(draft.as_deref().ok_or(Unsayable::NoDraft)?)),
    }
}

/// With the AI's disclosure before it: in the first message of ours that can carry it.
pub(super) fn disclosed(text: &str, disclosure: Option<&str>) -> String {
    match disclosure.map(str::trim) {
        Some(disclosure) if !disclosure.is_empty() && !text.contains(disclosure) => {
            format!("{disclosure}\n\n{text}")
        }
        _ => text.to_owned(),
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
    use std::time::Duration;

    use super::*;
    use crate::domain::{
        address::Address,
        id::{AttemptId, Fence, TaskId},
    };

    fn permit(opening: Opening, draft: Option<&str>, disclosure: Option<&str>) -> Permit {
        Permit {
            attempt: AttemptId(1),
            fence: Fence(1),
            task_id: TaskId(uuid::Uuid::nil()),
            task: "one".parse().unwrap(),
            channel: "vk".parse().unwrap(),
            address: Address::from_stored("1".to_owned()),
            variables: vec![("name".to_owned(), "Anna".to_owned())],
            opening,
            draft: draft.map(str::to_owned),
            disclosure: disclosure.map(str::to_owned),
            key: 1,
            valid_for: Duration::ZERO,
        }
    }

    #[test]
    fn a_disclosure_stands_before_every_text_and_in_no_template() {
        let text = || Opening::Text("Hello {{name}}!".to_owned());
        let template = || Opening::Template {
            name: "hi".to_owned(),
            language: "en".to_owned(),
            variables: vec!["{{name}}".to_owned()],
        };
        let bot = Some("I am a bot.");
        for (opening, draft, disclosure, said) in [
            (text(), None, None, "Hello Anna!"),
            (text(), None, bot, "I am a bot.\n\nHello Anna!"),
            (text(), None, Some(" \n"), "Hello Anna!"),
            // Another draft's text is nothing to an opening that has its own.
            (text(), Some("Good day"), bot, "I am a bot.\n\nHello Anna!"),
            (template(), None, bot, "[template hi in en: Anna]"),
            (Opening::WrittenByAi, Some("Hi {{name}}"), bot, "I am a bot.\n\nHi {{name}}"),
            (Opening::WrittenByAi, Some("I am a bot. Hi"), bot, "I am a bot. Hi"),
        ] {
            let message = compose(&permit(opening, draft, disclosure)).unwrap();
            assert_eq!(message.to_string(), said);
        }
        let undrafted = compose(&permit(Opening::WrittenByAi, None, None));
        assert_eq!(undrafted, Err(Unsayable::NoDraft));
    }

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
