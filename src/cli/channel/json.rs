//! Channels as they stand, for programs.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{super::failure::FORMAT_VERSION, status::Account};
use crate::store::{ChannelBlock, ChannelHealth, PortfolioUse};

#[derive(Serialize)]
struct Document<'a> {
    format_version: &'static str,
    channels: Vec<Channel<'a>>,
}

#[derive(Serialize)]
struct Channel<'a> {
    name: &'a str,
    kind: &'static str,
    account: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<Blocked<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rests_until: Option<DateTime<Utc>>,
    sent_today: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    portfolio: Option<Portfolio<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_receiving: Option<NotReceiving<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    polled_at: Option<DateTime<Utc>>,
    tasks: Vec<&'a str>,
    watched: bool,
}

#[derive(Serialize)]
struct Blocked<'a> {
    reason: &'a str,
    until: Option<DateTime<Utc>>,
    liftable: bool,
}

/// Of any 24 hours, over all channels of the portfolio.
#[derive(Serialize)]
struct Portfolio<'a> {
    name: &'a str,
    messaging_limit: u64,
    used: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_until: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct NotReceiving<'a> {
    reason: &'a str,
    since: DateTime<Utc>,
}

pub(super) fn render(shown: &[(ChannelHealth, Account)]) -> serde_json::Result<String> {
    let channels = shown.iter().map(|(health, account)| channel(health, account)).collect();
    serde_json::to_string_pretty(&Document { format_version: FORMAT_VERSION, channels })
}

fn channel<'a>(health: &'a ChannelHealth, account: &'a Account) -> Channel<'a> {
    let ChannelHealth {
        name,
        spec,
        block,
        rests_until,
        sent_today,
        portfolio,
        unheard,
        polled_at,
        tasks,
        led,
        now: _,
    } = health;
    let (account, account_reason) = match account {
        Account::InOrder => ("in-order", None),
        Account::Refused(why) => ("refused", Some(why.as_str())),
        Account::Unknown(why) => ("unknown", Some(why.as_str())),
        Account::NotAsked(why) => ("not-asked", Some(*why)),
    };
    Channel {
        name: name.as_str(),
        kind: spec.kind.as_str(),
        account,
        account_reason,
        blocked: block.as_ref().map(|ChannelBlock { reason, until, liftable }| Blocked {
            reason,
            until: *until,
            liftable: *liftable,
        }),
        rests_until: *rests_until,
        sent_today: *sent_today,
        daily_limit: spec.daily_limit,
        portfolio: portfolio.as_ref().map(|PortfolioUse { name, limit, used, full_until }| {
            Portfolio { name, messaging_limit: *limit, used: *used, full_until: *full_until }
        }),
        not_receiving: unheard
            .as_ref()
            .map(|(reason, since)| NotReceiving { reason, since: *since }),
        polled_at: *polled_at,
        tasks: tasks.iter().map(crate::domain::id::TaskName::as_str).collect(),
        watched: *led,
    }
}
