//! Whom an argument means: by an address, or by the name that the system behind an `api` channel gave them.

use super::failure::{Ambiguous, BadArgument, NotFound};
use crate::{
    domain::{address::Address, id::ChannelName},
    store::{Store, Whereabouts, Whom},
};

/// A person, as arguments name them.
#[derive(clap::Args, Debug)]
pub(super) struct PersonArgs {
    /// The person: a phone, `@name`, VKontakte id, or an id as `nuncio dialogues` shows it
    // An id of a community begins with a minus.
    #[arg(value_name = "PERSON", allow_negative_numbers = true)]
    person: String,
    /// The `api` channel whose system gave the person this name, where it may mean another
    #[arg(long, value_name = "NAME")]
    channel: Option<ChannelName>,
}

impl PersonArgs {
    pub(super) async fn find(&self, store: &Store) -> anyhow::Result<Whom> {
        find(store, &self.person, self.channel.as_ref()).await
    }
}

/// Whom the words mean; an error where they mean nobody, or several.
pub(super) async fn find(
    store: &Store,
    text: &str,
    channel: Option<&ChannelName>,
) -> anyhow::Result<Whom> {
    let text = text.trim();
    // As a list of who is suppressed shows a name that is a channel's own.
    if let (None, Some((on, name))) = (channel, text.split_once('/'))
        && let (Ok(channel), Some(name)) = (on.parse::<ChannelName>(), Address::of_given_name(name))
        && store.gives_names(&channel).await? == Some(true)
    {
        return Ok(Whom::On { channel, name });
    }
    let addresses = Address::parse_person(text);
    let given = Address::of_given_name(text).filter(|name| !name.is_the_same_everywhere());
    if let Some(channel) = channel {
        let Some(gives) = store.gives_names(channel).await? else {
            return Err(NotFound::channel(channel, &store.list_channel_names().await?).into());
        };
        return Ok(match given {
            Some(name) if gives => Whom::On { channel: channel.clone(), name },
            _ => Whom::Everywhere(addresses?),
        });
    }
    let Some(name) = given else { return Ok(Whom::Everywhere(addresses?)) };
    let known = addresses.as_deref().unwrap_or_default();
    let Whereabouts { given_on, elsewhere } = store.find_whereabouts(name.as_str(), known).await?;
    match (given_on.as_slice(), elsewhere && !known.is_empty()) {
        ([], _) => Ok(Whom::Everywhere(addresses.map_err(|_| BadArgument(nobody(text)))?)),
        ([channel], false) => Ok(Whom::On { channel: channel.clone(), name }),
        (channels, elsewhere) => Err(several(text, channels, elsewhere).into()),
    }
}

fn nobody(text: &str) -> String {
    format!(
        "`{text}` is no address, and no system behind an `api` channel calls anybody so: write a phone with its \
        country code, a Telegram `@name`, a VKontakte id, or an id as `nuncio dialogues` shows it on a terminal"
    )
}

fn several(text: &str, channels: &[ChannelName], elsewhere: bool) -> Ambiguous {
    let named: Vec<String> = channels.iter().map(|channel| format!("`{channel}`")).collect();
    let other = if elsewhere { ", and of whoever has it for an address" } else { "" };
    let first = channels.first().map_or("NAME", ChannelName::as_str);
    let rest = if elsewhere { ", or any other channel for the address" } else { "" };
    Ambiguous {
        what: format!(
            "`{text}` may be several people: it is the name of somebody on {}{other}",
            named.join(", on ")
        ),
        hint: format!("say whose person it is, such as --channel {first}{rest}"),
    }
}
