//! `nuncio channel status`: each channel with its account, its day, its block and what it hears.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, stream};

use super::{
    super::{Common, ExitStatus, failure::NotFound, output::Output, sentence},
    json,
};
use crate::{
    channels::Examined,
    connectors::connector,
    domain::{
        id::ChannelName,
        kind::{ChannelKind, Opens, RECEIVE_SETTING, Receive, Way},
    },
    executor::Connector,
    manifest::nearest,
    service::Database,
    store::{ChannelBlock, ChannelHealth, PortfolioUse, Purpose},
};

/// Providers that are asked at once: a folder of a thousand channels is no reason to be throttled.
const ASKED_AT_ONCE: usize = 8;

/// A few rounds of receiving.
const HEARD_LATELY_S: i64 = 120;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Only these channels
    names: Vec<ChannelName>,
    /// Do not ask the providers about the accounts
    #[arg(long)]
    offline: bool,
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    #[default]
    Human,
    /// For programs: one JSON document
    Json,
}

/// What the provider says of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Account {
    InOrder,
    Refused(String),
    /// Nobody could say.
    Unknown(String),
    /// There is nobody to ask, or it was not wanted.
    NotAsked(&'static str),
}

pub(super) async fn run(
    common: &Common,
    args: &Args,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let database = Database::open(&common.database()).await?;
    let mut all = database.store.list_channels().await?;
    for name in &args.names {
        if !all.contains_key(name) {
            return Err(unknown(name, all.keys()).into());
        }
    }
    if !args.names.is_empty() {
        all.retain(|name, _| args.names.contains(name));
    }
    let why_not = match database.store.read_purpose().await? {
        _ if args.offline => Some("not asked"),
        Some(Purpose::Rehearsal) => Some("a rehearsal's"),
        _ => None,
    };
    let connector = &connector(Some(&database.store), None)?;
    let shown: Vec<_> = stream::iter(all.into_values())
        .map(async |channel| {
            let account = match why_not {
                Some(words) => Account::NotAsked(words),
                None => examine(connector, &channel).await,
            };
            (channel, account)
        })
        .buffered(ASKED_AT_ONCE)
        .collect()
        .await;
    if args.output == Form::Json {
        output.data(&json::render(&shown)?);
    } else if shown.is_empty() {
        output.note("No channel was applied yet.");
    } else {
        let blocks: Vec<_> =
            shown.iter().map(|(channel, account)| block(channel, account)).collect();
        output.data(blocks.join("\n").trim_end());
    }
    Ok(ExitStatus::Success)
}

pub(super) fn unknown<'a>(
    name: &ChannelName,
    there: impl Iterator<Item = &'a ChannelName>,
) -> NotFound {
    let hint = match nearest(name.as_str(), there.map(ChannelName::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            "`nuncio apply` makes channels known, and `nuncio channel status` lists them".to_owned()
        }
    };
    NotFound::new(format!("channel `{name}`"), hint)
}

pub(super) async fn examine(connector: &Connector, channel: &ChannelHealth) -> Account {
    // A session is used from one place at a time: who holds it knows how it goes.
    if channel.spec.kind == ChannelKind::TelegramCloud && channel.led {
        let heard_lately = channel
            .polled_at
            .is_some_and(|at| channel.now - at < TimeDelta::seconds(HEARD_LATELY_S));
        return match &channel.unheard {
            Some((why, _)) if channel.block.as_ref().is_some_and(|block| block.liftable) => {
                Account::Refused(why.clone())
            }
            // Telegram, or the database, may just be away.
            Some((why, _)) => Account::Unknown(why.clone()),
            None if heard_lately => Account::InOrder,
            None => Account::NotAsked("in use by `nuncio watch`, which has not told of it yet"),
        };
    }
    if channel.spec.kind.facts().way == Way::Hosted {
        return Account::NotAsked("nuncio's own");
    }
    let driver = match connector.connect(&channel.name, &channel.spec) {
        Ok(driver) => driver,
        Err(why) => return Account::Unknown(format!("not asked, {why}")),
    };
    match driver.examine().await {
        Examined::InOrder => Account::InOrder,
        Examined::Refused(why) => Account::Refused(why),
        Examined::Unknown(why) => Account::Unknown(why),
    }
}

/// A few lines a channel.
fn block(channel: &ChannelHealth, account: &Account) -> String {
    let ChannelHealth { name, spec, tasks, led, now, .. } = channel;
    let mut lines = vec![format!("{name} ({})", spec.kind)];
    if let Some(block) = &channel.block {
        lines.push(format!("  ! blocked: {}", blocked(block, name, *now)));
    }
    if let Some(until) = channel.rests_until {
        lines.push(format!("  rests after a failure until {}", clock(until, *now)));
    }
    lines.push(match account {
        Account::InOrder => "  account: in order".to_owned(),
        Account::Refused(why) => format!("  ! account: refused, {why}"),
        Account::Unknown(why) => format!("  account: unknown, {why}"),
        Account::NotAsked(why) => format!("  account: {why}"),
    });
    lines.push(format!("  today: {}", day(spec.kind, channel)));
    lines.extend(channel.portfolio.as_ref().map(|portfolio| shared(portfolio, *now)));
    match &channel.unheard {
        Some((reason, since)) => {
            lines.push(format!("  ! nothing is received since {}: {reason}", clock(*since, *now)));
        }
        None => lines.extend(heard(channel)),
    }
    let used = match tasks.as_slice() {
        [] => "no task".to_owned(),
        tasks => tasks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let led = if *led { "" } else { "; no `nuncio watch` works for it" };
    lines.push(format!("  used by {used}{led}"));
    lines.iter().map(|line| sentence::wrapped(line)).collect()
}

/// How messages arrive, and whether they can.
fn heard(channel: &ChannelHealth) -> Option<String> {
    let ChannelHealth { spec, polled_at, now, .. } = channel;
    let facts = spec.kind.facts();
    let is_brought = if facts.has_choice_of_receiving() {
        spec.setting(RECEIVE_SETTING) == Some(Receive::Webhook.as_str())
    } else {
        facts.proofs().next().is_some()
    };
    if let Some(at) = polled_at.filter(|_| !is_brought) {
        let seconds = (*now - at).num_seconds().max(0);
        return Some(format!("  asked for messages {} ago", ago(seconds)));
    }
    let absent = facts.proofs().find(|proof| !spec.credentials.contains_key(proof.name));
    match absent {
        Some(proof) if is_brought => {
            Some(format!("  ! hears nobody: without its `{}` every webhook is refused", proof.name))
        }
        None if is_brought => Some("  hears by webhooks".to_owned()),
        _ => None,
    }
}

fn blocked(block: &ChannelBlock, name: &ChannelName, now: DateTime<Utc>) -> String {
    let ChannelBlock { reason, until, liftable } = block;
    match until {
        Some(until) => format!("{reason}; it ends {}", clock(*until, now)),
        None if *liftable => format!("{reason}; resume: nuncio unblock {name}"),
        None => reason.clone(),
    }
}

fn day(kind: ChannelKind, channel: &ChannelHealth) -> String {
    match (kind.facts().opens, channel.spec.daily_limit) {
        (Opens::No(_), _) | (_, None) => "answers only".to_owned(),
        (_, Some(limit)) => format!("{} of {limit} openings", channel.sent_today),
    }
}

/// What the channels of a portfolio share.
fn shared(portfolio: &PortfolioUse, now: DateTime<Utc>) -> String {
    let PortfolioUse { name, limit, used, full_until } = portfolio;
    match full_until {
        Some(until) => format!(
            "  ! messaging limit of the portfolio `{name}` reached: {used} of {limit} openings in 24 hours; next at {}",
            clock(*until, now)
        ),
        None => format!("  portfolio `{name}`: {used} of {limit} openings in 24 hours"),
    }
}

fn clock(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let form = if at.date_naive() == now.date_naive() { "%H:%M UTC" } else { "%Y-%m-%d %H:%M UTC" };
    at.format(form).to_string()
}

fn ago(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}
