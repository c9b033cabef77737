//! Values of arguments, told in our words where they are wrong: a parser's own are for its programmers.

use std::{ops::RangeInclusive, time::Duration};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// A span of time, as `10s` or `1h 30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let shape = || "write a time like `10s`, `5m` or `2h`".to_owned();
    humantime::parse_duration(text.trim()).map_err(|_| shape())
}

/// A whole number from 0 on.
pub(super) fn count(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| "write a whole number, as `20`".to_owned())
}

/// A whole number within limits.
pub(super) fn count_within(text: &str, limits: RangeInclusive<i64>) -> Result<i64, String> {
    let shape = || format!("write a whole number from {} to {}", limits.start(), limits.end());
    text.trim().parse().ok().filter(|n| limits.contains(n)).ok_or_else(shape)
}

/// A moment, as `2027-02-01T09:00:00Z`; a day alone begins at midnight UTC.
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
    let day = text.parse::<NaiveDate>().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    day.or_else(|_| text.parse())
        .map_err(|_| "write it like `2027-02-01` or `2027-02-01T09:00:00Z`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_day_or_a_time_of_it() {
        for (text, wanted) in [
            ("2027-02-01", "2027-02-01T00:00:00Z"),
            ("2027-02-01T09:00:00Z", "2027-02-01T09:00:00Z"),
            ("2027-02-01T12:00:00+03:00", "2027-02-01T09:00:00Z"),
        ] {
            assert_eq!(moment(text), Ok(wanted.parse().unwrap()), "{text}");
        }
        for wrong in ["2020", "", "2027-02-30", "tomorrow", "2027-02-01 25:00"] {
            assert!(moment(wrong).unwrap_err().contains("2027-02-01T09:00:00Z"), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_our_words() {
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("-2h").unwrap_err().starts_with("write a time"));
        assert!(duration("2").unwrap_err().starts_with("write a time"));
        assert_eq!((count("20"), count("-1").is_err(), count("x").is_err()), (Ok(20), true, true));
        assert_eq!(count_within("1000", 1..=1000), Ok(1000));
        assert_eq!(count_within("0", 1..=9).unwrap_err(), "write a whole number from 1 to 9");
    }
}
