//! Receiving by asking: which chats changed, and what was said in them.
//!
//! The cursor is a place in time: everything before it was told. Chats that changed about then are kept with the last
//! message that was read of each, because Avito's times are whole seconds, and a chat may appear in the list later
//! than another that is younger. Where more chats changed than a round reads, the place stays until all were read.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{
    super::{
        answer::nothing_was_sent,
        driver::Polled,
        reading::{id, integer},
    },
    account::Avito,
    api::Version,
    errors::Refused,
    message::{Side, read_message},
};
use crate::domain::{attempt::Outcome, dialogue::Received};

/// Avito has nothing that waits for the next message: a round looks again and again for so long.
const WAIT: Duration = Duration::from_secs(25);
/// Twelve looks a minute. How many calls an account has is told nowhere.
const PAUSE: Duration = Duration::from_secs(5);

/// How late a chat may appear in the list.
const OVERLAP_SECONDS: i64 = 60;

/// So often a chat that changed is asked for, a look apart.
const REFUSED_MAX: u8 = 5;

const PAGE: usize = 100;
/// Avito shows no page that begins later.
const OFFSET_MAX: usize = 1_000;

/// Chats that one round reads: what was read is stored before the next.
const CHATS_MAX: usize = 20;

/// Chats of the account with people, about an ad or the seller. Without it only the first kind is shown.
const CHAT_TYPES: &str = "u2i,u2u";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// By Avito's clock, in seconds. Nothing was said before where there is no chat.
    since: i64,
    /// The last message that was read, by chat.
    #[serde(default)]
    read: BTreeMap<String, String>,
    /// How often a chat was refused since it changed.
    #[serde(default)]
    refused: BTreeMap<String, u8>,
}

#[derive(Deserialize)]
struct Chats {
    #[serde(default)]
    chats: Vec<Value>,
}

/// A chat of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chat {
    id: String,
    changed: i64,
    last_message: String,
}

struct Page {
    chats: Vec<Chat>,
    is_last: bool,
}

/// By its documentation a bare list, in truth an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Messages {
    Bare(Vec<Value>),
    Named { messages: Vec<Value> },
}

impl Avito {
    /// One round. Without a cursor it only finds out where "now" is.
    pub(in crate::channels) async fn poll(&self, cursor: Option<&str>) -> Result<Polled, Outcome> {
        // A cursor that is none of this version's can only be begun anew.
        let cursor = cursor.and_then(|text| serde_json::from_str::<Cursor>(text).ok());
        let polled = match cursor {
            None => self.begin().await,
            Some(cursor) => self.look(cursor).await,
        };
        polled.map_err(nothing_was_sent)
    }

    async fn begin(&self) -> Result<Polled, Outcome> {
        let Page { chats, is_last: _ } = self.page_of_chats(0).await?;
        let mut cursor = Cursor::default();
        cursor.read.extend(chats.iter().map(|chat| (chat.id.clone(), chat.last_message.clone())));
        cursor.move_to(&chats);
        Ok(polled(Vec::new(), &cursor, &json!(null)))
    }

    async fn look(&self, mut cursor: Cursor) -> Result<Polled, Outcome> {
        let until = Instant::now() + self.api.http.pause(WAIT);
        let (chats, mut changed) = loop {
            let chats = self.chats_since(cursor.floor()).await?;
            let changed = cursor.changed(&chats);
            if !changed.is_empty() || Instant::now() >= until {
                break (chats, changed);
            }
            sleep(self.api.http.pause(PAUSE)).await;
        };
        // The oldest first: what is left for the next round has waited for the shortest time.
        changed.sort_by(|one, other| (one.changed, &one.id).cmp(&(other.changed, &other.id)));
        let left = changed.split_off(changed.len().min(CHATS_MAX));
        let (mut received, mut raw) = (Vec::new(), serde_json::Map::new());
        let mut failed: Option<Refused> = None;
        for chat in changed {
            let messages = match self.messages_since(&chat, &cursor).await {
                Ok(messages) => messages,
                // The others have nothing to do with it, and it may be known to Avito's list before it is to itself.
                Err(refused) if refused.is_the_chats() => {
                    let n = cursor.refused.entry(chat.id.clone()).or_default();
                    *n += 1;
                    if *n >= REFUSED_MAX {
                        let why = &refused.outcome.reason;
                        warn!("a chat of an Avito account is not read, words may be missed: {why}");
                        // What is said next in it has tries of its own.
                        cursor.refused.remove(&chat.id);
                        cursor.read.insert(chat.id, chat.last_message);
                    }
                    continue;
                }
                // One that breaks the service must not keep it from the next; a second failure is no chat's.
                Err(refused) => {
                    let is_the_first = failed.is_none() && refused.may_be_the_chats();
                    failed.get_or_insert(refused);
                    if is_the_first {
                        continue;
                    }
                    break;
                }
            };
            received.extend(messages.iter().filter_map(|message| self.read(message, &chat.id)));
            raw.insert(chat.id.clone(), Value::Array(messages));
            cursor.refused.remove(&chat.id);
            cursor.read.insert(chat.id, chat.last_message);
        }
        match failed {
            // What was read is not asked for again.
            Some(_) if !raw.is_empty() => {}
            Some(refused) => return Err(refused.of_account()),
            None if left.is_empty() => cursor.move_to(&chats),
            None => {}
        }
        if raw.is_empty() {
            sleep(self.api.http.pause(PAUSE)).await;
        }
        Ok(polled(received, &cursor, &Value::Object(raw)))
    }

    fn read(&self, message: &Value, chat: &str) -> Option<Received> {
        let side = match message.get("direction").and_then(Value::as_str) {
            Some("out") => Side::Ours,
            None if id(message.get("author_id")).as_deref() == Some(&self.api.user_id) => {
                Side::Ours
            }
            _ => Side::Theirs,
        };
        read_message(message, chat, side)
    }

    /// Every chat that changed since then, as far as Avito shows any.
    async fn chats_since(&self, floor: i64) -> Result<Vec<Chat>, Outcome> {
        let mut all: Vec<Chat> = Vec::new();
        let mut offset = 0;
        loop {
            let Page { chats, is_last } = self.page_of_chats(offset).await?;
            let reaches_back = chats.iter().any(|chat| chat.changed < floor);
            // One that changes meanwhile moves to the front, and what was before it is told twice.
            all.extend(chats.into_iter().filter(|chat| chat.changed >= floor));
            offset += PAGE;
            if is_last || reaches_back {
                return Ok(all);
            }
            if offset > OFFSET_MAX {
                warn!(
                    "messages of an Avito account may be missed: more chats changed than it shows"
                );
                return Ok(all);
            }
        }
    }

    /// Those that changed last come first.
    async fn page_of_chats(&self, offset: usize) -> Result<Page, Outcome> {
        let mut url = self.api.account_url(Version::V2, &["chats"]);
        url.query_pairs_mut()
            .append_pair("chat_types", CHAT_TYPES)
            .append_pair("limit", &PAGE.to_string())
            .append_pair("offset", &offset.to_string());
        let request = self.api.http.get(url);
        let Chats { chats } = self.api.ask(request, self.api.http.deadline()).await?;
        let is_last = chats.len() < PAGE;
        Ok(Page { chats: chats.iter().filter_map(read_chat).collect(), is_last })
    }

    /// What was said in a chat and not read yet, in its order.
    async fn messages_since(&self, chat: &Chat, cursor: &Cursor) -> Result<Vec<Value>, Refused> {
        let read = cursor.read.get(&chat.id);
        let is_read = |message: &Value| {
            let is_last_read = read.is_some() && id(message.get("id")).as_ref() == read;
            is_last_read || integer(message.get("created")).is_some_and(|at| at < cursor.floor())
        };
        let mut new = Vec::new();
        for offset in (0..=OFFSET_MAX).step_by(PAGE) {
            let page = self.page_of_messages(&chat.id, offset).await?;
            let is_last = page.len() < PAGE;
            let n_new = page.iter().position(is_read);
            new.extend(page.into_iter().take(n_new.unwrap_or(PAGE)));
            if is_last || n_new.is_some() {
                break;
            }
        }
        new.reverse();
        Ok(new)
    }

    /// The youngest first.
    async fn page_of_messages(&self, chat: &str, offset: usize) -> Result<Vec<Value>, Refused> {
        let mut url = self.api.account_url(Version::V3, &["chats", chat, "messages", ""]);
        url.query_pairs_mut()
            .append_pair("limit", &PAGE.to_string())
            .append_pair("offset", &offset.to_string());
        let told = self.api.call(self.api.http.get(url), self.api.http.deadline()).await?;
        let (Messages::Bare(messages) | Messages::Named { messages }) = told;
        Ok(messages)
    }
}

impl Cursor {
    /// From here on a chat may have changed unseen.
    fn floor(&self) -> i64 {
        self.since.saturating_sub(OVERLAP_SECONDS)
    }

    fn changed(&self, chats: &[Chat]) -> Vec<Chat> {
        let is_new = |chat: &&Chat| self.read.get(&chat.id) != Some(&chat.last_message);
        let mut changed: Vec<Chat> = chats.iter().filter(is_new).cloned().collect();
        // One that moved from page to page is there twice.
        let mut seen = std::collections::BTreeSet::new();
        changed.retain(|chat| seen.insert(chat.id.clone()));
        changed
    }

    /// All chats of the list were read.
    fn move_to(&mut self, chats: &[Chat]) {
        let last = chats.iter().map(|chat| chat.changed).max();
        self.since = self.since.max(last.unwrap_or_default());
        let floor = self.floor();
        let recent = |id: &String| chats.iter().any(|chat| chat.id == *id && chat.changed >= floor);
        self.read.retain(|id, _| recent(id));
        self.refused.retain(|id, _| recent(id));
    }
}

/// `None` for a chat in which nothing was said.
fn read_chat(chat: &Value) -> Option<Chat> {
    let last = chat.get("last_message")?;
    let changed = [integer(chat.get("updated")), integer(last.get("created"))];
    Some(Chat {
        id: id(chat.get("id"))?,
        changed: changed.into_iter().flatten().max()?,
        last_message: id(last.get("id"))?,
    })
}

fn polled(received: Vec<Received>, cursor: &Cursor, raw: &Value) -> Polled {
    let cursor = serde_json::to_string(cursor).expect("texts and numbers can be written as JSON");
    Polled { received, cursor, raw: raw.to_string().into_bytes() }
}
