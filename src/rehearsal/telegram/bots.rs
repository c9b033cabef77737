//! What Telegram knows of each bot beside its messages: which updates it was given, and how it wants them.

use std::collections::{BTreeSet, HashMap};

#[derive(Debug, Default)]
pub(in super::super) struct Bots(HashMap<String, Bot>);

#[derive(Debug, Default)]
pub(in super::super) struct Bot {
    /// The updates before it were asked for, and a later question forgot them.
    pub(super) forgotten_below: i64,
    /// Those that a webhook brought.
    pub(super) brought: BTreeSet<i64>,
    /// The kinds that the bot wants; nothing: all.
    pub(super) wanted: Option<Vec<String>>,
    /// Counts the questions: whoever asks ends the waiting of who asked before.
    pub(super) questions: u64,
    /// When a webhook was refused last, and how.
    pub(super) last_error: Option<(i64, String)>,
}

impl Bots {
    pub(in super::super) fn of(&mut self, channel: &str) -> &mut Bot {
        self.0.entry(channel.to_owned()).or_default()
    }
}

impl Bot {
    /// Whether an update waits for the bot.
    pub(super) fn awaits(&self, update_id: i64, kind: &str) -> bool {
        update_id >= self.forgotten_below && !self.brought.contains(&update_id) && self.wants(kind)
    }

    pub(super) fn wants(&self, kind: &str) -> bool {
        self.wanted.as_ref().is_none_or(|all| all.iter().any(|one| one == kind))
    }
}
