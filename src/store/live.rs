//! What a task's row makes the executor do, as fields: what drift is seen in.

use serde_json::Value;

use super::encoding::opening_from_json;
use crate::domain::{
    fields::{FieldValue, Fields},
    hours::WorkingHours,
    task::shown_pause,
};

/// The columns that the executor reads.
pub(super) struct LiveColumns {
    pub(super) hours_from_s: Option<i32>,
    pub(super) hours_to_s: Option<i32>,
    pub(super) timezone: Option<String>,
    pub(super) daily_limit: Option<i32>,
    pub(super) pause_ms: Option<i64>,
    pub(super) opening: Option<Value>,
}

/// The fields as they act: what the row says of a specification, with the executor's columns over it.
pub(super) fn live_fields(fields: &Fields, columns: &LiveColumns) -> Fields {
    let LiveColumns { hours_from_s, hours_to_s, timezone, daily_limit, pause_ms, opening } =
        columns;
    let mut live = Fields::default();
    for (path, value) in fields.iter() {
        let is_column = path.starts_with("outgoing.");
        if !is_column {
            live.insert(path.to_owned(), value.clone());
        }
    }
    if let (Some(from), Some(to)) = (hours_from_s, hours_to_s) {
        live = live.text("outgoing.workingHours", shown_hours(*from, *to));
    }
    live = live.text_if("outgoing.timezone", timezone.as_ref());
    if let Some(limit) = daily_limit {
        live = live.number("outgoing.dailyLimitPerChannel", limit);
    }
    if let Some(pause_ms) = pause_ms {
        let pause = std::time::Duration::from_millis(u64::try_from(*pause_ms).unwrap_or(0));
        live = live.text("outgoing.pauseBetweenDialogues", shown_pause(pause));
    }
    match opening {
        None => live,
        Some(json) => match opening_from_json(json) {
            Some(opening) => opening.add_to(live),
            None => {
                live.insert("outgoing.opening".to_owned(), FieldValue::Text(json.to_string()));
                live
            }
        },
    }
}

/// As a manifest would say it; hours that no manifest can say are shown to the second.
fn shown_hours(from_s: i32, to_s: i32) -> String {
    let clock = |s: i32| format!("{:02}:{:02}", s / 3600, s / 60 % 60);
    let exact = format!("{}-{}", clock(from_s), clock(to_s));
    match exact.parse::<WorkingHours>() {
        Ok(hours) if from_s % 60 == 0 && to_s % 60 == 0 => hours.to_string(),
        _ => format!("{}:{:02}-{}:{:02}", clock(from_s), from_s % 60, clock(to_s), to_s % 60),
    }
}
