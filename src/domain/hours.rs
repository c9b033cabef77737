//! Working hours: the part of the day in which openings may be sent.

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveTime, Timelike as _, Utc};
use chrono_tz::Tz;

const DAY_MINUTES: u16 = 24 * 60;

/// Half-open hours `[from, to)` of a day; they may wrap midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkingHours {
    from_minute: u16,
    /// Up to and including 24:00.
    to_minute: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` are no working hours: {reason}")]
pub struct InvalidHours {
    pub text: String,
    pub reason: &'static str,
}

impl WorkingHours {
    pub fn from_minute(self) -> u16 {
        self.from_minute
    }

    pub fn to_minute(self) -> u16 {
        self.to_minute
    }

    /// The same hours on the clock of another zone on the day of `at`, for a reader's check.
    #[must_use]
    pub fn shown_in(self, from_zone: Tz, to_zone: Tz, at: DateTime<Utc>) -> Self {
        if self == Self::always() {
            return self;
        }
        let day = at.with_timezone(&from_zone).date_naive();
        let shift = |minute: u16| {
            let time = NaiveTime::from_num_seconds_from_midnight_opt(
                u32::from(minute % DAY_MINUTES) * 60,
                0,
            )
            .expect("a minute of the day is a time");
            // At the turn of daylight saving a time may be missing or come twice: any answer will do.
            day.and_time(time).and_local_timezone(from_zone).earliest().map_or(minute, |moment| {
                let there = moment.with_timezone(&to_zone);
                u16::try_from(there.hour() * 60 + there.minute()).unwrap_or(minute)
            })
        };
        let to_minute = match shift(self.to_minute) {
            0 => DAY_MINUTES,
            minute => minute,
        };
        Self { from_minute: shift(self.from_minute), to_minute }
    }

    fn always() -> Self {
        Self { from_minute: 0, to_minute: DAY_MINUTES }
    }
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !two_digits(hours) || !two_digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY_MINUTES).then_some(minute)
}

impl FromStr for WorkingHours {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        let invalid = |reason| InvalidHours { text: text.to_owned(), reason };
        let shape = || invalid("write them like `09:00-18:00`");
        let (from, to) = text.trim().split_once('-').ok_or_else(shape)?;
        let from_minute = minute_of_day(from.trim()).ok_or_else(shape)?;
        let to_minute = minute_of_day(to.trim()).ok_or_else(shape)?;
        if from_minute == DAY_MINUTES {
            return Err(invalid("they cannot begin at 24:00; write 00:00"));
        }
        if from_minute == to_minute {
            return Err(invalid("they begin when they end; `00:00-24:00` is always"));
        }
        // `18:00-00:00` and `18:00-24:00` are the same hours; one spelling keeps plans empty.
        let to_minute = if to_minute == 0 { DAY_MINUTES } else { to_minute };
        Ok(Self { from_minute, to_minute })
    }
}

impl fmt::Display for WorkingHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from_minute, to_minute } = self;
        write!(
            f,
            "{:02}:{:02}-{:02}:{:02}",
            from_minute / 60,
            from_minute % 60,
            to_minute / 60,
            to_minute % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_and_written_alike() {
        for text in ["09:00-18:00", "23:00-08:00", "00:00-24:00"] {
            assert_eq!(text.parse::<WorkingHours>().unwrap().to_string(), text);
        }
        assert_eq!("18:00-00:00".parse(), "18:00-24:00".parse::<WorkingHours>());
        for bad in
            ["", "9-18", "09:00-09:00", "24:00-08:00", "09:60-10:00", "09:00-24:01", "25:00-26:00"]
        {
            bad.parse::<WorkingHours>().unwrap_err();
        }
    }

    #[test]
    fn nine_to_six_in_moscow_is_six_to_three_in_utc() {
        let hours: WorkingHours = "09:00-18:00".parse().unwrap();
        let at = "2026-06-01T12:00:00Z".parse().unwrap();
        let shown = hours.shown_in(chrono_tz::Europe::Moscow, chrono_tz::UTC, at);
        assert_eq!(shown.to_string(), "06:00-15:00");
    }
}
