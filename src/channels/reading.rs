//! Values out of events that providers shape as they like: what cannot be read is not there.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::domain::{
    address::Address,
    dialogue::{Delivery, Received},
};

/// Ids of providers have up to about 140 characters; what is longer is none.
const ID_BYTES_MAX: usize = 512;

/// The longest name of what is no text, such as `[live_location]`.
const MEDIA_NAME_BYTES_MAX: usize = 32;

/// A number, whether it comes as one or as a text.
pub(super) fn integer(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

pub(super) fn seconds(value: Option<&Value>) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(integer(value)?, 0)
}

/// A person's words. Postgres keeps every character but NUL.
pub(super) fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().replace('\0', "")
}

pub(super) fn id(value: Option<&Value>) -> Option<String> {
    let id = match value? {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.as_i64()?.to_string(),
        _ => return None,
    };
    let sound = !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.contains(char::is_control);
    sound.then_some(id)
}

/// The address of a phone that a provider names by its digits.
///
/// A number that the provider serves but no library knows is still a person's.
pub(super) fn phone(digits: &str) -> Option<Address> {
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    if !(5..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Address::from_stored(format!("+{digits}")))
}

/// A person of WhatsApp, by all that an event tells of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    peer: Address,
    also_known_as: Vec<Address>,
}

impl Person {
    /// By the first address, and by all others; a number's other form is another.
    pub(super) fn known_as(addresses: impl IntoIterator<Item = Address>) -> Option<Self> {
        let mut addresses = addresses.into_iter();
        let peer = addresses.next()?;
        let mut also_known_as = Vec::new();
        for address in std::iter::once(peer.clone()).chain(addresses) {
            let other = address.other_form();
            for address in std::iter::once(address).chain(other) {
                if address != peer && !also_known_as.contains(&address) {
                    also_known_as.push(address);
                }
            }
        }
        Some(Self { peer, also_known_as })
    }

    pub(super) fn received(self, at: Option<DateTime<Utc>>, what: Delivery) -> Received {
        let Self { peer, also_known_as } = self;
        Received { peer, also_known_as, at, what }
    }
}

/// What was written, and the name of what was sent beside it, such as `[image]`.
pub(super) fn with_media(text: &str, media: &[&str]) -> String {
    let mut told = text.trim_end().to_owned();
    for name in media {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b' ' | b'-');
        let sound =
            !name.is_empty() && name.len() <= MEDIA_NAME_BYTES_MAX && name.bytes().all(plain);
        if !told.is_empty() {
            told.push('\n');
        }
        told.push('[');
        told.push_str(if sound { name } else { "attachment" });
        told.push(']');
    }
    told
}

/// What is no text, with more of it in words: `[contact: Anna]`, and where there is no more, `[contact]`.
pub(super) fn named(kind: &str, more: &str) -> String {
    let kind = if more.is_empty() { kind.trim_end_matches(':') } else { kind };
    format!("[{}]", format!("{kind} {more}").trim_end())
}

/// Text of a stranger's that ends no bracket and begins no line.
pub(super) fn bracketed(text: &str, characters_max: usize) -> String {
    let harmless = |c: &char| !c.is_control() && !matches!(c, '[' | ']');
    let kept: String = text.trim().chars().filter(harmless).take(characters_max).collect();
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_come_in_many_shapes_and_the_impossible_are_none() {
        for (value, expected) in [
            (json!(5), Some(5)),
            (json!("1790000000"), Some(1_790_000_000)),
            (json!(-5), Some(-5)),
            (json!(99_999_999_999_999_999_999_f64), None),
            (json!(1.5), None),
            (json!("99999999999999999999"), None),
            (json!(null), None),
            (json!([1]), None),
        ] {
            assert_eq!(integer(Some(&value)), expected, "{value}");
        }
        assert_eq!(seconds(Some(&json!(i64::MAX))), None);
        assert_eq!(seconds(Some(&json!("1790000000"))), DateTime::from_timestamp(1_790_000_000, 0));
    }

    #[test]
    fn ids_and_texts_can_be_stored() {
        assert_eq!(text(Some(&json!("a\u{0}b"))), "ab");
        for bad in [json!(""), json!("a\u{0}"), json!("a\nb"), json!("a".repeat(513)), json!({})] {
            assert_eq!(id(Some(&bad)), None, "{bad}");
        }
    }

    #[test]
    fn phones_are_in_the_form_of_an_audience() {
        for (digits, address) in [
            ("79123450001", Some("+79123450001")),
            ("+79123450001", Some("+79123450001")),
            // No library's number, and somebody wrote from it.
            ("15550001111", Some("+15550001111")),
            ("", None),
            ("1234", None),
            ("1234567890123456", None),
            ("7912a450001", None),
        ] {
            assert_eq!(phone(digits).as_ref().map(Address::as_str), address, "{digits}");
        }
    }

    #[test]
    fn what_is_no_text_has_a_name() {
        assert_eq!(with_media("See: ", &["photo", "a[b"]), "See:\n[photo]\n[attachment]");
        assert_eq!(with_media("", &["voice message"]), "[voice message]");
    }
}
