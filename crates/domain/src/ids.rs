//! Ids: integers `1 ..= 2^63-1` that the calling services choose, and random ones of our own.

use std::fmt;

use crate::Invalid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// Accepts `1 ..= 2^63-1`.
            pub const fn new(id: i64) -> Result<Self, Invalid> {
                if id < 1 { Err(Invalid::Id) } else { Ok(Self(id)) }
            }

            /// The id as a number.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = Invalid;

            fn try_from(id: i64) -> Result<Self, Invalid> {
                Self::new(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// Who owns an account.
    UserId
);
id!(
    /// What the money is spent on; an entry of the service catalogue.
    ServiceId
);
id!(
    /// An order of the calling shop. Unique per user and service, not by itself.
    OrderId
);

/// The public part of an API key: 12 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId([u8; 12]);

impl ApiKeyId {
    /// How much randomness one takes.
    pub const RANDOM_BYTES: usize = 6;

    /// Accepts 12 lower-case hexadecimal digits.
    pub fn new(id: impl AsRef<str>) -> Result<Self, Invalid> {
        let digits = <[u8; 12]>::try_from(id.as_ref().as_bytes()).map_err(|_| Invalid::ApiKeyId)?;
        let is_hex = digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex { Ok(Self(digits)) } else { Err(Invalid::ApiKeyId) }
    }

    /// The id that these bytes make.
    pub fn of_random(bytes: [u8; Self::RANDOM_BYTES]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        Self(std::array::from_fn(|at| {
            let byte = bytes[at / 2];
            DIGITS[usize::from(if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 })]
        }))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeyId({self})")
    }
}

impl UserId {
    /// The bucket of this user, `0 ..= 255`: a fixed hash of the id.
    ///
    /// Stores may shard by it and group commit picks lanes by it, so the function must never change: stored
    /// rows carry its result.
    pub const fn bucket(self) -> u8 {
        // The finaliser of splitmix64: neighbouring ids land in unrelated buckets.
        let mut hash = self.0.cast_unsigned();
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (hash >> 56) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_start_at_one() {
        assert_eq!(UserId::new(0), Err(Invalid::Id));
        assert_eq!(UserId::new(-7), Err(Invalid::Id));
        assert_eq!(UserId::new(i64::MAX).map(UserId::get), Ok(i64::MAX));
    }

    #[test]
    fn random_ids_are_twelve_digits() {
        let id = ApiKeyId::of_random([0x01, 0x23, 0x45, 0x67, 0x89, 0xab]);
        assert_eq!((id.as_str(), ApiKeyId::new(id.as_str())), ("0123456789ab", Ok(id)));
        for refused in ["", "0123456789a", "0123456789abc", "0123456789AB", "0123456789ag"] {
            assert_eq!(ApiKeyId::new(refused), Err(Invalid::ApiKeyId), "{refused}");
        }
    }

    #[test]
    fn buckets_are_fixed_for_ever_and_even() {
        let bucket = |id| UserId::new(id).unwrap().bucket();
        assert_eq!([bucket(1), bucket(2), bucket(3), bucket(i64::MAX)], [86, 219, 30, 90]);
        let mut counts = [0_u32; 256];
        for id in 1..=256_000 {
            counts[usize::from(bucket(id))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
