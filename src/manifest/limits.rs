//! What limits ask for: more than an account bears, or two of them for one portfolio.

use std::collections::BTreeMap;

use super::{
    checks::{error, warning},
    diagnostic::{Code, Diagnostic},
    reading::ReadDocument,
};
use crate::domain::{
    kind::{ChannelKind, DailyLimit, MESSAGING_LIMIT, PORTFOLIO},
    place::Place,
};

/// A portfolio's limit, as the first of its channels has it.
pub(super) struct Portfolio {
    pub(super) limit: String,
    pub(super) channel: String,
    pub(super) place: Place,
}

/// One portfolio has one limit.
pub(super) fn check_portfolio(
    channel: &ReadDocument,
    portfolios: &BTreeMap<String, Portfolio>,
) -> Option<Diagnostic> {
    let (name, limit) = (channel.text(PORTFOLIO)?, channel.text(MESSAGING_LIMIT)?);
    let Portfolio { limit: other, channel: first, place } = portfolios.get(name)?;
    if limit == other {
        return None;
    }
    let message = format!(
        "`{MESSAGING_LIMIT}`: the portfolio `{name}` has a limit of {limit} here, and of {other} in channel `{first}`, \
         at {place}"
    );
    let hint = "it is one limit for all numbers of the portfolio: write the same in each channel";
    Some(error(channel, Code::PortfolioLimit, channel.span(MESSAGING_LIMIT), message).hint(hint))
}

/// More strangers a day than an account of the kind is known to bear: asked for by a channel, or by a task.
pub(super) fn check_risk(
    document: &ReadDocument,
    path: &str,
    limit: u32,
    kind: ChannelKind,
    tier: Option<&str>,
) -> Option<Diagnostic> {
    let DailyLimit { default, risky_above, reason, source } = kind.facts().daily_limit?;
    if let Some(tier) = tier {
        // What the provider lets this portfolio do is known, and it is kept.
        let tier: u32 = tier.parse().ok()?;
        let message = format!(
            "`{path}`: {limit} openings a day are more than the {tier} people whom the portfolio may reach in 24 hours"
        );
        let hint = format!(
            "a `{MESSAGING_LIMIT}` of {tier} wins; lower the other, or raise it once Meta has"
        );
        let found = warning(document, Code::RiskyLimit, document.span(path), message).hint(hint);
        return (limit > tier).then_some(found);
    }
    if limit <= risky_above {
        return None;
    }
    let message = format!(
        "`{path}`: {limit} strangers a day put an account of kind `{kind}` at risk, which begins above {risky_above}: \
         {reason} ({source})"
    );
    let hint =
        format!("stay at {risky_above} or below; the default is {default}, for a young account");
    Some(warning(document, Code::RiskyLimit, document.span(path), message).hint(hint))
}
