//! The sending side of the fake Telegram, and the signs.

use std::sync::Arc;

use grammers_tl_types::{Serializable as _, enums, functions, types};

use super::{
    super::{
        faults::Fault,
        journal::{Call, Direction},
        world::{Served, World},
    },
    PROVIDER,
    answers::{Given, INTERNAL, Refused, account_objection},
    people::{address_of, hash_of},
    stream,
};

const TEXT_UNITS_MAX: usize = 4_096;

/// What is in no table of faults: who has this ending makes the connection break, once the message is theirs.
const BREAKS_OFF: &str = "0720";
/// Whom to write to is one stranger too many.
const ONE_TOO_MANY: &str = "0730";

/// No error of Telegram's: the connection breaks in place of an answer.
pub(super) const BROKEN_OFF: Refused = (0, "");

pub(super) async fn send(
    world: &Arc<World>,
    channel: &str,
    request: &functions::messages::SendMessage,
) -> Given {
    let user_id = match &request.peer {
        enums::InputPeer::User(peer) => Some(peer.user_id),
        _ => None,
    };
    let address = user_id.map(|user_id| address_of(world, channel, user_id)).unwrap_or_default();
    let call = Call {
        provider: PROVIDER,
        channel: channel.to_owned(),
        address,
        text: request.message.clone(),
        key: Some(request.random_id).filter(|key| *key != 0),
        ..Call::default()
    };
    if let Err(objection) = objection(world, &call, request) {
        let (code, name) = objection;
        world.refuse(&call, format!("error {code} {name}")).map_err(|_| INTERNAL)?;
        return Err(objection);
    }
    let entry = match world.deliver(&call).await.map_err(|_| INTERNAL)? {
        Served::Delivered(entry) => entry,
        Served::Repeated(_) => return Err((500, "RANDOM_ID_DUPLICATE")),
        Served::Fault(fault) => {
            return Err(match fault {
                Fault::TooMany => (420, "FLOOD_WAIT_3"),
                Fault::RecipientBlocks => (403, "USER_IS_BLOCKED"),
                Fault::NotOnMessenger => (400, "PEER_ID_INVALID"),
                Fault::RecipientDeleted => (400, "INPUT_USER_DEACTIVATED"),
                _ => (500, "RPC_CALL_FAIL"),
            });
        }
    };
    if call.address.ends_with(BREAKS_OFF) {
        return Err(BROKEN_OFF);
    }
    let sent = types::UpdateShortSentMessage {
        out: true,
        id: stream::number(&entry),
        pts: stream::pts(world, channel),
        pts_count: 1,
        date: stream::date(&entry),
        media: None,
        entities: None,
        ttl_period: None,
    };
    Ok(enums::Updates::from(sent).to_bytes())
}

/// What Telegram has against a message before it looks at the recipient.
fn objection(
    world: &World,
    call: &Call,
    request: &functions::messages::SendMessage,
) -> Result<(), Refused> {
    account_objection(world, &call.channel)?;
    recipient(&call.channel, &request.peer)?;
    if request.random_id == 0 {
        return Err((400, "RANDOM_ID_EMPTY"));
    }
    if request.message.trim().is_empty() {
        return Err((400, "MESSAGE_EMPTY"));
    }
    if request.message.encode_utf16().count() > TEXT_UNITS_MAX {
        return Err((400, "MESSAGE_TOO_LONG"));
    }
    if call.address.ends_with(ONE_TOO_MANY) && !world.has_written(&call.channel, &call.address) {
        return Err((400, "PEER_FLOOD"));
    }
    Ok(())
}

/// Whoever is named has to be reached with the account's own hash.
fn recipient(channel: &str, peer: &enums::InputPeer) -> Result<i64, Refused> {
    match peer {
        enums::InputPeer::User(types::InputPeerUser { user_id, access_hash })
            if *access_hash == hash_of(channel, *user_id) =>
        {
            Ok(*user_id)
        }
        _ => Err((400, "PEER_ID_INVALID")),
    }
}

pub(super) fn sign(
    world: &World,
    channel: &str,
    peer: &enums::InputPeer,
    sign: &'static str,
) -> Result<(), Refused> {
    let user_id = recipient(channel, peer)?;
    let call = Call {
        direction: Direction::Sign,
        provider: PROVIDER,
        channel: channel.to_owned(),
        address: address_of(world, channel, user_id),
        note: Some(sign),
        ..Call::default()
    };
    world.note(&call).map_err(|_| INTERNAL)
}
