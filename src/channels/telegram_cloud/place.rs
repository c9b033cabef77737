//! Where the receiving of an account goes on: the counters of its stream.

use grammers_tl_types::types::updates::State;

/// As it is kept between two rounds: `account:pts:qts:date`. Counters of another account mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) user_id: i64,
    pub(super) pts: i32,
    pub(super) qts: i32,
    pub(super) date: i32,
}

impl Place {
    pub(super) fn of(user_id: i64, state: &State) -> Self {
        let State { pts, qts, date, .. } = *state;
        Self { user_id, pts, qts, date }
    }

    /// `None` for what is no place of this account.
    pub(super) fn read(cursor: &str, user_id: i64) -> Option<Self> {
        let mut parts = cursor.split(':');
        let mut next = || parts.next()?.parse::<i64>().ok();
        let (owner, pts, qts, date) = (next()?, next()?, next()?, next()?);
        let counter = |part: i64| i32::try_from(part).ok();
        (owner == user_id).then_some(())?;
        Some(Self { user_id, pts: counter(pts)?, qts: counter(qts)?, date: counter(date)? })
    }

    pub(super) fn cursor(&self) -> String {
        let Self { user_id, pts, qts, date } = self;
        format!("{user_id}:{pts}:{qts}:{date}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_of_its_account_only() {
        let place = Place { user_id: 5_000_000_001, pts: 17, qts: 0, date: 1_790_000_000 };
        assert_eq!(Place::read(&place.cursor(), place.user_id), Some(place));
        for (cursor, user_id) in [
            (place.cursor().as_str(), 5_000_000_002),
            ("", 1),
            ("1", 1),
            ("1:2:3", 1),
            ("1:2:3:x", 1),
            ("1:99999999999:0:0", 1),
        ] {
            assert_eq!(Place::read(cursor, user_id), None, "{cursor}");
        }
    }
}
