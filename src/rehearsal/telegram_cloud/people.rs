//! The people of the fake Telegram: their numbers, and whom an account finds.

use std::{collections::HashMap, io};

use grammers_tl_types::{Deserializable as _, Serializable as _, enums, functions, types};
use sha2::{Digest as _, Sha256};

use super::{
    super::{
        faults::{self, Fault},
        journal::Call,
        world::World,
    },
    PROVIDER,
    answers::{Given, INTERNAL},
};

/// The number of every account itself.
pub(super) const OWN_ID: i64 = 4_999_999_999;

/// Whoever has a name has a number from here on; whoever has a phone has its digits, which are more.
const NAMED_FROM: i64 = 5_000_000_000;
const NAMED: u64 = 4_000_000_000;
const PHONES_FROM: i64 = 10_000_000_000;

/// Who is found by those only who have their number in their contacts.
const HIDDEN: &str = "0700";
/// Who takes messages of Premium accounts only, and who takes paid ones only.
const PREMIUM: &str = "0711";
const PAID: &str = "0712";

/// More names than a rehearsal looks up; to forget them all costs another look.
const NAMES_MAX: usize = 100_000;

/// The names that were looked up, by the numbers of who has them.
#[derive(Debug, Default)]
pub(in crate::rehearsal) struct Names(HashMap<i64, String>);

impl Names {
    fn learn(&mut self, user_id: i64, address: &str) {
        if self.0.len() == NAMES_MAX {
            self.0.clear();
        }
        self.0.insert(user_id, address.to_owned());
    }
}

/// Who has the address, as `nuncio` names people.
pub(super) fn id_of(address: &str) -> i64 {
    let digits = address.strip_prefix('+').or_else(|| address.strip_prefix("telegram:"));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(number) => number,
        None => {
            let number = first_number(&[address]) % NAMED;
            NAMED_FROM + i64::try_from(number).unwrap_or_default()
        }
    }
}

/// The address by which the journal knows a person.
pub(super) fn address_of(world: &World, channel: &str, user_id: i64) -> String {
    if user_id >= PHONES_FROM {
        return format!("+{user_id}");
    }
    if let Some(name) = world.with_names(|names| names.0.get(&user_id).cloned()) {
        return name;
    }
    // After a restart, those that the journal tells of.
    let told = world.with_stream(channel, |stream| {
        let addresses = stream.messages().map(|entry| &entry.address);
        addresses.rev().find(|address| id_of(address) == user_id).cloned()
    });
    told.unwrap_or_else(|| format!("telegram:{user_id}"))
}

/// By which an account, and no other, reaches a person.
pub(super) fn hash_of(channel: &str, user_id: i64) -> i64 {
    first_number(&["hash", channel, &user_id.to_string()]).cast_signed()
}

fn first_number(parts: &[&str]) -> u64 {
    let digest = parts.iter().fold(Sha256::new(), Sha256::chain_update).finalize();
    u64::from_le_bytes(std::array::from_fn(|place| digest[place]))
}

/// A person as an account sees them.
pub(super) fn user(channel: &str, address: &str) -> enums::User {
    let user_id = id_of(address);
    let phone = address.strip_prefix('+').map(str::to_owned);
    let username = address.strip_prefix('@').map(str::to_owned);
    let access_hash = Some(hash_of(channel, user_id));
    let first_name = Some("Rehearsal".to_owned());
    enums::User::User(types::User {
        id: user_id,
        access_hash,
        first_name,
        phone,
        username,
        ..nobody()
    })
}

/// The account itself.
pub(super) fn own(channel: &str) -> enums::User {
    let first_name = Some(channel.to_owned());
    let access_hash = Some(hash_of(channel, OWN_ID));
    enums::User::User(types::User {
        is_self: true,
        id: OWN_ID,
        access_hash,
        first_name,
        ..nobody()
    })
}

/// Somebody of whom nothing is told: two words of flags, and a number.
fn nobody() -> types::User {
    types::User::from_bytes(&[0; 16]).expect("all that is not optional are flags and a number")
}

pub(super) fn resolve_name(
    world: &World,
    channel: &str,
    request: &functions::contacts::ResolveUsername,
) -> Given {
    let address = format!("@{}", request.username.to_lowercase());
    if is_nobody(world, channel, &address).map_err(|_| INTERNAL)? {
        return Err((400, "USERNAME_NOT_OCCUPIED"));
    }
    world.with_names(|names| names.learn(id_of(&address), &address));
    Ok(found(channel, &address))
}

pub(super) fn resolve_phone(
    world: &World,
    channel: &str,
    request: &functions::contacts::ResolvePhone,
) -> Given {
    let address = format!("+{}", request.phone.trim_start_matches('+'));
    // That nobody is there is noted when the number is imported, which is asked next.
    let unknown = world.has_faults()
        && faults::of_address(&address).is_some_and(|row| row.fault == Fault::NotOnMessenger);
    if unknown || address.ends_with(HIDDEN) {
        return Err((400, "PHONE_NOT_OCCUPIED"));
    }
    Ok(found(channel, &address))
}

pub(super) fn import(
    world: &World,
    channel: &str,
    request: &functions::contacts::ImportContacts,
) -> Given {
    let [enums::InputContact::InputPhoneContact(contact)] = request.contacts.as_slice() else {
        return Err((400, "CONTACT_ID_INVALID"));
    };
    if contact.first_name.is_empty() {
        return Err((400, "CONTACT_NAME_EMPTY"));
    }
    let address = format!("+{}", contact.phone.trim_start_matches('+'));
    let mut found = types::contacts::ImportedContacts {
        imported: Vec::new(),
        popular_invites: Vec::new(),
        retry_contacts: Vec::new(),
        users: Vec::new(),
    };
    if !is_nobody(world, channel, &address).map_err(|_| INTERNAL)? {
        let (user_id, client_id) = (id_of(&address), contact.client_id);
        found.imported.push(types::ImportedContact { user_id, client_id }.into());
        found.users.push(user(channel, &address));
    }
    Ok(enums::contacts::ImportedContacts::from(found).to_bytes())
}

pub(super) fn requirements(
    world: &World,
    channel: &str,
    request: &functions::users::GetRequirementsToContact,
) -> Vec<u8> {
    let of_each = request.id.iter().map(|asked| {
        let enums::InputUser::User(asked) = asked else {
            return enums::RequirementToContact::Empty;
        };
        let address = address_of(world, channel, asked.user_id);
        if address.ends_with(PREMIUM) {
            enums::RequirementToContact::Premium
        } else if address.ends_with(PAID) {
            types::RequirementToContactPaidMessages { stars_amount: 50 }.into()
        } else {
            enums::RequirementToContact::Empty
        }
    });
    of_each.collect::<Vec<_>>().to_bytes()
}

fn found(channel: &str, address: &str) -> Vec<u8> {
    let peer = types::PeerUser { user_id: id_of(address) }.into();
    let users = vec![user(channel, address)];
    let found = types::contacts::ResolvedPeer { peer, chats: Vec::new(), users };
    enums::contacts::ResolvedPeer::from(found).to_bytes()
}

fn is_nobody(world: &World, channel: &str, address: &str) -> io::Result<bool> {
    let call = Call {
        provider: PROVIDER,
        channel: channel.to_owned(),
        address: address.to_owned(),
        ..Call::default()
    };
    Ok(world.refused_by_fault(&call, &[Fault::NotOnMessenger])?.is_some())
}
