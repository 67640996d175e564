//! Queries of history, and how its pages follow each other.
//!
//! A page ends at a *position* in the order asked for; the next page starts behind it. Positions are made
//! of values that never change once written, so writers cannot make a reader skip or repeat a row.

use crate::{
    Amount, Invalid, OperationKind, OrderId, Reservation, ReservationKey, ReservationState, ServiceId,
    Timestamp, UserId,
};

/// The largest page.
pub const LIMIT_MAX: u16 = 200;
/// The default size of a page.
pub const LIMIT_DEFAULT: u16 = 50;

/// How many rows a page may have: `1 ..= 200`, 50 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u16);

impl Limit {
    /// Accepts `1 ..= 200`.
    pub const fn new(rows: u16) -> Result<Self, Invalid> {
        if rows < 1 || rows > LIMIT_MAX { Err(Invalid::Limit) } else { Ok(Self(rows)) }
    }

    /// The number of rows.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(LIMIT_DEFAULT)
    }
}

/// Some rows, and where the next page starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, P> {
    /// The rows, in the order asked for.
    pub items: Vec<T>,
    /// The position behind the last row if there are more, otherwise `None`.
    pub next: Option<P>,
}

impl<T, P> Page<T, P> {
    /// Makes a page from up to `limit + 1` rows: the surplus row only tells that there are more.
    pub fn from_surplus(mut rows: Vec<T>, limit: Limit, position: impl Fn(&T) -> P) -> Self {
        let more = rows.len() > usize::from(limit.get());
        rows.truncate(limit.get().into());
        let next = if more { rows.last().map(position) } else { None };
        Self { items: rows, next }
    }
}

/// The order of a history page. Equal amounts follow each other by `seq`, in the same direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OperationSort {
    /// Latest first. Recorded time never runs backwards within an account, so this is `seq` downwards.
    #[default]
    NewestFirst,
    /// Earliest first: `seq` upwards.
    OldestFirst,
    /// Largest amount first.
    LargestFirst,
    /// Smallest amount first.
    SmallestFirst,
}

/// Which operations of an account to list; absent means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationFilter {
    /// Only this kind.
    pub kind: Option<OperationKind>,
    /// Only operations for this service.
    pub service_id: Option<ServiceId>,
    /// Only operations for this order.
    pub order_id: Option<OrderId>,
    /// `created_at >= from`.
    pub from: Option<Timestamp>,
    /// `created_at < to`.
    pub to: Option<Timestamp>,
    /// `amount >= min_amount`.
    pub min_amount: Option<Amount>,
    /// `amount <= max_amount`.
    pub max_amount: Option<Amount>,
}

/// A place in a user's history, in any of its orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationPosition {
    /// The amount of the last row shown.
    pub amount: Amount,
    /// The `seq` of the last row shown.
    pub seq: i64,
}

/// A page of one user's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationQuery {
    /// Whose history.
    pub user_id: UserId,
    /// Which operations.
    pub filter: OperationFilter,
    /// In which order.
    pub sort: OperationSort,
    /// Start behind this place.
    pub after: Option<OperationPosition>,
    /// At most this many.
    pub limit: Limit,
}

/// A place in a user's reservations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservationPosition {
    /// When the last reservation shown was made.
    pub created_at: Timestamp,
    /// Its service.
    pub service_id: ServiceId,
    /// Its order.
    pub order_id: OrderId,
}

/// A page of one user's reservations: latest made first, then by service and order downwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationQuery {
    /// Whose reservations.
    pub user_id: UserId,
    /// Only those that are in this state.
    pub state: Option<ReservationState>,
    /// Start behind this place.
    pub after: Option<ReservationPosition>,
    /// At most this many.
    pub limit: Limit,
}

/// The order of reservations that were searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SearchSort {
    /// Nearest deadline first.
    #[default]
    SoonestFirst,
    /// Latest made first.
    NewestFirst,
}

/// A place among the reservations of all users, in one of the two orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchPosition {
    /// The deadline of the last row shown, or when it was made.
    pub at: Timestamp,
    /// Its user.
    pub user_id: UserId,
    /// Its service.
    pub service_id: ServiceId,
    /// Its order.
    pub order_id: OrderId,
}

impl SearchPosition {
    /// Behind this reservation in this order.
    pub const fn behind(reservation: &Reservation, sort: SearchSort) -> Self {
        let ReservationKey { user_id, service_id, order_id } = reservation.key;
        let at = match sort {
            SearchSort::SoonestFirst => reservation.expires_at,
            SearchSort::NewestFirst => reservation.created_at,
        };
        Self { at, user_id, service_id, order_id }
    }
}

/// Active reservations of all users. Equal times follow each other by user, service and order, in the direction of
/// the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationSearch {
    /// Only those for this service.
    pub service_id: Option<ServiceId>,
    /// Only those for this order.
    pub order_id: Option<OrderId>,
    /// Only those whose deadline is before this instant.
    pub expires_before: Option<Timestamp>,
    /// In which order.
    pub sort: SearchSort,
    /// Start behind this place.
    pub after: Option<SearchPosition>,
    /// At most this many.
    pub limit: Limit,
}
