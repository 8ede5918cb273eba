//! Money in whole cents: sums of decimals that stay exact.

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};
use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;

/// An amount of money. In JSON it is a string with two decimals, `"11.77"`; in state a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cents(pub i64);

/// That a text is no amount of money.
#[derive(Debug)]
pub struct NotMoney(String);

impl fmt::Display for NotMoney {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no amount of money: expected one such as 11.77", self.0)
    }
}

impl std::error::Error for NotMoney {}

impl FromStr for Cents {
    type Err = NotMoney;

    fn from_str(text: &str) -> Result<Cents, NotMoney> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (dollars, cents) = digits.split_once('.').unwrap_or((digits, "00"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(dollars) || !is_number(cents) || cents.len() != 2 {
            return Err(NotMoney(text.into()));
        }
        let amount = format!("{dollars}{cents}").parse::<i64>().map_err(|_| NotMoney(text.into()))?;
        Ok(Cents(if negative { -amount } else { amount }))
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, cents) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

impl AddAssign for Cents {
    fn add_assign(&mut self, other: Cents) {
        self.0 += other.0;
    }
}

impl Serialize for Cents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Cents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cents, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Cents)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cents;

    #[test]
    fn reads_and_shows_decimals() {
        for (text, cents) in [("11.77", 1177), ("0.05", 5), ("-3.10", -310), ("7.00", 700)] {
            assert_eq!(text.parse::<Cents>().unwrap(), Cents(cents));
            assert_eq!(Cents(cents).to_string(), text);
        }
        assert_eq!("12".parse::<Cents>().unwrap(), Cents(1200));
        for wrong in ["", "1.5", "1.234", "a", "1,00", ".50", "--1.00", "99999999999999999999"] {
            assert!(wrong.parse::<Cents>().is_err(), "{wrong}");
        }
        assert_eq!(serde_json::from_str::<Cents>("\"1.50\"").unwrap(), Cents(150));
        assert_eq!(serde_json::to_string(&Cents(150)).unwrap(), "\"1.50\"");
    }
}
