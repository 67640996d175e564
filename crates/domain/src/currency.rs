//! The one currency of a ledger.

use std::fmt;

use crate::Invalid;

/// A currency of ISO 4217. All amounts of a ledger are minor units of one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Currency {
    code: [u8; 3],
    decimals: u8,
}

impl Currency {
    /// The Russian rouble.
    pub const RUB: Self = Self { code: *b"RUB", decimals: 2 };

    /// Looks a code up, with the decimals that ISO 4217 gives it.
    pub fn new(code: &str) -> Result<Self, Invalid> {
        let found = iso_currency::Currency::from_code(code).ok_or(Invalid::Currency)?;
        // Metals, test codes and their like have no minor unit.
        let decimals = found.exponent().unwrap_or_default();
        Self::recorded(code, decimals.try_into().map_err(|_| Invalid::Currency)?)
    }

    /// A currency as a ledger recorded it, whatever ISO 4217 says of it now.
    pub fn recorded(code: &str, decimals: u8) -> Result<Self, Invalid> {
        match code.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) && decimals <= Self::DECIMALS_MAX => {
                Ok(Self { code: [a, b, c], decimals })
            }
            _ => Err(Invalid::Currency),
        }
    }

    /// The most decimals that a currency has.
    pub const DECIMALS_MAX: u8 = 4;

    /// The code: three capital letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).unwrap_or_default()
    }

    /// Digits behind the decimal separator: how many minor units make a unit, as a power of ten.
    pub const fn decimals(&self) -> u8 {
        self.decimals
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} decimals", self.code(), self.decimals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_those_of_iso_4217() {
        for (code, decimals) in
            [("RUB", 2), ("USD", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("BHD", 3), ("CLF", 4), ("XAU", 0)]
        {
            let currency =
                Currency::new(code).map(|currency| (currency.code().to_owned(), currency.decimals()));
            assert_eq!(currency, Ok((code.to_owned(), decimals)));
        }
        assert_eq!(Currency::new("RUB"), Ok(Currency::RUB));
        for refused in ["", "rub", "RU", "RUBL", "Р1", "R B", "ZZZ"] {
            assert_eq!(Currency::new(refused), Err(Invalid::Currency), "{refused}");
        }
    }

    #[test]
    fn what_was_recorded_is_read_back() {
        let kept = Currency::recorded("RUB", 0).unwrap();
        assert!((kept.code(), kept.decimals()) == ("RUB", 0) && kept != Currency::RUB);
        assert!(Currency::recorded("RUB", 5).is_err() && Currency::recorded("rub", 2).is_err());
    }
}
