//! Fills a store with a ledger of any size, far faster than commands could: `balance-bench grow`.
//!
//! The rows are those that the service would have written: every account deposits once and then has so many
//! orders reserved and captured, in one month, in the order of time. `balance audit` finds nothing to mend.
//! Indexes are dropped before and built after.

mod postgres;
mod sqlite;

use anyhow::Context;
use balance_domain::{
    Action, Amount, IdempotencyKey, MoneyCommand, OrderId, ReservationKey, ServiceId, TimeLimit, Ttl, UserId,
};
use clap::Args;

use crate::{progress::progress, run::FUNDS, workload::user_id};

/// Midnight UTC of 1 October 2026 and 27 days later, in microseconds since 1970: inside one month of any zone.
const BEGIN: i64 = 1_790_812_800_000_000;
const SPAN: i64 = 27 * 86_400 * 1_000_000;
const TTL_SECONDS: u32 = 30 * 86_400;
/// Minor units that every order costs.
const PRICE: i64 = 100;
const SERVICES: i64 = 100;

#[derive(Args, Clone, Debug)]
pub(crate) struct GrowArgs {
    /// An empty store that `balance migrate` has made: `postgres://…` or `sqlite:…`. No service may run on it.
    #[arg(long)]
    database_url: String,
    /// How many accounts to open.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(i64).range(1..=1_000_000_000))]
    accounts: i64,
    /// Captured orders per account: each is two operations, reserve and capture, after the first deposit.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(0..=10_000))]
    orders: i64,
}

/// Fills the store. Fails if it has accounts already.
pub(crate) fn grow(args: &GrowArgs) -> anyhow::Result<()> {
    let plan = Plan { accounts: args.accounts, orders: args.orders };
    match args.database_url.strip_prefix("sqlite:") {
        Some(path) => sqlite::fill(path, plan)?,
        None => postgres::fill(&args.database_url, plan)?,
    }
    eprintln!(
        "{} accounts, {} operations, {} of them captures of October 2026",
        plan.accounts,
        plan.operations(),
        plan.accounts * plan.orders
    );
    Ok(())
}

/// What to write.
#[derive(Clone, Copy, Debug)]
struct Plan {
    accounts: i64,
    orders: i64,
}

/// A reservation as an operation left it.
#[derive(Clone, Copy, Debug)]
struct ReservationAfter {
    is_captured: bool,
    created_at: i64,
    expires_at: i64,
}

impl ReservationAfter {
    const fn state(self) -> &'static str {
        if self.is_captured { "captured" } else { "active" }
    }
}

/// One row of `operations`.
struct OperationRow {
    user_id: UserId,
    seq: i64,
    kind: &'static str,
    amount: i64,
    available_after: i64,
    reserved_after: i64,
    created_at: i64,
    order: Option<(i64, i64, ReservationAfter)>,
    key: String,
    fingerprint: [u8; 16],
}

impl Plan {
    const fn operations(self) -> i64 {
        self.accounts * self.operations_per_account()
    }

    const fn operations_per_account(self) -> i64 {
        1 + 2 * self.orders
    }

    fn user(index: i64) -> anyhow::Result<UserId> {
        UserId::new(user_id(index.cast_unsigned()).cast_signed()).context("user id")
    }

    /// The service of an account's n-th order, and the order.
    fn order(self, index: i64, order: i64) -> (i64, i64) {
        let number = order * self.accounts + index;
        (1 + number % SERVICES, 1 + number)
    }

    /// When the n-th step of an account is: everybody's first, then everybody's second, and so on.
    fn time(self, index: i64, step: i64) -> anyhow::Result<i64> {
        let number = i128::from(step * self.accounts + index);
        let offset = number * i128::from(SPAN) / i128::from(self.operations());
        Ok(BEGIN + i64::try_from(offset)?)
    }

    /// An account's n-th order once it is reserved, or captured.
    fn reservation(self, index: i64, order: i64, is_captured: bool) -> anyhow::Result<ReservationAfter> {
        let created_at = self.time(index, 1 + 2 * order)?;
        let expires_at = created_at + i64::from(TTL_SECONDS) * 1_000_000;
        Ok(ReservationAfter { is_captured, created_at, expires_at })
    }

    /// What an account has left after so many orders.
    const fn available(orders: i64) -> i64 {
        FUNDS.cast_signed() - orders * PRICE
    }

    /// The n-th operation of the whole ledger, from 0, in the order of time.
    fn operation(self, number: i64) -> anyhow::Result<OperationRow> {
        let (step, index) = (number / self.accounts, number % self.accounts);
        let user_id = Self::user(index)?;
        let created_at = self.time(index, step)?;
        if step == 0 {
            let funds = Self::available(0);
            let action = Action::Deposit { user_id, amount: amount(funds)? };
            return row(action, "deposit", step, (funds, funds, 0), created_at, None);
        }
        let order = (step - 1) / 2;
        let (service, order_id) = self.order(index, order);
        let reservation = ReservationKey {
            user_id,
            service_id: ServiceId::new(service).context("service id")?,
            order_id: OrderId::new(order_id).context("order id")?,
        };
        let after = self.reservation(index, order, step % 2 == 0)?;
        let (action, kind, reserved) = if after.is_captured {
            (Action::Capture { reservation, amount: None, is_final: true }, "capture", 0)
        } else {
            let time_limit = TimeLimit::Asked(Ttl::from_seconds(TTL_SECONDS).context("time limit")?);
            (Action::Reserve { reservation, amount: amount(PRICE)?, time_limit }, "reserve", PRICE)
        };
        let moved = (PRICE, Self::available(order + 1), reserved);
        row(action, kind, step, moved, created_at, Some((service, order_id, after)))
    }
}

fn amount(minor_units: i64) -> anyhow::Result<Amount> {
    Amount::new(minor_units).context("amount")
}

fn row(
    action: Action,
    kind: &'static str,
    step: i64,
    (amount, available_after, reserved_after): (i64, i64, i64),
    created_at: i64,
    order: Option<(i64, i64, ReservationAfter)>,
) -> anyhow::Result<OperationRow> {
    let key = format!("grow-{step}");
    let user_id = action.user_id();
    let command =
        MoneyCommand { action, key: IdempotencyKey::new(key.clone()).context("key")?, comment: None };
    Ok(OperationRow {
        user_id,
        seq: step + 1,
        kind,
        amount,
        available_after,
        reserved_after,
        created_at,
        order,
        key,
        fingerprint: command.fingerprint().0,
    })
}
