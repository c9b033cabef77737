//! The numbers under which WhatsApp knows people: not always those that are dialled.

/// From this area code on, accounts of Brazil were made before numbers had their ninth digit.
const SHORT_FROM_AREA: &str = "31";

/// The number of the account of whoever is dialled by these digits.
pub(super) fn account_of(digits: &str) -> String {
    let parts = digits.split_at_checked(2).unwrap_or_default();
    match parts {
        ("52", rest) if rest.len() == 10 => format!("521{rest}"),
        ("54", rest) if rest.len() == 10 => format!("549{rest}"),
        ("55", rest) if rest.len() == 11 && rest >= SHORT_FROM_AREA => {
            match rest.split_at_checked(2) {
                Some((area, subscriber)) if subscriber.starts_with('9') => {
                    format!("55{area}{}", &subscriber[1..])
                }
                _ => digits.to_owned(),
            }
        }
        _ => digits.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_countries_are_known_by_another_number_and_that_by_itself() {
        for (dialled, account) in [
            ("525555123451", "5215555123451"),
            ("541123456781", "5491123456781"),
            ("5562981234561", "556281234561"),
            ("5511981234561", "5511981234561"),
            ("79123450001", "79123450001"),
            ("5", "5"),
            ("", ""),
        ] {
            assert_eq!(account_of(dialled), account);
            assert_eq!(account_of(account), account);
        }
    }
}
