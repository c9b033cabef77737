//! What an account has to find again after a restart: its session, and by what it reaches people.

use std::{fmt, future::Future, pin::Pin};

use super::session::AccountSession;
use crate::domain::address::Address;

/// Whatever keeps it may be away.
pub type Kept<'a, T> = Pin<Box<dyn Future<Output = Result<T, VaultAway>> + Send + 'a>>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct VaultAway(pub String);

/// Where the session of a channel's account is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptSession {
    Sealed(Vec<u8>),
    /// Of a rehearsal, whose accounts are nobody's.
    Open(Box<AccountSession>),
    NobodySignedIn,
}

/// A user of Telegram, as one account may call them: the hash is worth nothing to another account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    pub user_id: i64,
    pub access_hash: i64,
}

/// Where one channel's session is kept, and the people that its account has met. The room of channels does not
/// know of the database.
pub trait Vault: Send + Sync + fmt::Debug {
    fn session(&self) -> Kept<'_, KeptSession>;
    /// Whom the account reaches by this address.
    fn find<'a>(&'a self, address: &'a Address) -> Kept<'a, Option<Reached>>;
    fn remember<'a>(&'a self, people: &'a [(Address, Reached)]) -> Kept<'a, ()>;
    /// Whether whoever has this address is not to be written to by anybody.
    fn is_left_alone<'a>(&'a self, address: &'a Address) -> Kept<'a, bool>;
}

/// For whoever has no database at hand.
#[derive(Clone, Copy, Debug)]
pub struct NoVault;

impl Vault for NoVault {
    fn session(&self) -> Kept<'_, KeptSession> {
        let words = "its session is in the database, which is not asked here";
        Box::pin(async move { Err(VaultAway(words.to_owned())) })
    }

    fn find<'a>(&'a self, _: &'a Address) -> Kept<'a, Option<Reached>> {
        Box::pin(async { Ok(None) })
    }

    fn remember<'a>(&'a self, _: &'a [(Address, Reached)]) -> Kept<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn is_left_alone<'a>(&'a self, _: &'a Address) -> Kept<'a, bool> {
        Box::pin(async { Ok(false) })
    }
}
