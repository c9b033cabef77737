//! A vault in memory, with the session of a rehearsal's account, or any other.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use super::super::{Kept, KeptSession, Reached, Vault};
use crate::{domain::address::Address, rehearsal::Rehearsal};

/// Its clones keep the same things, as two processes do before one database.
#[derive(Clone, Debug)]
pub(super) struct MemoryVault {
    session: Arc<Mutex<KeptSession>>,
    people: Arc<Mutex<HashMap<Address, Reached>>>,
    left_alone: Arc<Mutex<HashSet<Address>>>,
}

impl MemoryVault {
    pub(super) fn of(channel: &str) -> Self {
        let session = Rehearsal::telegram_session(channel);
        let session = session.map(Box::new).map_or(KeptSession::NobodySignedIn, KeptSession::Open);
        let session = Arc::new(Mutex::new(session));
        Self { session, people: Arc::default(), left_alone: Arc::default() }
    }

    pub(super) fn keep(&self, session: KeptSession) {
        *self.session.lock().unwrap() = session;
    }

    pub(super) fn leave_alone(&self, address: Address) {
        self.left_alone.lock().unwrap().insert(address);
    }

    /// Has every hash be one of another account.
    pub(super) fn spoil(&self) {
        for reached in self.people.lock().unwrap().values_mut() {
            reached.access_hash ^= 1;
        }
    }
}

impl Vault for MemoryVault {
    fn session(&self) -> Kept<'_, KeptSession> {
        Box::pin(async { Ok(self.session.lock().unwrap().clone()) })
    }

    fn find<'a>(&'a self, address: &'a Address) -> Kept<'a, Option<Reached>> {
        Box::pin(async { Ok(self.people.lock().unwrap().get(address).copied()) })
    }

    fn remember<'a>(&'a self, people: &'a [(Address, Reached)]) -> Kept<'a, ()> {
        Box::pin(async {
            self.people.lock().unwrap().extend(people.iter().cloned());
            Ok(())
        })
    }

    fn is_left_alone<'a>(&'a self, address: &'a Address) -> Kept<'a, bool> {
        Box::pin(async { Ok(self.left_alone.lock().unwrap().contains(address)) })
    }
}
