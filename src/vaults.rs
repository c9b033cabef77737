//! A part of the composition root: the sessions of accounts, which drivers need and the database keeps.

use std::{fmt, time::Duration};

use tokio::time::timeout;

use crate::{
    channels::{Kept, KeptSession, Reached, Vault, VaultAway},
    domain::{address::Address, id::ChannelName},
    rehearsal::Rehearsal,
    store::{Store, StoreError, TelegramPerson},
};

/// A look by a primary key.
const VAULT_DEADLINE: Duration = Duration::from_secs(5);

/// The vault of one channel, in the database.
#[derive(Clone)]
pub struct StoredVault {
    pub store: Store,
    pub channel: ChannelName,
}

/// As [`StoredVault`], for a rehearsal: its accounts are signed in to from the beginning.
#[derive(Clone, Debug)]
pub struct RehearsedVault(pub StoredVault);

impl fmt::Debug for StoredVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredVault({})", self.channel)
    }
}

impl Vault for StoredVault {
    fn session(&self) -> Kept<'_, KeptSession> {
        Box::pin(async {
            let sealed = in_time(self.store.read_telegram_session(&self.channel)).await?;
            Ok(sealed.map_or(KeptSession::NobodySignedIn, KeptSession::Sealed))
        })
    }

    fn find<'a>(&'a self, address: &'a Address) -> Kept<'a, Option<Reached>> {
        Box::pin(async move {
            let found = in_time(self.store.find_telegram_person(&self.channel, address)).await?;
            Ok(found
                .map(|TelegramPerson { user_id, access_hash }| Reached { user_id, access_hash }))
        })
    }

    fn remember<'a>(&'a self, people: &'a [(Address, Reached)]) -> Kept<'a, ()> {
        Box::pin(async move {
            let met = people.iter().map(|(address, Reached { user_id, access_hash })| {
                let person = TelegramPerson { user_id: *user_id, access_hash: *access_hash };
                (address.clone(), person)
            });
            let met: Vec<_> = met.collect();
            in_time(self.store.remember_telegram_people(&self.channel, &met)).await
        })
    }

    fn is_left_alone<'a>(&'a self, address: &'a Address) -> Kept<'a, bool> {
        Box::pin(async move { in_time(self.store.is_left_alone(address)).await })
    }
}

impl Vault for RehearsedVault {
    fn session(&self) -> Kept<'_, KeptSession> {
        let session = Rehearsal::telegram_session(self.0.channel.as_str());
        Box::pin(async {
            Ok(session.map(Box::new).map_or(KeptSession::NobodySignedIn, KeptSession::Open))
        })
    }

    fn find<'a>(&'a self, address: &'a Address) -> Kept<'a, Option<Reached>> {
        self.0.find(address)
    }

    fn remember<'a>(&'a self, people: &'a [(Address, Reached)]) -> Kept<'a, ()> {
        self.0.remember(people)
    }

    fn is_left_alone<'a>(&'a self, address: &'a Address) -> Kept<'a, bool> {
        self.0.is_left_alone(address)
    }
}

/// A connection to the database that died without a word never answers, and a call of the account waits for this.
async fn in_time<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, VaultAway> {
    match timeout(VAULT_DEADLINE, asked).await {
        Ok(answer) => {
            answer.map_err(|error| VaultAway(format!("{:#}", anyhow::Error::from(error))))
        }
        Err(_) => Err(VaultAway("the database does not answer".to_owned())),
    }
}
