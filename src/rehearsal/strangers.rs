//! Who writes first, to the accounts that only answer.

use std::sync::Arc;

use super::{
    answers::{Thread, speak, write},
    people::{Person, START},
    world::World,
};
use crate::domain::kind::ChannelKind;

/// By the endings of their addresses, in the order in which they write.
pub(super) const STRANGERS: &[&str] = &["5551", "0905", "0907", "0903", "0909"];

/// Seconds of a person between one stranger and the next.
const PAUSE: u32 = 3;

/// Lives through the first words of every stranger of an account. Who wrote before a restart does not
/// begin anew.
pub(super) async fn introduce(world: Arc<World>, kind: ChannelKind, channel: String) {
    for ending in STRANGERS {
        if !world.pause(world.person_second().saturating_mul(PAUSE)).await {
            return;
        }
        let address = address(kind, ending);
        let person = Person::of_address(&address);
        let thread = Thread { kind, channel: channel.clone(), address };
        if !world.has_written(&thread.channel, &thread.address) {
            // Nobody can write to a bot before.
            if kind == ChannelKind::TelegramBot {
                write(&world, &thread, START);
            }
            speak(&world, &thread, person, 0).await;
        }
    }
}

/// As `nuncio` names people of the kind.
pub(super) fn address(kind: ChannelKind, ending: &str) -> String {
    match kind {
        ChannelKind::TelegramBot | ChannelKind::TelegramBusiness => {
            format!("telegram:70000{ending}")
        }
        ChannelKind::Instagram => format!("instagram:1784140000{ending}"),
        ChannelKind::Avito => format!("avito:u2i-rehearsal-{ending}"),
        ChannelKind::VkUser | ChannelKind::VkPublic => format!("70000{ending}"),
        ChannelKind::TelegramCloud | ChannelKind::WhatsappWeb | ChannelKind::Waba => {
            format!("+7912345{ending}")
        }
        ChannelKind::PageMessenger
        | ChannelKind::Iframe
        | ChannelKind::Widget
        | ChannelKind::Api => ending.to_owned(),
    }
}
