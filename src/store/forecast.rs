//! What a forecast starts from: every lane, and every task that writes first, in one statement.

use std::{collections::BTreeMap, time::Duration};

use chrono::DateTime;
use chrono_tz::Tz;

use super::{
    connect::Store,
    encoding::{count, parsed},
    error::StoreError,
};
use crate::domain::{
    forecast::{Block, ChannelFacts, ForecastFacts, Part, TaskFacts, TurnFacts},
    hours::WorkingHours,
    id::TaskId,
    phase::Phase,
};

impl Store {
    /// Reads every lane with every task that has a turn on it. Openings that run now count as done at
    /// their permit; what remains is the number that `status` shows.
    pub async fn read_forecast_facts(&self) -> Result<ForecastFacts, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT moment.at AS "at!", l.channel AS "lane?", tc.channel AS "channel?",
                -- A portfolio's limit is of any 24 hours, and so of a day.
                least(l.daily_limit, (SELECT p.messaging_limit FROM portfolios p WHERE p.name = l.portfolio))
                    AS "lane_limit?",
                CASE WHEN l.day = utc_day(moment.at) THEN l.day_count ELSE 0 END AS "lane_today!",
                greatest(l.last_opening_at, l.in_flight_granted_at) AS lane_opened_at,
                l.last_pause_ms AS "last_pause_ms?", l.not_before AS "not_before?",
                l.blocked_class IS NOT NULL
                    AND (l.blocked_until IS NULL OR l.blocked_until > moment.at) AS "is_blocked!",
                l.blocked_until AS "blocked_until?",
                t.id AS "task_id?", t.name AS "task?", t.phase AS "phase?",
                t.hours_from_s AS "hours_from_s?", t.hours_to_s AS "hours_to_s?",
                t.timezone AS "timezone?", t.daily_limit AS "task_limit?", t.pause_ms AS "pause_ms?",
                t.fields -> 'spendingLimitPerDialogue' ->> 'number' AS "spending_limit?",
                a.waiting + coalesce(waits.n, 0) AS "remaining?",
                CASE WHEN tc.day = utc_day(moment.at) THEN tc.day_count ELSE 0 END AS "turn_today!",
                tc.last_opening_at AS "turn_opened_at?"
            FROM (SELECT now() AS at) moment
            LEFT JOIN (
                lanes l FULL JOIN (
                    task_channels tc
                    JOIN tasks t ON t.id = tc.task_id AND t.outgoing AND t.deleted_at IS NULL
                    JOIN audiences a ON a.task_id = t.id
                    LEFT JOIN (
                        SELECT task_id, count(*) AS n FROM retries GROUP BY task_id
                    ) waits ON waits.task_id = t.id
                ) ON l.channel = tc.channel
            ) ON true"#
        )
        .fetch_all(&self.pool)
        .await?;
        let mut facts = ForecastFacts {
            counted_at: rows.first().map_or(DateTime::UNIX_EPOCH, |row| row.at),
            channels: BTreeMap::new(),
            tasks: BTreeMap::new(),
        };
        for row in rows {
            if let (Some(channel), Some(daily_limit)) = (&row.lane, row.lane_limit) {
                let lane = ChannelFacts {
                    daily_limit: number(daily_limit),
                    today: number(row.lane_today),
                    last_opening_at: row.lane_opened_at,
                    last_pause: milliseconds(row.last_pause_ms),
                    block: row
                        .is_blocked
                        .then(|| row.blocked_until.map_or(Block::UntilUnblocked, Block::Until)),
                    rests_until: row.not_before,
                };
                facts.channels.insert(parsed(channel)?, lane);
            }
            let (Some(name), Some(id), Some(channel)) = (&row.task, row.task_id, &row.channel)
            else {
                continue;
            };
            let turn =
                TurnFacts { today: number(row.turn_today), last_opening_at: row.turn_opened_at };
            let (channel, name) = (parsed(channel)?, parsed(name)?);
            if let Some(task) = facts.tasks.get_mut(&name) {
                task.channels.insert(channel, turn);
                continue;
            }
            let phase: Option<Phase> = row.phase.and_then(|phase| phase.parse().ok());
            let zone: Option<Tz> = row.timezone.and_then(|zone| zone.parse().ok());
            let (Some(phase), Some(timezone), Some(working_hours), Some(limit), Some(remaining)) = (
                phase,
                zone,
                hours(row.hours_from_s, row.hours_to_s),
                row.task_limit,
                row.remaining,
            ) else {
                // A hand in the database left it. It is put back, and must not hide the others till then.
                continue;
            };
            let spending_limit = row.spending_limit.and_then(|limit| limit.parse().ok());
            let Some(spending_limit_per_dialogue) = spending_limit else { continue };
            let task = TaskFacts {
                id: Some(TaskId(id)),
                phase,
                part: if phase == Phase::InProgress { Part::Runs } else { Part::Stands },
                working_hours,
                timezone,
                daily_limit_per_channel: number(limit),
                pause: milliseconds(row.pause_ms),
                channels: BTreeMap::from([(channel, turn)]),
                remaining: count(remaining),
                spending_limit_per_dialogue,
            };
            facts.tasks.insert(name, task);
        }
        Ok(facts)
    }
}

fn number(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

fn milliseconds(value: Option<i64>) -> Duration {
    Duration::from_millis(count(value.unwrap_or(0)))
}

/// Hours are whole minutes in every manifest.
fn hours(from_s: Option<i32>, to_s: Option<i32>) -> Option<WorkingHours> {
    let clock = |seconds: i32| format!("{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    format!("{}-{}", clock(from_s?), clock(to_s?)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_hours_are_those_of_the_manifest() {
        for text in ["09:00-18:00", "23:00-08:30", "00:00-24:00"] {
            let read: WorkingHours = text.parse().unwrap();
            let stored = |minute: u16| Some(i32::from(minute) * 60);
            assert_eq!(hours(stored(read.from_minute()), stored(read.to_minute())), Some(read));
        }
    }
}
