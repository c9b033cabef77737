//! What follows a message of ours: the provider's news of it, and what the person says.

use std::sync::Arc;

use super::{
    journal::{Call, Direction, Entry},
    news::News,
    people::{Person, Way},
    pushes::push,
    world::World,
};
use crate::domain::kind::ChannelKind;

/// How often a webhook of the person in the table is brought whose way is not straight.
const TIMES: usize = 3;

/// Lives through one message of ours, which was the person's `turn`-th.
pub(super) async fn follow(world: Arc<World>, entry: Entry, turn: usize) {
    let person = Person::of_address(&entry.address);
    for news in News::of(&entry, person.unreachable) {
        push_if_webhook(&world, &entry, news).await;
    }
    let mut held = Vec::new();
    for line in person.lines(turn) {
        if !world.pause(world.person_second().saturating_mul(line.after)).await {
            return;
        }
        let Some(said) = say(&world, &entry, line.text) else { return };
        match person.way {
            Way::Straight => bring(&world, &said, person).await,
            Way::ThriceInReverse => held.push(said),
        }
    }
    for said in held.iter().rev() {
        bring(&world, said, person).await;
    }
}

/// The words are the person's before anybody brings them.
fn say(world: &World, to: &Entry, text: &str) -> Option<Entry> {
    let call = Call {
        direction: Direction::FromPerson,
        provider: ChannelKind::ALL.iter().find(|kind| kind.as_str() == to.provider)?.as_str(),
        channel: to.channel.clone(),
        address: to.address.clone(),
        text: text.to_owned(),
        ..Call::default()
    };
    world.say(&call).ok()
}

async fn bring(world: &Arc<World>, said: &Entry, person: &Person) {
    let times = if person.way == Way::Straight { 1 } else { TIMES };
    for _ in 0..times {
        for news in News::of(said, false) {
            push_if_webhook(world, said, news).await;
        }
    }
}

async fn push_if_webhook(world: &Arc<World>, entry: &Entry, news: News) {
    if entry.provider != ChannelKind::VkUser.as_str() {
        push(world, entry, news).await;
    }
}
