//! Arguments that no command has, told in our words: a parser's own are for its programmers.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::manifest::nearest;

/// What is wrong with the arguments, and the way out.
pub(super) fn told(error: &clap::Error) -> (String, String) {
    let help = || "`nuncio COMMAND --help` tells every option".to_owned();
    let given = Given::of(error);
    let told = match error.kind() {
        ErrorKind::ValueValidation => given.invalid().map(|message| (message, help())),
        ErrorKind::InvalidValue => given.unknown(&help),
        ErrorKind::UnknownArgument => given.unexpected(&help),
        ErrorKind::InvalidSubcommand => given.no_command(&help),
        ErrorKind::MissingRequiredArgument => given.missing().map(|message| (message, help())),
        ErrorKind::ArgumentConflict => given.excluded().map(|message| (message, help())),
        _ => None,
    };
    told.unwrap_or_else(|| (first_words(error), help()))
}

/// Prepares a command for numbers below zero: each is a wrong value of its place, and no unknown option.
pub(super) fn with_numbers_below_zero(command: clap::Command) -> clap::Command {
    let below: Vec<String> =
        command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    let command = command.mut_args(|argument| {
        let takes_values = argument.get_action().takes_values();
        argument.allow_negative_numbers(takes_values)
    });
    below
        .into_iter()
        .fold(command, |command, name| command.mut_subcommand(name, with_numbers_below_zero))
}

/// What the parser knows of the error.
struct Given<'e> {
    error: &'e clap::Error,
}

impl<'e> Given<'e> {
    fn of(error: &'e clap::Error) -> Self {
        Self { error }
    }

    fn words(&self, kind: ContextKind) -> Vec<&'e str> {
        match self.error.get(kind) {
            Some(ContextValue::String(word)) => vec![word],
            Some(ContextValue::Strings(words)) => words.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    fn word(&self, kind: ContextKind) -> Option<&'e str> {
        self.words(kind).first().copied()
    }

    /// The argument with its value, as it was written.
    fn place(&self) -> Option<String> {
        let value = self.word(ContextKind::InvalidValue)?;
        Some(match option(self.word(ContextKind::InvalidArg)?) {
            Some(option) => format!("`{option} {value}`"),
            None => format!("`{value}`"),
        })
    }

    /// A value that its place does not take: the reason is ours already.
    fn invalid(&self) -> Option<String> {
        let reason = std::error::Error::source(self.error)?.to_string();
        let value = self.word(ContextKind::InvalidValue)?;
        if reason.starts_with(&format!("`{value}` ")) {
            return Some(match option(self.word(ContextKind::InvalidArg)?) {
                Some(option) => format!("`{option}`: {reason}"),
                None => reason,
            });
        }
        Some(format!("{}: {reason}", self.place()?))
    }

    /// A value that is none of a few words, or none at all.
    fn unknown(&self, help: &impl Fn() -> String) -> Option<(String, String)> {
        let argument = self.word(ContextKind::InvalidArg)?;
        let known = self.words(ContextKind::ValidValue);
        let value = self.word(ContextKind::InvalidValue).unwrap_or_default();
        if value.is_empty() {
            let message = format!("`{argument}` needs a value");
            return Some((message, one_of(&known).unwrap_or_else(help)));
        }
        let near = nearest(value, known.iter().copied());
        let hint = near.map(|near| format!("did you mean `{near}`?"));
        let message = format!("{}: there is no such value", self.place()?);
        Some((message, hint.or_else(|| one_of(&known)).unwrap_or_else(help)))
    }

    fn unexpected(&self, help: &impl Fn() -> String) -> Option<(String, String)> {
        let argument = self.word(ContextKind::InvalidArg)?;
        let near = self.word(ContextKind::SuggestedArg);
        let hint = near.map(|near| format!("did you mean `{near}`?"));
        Some((format!("there is no argument `{argument}` here"), hint.unwrap_or_else(help)))
    }

    fn no_command(&self, help: &impl Fn() -> String) -> Option<(String, String)> {
        let command = self.word(ContextKind::InvalidSubcommand)?;
        let near = nearest(command, self.words(ContextKind::SuggestedSubcommand));
        let hint = near.map(|near| format!("did you mean `{near}`?"));
        Some((format!("there is no command `{command}`"), hint.unwrap_or_else(help)))
    }

    fn missing(&self) -> Option<String> {
        let missing = self.words(ContextKind::InvalidArg);
        let are = if missing.len() == 1 { "an argument is" } else { "arguments are" };
        (!missing.is_empty()).then(|| format!("{are} missing: {}", missing.join(" ")))
    }

    fn excluded(&self) -> Option<String> {
        let argument = self.word(ContextKind::InvalidArg)?;
        let others = self.words(ContextKind::PriorArg);
        if others.is_empty() || others.contains(&argument) {
            return Some(format!("`{argument}` is given more than once"));
        }
        Some(format!("`{argument}` and `{}` exclude each other", others.join("`, `")))
    }
}

/// The name of an option, without its value; nothing for an argument that is known by its place.
fn option(argument: &str) -> Option<&str> {
    argument.starts_with('-').then(|| argument.split([' ', '=']).next().unwrap_or(argument))
}

fn one_of(known: &[&str]) -> Option<String> {
    (!known.is_empty()).then(|| format!("it is one of {}", known.join(", ")))
}

/// The parser's first words, where nothing better is known. Without a command these are the help.
fn first_words(error: &clap::Error) -> String {
    let text = error.render().to_string();
    match text.trim().split("\n\n").next().and_then(|first| first.trim().strip_prefix("error: ")) {
        Some(first) => first.split_whitespace().collect::<Vec<_>>().join(" "),
        None => "a command is missing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_in_our_words_with_the_way_out() {
        let help = "`nuncio COMMAND --help` tells every option";
        for (arguments, message, hint) in [
            ("dialogue show -5", "`-5`: write the number of a dialogue, as `17`", help),
            ("dialogue show 0", "`0`: write the number of a dialogue, as `17`", help),
            ("dialogue say x hi", "`x`: write the number of a dialogue, as `17`", help),
            (
                "resolve -1",
                "`-1`: write the number of an attempt, or `m` and the number of a message",
                help,
            ),
            ("dialogues --limit -1", "`--limit -1`: write a whole number, as `20`", help),
            ("spending --days -1", "`--days -1`: write a whole number from 1 to 36600", help),
            ("history --limit 0", "`--limit 0`: write a whole number from 1 to 1000", help),
            (
                "dialogues --task Spring",
                "`--task`: `Spring` is not a name: it must start with a lower-case letter a to z",
                help,
            ),
            (
                "status -5",
                "`-5` is not a name: it must start with a lower-case letter a to z",
                help,
            ),
            (
                "reports replay 5",
                "`5`: write the id of a report, or `c` and the number of a callback",
                help,
            ),
            (
                "dialogues --state opn",
                "`--state opn`: there is no such value",
                "did you mean `open`?",
            ),
            (
                "resolve 5 maybe",
                "`maybe`: there is no such value",
                "it is one of sent, retry, drop",
            ),
            (
                "dialogues --stat open",
                "there is no argument `--stat` here",
                "did you mean `--state`?",
            ),
            ("pause x --for -5m", "there is no argument `-5` here", help),
            ("stauts", "there is no command `stauts`", "did you mean `status`?"),
            ("plan --target", "`--target <NAME>` needs a value", help),
            ("dialogue show", "an argument is missing: <ID>", help),
            ("dialogue say", "arguments are missing: <ID> <TEXT>", help),
            ("reports --dead --sent", "`--dead` and `--sent` exclude each other", help),
            ("status --quiet --quiet", "`--quiet` is given more than once", help),
        ] {
            let words = std::iter::once("nuncio").chain(arguments.split(' '));
            let error = super::super::parse(words.map(Into::into).collect()).unwrap_err();
            assert_eq!(told(&error), (message.to_owned(), hint.to_owned()), "{arguments}");
        }
    }

    #[test]
    fn an_id_of_a_community_is_a_value_like_any_other() {
        for arguments in [
            &["nuncio", "suppress", "-12345"][..],
            &["nuncio", "dialogues", "--person", "-12345"],
            &["nuncio", "dialogue", "say", "5", "-1 is my answer"],
        ] {
            let arguments = arguments.iter().map(Into::into).collect();
            assert!(super::super::parse(arguments).is_ok());
        }
    }
}
