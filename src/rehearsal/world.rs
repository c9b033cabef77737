//! What the fake providers share: the options, the journal, and how a call meets its fault.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    acquaintances::Acquaintances,
    answers::follow,
    avito::Seller,
    faults::{self, Fault},
    journal::{Call, Entry, Journal, Verdict},
    resumption::{Resumed, Unfinished, resume},
    server::Options,
    strangers::introduce,
    stream::{Stream, Streams},
    telegram::{Bot, Bots},
    telegram_cloud::Names,
    vk::Community,
};
use crate::domain::kind::ChannelKind;

/// Numbers that were looked up and never written to must not pile up; to forget them all costs
/// a note in the journal.
const LOOKED_UP_MAX: usize = 100_000;

/// The messages of ours that people think about at once. To whom one more is sent, does not answer:
/// a rehearsal of a million openings is about the sending.
pub(super) const FOLLOWED_MAX: usize = 10_000;

pub(super) struct World {
    options: Options,
    address: SocketAddr,
    tracker: TaskTracker,
    journal: Mutex<Journal>,
    people: Mutex<Acquaintances>,
    streams: Mutex<Streams>,
    /// Wakes whoever waits at the long poll.
    streamed: Notify,
    /// The phone number's id, or the session, that a channel called with last.
    accounts: Mutex<HashMap<String, String>>,
    push_target: watch::Sender<Option<String>>,
    /// Where the providers bring the webhooks of channels, where they were told by a call.
    hooks: Mutex<HashMap<String, Hook>>,
    /// The settings of the communities of VKontakte, by channel.
    communities: Mutex<HashMap<String, Community>>,
    /// The accounts of Avito, by channel.
    sellers: Mutex<HashMap<String, Seller>>,
    /// The channels whose strangers have begun to write.
    met: Mutex<HashSet<String>>,
    bots: Mutex<Bots>,
    /// The names that accounts of Telegram have looked up.
    names: Mutex<Names>,
    /// The channels whose account of Telegram nobody is signed in to any more.
    signed_out: Mutex<HashSet<String>>,
    followed: Arc<Semaphore>,
    /// The numbers that were looked up and not yet written to, by channel.
    looked_up: Mutex<HashSet<(String, String)>>,
    /// The talks that the journal leaves open, until they go on.
    resumed: Mutex<Vec<Resumed>>,
    shutdown: CancellationToken,
}

/// Where a provider was told to bring webhooks.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) url: String,
    /// By which it proves who it is, where it was given one.
    pub(super) secret: Option<String>,
}

/// What became of a call that the provider found in order.
pub(super) enum Served {
    Delivered(Entry),
    /// The key is known: the message of then is answered again.
    Repeated(Entry),
    Fault(Fault),
}

impl World {
    pub(super) fn open(
        options: Options,
        address: SocketAddr,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) -> io::Result<Self> {
        let (mut people, mut streams) = (Acquaintances::default(), Streams::default());
        let mut unfinished = Unfinished::default();
        let journal = Journal::open(options.journal.as_deref(), |entry| {
            let turn = people.learn(entry);
            unfinished.note(entry, turn);
            streams.append(entry);
        })?;
        Ok(Self {
            options,
            address,
            tracker,
            journal: Mutex::new(journal),
            people: Mutex::new(people),
            streams: Mutex::new(streams),
            streamed: Notify::new(),
            accounts: Mutex::default(),
            push_target: watch::Sender::new(None),
            hooks: Mutex::default(),
            communities: Mutex::default(),
            sellers: Mutex::default(),
            met: Mutex::default(),
            bots: Mutex::default(),
            names: Mutex::default(),
            signed_out: Mutex::default(),
            followed: Arc::new(Semaphore::new(FOLLOWED_MAX)),
            looked_up: Mutex::default(),
            resumed: Mutex::new(unfinished.into_talks()),
            shutdown,
        })
    }

    /// The account's fault, which comes before anything is looked at. It is noted by the caller.
    pub(super) fn account_fault(&self, channel: &str) -> Option<Fault> {
        self.options.faults.then(|| faults::of_account(channel)).flatten()
    }

    pub(super) fn refuse(&self, call: &Call, why: impl Into<String>) -> io::Result<()> {
        self.append(&mut self.journal(), call, Verdict::Refused(why.into()), None).map(drop)
    }

    /// Whether one of these faults meets the call, and notes it as a refusal.
    pub(super) fn refused_by_fault(&self, call: &Call, of: &[Fault]) -> io::Result<Option<Fault>> {
        let mut journal = self.journal();
        let Some((fault, ending)) = self.due_fault(&journal, call, of) else { return Ok(None) };
        let verdict = Verdict::Refused(fault.to_string());
        self.append(&mut journal, call, verdict, Some(ending))?;
        Ok(Some(fault))
    }

    /// Delivers the call once, or drops it as a repeat. Where the answer is to be withheld, this
    /// takes as long as it is.
    pub(super) async fn deliver(self: &Arc<Self>, call: &Call) -> io::Result<Served> {
        let served = self.note_delivery(call)?;
        if let Served::Delivered(entry) = &served {
            self.let_answer(entry);
        }
        let withheld = match &served {
            Served::Delivered(entry) => entry.verdict == Verdict::AnswerWithheld,
            Served::Repeated(_) | Served::Fault(_) => false,
        };
        let length = if withheld { self.options.hang_for } else { self.options.answer_delay };
        self.pause(length).await;
        Ok(served)
    }

    /// Has the news of the message told and the person think of an answer.
    fn let_answer(self: &Arc<Self>, entry: &Entry) {
        let Some(turn) = locked(&self.people).learn(entry) else { return };
        if !self.has_people() {
            return;
        }
        self.let_speak(follow(Arc::clone(self), entry.clone(), turn));
    }

    /// Has somebody speak, if there are not too many already; says whether they do.
    pub(super) fn let_speak(&self, speaking: impl Future<Output = ()> + Send + 'static) -> bool {
        let Ok(permit) = Arc::clone(&self.followed).try_acquire_owned() else { return false };
        self.tracker.spawn(async move {
            speaking.await;
            drop(permit);
        });
        true
    }

    /// Whoever was interrupted by the end of an earlier run goes on.
    pub(super) fn go_on(self: &Arc<Self>) {
        let talks = std::mem::take(&mut *locked(&self.resumed));
        if self.has_people() {
            self.tracker.spawn(resume(Arc::clone(self), talks));
        }
    }

    /// A person's words.
    pub(super) fn say(&self, call: &Call) -> io::Result<Entry> {
        let entry = self.append(&mut self.journal(), call, Verdict::Delivered, None)?;
        locked(&self.people).learn(&entry);
        Ok(entry)
    }

    /// A line of the journal that is no message.
    pub(super) fn note(&self, call: &Call) -> io::Result<()> {
        self.note_as(call, Verdict::Delivered)
    }

    pub(super) fn note_as(&self, call: &Call, verdict: Verdict) -> io::Result<()> {
        self.append(&mut self.journal(), call, verdict, None).map(drop)
    }

    /// Waits; `false` where the rehearsal ended first.
    pub(super) async fn pause(&self, length: Duration) -> bool {
        if length.is_zero() {
            return !self.shutdown.is_cancelled();
        }
        tokio::select! {
            () = tokio::time::sleep(length) => true,
            () = self.shutdown.cancelled() => false,
        }
    }

    pub(super) async fn shutdown(&self) {
        self.shutdown.cancelled().await;
    }

    pub(super) fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        (self.options.clock)()
    }

    pub(super) fn has_faults(&self) -> bool {
        self.options.faults
    }

    /// Somebody answers, and webhooks are pushed.
    pub(super) fn has_people(&self) -> bool {
        self.options.people.is_some()
    }

    pub(super) fn person_second(&self) -> Duration {
        self.options.people.unwrap_or_default()
    }

    pub(super) fn has_written(&self, channel: &str, address: &str) -> bool {
        locked(&self.people).has_written(channel, address)
    }

    pub(super) fn window_is_open(&self, call: &Call) -> bool {
        let Ok(kind) = call.provider.parse() else { return false };
        locked(&self.people).window_is_open(kind, &call.channel, &call.address, self.now())
    }

    /// Remembers by which account a channel calls, so that its webhooks can name it.
    pub(super) fn calls_as(&self, channel: &str, account: &str) {
        let mut accounts = locked(&self.accounts);
        if accounts.get(channel).is_none_or(|known| known != account) {
            accounts.insert(channel.to_owned(), account.to_owned());
        }
    }

    pub(super) fn account(&self, channel: &str) -> Option<String> {
        locked(&self.accounts).get(channel).cloned()
    }

    /// Tells a provider where the channel's webhooks go, or that it brings none.
    pub(super) fn set_hook(&self, channel: &str, hook: Option<Hook>) {
        let mut hooks = locked(&self.hooks);
        match hook {
            Some(hook) => drop(hooks.insert(channel.to_owned(), hook)),
            None => drop(hooks.remove(channel)),
        }
    }

    pub(super) fn hook(&self, channel: &str) -> Option<Hook> {
        locked(&self.hooks).get(channel).cloned()
    }

    /// An account that only answers is heard of for the first time: strangers begin to write to it.
    pub(super) fn meet(self: &Arc<Self>, kind: ChannelKind, channel: &str) {
        if self.has_people() && locked(&self.met).insert(channel.to_owned()) {
            self.tracker.spawn(introduce(Arc::clone(self), kind, channel.to_owned()));
        }
    }

    pub(super) fn has_met(&self, channel: &str) -> bool {
        locked(&self.met).contains(channel)
    }

    pub(super) fn push_webhooks_to(&self, base: String) {
        self.push_target.send_replace(Some(base));
    }

    /// Waits until it is known; `None` where the rehearsal ended first.
    pub(super) async fn push_target(&self) -> Option<String> {
        let mut known = self.push_target.subscribe();
        tokio::select! {
            target = known.wait_for(Option::is_some) => target.ok()?.clone(),
            () = self.shutdown.cancelled() => None,
        }
    }

    pub(super) fn long_poll_server(&self, provider: &str, channel: &str) -> String {
        format!("http://{}/{provider}/longpoll/{channel}", self.address)
    }

    pub(super) fn with_community<T>(
        &self,
        channel: &str,
        look: impl FnOnce(&mut Community) -> T,
    ) -> T {
        look(locked(&self.communities).entry(channel.to_owned()).or_default())
    }

    pub(super) fn with_seller<T>(&self, channel: &str, look: impl FnOnce(&mut Seller) -> T) -> T {
        look(locked(&self.sellers).entry(channel.to_owned()).or_default())
    }

    pub(super) fn with_stream<T>(&self, channel: &str, look: impl FnOnce(&mut Stream) -> T) -> T {
        look(locked(&self.streams).of(channel))
    }

    /// What Telegram knows of a bot. No other part of the world may be looked at meanwhile.
    pub(super) fn with_bot<T>(&self, channel: &str, look: impl FnOnce(&mut Bot) -> T) -> T {
        look(locked(&self.bots).of(channel))
    }

    pub(super) fn with_names<T>(&self, look: impl FnOnce(&mut Names) -> T) -> T {
        look(&mut locked(&self.names))
    }

    pub(super) fn sign_in(&self, channel: &str) {
        locked(&self.signed_out).remove(channel);
    }

    pub(super) fn sign_out(&self, channel: &str) {
        locked(&self.signed_out).insert(channel.to_owned());
    }

    pub(super) fn is_signed_out(&self, channel: &str) -> bool {
        locked(&self.signed_out).contains(channel)
    }

    /// Has whoever waits for a message look again.
    pub(super) fn wake(&self) {
        self.streamed.notify_waiters();
    }

    /// Comes after the next message from now on.
    pub(super) fn next_message(&self) -> tokio::sync::futures::Notified<'_> {
        self.streamed.notified()
    }

    pub(super) fn looked_up(&self, call: &Call) {
        let mut numbers = self.numbers();
        if numbers.len() == LOOKED_UP_MAX {
            numbers.clear();
        }
        numbers.insert((call.channel.clone(), call.address.clone()));
    }

    /// A look-up counts for one message.
    pub(super) fn was_looked_up(&self, call: &Call) -> bool {
        self.numbers().remove(&(call.channel.clone(), call.address.clone()))
    }

    pub(super) fn recent(&self) -> Vec<Entry> {
        self.journal().recent()
    }

    /// The look at the key and the note of the delivery are one step, as they are for VK.
    fn note_delivery(&self, call: &Call) -> io::Result<Served> {
        let mut journal = self.journal();
        if call.key.is_some_and(|key| journal.first_id(&call.channel, key).is_some()) {
            return self
                .append(&mut journal, call, Verdict::RepeatDropped, None)
                .map(Served::Repeated);
        }
        match self.due_fault(&journal, call, Fault::ALL) {
            Some((Fault::AnswerWithheld, ending)) => self
                .append(&mut journal, call, Verdict::AnswerWithheld, Some(ending))
                .map(Served::Delivered),
            Some((fault, ending)) => {
                let verdict = Verdict::Refused(fault.to_string());
                self.append(&mut journal, call, verdict, Some(ending))?;
                Ok(Served::Fault(fault))
            }
            None => {
                self.append(&mut journal, call, Verdict::Delivered, None).map(Served::Delivered)
            }
        }
    }

    fn due_fault(
        &self,
        journal: &Journal,
        call: &Call,
        of: &[Fault],
    ) -> Option<(Fault, &'static str)> {
        let row = self.options.faults.then(|| faults::of_address(&call.address)).flatten()?;
        let due = of.contains(&row.fault) && !(row.once && journal.has_met(call, row.ending));
        due.then_some((row.fault, row.ending))
    }

    fn append(
        &self,
        journal: &mut Journal,
        call: &Call,
        verdict: Verdict,
        fault: Option<&str>,
    ) -> io::Result<Entry> {
        let entry = journal.append(call, self.now(), verdict, fault)?;
        // While the journal is held: a restart tells the stream again in the journal's order.
        locked(&self.streams).append(&entry);
        self.streamed.notify_waiters();
        Ok(entry)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        locked(&self.journal)
    }

    fn numbers(&self) -> MutexGuard<'_, HashSet<(String, String)>> {
        locked(&self.looked_up)
    }
}

/// A handler that panicked left at worst a line that was not written.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
