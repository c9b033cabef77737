//! What the fake data centre answers to each method.

use std::sync::Arc;

use grammers_tl_types::{
    Cursor, Deserializable, Identifiable, Serializable, enums, functions, types,
};

use super::{
    super::{faults::Fault, world::World},
    keys::DATA_CENTRE,
    login, people, sending, stream,
};

/// What goes back.
pub(super) enum Answer {
    Body(Vec<u8>),
    /// Nothing: the connection breaks.
    BreakOff,
}

/// An error as Telegram has it: a code, and a name.
pub(super) type Refused = (i32, &'static str);

/// What a method gives, or why not.
pub(super) type Given = Result<Vec<u8>, Refused>;

pub(super) const INTERNAL: Refused = (500, "INTERNAL");

/// The request, where it is of this method.
pub(super) fn read<T: Identifiable + Deserializable>(body: &[u8]) -> Option<T> {
    let (id, rest) = body.split_first_chunk::<4>()?;
    (u32::from_le_bytes(*id) == T::CONSTRUCTOR_ID).then_some(())?;
    T::deserialize(&mut Cursor::from_slice(rest)).ok()
}

pub(super) async fn answer(world: &Arc<World>, channel: &str, body: &[u8]) -> Answer {
    let id = body.first_chunk::<4>().map(|id| u32::from_le_bytes(*id));
    let given = match id {
        Some(functions::InvokeWithLayer::<functions::help::GetConfig>::CONSTRUCTOR_ID) => {
            Ok(config())
        }
        _ => match login::given(world, channel, body) {
            Some(given) => given,
            None => given_to_user(world, channel, body).await,
        },
    };
    match given {
        Ok(body) => Answer::Body(body),
        Err(sending::BROKEN_OFF) => Answer::BreakOff,
        Err((error_code, name)) => {
            let error = types::RpcError { error_code, error_message: name.to_owned() };
            Answer::Body(enums::RpcError::from(error).to_bytes())
        }
    }
}

/// Methods of an account that is signed in to.
async fn given_to_user(world: &Arc<World>, channel: &str, body: &[u8]) -> Given {
    if let Some(request) = read::<functions::messages::SendMessage>(body) {
        return sending::send(world, channel, &request).await;
    }
    account_objection(world, channel)?;
    if let Some(request) = read::<functions::contacts::ResolveUsername>(body) {
        return people::resolve_name(world, channel, &request);
    }
    if let Some(request) = read::<functions::contacts::ResolvePhone>(body) {
        return people::resolve_phone(world, channel, &request);
    }
    if let Some(request) = read::<functions::contacts::ImportContacts>(body) {
        return people::import(world, channel, &request);
    }
    if let Some(request) = read::<functions::users::GetRequirementsToContact>(body) {
        return Ok(people::requirements(world, channel, &request));
    }
    if read::<functions::users::GetUsers>(body).is_some() {
        return Ok(vec![people::own(channel)].to_bytes());
    }
    if let Some(request) = read::<functions::messages::ReadHistory>(body) {
        sending::sign(world, channel, &request.peer, "read")?;
        let affected =
            types::messages::AffectedMessages { pts: stream::pts(world, channel), pts_count: 0 };
        return Ok(enums::messages::AffectedMessages::from(affected).to_bytes());
    }
    if let Some(request) = read::<functions::messages::SetTyping>(body) {
        sending::sign(world, channel, &request.peer, "typing")?;
        return Ok(true.to_bytes());
    }
    if read::<functions::updates::GetState>(body).is_some() {
        return Ok(enums::updates::State::from(stream::state(world, channel)).to_bytes());
    }
    if let Some(request) = read::<functions::updates::GetDifference>(body) {
        return Ok(stream::difference(world, channel, &request).to_bytes());
    }
    Err((400, "METHOD_INVALID"))
}

/// What Telegram has against the account, whatever it asks.
pub(super) fn account_objection(world: &World, channel: &str) -> Result<(), Refused> {
    match world.account_fault(channel) {
        Some(Fault::AccountBanned) => return Err((401, "USER_DEACTIVATED_BAN")),
        Some(_) => return Err((401, "SESSION_REVOKED")),
        None => {}
    }
    if world.is_signed_out(channel) {
        return Err((401, "AUTH_KEY_UNREGISTERED"));
    }
    Ok(())
}

/// A configuration that says nothing of other data centres.
fn config() -> Vec<u8> {
    /// From `chat_size_max` on, every field is a number or an empty text, and both are four zeros.
    const REST: usize = 25 * 4;
    let mut fields = vec![0; 12];
    false.serialize(&mut fields);
    DATA_CENTRE.serialize(&mut fields);
    Vec::<enums::DcOption>::new().serialize(&mut fields);
    fields.resize(fields.len() + 4 + REST, 0);
    let mut config = types::Config::CONSTRUCTOR_ID.to_bytes();
    config.extend(fields);
    config
}
