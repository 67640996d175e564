//! What the load is driven against: a service behind HTTP, or a ledger in this process. The in-process one
//! exists so that the checker can be proven on sabotaged ledgers that never become part of the product.

mod http;
mod ledger;

use async_trait::async_trait;

use crate::history::{BalanceView, Call, MoneyCall, OperationView, Outcome, ReportView, ReservationView};

pub use http::{Feed, FeedPage, HttpTarget};
pub use ledger::{Bookkeeping, LedgerTarget, usual_zone};

/// Something that keeps balances.
#[async_trait]
pub trait Target: Send + Sync + 'static {
    /// Makes one call. Never fails: every failure is an outcome.
    async fn call(&self, call: &Call) -> Outcome;

    /// Makes several movements as one request; all or nothing if `atomic`. One outcome each, in order.
    async fn batch(&self, calls: &[MoneyCall], atomic: bool) -> Vec<Outcome>;

    /// Adds services of these ids.
    async fn add_services(&self, ids: &[i64]) -> anyhow::Result<()>;

    /// The balance; `None` for a user whom nothing has happened to.
    async fn balance(&self, user_id: i64) -> anyhow::Result<Option<BalanceView>>;

    /// The whole history, earliest first.
    async fn operations(&self, user_id: i64) -> anyhow::Result<Vec<OperationView>>;

    /// The operation that answers for a key.
    async fn operation_by_key(&self, user_id: i64, key: &str) -> anyhow::Result<Option<OperationView>>;

    /// All reservations of a user.
    async fn reservations(&self, user_id: i64) -> anyhow::Result<Vec<ReservationView>>;

    /// Builds a month's report (`YYYY-MM`) and reads it.
    async fn report(&self, month: &str) -> anyhow::Result<ReportView>;
}
