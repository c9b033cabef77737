//! Audience addresses: who is written to, normalised by the type of the task.

use std::fmt;

use phonenumber::country;
use uuid::Uuid;

use super::kind::MessengerType;

/// A normalised address: `@name`, E.164, or a signed VKontakte number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}: {reason}")]
pub struct InvalidAddress {
    pub text: String,
    pub wanted: &'static str,
    pub reason: &'static str,
}

impl Address {
    /// Reads an address as the audience of a task of this type writes it.
    pub fn parse(text: &str, messenger: MessengerType) -> Result<Self, InvalidAddress> {
        let text = text.trim();
        match messenger {
            MessengerType::Telegram => telegram(text),
            MessengerType::Whatsapp => whatsapp(text),
            MessengerType::Vkontakte => vkontakte(text),
            MessengerType::Avito | MessengerType::Web | MessengerType::Instagram => {
                Err(InvalidAddress {
                    text: text.to_owned(),
                    wanted: "an address",
                    reason: "tasks of this type have no audience",
                })
            }
        }
    }

    /// Every address that a line of a suppression list may mean: it does not say of which type it is.
    pub fn parse_any(text: &str) -> Result<Vec<Self>, InvalidAddress> {
        let mut found: Vec<Self> =
            [MessengerType::Telegram, MessengerType::Whatsapp, MessengerType::Vkontakte]
                .iter()
                .filter_map(|messenger| Self::parse(text, *messenger).ok())
                .collect();
        found.sort();
        found.dedup();
        if found.is_empty() {
            return Err(InvalidAddress {
                text: text.to_owned(),
                wanted: "an address",
                reason: "write a phone with its country code, a Telegram `@name` or a VKontakte id",
            });
        }
        Ok(found)
    }

    /// Reads whatever names a person: an address, or the id of a visitor of our own pages.
    pub fn parse_person(text: &str) -> Result<Vec<Self>, InvalidAddress> {
        match text.trim().parse::<Uuid>() {
            Ok(visitor) => Ok(vec![Self(visitor.to_string())]),
            Err(_) => Self::parse_any(text),
        }
    }

    /// Takes back what the store was given.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn telegram(text: &str) -> Result<Address, InvalidAddress> {
    let wanted = "a Telegram address";
    let invalid = |reason| Err(InvalidAddress { text: text.to_owned(), wanted, reason });
    if let Some(name) = text.strip_prefix('@') {
        if !(5..=32).contains(&name.len()) {
            return invalid("a name has 5 to 32 characters");
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return invalid("only a to z, 0 to 9 and `_` may stand in a name");
        }
        return Ok(Address(text.to_ascii_lowercase()));
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let russian = !text.starts_with('+') && digits.len() == 11 && digits.starts_with(['7', '8']);
    let international = if russian { format!("+7{}", &digits[1..]) } else { text.to_owned() };
    if !international.starts_with('+') {
        return invalid("write `@name`, or a phone with `+` and its country code");
    }
    phone(&international).map_err(|reason| InvalidAddress { text: text.to_owned(), wanted, reason })
}

fn whatsapp(text: &str) -> Result<Address, InvalidAddress> {
    let wanted = "a WhatsApp address";
    let invalid = |reason| InvalidAddress { text: text.to_owned(), wanted, reason };
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if text.starts_with('8') && digits.len() == 11 {
        return Err(invalid(
            "this is a local number; write it with its country code, such as `+7…`",
        ));
    }
    let international = if text.starts_with('+') { text.to_owned() } else { format!("+{text}") };
    phone(&international).map_err(invalid)
}

fn phone(text: &str) -> Result<Address, &'static str> {
    let strange = |c: char| !(c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '(' | ')' | '.'));
    if text.contains(strange) || text.len() > 32 {
        return Err("a phone is `+`, its country code and digits");
    }
    let number = phonenumber::parse(None::<country::Id>, text)
        .map_err(|_| "it is no phone number with a country code")?;
    if !number.is_valid() {
        return Err("no such number is given out in its country");
    }
    Ok(Address(number.format().mode(phonenumber::Mode::E164).to_string()))
}

fn vkontakte(text: &str) -> Result<Address, InvalidAddress> {
    let invalid =
        |reason| Err(InvalidAddress { text: text.to_owned(), wanted: "a VKontakte id", reason });
    match text.parse::<i64>() {
        Ok(0) => invalid("0 is nobody"),
        Ok(_) if text.starts_with('+') => invalid("a person's id has no sign"),
        // Ids of people and communities stay below this; from 2,000,000,000 on they are group chats.
        Ok(id) if id.unsigned_abs() >= 2_000_000_000 => {
            invalid("no person or community has this id")
        }
        Ok(id) => Ok(Address(id.to_string())),
        Err(_) => invalid("write `12345678` for a person or `-12345678` for a community"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_normalised_by_type() {
        use MessengerType::{Telegram, Vkontakte, Whatsapp};
        for (messenger, text, normal) in [
            (Telegram, "@Anna_Petrova", "@anna_petrova"),
            (Telegram, "+7 912 345-67-89", "+79123456789"),
            (Telegram, "89123456789", "+79123456789"),
            (Telegram, "79123456789", "+79123456789"),
            (Whatsapp, "+49 30 901820", "+4930901820"),
            (Whatsapp, "79123456789", "+79123456789"),
            (Vkontakte, "12345678", "12345678"),
            (Vkontakte, " -12345678 ", "-12345678"),
        ] {
            assert_eq!(Address::parse(text, messenger).unwrap().as_str(), normal, "{text}");
        }
        for (messenger, text) in [
            (Telegram, "@abc"),
            (Telegram, "@name!"),
            (Telegram, "anna"),
            (Telegram, "9123456789"),
            (Whatsapp, "89123456789"),
            (Whatsapp, "8 (912) 345-67-89"),
            (Whatsapp, "+7999"),
            (Whatsapp, "+7912345678x"),
            (Vkontakte, "0"),
            (Vkontakte, "id1"),
            (Vkontakte, "+5"),
            (Vkontakte, "2000000001"),
            (MessengerType::Web, "a"),
        ] {
            Address::parse(text, messenger).unwrap_err();
        }
    }

    #[test]
    fn a_suppressed_line_means_everybody_it_may_mean() {
        let meant = |text| {
            let all = Address::parse_any(text).unwrap();
            all.iter().map(|a| a.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(meant("79123456789"), ["+79123456789"]);
        assert_eq!(meant("-12345"), ["-12345"]);
        assert_eq!(meant("@Anna_P"), ["@anna_p"]);
        Address::parse_any("hello").unwrap_err();
    }
}
