//! What a person wants, by their last words. A salesman with a list; no more is needed to rehearse.

use crate::domain::dialogue::{ContactKind, Tool};

/// The words that show an intent, in lower case. The first tool of the list that is found counts.
const SIGNS: &[(Tool, &[&str])] = &[
    (
        Tool::Operator,
        &[
            "human",
            "operator",
            "real person",
            "a person",
            "оператор",
            "живой человек",
            "живого человек",
            "живым человек",
            "с человеком",
            "не с роботом",
            "не с ботом",
        ],
    ),
    (Tool::Remind, &["remind me", "write later", "напомни", "напишите позже", "напишите через"]),
    (
        Tool::Close,
        &[
            "not interested",
            "no interest",
            "no thanks",
            "no, thanks",
            "no thank you",
            "don't agree",
            "не интерес",
            "неинтерес",
            "не нужно",
            "не надо",
            "не согла",
        ],
    ),
    (
        Tool::Success,
        &[
            "i agree",
            "agreed",
            "let's call",
            "let's talk",
            "call me",
            "deal",
            "book me",
            "согласен",
            "согласна",
            "договорились",
            "созвон",
            "позвоните",
            "жду звонка",
        ],
    ),
    (Tool::Interest, &["interesting", "interested", "tell me more", "интересно", "подробнее"]),
];

/// The shortest and the longest number of digits of a phone that is worth noting.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 10..=15;

/// Everything that the last words ask for. A contact may come with any other intent.
pub(super) fn tools_for(words: &str) -> Vec<Tool> {
    let lower = words.to_lowercase();
    let has = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
    let intent = SIGNS.iter().find(|(_, signs)| has(signs)).map(|(tool, _)| *tool);
    let contact = contact_in(words).map(|_| Tool::ContactObtained);
    contact.into_iter().chain(intent).collect()
}

/// The first e-mail address or phone number.
pub(super) fn contact_in(words: &str) -> Option<(ContactKind, String)> {
    let is_edge = |c: char| !c.is_alphanumeric();
    let email = words.split_whitespace().map(|word| word.trim_matches(is_edge)).find(|word| {
        word.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
    });
    if let Some(email) = email {
        return Some((ContactKind::Email, email.to_owned()));
    }
    let is_of_phone = |c: char| c.is_ascii_digit() || matches!(c, '+' | ' ' | '(' | ')' | '-');
    let phone = words
        .split(|c| !is_of_phone(c))
        .map(str::trim)
        .find(|run| PHONE_DIGITS.contains(&run.bytes().filter(u8::is_ascii_digit).count()))?;
    Some((ContactKind::Phone, phone.to_owned()))
}

/// The beginnings of units of time, and how the tool writes them.
const UNITS: &[(&str, &str)] = &[
    ("min", "m"),
    ("мин", "m"),
    ("hour", "h"),
    ("час", "h"),
    ("day", "d"),
    ("дн", "d"),
    ("день", "d"),
    ("дня", "d"),
    ("week", "w"),
    ("недел", "w"),
];

/// When to remind: `2h` for "in 2 hours"; a day where nothing is said.
pub(super) fn delay_in(words: &str) -> String {
    let lower = words.to_lowercase();
    let mut before = "";
    for word in lower.split_whitespace() {
        if let Some((_, unit)) = UNITS.iter().find(|(begins, _)| word.starts_with(begins)) {
            let number = before.parse::<u16>().unwrap_or(1).max(1);
            return format!("{number}{unit}");
        }
        before = word;
    }
    "1d".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intents_are_read_from_the_last_words() {
        use Tool::{Close, ContactObtained, Interest, Operator, Remind, Success};
        for (words, tools) in [
            ("Здравствуйте", &[][..]),
            ("How much is it?", &[]),
            ("I agree, let's do it", &[Success]),
            ("Давайте созвонимся завтра", &[Success]),
            ("Call me at +7 (912) 345-67-89.", &[ContactObtained, Success]),
            ("anna@example.com", &[ContactObtained]),
            ("Звучит интересно", &[Interest]),
            ("Мне это не интересно", &[Close]),
            ("not interested", &[Close]),
            ("I do not want to talk to a robot. A human, please.", &[Operator]),
            ("Позовите живого человека", &[Operator]),
            ("Remind me in 2 hours", &[Remind]),
            ("2026 and 12 345", &[]),
        ] {
            assert_eq!(tools_for(words), tools, "{words}");
        }
    }

    #[test]
    fn contacts_and_delays_are_found() {
        use ContactKind::{Email, Phone};
        for (words, kind, value) in [
            ("write to <anna.k@example.com>, please", Email, "anna.k@example.com"),
            ("мой номер 8 912 345 67 89", Phone, "8 912 345 67 89"),
            ("+79123456789", Phone, "+79123456789"),
        ] {
            assert_eq!(contact_in(words), Some((kind, value.to_owned())), "{words}");
        }
        assert_eq!(contact_in("at 10 o'clock @home"), None);
        for (words, delay) in [
            ("remind me in 2 hours", "2h"),
            ("напомните через 3 дня", "3d"),
            ("напомните через час", "1h"),
            ("remind me in 0 minutes", "1m"),
            ("remind me", "1d"),
        ] {
            assert_eq!(delay_in(words), delay, "{words}");
        }
    }
}
