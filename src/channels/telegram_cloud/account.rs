//! The driver: an account that opens, answers and listens.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use grammers_session::storages::MemorySession;
use grammers_tl_types::{enums, functions, types};
use tokio::{
    sync::Mutex,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        connecting::{Unconnectable, credential},
        driver::{Examined, OpeningCall},
        http::Http,
        sayable::{plain_text_by, sayable_by},
        telegram::{TEXT_UNITS_MAX, units},
    },
    connection::{Connection, Unanswered, message_ids},
    peers::{look_up, objection, reach},
    refusals::{KNOWN_KEY, UNREACHABLE},
    sealing::{seal, unseal},
    session::AccountSession,
    vault::{KeptSession, Reached, Vault},
};
use crate::domain::{
    address::Address,
    attempt::{Outcome, OutcomeClass},
    channel::{ChannelSpec, Secret},
    dialogue::ReplyCall,
};

pub struct TelegramCloud {
    api_id: i32,
    pub(super) api_hash: Secret,
    pub(super) phone: Secret,
    /// What stored sessions are encrypted with.
    sealed_by: Secret,
    endpoint: Option<SocketAddr>,
    pub(super) http: Http,
    pub(super) vault: Arc<dyn Vault>,
    open: Mutex<Option<Arc<Account>>>,
    /// Another process may have the account from then on.
    given_up: CancellationToken,
    /// Another process may have it until then.
    not_before: OnceLock<Instant>,
}

/// A connection, and whose it is.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) user_id: i64,
    pub(super) connection: Connection,
}

impl fmt::Debug for TelegramCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TelegramCloud")
    }
}

impl TelegramCloud {
    pub(in crate::channels) fn connect(
        spec: &ChannelSpec,
        secrets: &BTreeMap<String, Secret>,
        http: &Http,
        vault: &Arc<dyn Vault>,
    ) -> Result<Self, Unconnectable> {
        let api_id = credential(secrets, "apiId")?;
        let api_id = api_id.parse().ok().filter(|id| *id > 0);
        let text = |name| credential(secrets, name).map(|text| Secret::new(text.to_owned()));
        let api_hash = text("apiHash")?;
        let given = secrets.get("session");
        if given.is_none() && spec.credentials.contains_key("session") {
            // Whoever signed in with another one would sign in for nobody.
            return Err(Unconnectable::MissingCredential("session"));
        }
        // It is in no database, and so a key that a thief of the database does not have.
        let sealed_by = given.unwrap_or(&api_hash).clone();
        if sealed_by.reveal().trim().is_empty() {
            return Err(Unconnectable::UnusableCredential("session"));
        }
        Ok(Self {
            api_id: api_id.ok_or(Unconnectable::UnusableCredential("apiId"))?,
            phone: text("phone")?,
            api_hash,
            sealed_by,
            endpoint: spec.endpoint.as_deref().map(endpoint).transpose()?,
            http: http.clone(),
            vault: Arc::clone(vault),
            open: Mutex::default(),
            given_up: CancellationToken::new(),
            not_before: OnceLock::new(),
        })
    }

    pub(in crate::channels) async fn open(&self, call: &OpeningCall<'_>) -> Outcome {
        let text = match plain_text_by(call.message, TEXT_UNITS_MAX, units) {
            Ok(text) => text,
            Err(refused) => return refused,
        };
        let until = self.http.deadline();
        let account = match self.account().await {
            Ok(account) => account,
            Err(outcome) => return outcome,
        };
        let outcome = self.open_by(&account, call.address, text, call.key, until).await;
        self.leave_if_refused(&account, &outcome).await;
        outcome
    }

    async fn open_by(
        &self,
        Account { connection, .. }: &Account,
        address: &Address,
        text: &str,
        key: i64,
        until: Instant,
    ) -> Outcome {
        // A name may have passed to somebody else since the account last met its owner.
        let reached = if is_asked_for(address) {
            look_up(connection, &*self.vault, address, until).await
        } else {
            reach(connection, &*self.vault, address, until).await
        };
        let reached = match reached {
            Ok(reached) => reached,
            Err(outcome) => return outcome,
        };
        // Who hides their number and asked to be left alone has asked under another name than the audience has.
        let by_id = reached.address().filter(|by_id| by_id != address);
        if let Some(by_id) = &by_id {
            match self.vault.is_left_alone(by_id).await {
                Ok(false) => {}
                Ok(true) => {
                    let words = "the person is not to be written to, whom the account knows by another address";
                    let outcome = Outcome::of(OutcomeClass::RecipientPermanent, words);
                    return Outcome { known_as: vec![by_id.clone()], ..outcome };
                }
                Err(away) => return Outcome::of(OutcomeClass::NotSent, away.to_string()),
            }
        }
        if let Some(outcome) = objection(connection, reached, until).await {
            return outcome;
        }
        let outcome = match send(connection, reached, text, key, until).await {
            Ok(outcome) => outcome,
            Err(failed) => failed.of_message(),
        };
        // Who may have it may answer, and does so under their number.
        let has_it = matches!(outcome.class, OutcomeClass::Sent | OutcomeClass::InDoubt);
        let known_as = by_id.filter(|_| has_it).into_iter().collect();
        Outcome { known_as, ..outcome }
    }

    pub(in crate::channels) async fn reply(&self, call: &ReplyCall<'_>) -> Outcome {
        // Nothing can be attached to a message: its key is what comes back.
        let ReplyCall { peer, text, key, reference: _ } = *call;
        let text = match sayable_by(text, TEXT_UNITS_MAX, units) {
            Ok(text) => text,
            Err(refused) => return refused,
        };
        let until = self.http.deadline();
        let account = match self.account().await {
            Ok(account) => account,
            Err(outcome) => return outcome,
        };
        let mut outcome = self.reply_by(&account, peer, text, key, until).await;
        if outcome.class == OutcomeClass::OpeningsBlocked {
            // Who may not even answer may write to nobody.
            outcome.class = OutcomeClass::ChannelBlocked;
        }
        self.leave_if_refused(&account, &outcome).await;
        outcome
    }

    async fn reply_by(
        &self,
        Account { connection, .. }: &Account,
        peer: &Address,
        text: &str,
        key: i64,
        until: Instant,
    ) -> Outcome {
        let reached = match reach(connection, &*self.vault, peer, until).await {
            Ok(reached) => reached,
            Err(outcome) => return outcome,
        };
        match send(connection, reached, text, key, until).await {
            Ok(outcome) => outcome,
            // What is remembered of them is of no use any more, and they may be looked up.
            Err(failed) if failed.is(UNREACHABLE) && is_asked_for(peer) => {
                let again = match look_up(connection, &*self.vault, peer, until).await {
                    Ok(again) if again != reached => again,
                    Ok(_) => return failed.of_message(),
                    Err(outcome) => return outcome,
                };
                let sent = send(connection, again, text, key, until).await;
                sent.unwrap_or_else(|failed| failed.of_message())
            }
            Err(failed) => failed.of_message(),
        }
    }

    pub(in crate::channels) async fn show_typing(
        &self,
        peer: &Address,
        last_received: Option<&str>,
    ) {
        let until = self.http.sign_deadline();
        let Ok(account) = self.account().await else { return };
        let connection = &account.connection;
        // Nobody is looked up for a sign.
        let Ok(Some(reached)) = self.vault.find(peer).await else { return };
        let peer = reached.peer();
        if let Some(max_id) = last_received.and_then(|id| id.parse().ok()) {
            let seen = functions::messages::ReadHistory { peer: peer.clone(), max_id };
            drop(connection.call_aside(&seen, until).await);
        }
        let action = enums::SendMessageAction::SendMessageTypingAction;
        let typing = functions::messages::SetTyping { peer, top_msg_id: None, action };
        drop(connection.call_aside(&typing, until).await);
    }

    /// Asks Telegram who the account is: nobody, where the session has ended.
    pub(in crate::channels) async fn examine(&self) -> Examined {
        let until = self.http.deadline();
        let account = match self.account().await {
            Ok(account) => account,
            Err(outcome) => return Examined::of(outcome),
        };
        let request = functions::users::GetUsers { id: vec![enums::InputUser::UserSelf] };
        let outcome = match account.connection.call(&request, until).await {
            Ok(_) => Outcome::sent(None),
            Err(failed) => failed.of_other_call(),
        };
        self.leave_if_refused(&account, &outcome).await;
        Examined::of(outcome)
    }

    /// Ends the connection, and has no other: two with one key from two places cost the account its session.
    pub(in crate::channels) fn give_up(&self) {
        self.given_up.cancel();
    }

    pub(in crate::channels) fn is_given_up(&self) -> bool {
        self.given_up.is_cancelled()
    }

    /// Has no connection before `until`: whoever had the account may have one.
    pub(in crate::channels) fn hold_off(&self, until: Instant) {
        // Only who made the driver says so, and once.
        let _ = self.not_before.set(until);
    }

    /// Waits until there may be a connection.
    pub(super) async fn held_off(&self) {
        if let Some(until) = self.not_before.get() {
            sleep_until(*until).await;
        }
    }

    /// The connection, with the session as it is kept where there is none.
    pub(super) async fn account(&self) -> Result<Arc<Account>, Outcome> {
        if self.is_given_up() {
            let words = "the account was given up with its lane";
            return Err(Outcome::of(OutcomeClass::NotSent, words));
        }
        let held_off = self.not_before.get();
        let held_off = held_off.and_then(|until| until.checked_duration_since(Instant::now()));
        if let Some(after) = held_off.filter(|after| !after.is_zero()) {
            let words = "the process that had the account before may be connected still";
            let outcome = Outcome::of(OutcomeClass::NotSent, words);
            return Err(Outcome { after: Some(after), ..outcome });
        }
        let mut open = self.open.lock().await;
        if let Some(account) = open.as_ref().filter(|account| !account.connection.is_closed()) {
            return Ok(Arc::clone(account));
        }
        let session = self.session().await?;
        let connection = self.connection(session.unpacked(self.endpoint));
        let account = Arc::new(Account { user_id: session.user_id, connection });
        *open = Some(Arc::clone(&account));
        Ok(account)
    }

    pub(super) async fn session(&self) -> Result<AccountSession, Outcome> {
        let kept = self.vault.session().await;
        match kept.map_err(|away| Outcome::of(OutcomeClass::NotSent, away.to_string()))? {
            KeptSession::Open(session) => Ok(*session),
            KeptSession::Sealed(sealed) => {
                let sealed_by = self.sealed_by.clone();
                // Slow on purpose, and others wait for this thread.
                let session = spawn_blocking(move || unseal(&sealed, &sealed_by)).await;
                let session = session
                    .map_err(|error| Outcome::of(OutcomeClass::NotSent, error.to_string()))?;
                session.map_err(|why| {
                    let words = format!("{why}; `nuncio channel login` begins a new session");
                    Outcome::of(OutcomeClass::CredentialRefused, words)
                })
            }
            KeptSession::NobodySignedIn => {
                let words = "nobody has signed in to the account; `nuncio channel login` does";
                Err(Outcome::of(OutcomeClass::CredentialRefused, words))
            }
        }
    }

    /// As the database is to keep it.
    pub(super) fn seal(&self, session: &AccountSession) -> Result<Vec<u8>, String> {
        seal(session, &self.sealed_by).map_err(|why| why.to_string())
    }

    /// A connection of nobody.
    pub(super) fn stranger(&self) -> Connection {
        self.connection(super::session::blank(self.endpoint).into())
    }

    pub(super) fn api_id(&self) -> i32 {
        self.api_id
    }

    pub(super) fn connection(&self, session: MemorySession) -> Connection {
        Connection::new(session, self.api_id, self.endpoint, self.given_up.clone())
    }

    pub(super) fn deadline(&self) -> Instant {
        self.http.deadline()
    }

    pub(super) fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint
    }

    /// Whose session is refused begins anew, with the one that is kept then.
    pub(super) async fn leave_if_refused(&self, account: &Arc<Account>, outcome: &Outcome) {
        use OutcomeClass::{ChannelBlocked, CredentialRefused};
        if !matches!(outcome.class, CredentialRefused | ChannelBlocked) {
            return;
        }
        let mut open = self.open.lock().await;
        if open.as_ref().is_some_and(|now| Arc::ptr_eq(now, account)) {
            *open = None;
        }
    }
}

/// One message, once: Telegram drops another one with the same key.
async fn send(
    connection: &Connection,
    reached: Reached,
    text: &str,
    key: i64,
    until: Instant,
) -> Result<Outcome, Unanswered> {
    let request = functions::messages::SendMessage {
        no_webpage: false,
        silent: false,
        background: false,
        clear_draft: false,
        noforwards: false,
        update_stickersets_order: false,
        invert_media: false,
        allow_paid_floodskip: false,
        peer: reached.peer(),
        reply_to: None,
        message: text.to_owned(),
        random_id: key,
        reply_markup: None,
        entities: None,
        schedule_date: None,
        schedule_repeat_period: None,
        send_as: None,
        quick_reply_shortcut: None,
        effect: None,
        allow_paid_stars: None,
        suggested_post: None,
        rich_message: None,
    };
    let told = match connection.call(&request, until).await {
        // It has the message of an earlier call, and does not say under which number.
        Err(failed) if failed.is(KNOWN_KEY) => return Ok(Outcome::sent(None)),
        told => told?,
    };
    let number = match &told {
        enums::Updates::UpdateShortSentMessage(sent) => Some(sent.id),
        told => {
            let ids = message_ids(told);
            let ours = |told: &&types::UpdateMessageId| told.random_id == key;
            ids.iter().find(ours).map(|told| told.id)
        }
    };
    if let Some(number) = number {
        connection.note_key(number, key);
    }
    Ok(Outcome::sent(number.map(|number| number.to_string())))
}

/// A person of an audience is asked for by name or number; others the account has met, or nobody finds them.
fn is_asked_for(address: &Address) -> bool {
    address.as_str().starts_with(['@', '+'])
}

/// One address for all data centres: Telegram's test servers, or a rehearsal's.
fn endpoint(text: &str) -> Result<SocketAddr, Unconnectable> {
    let address = text.strip_prefix("tcp://").map(|rest| rest.trim_end_matches('/'));
    let address = address.and_then(|address| address.parse().ok());
    address.ok_or(Unconnectable::BadEndpoint("not `tcp://ADDRESS:PORT`, with an IP address"))
}
