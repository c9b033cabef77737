//! Phone numbers: their one form, and the second that WhatsApp has for some.

use phonenumber::country;

/// The E.164 form of a number that was written with its country code.
pub(super) fn normalise(text: &str) -> Result<String, &'static str> {
    if !is_plain(text) {
        return Err("a phone is `+`, its country code and digits");
    }
    let number = phonenumber::parse(None::<country::Id>, text)
        .map_err(|_| "it is no phone number with a country code")?;
    if !number.is_valid() {
        return Err("no such number is given out in its country");
    }
    Ok(number.format().mode(phonenumber::Mode::E164).to_string())
}

/// The same, also of a number as it stands in WhatsApp, where its country dials another one.
pub(super) fn normalise_known_to_whatsapp(text: &str) -> Result<String, &'static str> {
    normalise(text).or_else(|reason| {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let dialled = other_form(&format!("+{digits}")).filter(|_| is_plain(text));
        dialled.and_then(|dialled| normalise(&dialled).ok()).ok_or(reason)
    })
}

fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '(' | ')' | '.');
    text.chars().all(plain) && text.len() <= 32
}

/// The other form of a number that has two: WhatsApp keeps the one under which an account was made, whatever its
/// country dials today.
///
/// Mexico took the 1 of mobile phones away, Brazil gave theirs a ninth digit, and Argentina dials a 9 only from
/// abroad. Each form belongs to one subscriber: no other number is like it.
pub(super) fn other_form(number: &str) -> Option<String> {
    let digits = number.strip_prefix('+')?;
    Some(match (digits.get(..2)?, digits.get(2..)?) {
        ("52", rest) => match (rest.len(), rest.strip_prefix('1')) {
            (10, _) => format!("+521{rest}"),
            (11, Some(subscriber)) => format!("+52{subscriber}"),
            _ => return None,
        },
        ("54", rest) => match (rest.len(), rest.strip_prefix('9')) {
            (10, _) => format!("+549{rest}"),
            (11, Some(subscriber)) => format!("+54{subscriber}"),
            _ => return None,
        },
        ("55", rest) => {
            let (area, subscriber) = rest.split_at_checked(2)?;
            match (subscriber.len(), subscriber.strip_prefix('9')) {
                (8, _) if is_mobile(subscriber) => format!("+55{area}9{subscriber}"),
                (9, Some(short)) if is_mobile(short) => format!("+55{area}{short}"),
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// Of the eight digits that numbers had in Brazil; the others are landlines, which were left as they were.
fn is_mobile(subscriber: &str) -> bool {
    subscriber.starts_with(['6', '7', '8', '9'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_two_forms_names_the_other_and_is_named_by_it() {
        for (one, other) in [
            ("+525512345678", "+5215512345678"),
            ("+541112345678", "+5491112345678"),
            ("+556281234567", "+5562981234567"),
            ("+551198765432", "+5511998765432"),
        ] {
            for (address, form) in [(one, other), (other, one)] {
                assert_eq!(other_form(address).as_deref(), Some(form), "{address}");
            }
        }
        for alone in [
            "+79123450001",
            "+551123456789",
            "+5511912345678",
            "+52155123456789",
            "+5255123456",
            "+5",
            "+",
            "",
            "@anna_p",
            "52155123456@lid",
            "RU.525512345678",
            "+5é5512345678",
        ] {
            assert_eq!(other_form(alone), None, "{alone}");
        }
    }
}
