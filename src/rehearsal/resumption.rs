//! What people were about to say when a rehearsal was ended, by its journal: they go on after the restart.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use super::{
    answers::{Thread, bring, say_lines},
    journal::{Direction, Entry, Verdict},
    news::News,
    people::{Line, Person, START},
    world::{FOLLOWED_MAX, World},
};

/// Channels tell their providers anew where webhooks go; nothing is brought before.
const PAUSE_S: u32 = 5;

/// What the journal says of talks that are not at their end.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    talks: HashMap<(String, String), Talk>,
    /// Words that were said, and not brought yet, by their message.
    unbrought: BTreeMap<i64, Entry>,
}

#[derive(Debug, Default)]
struct Talk {
    /// They heard of us, or began by themselves.
    begun: bool,
    pending: VecDeque<Line>,
    /// When the last thing happened after which they would have gone on.
    at_ms: i64,
    provider: String,
}

/// One person's talk that goes on.
#[derive(Debug)]
pub(super) struct Resumed {
    thread: Thread,
    unbrought: Vec<Entry>,
    lines: Vec<Line>,
    at_ms: i64,
}

impl Unfinished {
    /// Takes a line of the journal; `turn` is the row that a person says to a message of ours.
    pub(super) fn note(&mut self, entry: &Entry, turn: Option<usize>) {
        let person = Person::of_address(&entry.address);
        if entry.direction == Direction::Push {
            let is_taken = entry.verdict == Verdict::Delivered;
            let is_words = entry.note.as_deref() == Some(News::Message.name());
            if let Some(id) = entry.message_id
                && is_taken
                && is_words
            {
                self.unbrought.remove(&id);
            }
            return;
        }
        let key = || (entry.channel.clone(), entry.address.clone());
        if let Some(turn) = turn {
            let talk = self.talks.entry(key()).or_default();
            talk.hear(entry);
            talk.pending.extend(person.lines(turn));
        } else if entry.direction == Direction::FromPerson {
            let Some(id) = entry.message_id else { return };
            self.unbrought.insert(id, entry.clone());
            if self.unbrought.len() > FOLLOWED_MAX {
                self.unbrought.pop_first();
            }
            let talk = self.talks.entry(key()).or_default();
            let opens = !talk.begun
                && (entry.text == START
                    || person.lines(0).iter().any(|one| one.text == entry.text));
            talk.hear(entry);
            if opens {
                talk.pending.extend(person.lines(0));
            }
            // Their lines of two messages of ours may mix: each is said once.
            if let Some(place) = talk.pending.iter().position(|line| line.text == entry.text) {
                talk.pending.remove(place);
            }
        }
    }

    /// Who goes on, the latest first.
    pub(super) fn into_talks(self) -> Vec<Resumed> {
        let Self { talks, unbrought } = self;
        let mut words: HashMap<(String, String), Vec<Entry>> = HashMap::new();
        for entry in unbrought.into_values() {
            words.entry((entry.channel.clone(), entry.address.clone())).or_default().push(entry);
        }
        let mut resumed: Vec<Resumed> = talks
            .into_iter()
            .filter_map(|(key, talk)| {
                let unbrought = words.remove(&key).unwrap_or_default();
                let (channel, address) = key;
                let kind = talk.provider.parse().ok()?;
                let is_over = unbrought.is_empty() && talk.pending.is_empty();
                (!is_over).then(|| Resumed {
                    thread: Thread { kind, channel, address },
                    unbrought,
                    lines: talk.pending.into(),
                    at_ms: talk.at_ms,
                })
            })
            .collect();
        resumed.sort_by_key(|one| std::cmp::Reverse(one.at_ms));
        // No more may think of an answer at once; those who have waited longest stay silent.
        resumed.truncate(FOLLOWED_MAX);
        resumed
    }
}

impl Talk {
    fn hear(&mut self, entry: &Entry) {
        self.begun = true;
        self.at_ms = entry.at_ms;
        self.provider.clone_from(&entry.provider);
    }
}

/// Has everybody go on, once there is somebody to tell.
pub(super) async fn resume(world: Arc<World>, talks: Vec<Resumed>) {
    if talks.is_empty() || world.push_target().await.is_none() {
        return;
    }
    if !world.pause(world.person_second().saturating_mul(PAUSE_S)).await {
        return;
    }
    for talk in talks {
        let going_on = go_on(Arc::clone(&world), talk);
        if !world.let_speak(going_on) {
            return;
        }
    }
}

async fn go_on(world: Arc<World>, talk: Resumed) {
    let Resumed { thread, unbrought, mut lines, at_ms } = talk;
    let person = Person::of_address(&thread.address);
    for said in &unbrought {
        bring(&world, said, person).await;
    }
    // What they thought before counts.
    let thought_ms = u128::try_from(world.now().timestamp_millis() - at_ms).unwrap_or_default();
    if let (Some(first), second @ 1..) = (lines.first_mut(), world.person_second().as_millis()) {
        let thought = u32::try_from(thought_ms / second).unwrap_or(u32::MAX);
        first.after = first.after.saturating_sub(thought);
    }
    say_lines(&world, &thread, person, &lines).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::acquaintances::Acquaintances;

    fn entry(direction: Direction, address: &str, text: &str, id: i64) -> Entry {
        Entry {
            direction,
            at: String::new(),
            at_ms: id,
            provider: "whatsapp-web".to_owned(),
            channel: "whats".to_owned(),
            address: address.to_owned(),
            text: text.to_owned(),
            key: None,
            attempt: None,
            verdict: Verdict::Delivered,
            fault: None,
            message_id: Some(id),
            note: (direction == Direction::Push).then(|| News::Message.name().to_owned()),
        }
    }

    #[test]
    fn a_person_goes_on_where_the_journal_ends() {
        use Direction::{FromPerson, Push, ToPerson};
        type Case<'a> = (&'a str, &'a [(Direction, &'a str, i64)], &'a [&'a str], usize);
        const PRICE: &str = "Hello! What does it cost?";
        const AGREED: &str = "All right, I agree. Please call me: +7 912 345-67-89";
        let (usual, burst, silent) = ("+79123450001", "+79123450905", "+79123450009");
        let cases: &[Case<'_>] = &[
            (usual, &[(ToPerson, "Hi", 1)], &[PRICE], 0),
            (usual, &[(ToPerson, "Hi", 1), (FromPerson, PRICE, 2)], &[], 1),
            (usual, &[(ToPerson, "Hi", 1), (FromPerson, PRICE, 2), (Push, "", 2)], &[], 0),
            (
                usual,
                &[(ToPerson, "Hi", 1), (FromPerson, PRICE, 2), (Push, "", 2), (ToPerson, "$5", 3)],
                &[AGREED],
                0,
            ),
            // We wrote on before they had answered.
            (usual, &[(ToPerson, "Hi", 1), (ToPerson, "Hello?", 2)], &[PRICE, AGREED], 0),
            (
                burst,
                &[(ToPerson, "Hi", 1), (FromPerson, "Hi", 2), (Push, "", 2)],
                &["I have a question", "Do you work on Sundays?"],
                0,
            ),
            // A stranger, who wrote first.
            (
                burst,
                &[(FromPerson, "Hi", 1), (Push, "", 1)],
                &["I have a question", "Do you work on Sundays?"],
                0,
            ),
            (usual, &[(FromPerson, START, 1), (Push, "", 1)], &[PRICE], 0),
            // Somebody spoke for them; they have said their first row.
            (usual, &[(FromPerson, "Good day", 1), (Push, "", 1)], &[], 0),
            (silent, &[(ToPerson, "Hi", 1)], &[], 0),
        ];
        for (address, events, lines, unbrought) in cases {
            let (mut people, mut unfinished) = (Acquaintances::default(), Unfinished::default());
            for (direction, text, id) in *events {
                let entry = entry(*direction, address, text, *id);
                let turn = people.learn(&entry);
                unfinished.note(&entry, turn);
            }
            let talks = unfinished.into_talks();
            let said: Vec<&str> =
                talks.iter().flat_map(|talk| &talk.lines).map(|line| line.text).collect();
            assert_eq!(said, *lines, "{address} {events:?}");
            let n_unbrought: usize = talks.iter().map(|talk| talk.unbrought.len()).sum();
            assert_eq!(n_unbrought, *unbrought, "{address} {events:?}");
        }
    }
}
