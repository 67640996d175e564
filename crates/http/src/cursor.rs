//! Opaque cursors: where a page ended, and of which list. A cursor is only good for the list it came from:
//! it carries a fingerprint of the user, the filters and the order.
//!
//! 25 or more bytes in base64url: a version, the fingerprint, then the position's numbers, big endian. Nothing
//! in it is secret and a forged one reads nothing that its forger could not request, so it is not signed.

use balance_domain::{
    Amount, EventPosition, OperationFilter, OperationPosition, OperationSort, OrderId, ReservationPosition,
    ReservationSearch, ReservationState, SearchPosition, ServiceId, Timestamp, UserId,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// What a cursor of this layout starts with.
const VERSION: u8 = 1;

/// A list that a cursor belongs to: a hash of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct List(u64);

impl List {
    /// The history of a user in one order with these filters.
    pub(crate) fn operations(user_id: UserId, filter: &OperationFilter, sort: OperationSort) -> Self {
        let sort = match sort {
            OperationSort::NewestFirst => 0,
            OperationSort::OldestFirst => 1,
            OperationSort::LargestFirst => 2,
            OperationSort::SmallestFirst => 3,
        };
        Self::of(&[
            1,
            user_id.get(),
            sort,
            filter.kind.map_or(-1, |kind| i64::from(kind as u8)),
            filter.service_id.map_or(0, ServiceId::get),
            filter.order_id.map_or(0, OrderId::get),
            filter.from.map_or(i64::MIN, Timestamp::micros),
            filter.to.map_or(i64::MIN, Timestamp::micros),
            filter.min_amount.map_or(0, Amount::get),
            filter.max_amount.map_or(0, Amount::get),
        ])
    }

    /// The reservations of a user.
    pub(crate) fn reservations(user_id: UserId, state: Option<ReservationState>) -> Self {
        Self::of(&[2, user_id.get(), state.map_or(-1, |state| i64::from(state as u8))])
    }

    /// The reservations of all users.
    pub(crate) fn search(search: &ReservationSearch) -> Self {
        Self::of(&[
            4,
            search.service_id.map_or(0, ServiceId::get),
            search.order_id.map_or(0, OrderId::get),
            search.expires_before.map_or(i64::MIN, Timestamp::micros),
            i64::from(search.sort as u8),
        ])
    }

    /// The catalogue of services.
    pub(crate) fn services() -> Self {
        Self::of(&[3])
    }

    /// The feed of a ledger.
    pub(crate) fn events(source: &str) -> Self {
        let numbers: Vec<i64> = [5].into_iter().chain(source.bytes().map(i64::from)).collect();
        Self::of(&numbers)
    }

    /// FNV-1a over the numbers: stable between instances and versions, which is all it is for.
    fn of(numbers: &[i64]) -> Self {
        let bytes = numbers.iter().flat_map(|number| number.to_be_bytes());
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }
}

/// A place in some list, as numbers and back.
pub(crate) trait Position: Sized {
    /// How many numbers it takes.
    const NUMBERS: usize;
    fn numbers(&self) -> Vec<i64>;
    fn from_numbers(numbers: &[i64]) -> Option<Self>;
}

impl Position for OperationPosition {
    const NUMBERS: usize = 2;

    fn numbers(&self) -> Vec<i64> {
        vec![self.amount.get(), self.seq]
    }

    fn from_numbers(numbers: &[i64]) -> Option<Self> {
        match *numbers {
            [amount, seq] if seq >= 1 => Some(Self { amount: Amount::new(amount).ok()?, seq }),
            _ => None,
        }
    }
}

impl Position for ReservationPosition {
    const NUMBERS: usize = 3;

    fn numbers(&self) -> Vec<i64> {
        vec![self.created_at.micros(), self.service_id.get(), self.order_id.get()]
    }

    fn from_numbers(numbers: &[i64]) -> Option<Self> {
        match *numbers {
            [created_at, service_id, order_id] => Some(Self {
                created_at: Timestamp::from_micros(created_at).ok()?,
                service_id: ServiceId::new(service_id).ok()?,
                order_id: OrderId::new(order_id).ok()?,
            }),
            _ => None,
        }
    }
}

impl Position for EventPosition {
    const NUMBERS: usize = 4;

    fn numbers(&self) -> Vec<i64> {
        vec![self.batch, self.user_id, self.seq, self.fact]
    }

    fn from_numbers(numbers: &[i64]) -> Option<Self> {
        match *numbers {
            [batch, user_id, seq, fact] if numbers.iter().all(|number| *number >= 0) => {
                Some(Self { batch, user_id, seq, fact })
            }
            _ => None,
        }
    }
}

impl Position for SearchPosition {
    const NUMBERS: usize = 4;

    fn numbers(&self) -> Vec<i64> {
        vec![self.at.micros(), self.user_id.get(), self.service_id.get(), self.order_id.get()]
    }

    fn from_numbers(numbers: &[i64]) -> Option<Self> {
        match *numbers {
            [at, user_id, service_id, order_id] => Some(Self {
                at: Timestamp::from_micros(at).ok()?,
                user_id: UserId::new(user_id).ok()?,
                service_id: ServiceId::new(service_id).ok()?,
                order_id: OrderId::new(order_id).ok()?,
            }),
            _ => None,
        }
    }
}

impl Position for ServiceId {
    const NUMBERS: usize = 1;

    fn numbers(&self) -> Vec<i64> {
        vec![self.get()]
    }

    fn from_numbers(numbers: &[i64]) -> Option<Self> {
        match *numbers {
            [id] => Self::new(id).ok(),
            _ => None,
        }
    }
}

/// The cursor for this place of the list.
pub(crate) fn encode<P: Position>(list: List, position: &P) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(list.0.to_be_bytes());
    for number in position.numbers() {
        bytes.extend(number.to_be_bytes());
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that a cursor of this list stands for; `None` for anything else.
pub(crate) fn decode<P: Position>(list: List, cursor: &str) -> Option<P> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (fingerprint, numbers) = rest.split_first_chunk::<8>()?;
    if *version != VERSION || u64::from_be_bytes(*fingerprint) != list.0 || numbers.len() != P::NUMBERS * 8 {
        return None;
    }
    let (numbers, _) = numbers.as_chunks::<8>();
    let numbers: Vec<i64> = numbers.iter().map(|number| i64::from_be_bytes(*number)).collect();
    P::from_numbers(&numbers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    fn history(user_id: i64, sort: OperationSort, filter: &OperationFilter) -> List {
        List::operations(user(user_id), filter, sort)
    }

    #[test]
    fn a_cursor_is_refused_by_every_other_list() {
        let all = OperationFilter::default();
        let position = OperationPosition { amount: Amount::new(15).unwrap(), seq: 7 };
        let list = history(1, OperationSort::NewestFirst, &all);
        let cursor = encode(list, &position);
        assert_eq!(decode(list, &cursor), Some(position));

        let at = |micros| Timestamp::from_micros(micros).ok();
        let amount = |units| Amount::new(units).ok();
        let others = [
            history(2, OperationSort::NewestFirst, &all),
            history(1, OperationSort::OldestFirst, &all),
            history(1, OperationSort::LargestFirst, &all),
            history(1, OperationSort::NewestFirst, &OperationFilter { from: at(0), ..all.clone() }),
            history(1, OperationSort::NewestFirst, &OperationFilter { to: at(0), ..all.clone() }),
            history(1, OperationSort::NewestFirst, &OperationFilter { min_amount: amount(5), ..all.clone() }),
            history(1, OperationSort::NewestFirst, &OperationFilter { max_amount: amount(5), ..all.clone() }),
            history(
                1,
                OperationSort::NewestFirst,
                &OperationFilter { kind: Some(balance_domain::OperationKind::Deposit), ..all },
            ),
            List::reservations(user(1), None),
            List::services(),
        ];
        for other in others {
            assert_eq!(decode::<OperationPosition>(other, &cursor), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_decoding_panic(text in ".{0,80}") {
            let list = List::services();
            prop_assert_eq!(decode::<OperationPosition>(list, &text), None);
            prop_assert_eq!(decode::<ReservationPosition>(list, &text), None);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut forged = vec![VERSION];
            forged.extend(List::services().0.to_be_bytes());
            forged.extend(bytes);
            let cursor = URL_SAFE_NO_PAD.encode(&forged);
            if let Some(id) = decode::<ServiceId>(List::services(), &cursor) {
                prop_assert_eq!(encode(List::services(), &id), cursor);
            }
        }

        #[test]
        fn places_survive_the_way(amount in 1_i64..=Amount::MAX.get(), seq in 1_i64.., micros in 0_i64..4_000_000_000_000_000) {
            let list = List::reservations(user(3), None);
            let place = OperationPosition { amount: Amount::new(amount).unwrap(), seq };
            prop_assert_eq!(decode(list, &encode(list, &place)), Some(place));
            let place = ReservationPosition {
                created_at: Timestamp::from_micros(micros).unwrap(),
                service_id: ServiceId::new(seq).unwrap(),
                order_id: OrderId::new(amount).unwrap(),
            };
            prop_assert_eq!(decode(list, &encode(list, &place)), Some(place));
        }
    }
}
