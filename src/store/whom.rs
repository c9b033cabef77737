//! Whom an operator means: a person by their addresses wherever they write, or by the name that the system behind
//! one `api` channel gave them.

use super::{connect::Store, encoding::parsed, error::StoreError};
use crate::domain::{address::Address, id::ChannelName};

/// A person, as an operator names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// By any of these, and by all that are known to be the same person's.
    Everywhere(Vec<Address>),
    /// By a name that means nobody, or somebody else, on any other channel.
    On { channel: ChannelName, name: Address },
}

/// Where a name means somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The `api` channels whose systems gave it to a person.
    pub given_on: Vec<ChannelName>,
    /// It is an address of somebody who is known otherwise.
    pub elsewhere: bool,
}

impl Whom {
    /// The addresses under which it is kept that nothing may be said to the person.
    pub(super) fn kept_as(&self) -> Vec<String> {
        match self {
            Self::Everywhere(addresses) => addresses.iter().map(Address::to_string).collect(),
            Self::On { channel, name } => vec![name.on(channel).to_string()],
        }
    }

    /// The channel outside of which nothing is the person's.
    pub(super) fn channel(&self) -> Option<&str> {
        match self {
            Self::Everywhere(_) => None,
            Self::On { channel, .. } => Some(channel.as_str()),
        }
    }
}

impl Store {
    /// Where `name` means somebody: as a name that a system gave, and as one of these addresses.
    pub async fn find_whereabouts(
        &self,
        name: &str,
        addresses: &[Address],
    ) -> Result<Whereabouts, StoreError> {
        let known = self.known_addresses(addresses).await?;
        let known: Vec<String> = known.iter().map(Address::to_string).collect();
        let given_on = sqlx::query_scalar!(
            "SELECT r.name FROM resources r
            WHERE r.kind = 'Channel' AND r.fields->>'kind' = 'api' AND (
                EXISTS (SELECT FROM dialogues d WHERE d.channel = r.name AND d.peer = $1)
                OR is_suppressed(r.name || '/' || $1, ''))
            ORDER BY r.name",
            name
        )
        .fetch_all(&self.pool)
        .await?;
        let elsewhere = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM dialogues WHERE peer = ANY ($1) AND channel <> ALL ($2))
                OR EXISTS (SELECT FROM contacts WHERE address = ANY ($1))
                OR EXISTS (SELECT FROM unnest($1::text[]) known WHERE is_suppressed(known, '')) AS "elsewhere!""#,
            &known,
            &given_on
        )
        .fetch_one(&self.pool)
        .await?;
        let given_on = given_on.iter().map(|name| parsed(name)).collect::<Result<_, _>>()?;
        Ok(Whereabouts { given_on, elsewhere })
    }

    /// Whether people of a channel have the names that the system behind it gives them; `None` where there is no such
    /// channel.
    pub async fn gives_names(&self, channel: &ChannelName) -> Result<Option<bool>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT fields->>'kind' = 'api' AS "gives!" FROM resources WHERE kind = 'Channel' AND name = $1"#,
            channel.as_str()
        )
        .fetch_optional(&self.pool)
        .await?)
    }
}
