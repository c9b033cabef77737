//! What the fake Avito knows of an account: its tokens, its subscriptions, and what it has read.

use std::collections::{HashMap, VecDeque};

/// Avito lets a token live for a day; here a rehearsal of a minute sees one end.
const TOKEN_CALLS_MAX: u32 = 50;
/// Each process has its own.
const TOKENS_MAX: usize = 20;

#[derive(Debug, Default)]
pub(in crate::rehearsal) struct Seller {
    issued: u64,
    /// The numbers of those that are good, with the calls that they carried.
    tokens: VecDeque<(u64, u32)>,
    pub(super) subscriptions: Vec<String>,
    /// The last message of each chat that was marked as read.
    pub(super) read: HashMap<String, i64>,
}

impl Seller {
    pub(super) fn issue(&mut self) -> u64 {
        self.issued += 1;
        if self.tokens.len() == TOKENS_MAX {
            self.tokens.pop_front();
        }
        self.tokens.push_back((self.issued, 0));
        self.issued
    }

    /// Whether a token is good for one call more.
    pub(super) fn takes(&mut self, number: u64, ends: bool) -> bool {
        let Some(at) = self.tokens.iter().position(|(good, _)| *good == number) else {
            return false;
        };
        if ends && self.tokens[at].1 == TOKEN_CALLS_MAX {
            self.tokens.remove(at);
            return false;
        }
        self.tokens[at].1 += 1;
        true
    }
}
