//! What the fake providers share: the options, the journal, and how a call meets its fault.

use std::{
    collections::HashSet,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use super::{
    faults::{self, Fault},
    journal::{Call, Entry, Journal, Verdict},
    server::Options,
};

/// Numbers that were looked up and never written to must not pile up; to forget them all costs
/// a note in the journal.
const LOOKED_UP_MAX: usize = 100_000;

pub(super) struct World {
    options: Options,
    journal: Mutex<Journal>,
    /// The numbers that were looked up and not yet written to, by channel.
    looked_up: Mutex<HashSet<(String, String)>>,
    shutdown: CancellationToken,
}

/// What became of a call that the provider found in order.
pub(super) enum Served {
    Delivered(Entry),
    /// The key is known: the message of then is answered again.
    Repeated(Entry),
    Fault(Fault),
}

impl World {
    pub(super) fn open(options: Options, shutdown: CancellationToken) -> io::Result<Self> {
        let journal = Mutex::new(Journal::open(options.journal.as_deref())?);
        Ok(Self { options, journal, looked_up: Mutex::default(), shutdown })
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
    pub(super) async fn deliver(&self, call: &Call) -> io::Result<Served> {
        let served = self.note_delivery(call)?;
        let withheld = match &served {
            Served::Delivered(entry) => entry.verdict == Verdict::AnswerWithheld,
            Served::Repeated(_) | Served::Fault(_) => false,
        };
        let length = if withheld { self.options.hang_for } else { self.options.answer_delay };
        if !length.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(length) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
        Ok(served)
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
        journal.append(call, (self.options.clock)(), verdict, fault)
    }

    /// A handler that panicked left at worst a line that was not written.
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn numbers(&self) -> MutexGuard<'_, HashSet<(String, String)>> {
        self.looked_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
