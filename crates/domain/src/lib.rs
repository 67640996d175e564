//! The rules of `balance`: what a movement of money means and when it is refused.
//!
//! This crate is pure. It performs no I/O, knows no wire format and never reads the wall clock: time is an
//! argument. Storage, clock and report files are reached through the traits in [`ports`]; every adapter
//! crate imports this one and nothing else of the workspace.
//!
//! Reading order: [`Command`] (what can be asked), [`Rejection`] (why the answer may be no), [`decide`] (the
//! one function with every money rule), [`decide_batch`] (the script all stores run), [`ports`].

mod access;
mod account;
mod actor;
mod amount;
mod audit;
mod catalogue;
mod command;
mod currency;
mod decide;
mod event;
mod fact;
mod identity;
mod ids;
mod invalid;
mod known;
mod ledger;
mod moment;
mod operation;
pub mod ports;
mod query;
mod rejection;
mod reports;
mod reservation;
mod revenue;
mod text;
mod time;

pub use access::{ApiKey, KeyDays, NewApiKey, Scope, SecretHash, split_token};
pub use account::{Account, AccountAsOf, AccountStatus};
pub use actor::Actor;
pub use amount::{Amount, BALANCE_MAX};
pub use audit::{Audit, AuditSummary, Difference, MonthDifference};
pub use catalogue::{CatalogueError, Removal, Service, ServiceStatus};
pub use command::{Action, Command, Fingerprint, MoneyCommand, Submission, TimeLimit, Ttl};
pub use currency::Currency;
pub use decide::{
    Accepted, Changes, Decided, Decision, DryRun, EXPIRIES_MAX, LoadedService, Needs, Receipt, Rows, State,
    decide, decide_batch, decide_batch_by, dry_run,
};
pub use event::{
    EVENTS_DEFAULT, EVENTS_MAX, Event, EventFilter, EventLimit, EventPage, EventPosition, EventQuery,
    EventType, Happening,
};
pub use fact::{Detail, Details, Fact, FactKind, RecordedFact};
pub use identity::{Contradiction, LedgerId, LedgerIdentity};
pub use ids::{ApiKeyId, OrderId, ServiceId, UserId};
pub use invalid::Invalid;
pub use known::{KnownAccount, reservations_of};
pub use ledger::{Ledger, Swept};
pub use moment::Moment;
pub use operation::{Operation, OperationKind, RecordedOperation};
pub use query::{
    LIMIT_DEFAULT, LIMIT_MAX, Limit, OperationFilter, OperationPosition, OperationQuery, OperationSort, Page,
    ReservationPosition, ReservationQuery, ReservationSearch, SearchPosition, SearchSort,
};
pub use rejection::{Rejection, RejectionKind};
pub use reports::{PublishedReport, ReportError, Reports};
pub use reservation::{Hold, Reservation, ReservationKey, ReservationState};
pub use revenue::{RevenueLine, RevenueReport};
pub use text::{Comment, IdempotencyKey, KeyName, ServiceName};
pub use time::{AccountingZone, Month, Period, Timestamp, WallClock};
