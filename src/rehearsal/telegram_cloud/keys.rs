//! The keys of the rehearsal's accounts, made of the names of their channels.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6},
    sync::{LazyLock, Mutex, PoisonError},
};

use grammers_crypto::{AuthKey, DequeBuffer, encrypt_data_v2};
use sha2::{Digest as _, Sha256};

use super::people::OWN_ID;
use crate::channels::AccountSession;

pub(super) const KEY_BYTES: usize = 256;
pub(super) const ID_BYTES: usize = 8;

/// The data centre at which every account is at home.
pub(super) const DATA_CENTRE: i32 = 2;

/// More accounts than a rehearsal is watched with: who comes later is not known.
const ACCOUNTS_MAX: usize = 10_000;

type Id = [u8; ID_BYTES];

/// What a client shows of its key tells nobody whose it is. Those that this process has made are remembered.
static MADE: LazyLock<Mutex<HashMap<Id, String>>> = LazyLock::new(Mutex::default);

/// The session of a channel's account; always the same. Nobody is behind a channel without a name.
pub(in crate::rehearsal) fn session_of(channel: &str) -> Option<AccountSession> {
    (!channel.is_empty()).then_some(())?;
    let key = key_of(channel);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if made.len() < ACCOUNTS_MAX {
        made.insert(id_of(key), channel.to_owned());
    }
    Some(AccountSession {
        data_centre: DATA_CENTRE,
        ipv4: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
        ipv6: SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 0),
        key,
        user_id: OWN_ID,
    })
}

/// The channel and the key of an account that shows this of its key.
pub(super) fn account_of(id: Id) -> Option<(String, [u8; KEY_BYTES])> {
    let made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let channel = made.get(&id)?.clone();
    let key = key_of(&channel);
    Some((channel, key))
}

fn key_of(channel: &str) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    for (part, number) in key.chunks_mut(32).zip(0_u8..) {
        let digest = Sha256::new_with_prefix("rehearsal ").chain_update(channel);
        part.copy_from_slice(&digest.chain_update([number]).finalize());
    }
    key
}

/// The library tells it by the beginning of what it encrypts only.
fn id_of(key: [u8; KEY_BYTES]) -> Id {
    let mut nothing = DequeBuffer::with_capacity(64, 64);
    encrypt_data_v2(&mut nothing, &AuthKey::from_bytes(key));
    let mut id = [0; ID_BYTES];
    id.copy_from_slice(&nothing.as_ref()[..ID_BYTES]);
    id
}
