//! The table of people: what a person of the rehearsal says to each of our messages.

/// What a person says, and how many of their own seconds after what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub after: u32,
    pub text: &'static str,
}

/// What becomes of their messages on the way to us, where webhooks bring them. A stream that is asked
/// for keeps its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Straight,
    /// Each is brought three times, the last first.
    ThriceInReverse,
}

/// Everybody whose address has this ending; the longest ending counts.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    pub ending: &'static str,
    /// One row of lines for each of our messages, in order. After the last row they are silent.
    pub says: &'static [&'static [Line]],
    /// The last row is said again and again.
    pub for_ever: bool,
    pub way: Way,
    /// The provider takes our messages, and later reports that they failed.
    pub unreachable: bool,
    /// WhatsApp tells a business no phone of theirs, but an id that stands for it.
    pub hides_phone: bool,
    pub about: &'static str,
}

const fn line(after: u32, text: &'static str) -> Line {
    Line { after, text }
}

const USUAL: Person = Person {
    ending: "",
    says: &[
        &[line(1, "Hello! What does it cost?")],
        &[line(2, "All right, I agree. Please call me: +7 912 345-67-89")],
        &[line(1, "Thank you, goodbye!")],
    ],
    for_ever: false,
    way: Way::Straight,
    unreachable: false,
    hides_phone: false,
    about: "asks for the price, then agrees and gives a phone number",
};

/// The people by the last digits of the address. The README has the table.
pub const PEOPLE: &[Person] = &[
    USUAL,
    Person {
        ending: "6",
        says: &[
            &[line(1, PICTURE)],
            &[line(2, "Do you have this one? Then I agree, my number is +7 912 345-67-90")],
        ],
        about: "sends a picture, then agrees",
        ..USUAL
    },
    Person { ending: "7", says: &[&[line(1, "STOP")]], about: "says STOP", ..USUAL },
    Person {
        ending: "8",
        says: &[&[line(2, "I want to talk to a human, please.")]],
        about: "asks for a human",
        ..USUAL
    },
    Person { ending: "9", says: &[], about: "never answers", ..USUAL },
    Person { ending: "0901", says: &[], about: "never answers", ..USUAL },
    Person {
        ending: "0902",
        says: &[&[line(1, "Не пишите мне больше.")]],
        about: "says STOP, in a sentence of Russian",
        ..USUAL
    },
    Person {
        ending: "0903",
        says: &[
            &[line(1, "Good day. Who is this?")],
            &[line(1, "Are you a robot? Give me a real person.")],
        ],
        about: "asks for a human at their second message",
        ..USUAL
    },
    Person {
        ending: "0904",
        says: &[&[line(
            1,
            "I see. But before I decide I would like to know more: how long does it take, who does \
             it, what happens if it goes wrong, what do others say of it, and why should I believe \
             them? My brother-in-law had something like it once, and he was not happy at all, \
             although that was years ago and in another town. Please explain everything in detail.",
        )]],
        for_ever: true,
        about: "writes on and on",
        ..USUAL
    },
    Person {
        ending: "0905",
        says: &[
            &[line(1, "Hi"), line(0, "I have a question"), line(0, "Do you work on Sundays?")],
            &[line(1, "Good, I agree."), line(0, "My number:"), line(0, "+7 912 345-67-91")],
        ],
        about: "writes three messages in a burst",
        ..USUAL
    },
    Person {
        ending: "0906",
        says: &[&[line(3 * 60 * 60, "Sorry, I was at work. Tell me more.")]],
        about: "answers after three hours",
        ..USUAL
    },
    Person {
        ending: "0907",
        says: &[&[line(1, "First: what does it cost?"), line(1, "Second: where are you?")]],
        way: Way::ThriceInReverse,
        about: "writes two messages; webhooks bring each three times, the last first",
        ..USUAL
    },
    Person {
        ending: "0908",
        says: &[],
        unreachable: true,
        about: "is never reached: the messages are taken, and later reported as failed",
        ..USUAL
    },
    Person {
        ending: "0909",
        says: &[
            &[line(1, "Hello! What does it cost?")],
            &[line(1, "Too much. Don't write to me any more.")],
        ],
        about: "asks for the price, then says STOP",
        ..USUAL
    },
    Person {
        ending: "0910",
        hides_phone: true,
        about: "as any other; WhatsApp tells a business their id, and no phone",
        ..USUAL
    },
    Person {
        ending: "0911",
        says: &[&[line(1, "STOP")]],
        hides_phone: true,
        about: "says STOP; WhatsApp tells a business their id, and no phone",
        ..USUAL
    },
];

/// The words of the journal for a picture; the providers send no text with it.
pub(super) const PICTURE: &str = "[picture]";

/// And for the button that begins a chat with a bot, by a link with this payload.
pub(super) const START: &str = "[start: rehearsal]";

impl Person {
    pub fn of_address(address: &str) -> &'static Self {
        let matching = PEOPLE.iter().filter(|person| address.ends_with(person.ending));
        matching.max_by_key(|person| person.ending.len()).unwrap_or(&USUAL)
    }

    /// What they say to our message with this number, counted from 0.
    pub fn lines(&self, turn: usize) -> &'static [Line] {
        let last = self.says.len().saturating_sub(1);
        let turn = if self.for_ever { turn.min(last) } else { turn };
        self.says.get(turn).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_somebody_and_the_longest_ending_counts() {
        for (address, turn, said) in [
            ("+79123450001", 0, Some("Hello! What does it cost?")),
            ("+79123450001", 3, None),
            ("12345677", 0, Some("STOP")),
            ("12345677", 1, None),
            ("12340907", 0, Some("First: what does it cost?")),
            ("12340901", 0, None),
            ("12345679", 0, None),
        ] {
            let lines = Person::of_address(address).lines(turn);
            assert_eq!(lines.first().map(|line| line.text), said, "{address} {turn}");
        }
        let endless = Person::of_address("+70000000904");
        assert_eq!(endless.lines(0), endless.lines(1_000));
        for person in PEOPLE {
            let address = format!("12345{}", person.ending);
            assert_eq!(Person::of_address(&address).about, person.about);
        }
    }

    #[test]
    fn the_readme_has_the_table() {
        let readme = include_str!("../../README.md");
        let row = |person: &Person| {
            let ending = match person.ending {
                "" => "any other".to_owned(),
                ending => format!("`{ending}`"),
            };
            format!("| {ending} | {} |\n", person.about)
        };
        let table: String = PEOPLE.iter().map(row).collect();
        assert!(readme.contains(&table), "the README should have:\n{table}");
    }
}
