//! What a ledger is: facts that its store keeps from the first start on, and that no later start may contradict.

use std::fmt;

use crate::{AccountingZone, Currency, Invalid};

/// The random name of a ledger: 32 lower-case hexadecimal digits. A copy of a ledger has the name of the original.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LedgerId([u8; 16]);

impl LedgerId {
    /// The id of these random bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let is_canonical =
            text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_canonical);
        number.map(|number| Self(number.to_be_bytes())).ok_or(Invalid::LedgerId)
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a ledger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerIdentity {
    /// Which one.
    pub id: LedgerId,
    /// What all its amounts are minor units of.
    pub currency: Currency,
    /// Where its months begin and end.
    pub zone: AccountingZone,
}

impl LedgerIdentity {
    /// What of this ledger another would contradict: the setting, what the ledger has, and what the other says. The id
    /// is nobody's to choose.
    pub fn contradictions(&self, other: &Self) -> Vec<Contradiction> {
        let amount = |currency: Currency| format!("{} with {} decimals", currency, currency.decimals());
        let mut found = Vec::new();
        if self.currency != other.currency {
            found.push(Contradiction {
                setting: "currency",
                recorded: amount(self.currency),
                given: amount(other.currency),
            });
        }
        if self.zone != other.zone {
            found.push(Contradiction {
                setting: "accounting_zone",
                recorded: self.zone.name().to_owned(),
                given: other.zone.name().to_owned(),
            });
        }
        found
    }
}

/// A setting that is not what the ledger was made with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this ledger was made with {setting} {recorded}, and {given} is configured")]
pub struct Contradiction {
    /// The key of the setting.
    pub setting: &'static str,
    /// The ledger's value.
    pub recorded: String,
    /// The other value.
    pub given: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(currency: &str, zone: &str) -> LedgerIdentity {
        LedgerIdentity {
            id: LedgerId::from_bytes([7; 16]),
            currency: Currency::new(currency).unwrap(),
            zone: AccountingZone::new(zone).unwrap(),
        }
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        for bytes in [[0; 16], [0xab; 16], *b"0123456789abcdef"] {
            let id = LedgerId::from_bytes(bytes);
            assert_eq!(LedgerId::parse(&id.to_string()), Ok(id));
        }
        for refused in
            ["", "7", &"0".repeat(31), &"0".repeat(33), &"A".repeat(32), &format!("+{}", "0".repeat(31))]
        {
            assert_eq!(LedgerId::parse(refused), Err(Invalid::LedgerId), "{refused}");
        }
    }

    #[test]
    fn other_values_contradict_and_other_names_of_the_same_do_not() {
        let made = identity("RUB", "Europe/Moscow");
        let other = LedgerIdentity { id: LedgerId::from_bytes([8; 16]), ..identity("RUB", "europe/moscow") };
        assert_eq!(made.contradictions(&other), []);
        assert_eq!(identity("EUR", "UTC").contradictions(&identity("EUR", "Etc/UTC")), []);
        let found: Vec<String> =
            made.contradictions(&identity("JPY", "UTC")).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "this ledger was made with currency RUB with 2 decimals, and JPY with 0 decimals is configured",
                "this ledger was made with accounting_zone Europe/Moscow, and UTC is configured"
            ]
        );
        let redefined = LedgerIdentity { currency: Currency::recorded("RUB", 0).unwrap(), ..made };
        assert_eq!(made.contradictions(&redefined).len(), 1);
    }
}
