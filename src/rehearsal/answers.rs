//! What follows a message of ours: the provider's news of it, and what the person says.

use std::sync::Arc;

use super::{
    journal::{Call, Direction, Entry},
    news::News,
    people::{Line, Person, Way},
    pushes::push,
    world::World,
};
use crate::domain::kind::ChannelKind;

/// How often a webhook of the person in the table is brought whose way is not straight.
const TIMES: usize = 3;

/// One person's talk with one account.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) kind: ChannelKind,
    pub(super) channel: String,
    pub(super) address: String,
}

/// Lives through one message of ours, which was the person's `turn`-th.
pub(super) async fn follow(world: Arc<World>, entry: Entry, turn: usize) {
    let Ok(kind) = entry.provider.parse() else { return };
    let person = Person::of_address(&entry.address);
    for news in News::of(&entry, person.unreachable) {
        push(&world, &entry, news).await;
    }
    let thread = Thread { kind, channel: entry.channel, address: entry.address };
    speak(&world, &thread, person, turn).await;
}

/// The person's words of this turn, and how they come to us.
pub(super) async fn speak(world: &Arc<World>, thread: &Thread, person: &Person, turn: usize) {
    say_lines(world, thread, person, person.lines(turn)).await;
}

pub(super) async fn say_lines(
    world: &Arc<World>,
    thread: &Thread,
    person: &Person,
    lines: &[Line],
) {
    let mut held = Vec::new();
    for line in lines {
        if !world.pause(world.person_second().saturating_mul(line.after)).await {
            return;
        }
        let Some(said) = say(world, thread, line.text) else { return };
        match person.way {
            Way::Straight => bring(world, &said, person).await,
            Way::ThriceInReverse => held.push(said),
        }
    }
    for said in held.iter().rev() {
        bring(world, said, person).await;
    }
}

/// Words that are in no table.
pub(super) fn write(world: &Arc<World>, thread: &Thread, text: &str) {
    let Some(said) = say(world, thread, text) else { return };
    if world.has_people() {
        let world = Arc::clone(world);
        let tracker = world.tracker().clone();
        tracker.spawn(async move { push(&world, &said, News::Message).await });
    }
}

/// Words of the account's owner, typed in the messenger's own app.
pub(super) fn type_by_hand(world: &World, thread: &Thread, text: &str) {
    let Thread { kind, channel, address } = thread;
    let call = Call {
        provider: kind.as_str(),
        channel: channel.clone(),
        address: address.clone(),
        text: text.to_owned(),
        ..Call::default()
    };
    // A journal that cannot be written ends the rehearsal of the next call.
    drop(world.say(&call));
}

/// The words are the person's before anybody brings them.
fn say(world: &World, Thread { kind, channel, address }: &Thread, text: &str) -> Option<Entry> {
    let call = Call {
        direction: Direction::FromPerson,
        provider: kind.as_str(),
        channel: channel.clone(),
        address: address.clone(),
        text: text.to_owned(),
        ..Call::default()
    };
    world.say(&call).ok()
}

pub(super) async fn bring(world: &Arc<World>, said: &Entry, person: &Person) {
    let times = if person.way == Way::Straight { 1 } else { TIMES };
    for _ in 0..times {
        for news in News::of(said, false) {
            push(world, said, news).await;
        }
    }
}
