//! Audience addresses: who is written to, normalised by the type of the task.

use std::fmt;

use uuid::Uuid;

use super::{id::ChannelName, kind::MessengerType, phone};

/// Messengers whose people may be known by nothing but an id.
const ID_MESSENGERS: &[MessengerType] =
    &[MessengerType::Telegram, MessengerType::Instagram, MessengerType::Avito];
/// No messenger has longer ones.
const ID_BYTES_MAX: usize = 128;
/// A hidden id of WhatsApp has about 15 digits.
const HIDDEN_ID_BYTES_MAX: usize = 32;
/// An id in the scope of a business has a country's two letters, a dot, and up to 128 letters and digits.
const BUSINESS_SCOPED_BYTES_MAX: usize = 160;
/// How long the name may be that a system behind an `api` channel gives a person.
pub const GIVEN_NAME_BYTES_MAX: usize = 128;

/// A normalised address: `@name`, E.164, or a signed VKontakte number. Who is known by nothing but the id that
/// their messenger gave them is `telegram:…`, `instagram:…` or `avito:…`, and on WhatsApp `…@lid` or `CC.…`. A visitor
/// of our own pages has a UUID; a person behind an `api` channel has whatever name its system gave them.
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

    /// Who is known by an id of the messenger's own; `None` where no messenger gives such ids.
    pub fn of_id(messenger: MessengerType, id: &str) -> Option<Self> {
        let sound = (1..=ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        (sound && ID_MESSENGERS.contains(&messenger)).then(|| Self(format!("{messenger}:{id}")))
    }

    /// The messenger's own id, where the person is known by nothing else.
    pub fn id_of(&self, messenger: MessengerType) -> Option<&str> {
        self.0.strip_prefix(messenger.as_str())?.strip_prefix(':')
    }

    /// Who hides their phone on WhatsApp, by the digits that stand for it.
    pub fn of_hidden_id(digits: &str) -> Option<Self> {
        let sound = (1..=HIDDEN_ID_BYTES_MAX).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        sound.then(|| Self(format!("{digits}@lid")))
    }

    /// Who hides their phone from a business on WhatsApp, by the id that stands for them in its scope.
    pub fn of_business_scope(id: &str) -> Option<Self> {
        let sound = id.len() <= BUSINESS_SCOPED_BYTES_MAX
            && id
                .split_once('.')
                .is_some_and(|(country, rest)| country.len() == 2 && !rest.is_empty())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        sound.then(|| Self(id.to_owned()))
    }

    /// The name that a system behind an `api` channel gives a person.
    pub fn of_given_name(name: &str) -> Option<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:@+".contains(c);
        let sound = (1..=GIVEN_NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(is_plain);
        sound.then(|| Self(name.to_owned()))
    }

    /// Whether it names the same person whoever says it: a name that a system gave may be somebody else's elsewhere.
    pub fn is_the_same_everywhere(&self) -> bool {
        self.0.starts_with(['+', '@'])
    }

    /// As what must not be said to a person is kept, where their name is the channel's own.
    #[must_use]
    pub fn on(&self, channel: &ChannelName) -> Self {
        Self(format!("{channel}/{self}"))
    }

    /// Reads whatever names a person everywhere: an address, an id of a messenger's own, or that of a visitor of
    /// our own pages.
    pub fn parse_person(text: &str) -> Result<Vec<Self>, InvalidAddress> {
        let text = text.trim();
        if let Ok(visitor) = text.parse::<Uuid>() {
            return Ok(vec![Self(visitor.to_string())]);
        }
        let hidden = text.strip_suffix("@lid").and_then(Self::of_hidden_id);
        if let Some(person) = hidden.or_else(|| Self::of_business_scope(text)) {
            return Ok(vec![person]);
        }
        let id = text.split_once(':').and_then(|(messenger, id)| {
            let messenger = messenger.to_ascii_lowercase().parse().ok()?;
            Self::of_id(messenger, id)
        });
        match id {
            Some(person) => Ok(vec![person]),
            None => Self::parse_any(text),
        }
    }

    /// Takes back what the store was given.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The other form of a phone under which WhatsApp may know the same person.
    pub fn other_form(&self) -> Option<Self> {
        phone::other_form(&self.0).map(Self)
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
    phone::normalise(&international).map(Address).map_err(|reason| InvalidAddress {
        text: text.to_owned(),
        wanted,
        reason,
    })
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
    phone::normalise_known_to_whatsapp(&international).map(Address).map_err(invalid)
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
            (Whatsapp, "+52 55 5512 3451", "+525555123451"),
            (Whatsapp, "+52 1 55 5512 3451", "+525555123451"),
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
            (Whatsapp, "+52 1 55x 5512 3451"),
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
    fn who_is_known_by_an_id_is_named_with_their_messenger() {
        use MessengerType::{Avito, Instagram, Telegram, Vkontakte, Web, Whatsapp};
        for (messenger, id, address) in [
            (Telegram, "5000000001", Some("telegram:5000000001")),
            (Instagram, "17841400000001", Some("instagram:17841400000001")),
            (Avito, "u2i-A~b_c", Some("avito:u2i-A~b_c")),
            (Telegram, "", None),
            (Telegram, "1:2", None),
            (Avito, "a b", None),
            (Avito, "ы", None),
            (Whatsapp, "1", None),
            (Vkontakte, "1", None),
            (Web, "1", None),
        ] {
            let found = Address::of_id(messenger, id);
            assert_eq!(found.as_ref().map(Address::as_str), address, "{messenger} {id}");
            let Some(found) = found else { continue };
            assert_eq!(found.id_of(messenger), Some(id));
            assert_eq!(found.id_of(Whatsapp), None);
            assert_eq!(Address::parse_person(&format!(" {found} ")), Ok(vec![found]));
        }
        for id in ["12345678901@lid", "MX.1a9"] {
            assert_eq!(Address::parse_person(id).unwrap(), [Address(id.to_owned())]);
        }
        for nobody in ["web:1", "x@lid", "@lid", "MEX.1", "M.1", "MX.", "MX.1-2"] {
            Address::parse_person(nobody).unwrap_err();
        }
        assert_eq!(Address::of_id(Avito, &"a".repeat(129)), None);
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
