//! Openings as the columns of a chart: a day each, or as many days as it takes to fit.

use chrono::NaiveDate;

use super::outlook::Forecast;

/// A chart's columns, each over the same number of days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) first: NaiveDate,
    pub(super) last: NaiveDate,
    pub(super) days_each: usize,
    pub(super) counts: Vec<u64>,
    pub(super) highest: u64,
}

/// Days become weeks, and weeks become more, until no more than `most` columns are left. `None` where
/// everything leaves on the first day: one column says nothing.
pub(super) fn columns(openings: &[u64], forecast: &Forecast, most: usize) -> Option<Columns> {
    let last = openings.len().checked_sub(1).filter(|last| *last > 0)?;
    let most = most.max(1);
    let weeks = openings.len().div_ceil(7).div_ceil(most);
    let days_each = if openings.len() <= most { 1 } else { 7 * weeks };
    let counts: Vec<u64> = openings.chunks(days_each).map(|days| days.iter().sum()).collect();
    Some(Columns {
        first: forecast.day(0),
        last: forecast.day(last),
        days_each,
        highest: counts.iter().copied().max().unwrap_or(0),
        counts,
    })
}

impl Columns {
    pub(super) fn unit(&self) -> String {
        match self.days_each {
            1 => "openings a day".to_owned(),
            7 => "openings a week".to_owned(),
            days => format!("openings in {days} days"),
        }
    }
}
