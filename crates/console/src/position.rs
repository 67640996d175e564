//! Where the next page of a list begins, as text in an address: the numbers of the position, with points between.

use balance_domain::{Amount, OperationPosition, OrderId, SearchPosition, ServiceId, Timestamp, UserId};

/// A place in a history.
pub(crate) fn of_history(position: &OperationPosition) -> String {
    format!("{}.{}", position.amount.get(), position.seq)
}

/// Reads [`of_history`].
pub(crate) fn in_history(text: &str) -> Option<OperationPosition> {
    let (amount, seq) = text.split_once('.')?;
    Some(OperationPosition { amount: Amount::new(amount.parse().ok()?).ok()?, seq: seq.parse().ok()? })
}

/// A place among the reservations of everybody.
pub(crate) fn of_search(position: &SearchPosition) -> String {
    let SearchPosition { at, user_id, service_id, order_id } = position;
    format!("{}.{user_id}.{service_id}.{order_id}", at.micros())
}

/// Reads [`of_search`].
pub(crate) fn in_search(text: &str) -> Option<SearchPosition> {
    let mut numbers = text.split('.').map(|number| number.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    Some(SearchPosition {
        at: Timestamp::from_micros(next()?).ok()?,
        user_id: UserId::new(next()?).ok()?,
        service_id: ServiceId::new(next()?).ok()?,
        order_id: OrderId::new(next()?).ok()?,
    })
}
