//! How values of the domain travel: times as `timestamptz`, states and kinds as their names, users with their
//! bucket. And the versions of rows.

use std::error::Error;

use balance_domain::{ReservationState, Timestamp, UserId};
use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::error::Failure;

/// 2000-01-01T00:00:00Z, from which PostgreSQL counts its microseconds.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// An instant as `timestamptz`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At(pub(crate) Timestamp);

impl At {
    /// Microseconds since the epoch of PostgreSQL.
    pub(crate) const fn as_stored(self) -> i64 {
        self.0.micros() - EPOCH_MICROS
    }
}

impl ToSql for At {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.as_stored());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for At {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        let micros = micros.checked_add(EPOCH_MICROS).ok_or("an instant out of range")?;
        Ok(Self(Timestamp::from_micros(micros)?))
    }

    accepts!(TIMESTAMPTZ);
}

/// Which state of an account a row holds, and where it was found.
///
/// The number is the proof: it is random, and another one whenever anything of the user is written, so that no other
/// state of the account has it, not even on a server that took over and lost the last commits. The place is a hint that
/// spares a look-up: a row that moved is only read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowVersion {
    pub(crate) number: i64,
    pub(crate) place: RowPlace,
}

/// A number that no row of an account has had and none will have.
pub(crate) fn fresh_version() -> Result<i64, Failure> {
    getrandom::u64().map(u64::cast_signed).map_err(|error| Failure::Defect(error.into()))
}

/// A `ctid`: a block and a place in it, as they travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowPlace(pub(crate) [u8; 6]);

impl<'a> FromSql<'a> for RowPlace {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.try_into()?))
    }

    accepts!(TID);
}

/// The bucket as it is stored.
pub(crate) fn bucket(user_id: UserId) -> i16 {
    user_id.bucket().into()
}

/// The name of a state.
pub(crate) const fn state_name(state: ReservationState) -> &'static str {
    match state {
        ReservationState::Active => "active",
        ReservationState::Captured => "captured",
        ReservationState::Released => "released",
        ReservationState::Expired => "expired",
    }
}

/// The state of this name.
pub(crate) fn state_of(name: &str) -> Option<ReservationState> {
    use ReservationState::{Active, Captured, Expired, Released};
    [Active, Captured, Released, Expired].into_iter().find(|state| state_name(*state) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_the_way_there_and_back() {
        for micros in [Timestamp::MIN.micros(), -1, 0, EPOCH_MICROS, Timestamp::MAX.micros()] {
            let at = At(Timestamp::from_micros(micros).unwrap());
            let mut raw = BytesMut::new();
            at.to_sql(&Type::TIMESTAMPTZ, &mut raw).unwrap();
            assert_eq!(At::from_sql(&Type::TIMESTAMPTZ, &raw).unwrap().0, at.0);
        }
    }

    #[test]
    fn infinity_is_no_instant() {
        assert!(At::from_sql(&Type::TIMESTAMPTZ, &i64::MAX.to_be_bytes()).is_err());
    }
}
