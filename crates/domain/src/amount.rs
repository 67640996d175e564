//! Money is an integer of minor units (kopecks, cents). No float ever touches it.

use crate::Invalid;

/// The largest total (available + reserved) one account may hold, in minor units: `2^53-1`, so that every
/// number of the API stays exact in JavaScript.
pub const BALANCE_MAX: i64 = Amount::MAX.0;

/// An amount of money that moves, in minor units: `1 ..= 2^53-1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

impl Amount {
    /// The smallest amount that can move.
    pub const MIN: Self = Self(1);
    /// The largest amount that can move.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// Accepts `1 ..= 2^53-1`.
    pub const fn new(minor_units: i64) -> Result<Self, Invalid> {
        if minor_units < Self::MIN.0 || minor_units > Self::MAX.0 {
            return Err(Invalid::Amount);
        }
        Ok(Self(minor_units))
    }

    /// Minor units.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Amount {
    type Error = Invalid;

    fn try_from(minor_units: i64) -> Result<Self, Invalid> {
        Self::new(minor_units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defect_02_negative_and_zero_amounts_are_no_amounts() {
        for refused in [i64::MIN, -1, 0, (1 << 53), i64::MAX] {
            assert_eq!(Amount::new(refused), Err(Invalid::Amount), "{refused}");
        }
        for accepted in [1, 15, (1 << 53) - 1] {
            assert_eq!(Amount::new(accepted).map(Amount::get), Ok(accepted));
        }
    }
}
