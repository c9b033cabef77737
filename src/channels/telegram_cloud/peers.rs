//! Who is meant by an address: people by their names and numbers, as the account may call them.

use grammers_mtsender::InvocationError;
use grammers_tl_types::{enums, functions, types};
use tokio::time::Instant;

use super::{
    connection::{Connection, Unanswered},
    refusals::import_limit,
    vault::{Reached, Vault},
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, OutcomeClass},
    kind::MessengerType,
};

/// Telegram's own notices, login codes among them. They are nobody's words, and no AI is to see them.
pub(super) const SERVICE_USERS: &[i64] = &[777_000, 42_777];

/// It is asked about one number at a time.
const CLIENT_ID: i64 = 1;

impl Reached {
    pub(super) fn of(user: &enums::User) -> Option<Self> {
        let enums::User::User(user) = user else { return None };
        // The hash of what is told in short is good for nothing.
        let access_hash = user.access_hash.filter(|_| !user.min)?;
        Some(Self { user_id: user.id, access_hash })
    }

    pub(super) fn peer(self) -> enums::InputPeer {
        let Self { user_id, access_hash } = self;
        types::InputPeerUser { user_id, access_hash }.into()
    }

    fn user(self) -> enums::InputUser {
        let Self { user_id, access_hash } = self;
        types::InputUser { user_id, access_hash }.into()
    }

    /// By what the person is known who writes from this account.
    pub(super) fn address(self) -> Option<Address> {
        Address::of_id(MessengerType::Telegram, &self.user_id.to_string())
    }
}

/// Whom the account has met under this address; else whoever has it now.
pub(super) async fn reach(
    connection: &Connection,
    vault: &dyn Vault,
    address: &Address,
    until: Instant,
) -> Result<Reached, Outcome> {
    let known = vault.find(address).await.map_err(|away| not_sent(away.to_string()))?;
    match known {
        Some(reached) => Ok(reached),
        None => look_up(connection, vault, address, until).await,
    }
}

/// Asks Telegram who has the address now, and remembers them.
pub(super) async fn look_up(
    connection: &Connection,
    vault: &dyn Vault,
    address: &Address,
    until: Instant,
) -> Result<Reached, Outcome> {
    let text = address.as_str();
    let users = if let Some(username) = text.strip_prefix('@') {
        by_name(connection, username, until).await?
    } else if let Some(phone) = text.strip_prefix('+') {
        by_phone(connection, phone, until).await?
    } else {
        return Err(permanent("the account has never met this person"));
    };
    let Some(user) = users.first() else { return Err(permanent("nobody has this address")) };
    if let enums::User::User(user) = user {
        match user {
            types::User { is_self: true, .. } => {
                return Err(permanent("the address is the account's own"));
            }
            types::User { bot: true, .. } => return Err(permanent("the recipient is a bot")),
            types::User { deleted: true, .. } => {
                return Err(permanent("the person's account was deleted"));
            }
            _ => {}
        }
    }
    let reached = Reached::of(user).ok_or_else(|| permanent("the account cannot reach them"))?;
    let mut met = vec![(address.clone(), reached)];
    met.extend(reached.address().map(|by_id| (by_id, reached)));
    vault.remember(&met).await.map_err(|away| not_sent(away.to_string()))?;
    Ok(reached)
}

async fn by_name(
    connection: &Connection,
    username: &str,
    until: Instant,
) -> Result<Vec<enums::User>, Outcome> {
    let request =
        functions::contacts::ResolveUsername { username: username.to_owned(), referer: None };
    let enums::contacts::ResolvedPeer::Peer(found) =
        connection.call(&request, until).await.map_err(|failed| failed.of_other_call())?;
    match found.peer {
        enums::Peer::User(peer) => Ok(only(found.users, peer.user_id)),
        _ => Err(permanent("the name is a group's or a channel's")),
    }
}

/// The light way adds nobody to the account's contacts. Some hide from it, and are found by those who have their
/// number in their contacts.
async fn by_phone(
    connection: &Connection,
    phone: &str,
    until: Instant,
) -> Result<Vec<enums::User>, Outcome> {
    let request = functions::contacts::ResolvePhone { phone: phone.to_owned() };
    match connection.call(&request, until).await {
        Ok(enums::contacts::ResolvedPeer::Peer(found)) => match found.peer {
            enums::Peer::User(peer) => Ok(only(found.users, peer.user_id)),
            _ => Err(permanent("the number is no person's")),
        },
        Err(failed) if failed.is("PHONE_NOT_OCCUPIED") => import(connection, phone, until).await,
        Err(failed) => Err(failed.of_other_call()),
    }
}

async fn import(
    connection: &Connection,
    phone: &str,
    until: Instant,
) -> Result<Vec<enums::User>, Outcome> {
    let contact = types::InputPhoneContact {
        client_id: CLIENT_ID,
        phone: phone.to_owned(),
        // A contact without a name is refused.
        first_name: format!("+{phone}"),
        last_name: String::new(),
        note: None,
    };
    let request = functions::contacts::ImportContacts { contacts: vec![contact.into()] };
    let enums::contacts::ImportedContacts::Contacts(found) =
        connection.call(&request, until).await.map_err(|failed| failed.of_other_call())?;
    let imported = found.imported.first().map(|enums::ImportedContact::Contact(one)| one.user_id);
    match imported {
        Some(user_id) => Ok(only(found.users, user_id)),
        None if found.retry_contacts.contains(&CLIENT_ID) => Err(import_limit()),
        None => Err(permanent("nobody with this number is on Telegram, or they hide it")),
    }
}

fn only(mut users: Vec<enums::User>, user_id: i64) -> Vec<enums::User> {
    users.retain(|user| user.id() == user_id);
    users
}

/// Whether a stranger may write to the person at all. Where nobody says so, the message itself will tell.
pub(super) async fn objection(
    connection: &Connection,
    reached: Reached,
    until: Instant,
) -> Option<Outcome> {
    let request = functions::users::GetRequirementsToContact { id: vec![reached.user()] };
    match connection.call(&request, until).await.as_deref() {
        Ok([enums::RequirementToContact::Premium]) => {
            Some(permanent("the person takes messages of Premium accounts only"))
        }
        Ok([enums::RequirementToContact::PaidMessages(_)]) => {
            Some(permanent("the person takes paid messages only"))
        }
        Ok(_) => None,
        Err(failed) => {
            let is_refused = matches!(failed, Unanswered::Failed(InvocationError::Rpc(_)));
            let outcome = failed.of_other_call();
            // Where the connection is lost, nothing has left yet.
            (!is_refused || outcome.class.stops_channel()).then_some(outcome)
        }
    }
}

fn permanent(words: &str) -> Outcome {
    Outcome::of(OutcomeClass::RecipientPermanent, words)
}

fn not_sent(words: String) -> Outcome {
    Outcome::of(OutcomeClass::NotSent, words)
}
