//! Money as whole micro-dollars, read from and written as exact decimals.

use std::{fmt, str::FromStr};

use rust_decimal::{Decimal, prelude::ToPrimitive as _};

/// US dollars in millionths: the smallest amount that a manifest can say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MicroUsd(i64);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an amount in US dollars: {reason}")]
pub struct InvalidMoney {
    pub text: String,
    pub reason: &'static str,
}

impl MicroUsd {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub fn micros(self) -> i64 {
        self.0
    }

    /// The amount `n` times; `None` where it is more than can be written.
    pub fn checked_mul(self, n: u64) -> Option<Self> {
        i64::try_from(n).ok().and_then(|n| self.0.checked_mul(n)).map(Self)
    }

    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

impl FromStr for MicroUsd {
    type Err = InvalidMoney;

    fn from_str(text: &str) -> Result<Self, InvalidMoney> {
        let invalid = |reason| InvalidMoney { text: text.to_owned(), reason };
        let amount =
            Decimal::from_str_exact(text.trim()).map_err(|_| invalid("write it like `0.50`"))?;
        if amount.is_sign_negative() && !amount.is_zero() {
            return Err(invalid("it is negative"));
        }
        let micros = amount
            .checked_mul(Decimal::from(1_000_000))
            .ok_or_else(|| invalid("it is too large"))?
            .normalize();
        if micros.scale() > 0 {
            return Err(invalid("at most 6 decimals"));
        }
        Ok(Self(micros.to_i64().ok_or_else(|| invalid("it is too large"))?))
    }
}

/// Two decimals at the least, as prices are written, and as many as the amount needs.
impl fmt::Display for MicroUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = Decimal::new(self.0, 6).normalize();
        if amount.scale() < 2 { write!(f, "{amount:.2}") } else { write!(f, "{amount}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, micros, shown) in [
            ("0.50", 500_000, "0.50"),
            ("2", 2_000_000, "2.00"),
            ("0.000001", 1, "0.000001"),
            ("0.1000000", 100_000, "0.10"),
            ("12345678.901234", 12_345_678_901_234, "12345678.901234"),
        ] {
            let amount: MicroUsd = text.parse().unwrap();
            assert_eq!((amount.micros(), amount.to_string().as_str()), (micros, shown));
        }
        for bad in ["", "0.0000001", "-1", "1e3", "abc", "99999999999999999999", "0,5"] {
            bad.parse::<MicroUsd>().unwrap_err();
        }
    }
}
