//! What a grown ledger consists of. Every row follows from its number alone, so that none is kept in memory.
//!
//! The regular accounts take turns: round after round, one step each. Between their steps lie those of the one
//! account with the long history.

use anyhow::{Context, ensure};
use balance_domain::{
    AccountingZone, Action, Amount, IdempotencyKey, MoneyCommand, OrderId, ReservationKey, ServiceId,
    TimeLimit, Ttl, UserId,
};

use super::Size;
use crate::{subject::FUNDS, workload::user_id};

/// Minor units that every order costs.
pub(crate) const PRICE: i64 = 100;
/// How many services there are.
pub(super) const SERVICES: i64 = 100;
/// The account with the long history.
pub(super) const LONG: i64 = 0;

const OPENING: i64 = FUNDS.cast_signed();
const TTL_SECONDS: u32 = 30 * 86_400;
const DAY: i64 = 86_400_000_000;
/// Orders of the account with the long history have numbers from here.
const LONG_ORDERS: i64 = 1_000_000_000_000;

/// Steps that are spread evenly over a time, microseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    begin: i64,
    span: i64,
}

impl Stretch {
    fn at(self, step: i64, of: i64) -> i64 {
        let offset = i128::from(step) * i128::from(self.span) / i128::from(of.max(1));
        self.begin + i64::try_from(offset).unwrap_or(self.span)
    }
}

/// A ledger to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LedgerPlan {
    accounts: i64,
    long_history: i64,
    captures: i64,
    /// Deposits and withdrawals of the regular accounts after their first.
    turnover: i64,
    /// The year before the month, and the month, both inside of what any time zone takes for them.
    year: Stretch,
    month: Stretch,
}

/// One step of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Deposit { amount: i64 },
    Withdrawal { amount: i64 },
    Reserve { order: i64 },
    Capture { order: i64 },
}

/// A reservation as an operation left it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReservationRow {
    pub(super) user_id: UserId,
    pub(super) service_id: i64,
    pub(super) order_id: i64,
    pub(super) is_captured: bool,
    pub(super) created_at: i64,
    pub(super) expires_at: i64,
    /// The number of the operation that made it.
    pub(super) reserve_seq: i64,
}

impl ReservationRow {
    pub(super) const fn state(&self) -> &'static str {
        if self.is_captured { "captured" } else { "active" }
    }

    pub(super) const fn captured(&self) -> i64 {
        if self.is_captured { PRICE } else { 0 }
    }
}

/// One row of `operations`.
pub(super) struct OperationRow {
    pub(super) user_id: UserId,
    pub(super) seq: i64,
    pub(super) kind: &'static str,
    pub(super) amount: i64,
    pub(super) available_after: i64,
    pub(super) reserved_after: i64,
    pub(super) created_at: i64,
    pub(super) reservation: Option<ReservationRow>,
    pub(super) key: String,
    pub(super) fingerprint: [u8; 16],
}

/// One row of `accounts`.
pub(super) struct AccountRow {
    pub(super) user_id: UserId,
    pub(super) available: i64,
    pub(super) seq: i64,
    pub(super) last_at: i64,
}

impl LedgerPlan {
    /// Fails if the numbers do not fit each other.
    pub(crate) fn new(size: &Size) -> anyhow::Result<Self> {
        let accounts = size.accounts;
        let captures = size.captures.unwrap_or(accounts);
        // Its first deposit, and then circles of four.
        let long_history = 1 + (size.long_history.unwrap_or(accounts / 10) + 2).max(0) / 4 * 4;
        let operations = size.operations.unwrap_or(accounts * 10);
        let least = accounts - 1 + 2 * captures + long_history;
        ensure!(captures >= 0, "captures cannot be negative");
        ensure!(
            operations >= least,
            "{accounts} accounts, {captures} captures and a history of {long_history} are at least {least} operations, \
             more than {operations}"
        );
        ensure!(
            captures / (accounts - 1) < OPENING / PRICE / 2 && long_history / 4 < OPENING / PRICE / 2,
            "that is more than an account can pay for: take more accounts"
        );
        let first = AccountingZone::new("UTC").context("UTC")?.period(size.month).start.micros();
        Ok(Self {
            accounts,
            long_history,
            captures,
            turnover: operations - least,
            year: Stretch { begin: first - 366 * DAY, span: 365 * DAY },
            month: Stretch { begin: first + DAY / 2, span: 26 * DAY },
        })
    }

    pub(crate) const fn accounts(&self) -> i64 {
        self.accounts
    }

    pub(crate) const fn captures(&self) -> i64 {
        self.captures
    }

    pub(crate) const fn long_history(&self) -> i64 {
        self.long_history
    }

    pub(crate) const fn operations(&self) -> i64 {
        self.regular() + self.turnover + 2 * self.captures + self.long_history
    }

    /// Orders of all accounts, those of the long history too.
    pub(crate) const fn reservations(&self) -> i64 {
        self.captures + self.long_orders()
    }

    const fn regular(&self) -> i64 {
        self.accounts - 1
    }

    const fn long_orders(&self) -> i64 {
        (self.long_history - 1) / 4
    }

    /// How many deposits and withdrawals a regular account has after its first.
    const fn turnover_of(&self, index: i64) -> i64 {
        share(self.turnover, self.regular(), index - 1)
    }

    const fn orders_of(&self, index: i64) -> i64 {
        share(self.captures, self.regular(), index - 1)
    }

    const fn operations_of(&self, index: i64) -> i64 {
        if index == LONG {
            return self.long_history;
        }
        1 + self.turnover_of(index) + 2 * self.orders_of(index)
    }

    fn step(&self, index: i64, number: i64) -> Step {
        if number == 0 {
            return Step::Deposit { amount: OPENING };
        }
        let later = number - 1;
        if index == LONG {
            let circle = later / 4;
            let amount = some_amount(index, circle);
            return match later % 4 {
                0 => Step::Deposit { amount },
                1 => Step::Withdrawal { amount },
                2 => Step::Reserve { order: circle },
                _ => Step::Capture { order: circle },
            };
        }
        let turnover = self.turnover_of(index);
        if later < turnover {
            let amount = some_amount(index, later / 2);
            return if later % 2 == 0 { Step::Deposit { amount } } else { Step::Withdrawal { amount } };
        }
        let order = (later - turnover) / 2;
        if (later - turnover) % 2 == 0 { Step::Reserve { order } } else { Step::Capture { order } }
    }

    /// What an account can spend after a step.
    fn available(&self, index: i64, number: i64) -> i64 {
        let later = number - 1;
        match self.step(index, number) {
            Step::Deposit { .. } if number == 0 => OPENING,
            Step::Deposit { amount } => OPENING - spent_before(index, later) + amount,
            // Takes back what the deposit before it brought.
            Step::Withdrawal { .. } => OPENING - spent_before(index, later),
            Step::Reserve { order } | Step::Capture { order } => {
                let turnover = if index == LONG { 0 } else { self.turnover_of(index) };
                let kept = if turnover % 2 == 1 { some_amount(index, (turnover - 1) / 2) } else { 0 };
                OPENING + kept - (order + 1) * PRICE
            }
        }
    }

    fn time(&self, index: i64, number: i64) -> i64 {
        if index == LONG {
            return self.year.at(number, self.long_history);
        }
        let (rank, regular) = (index - 1, self.regular());
        let turnover = self.turnover_of(index);
        if number <= turnover {
            return self.year.at(number * regular + rank, self.rounds_of_year() * regular);
        }
        self.month.at((number - 1 - turnover) * regular + rank, self.rounds_of_month() * regular)
    }

    const fn rounds_of_year(&self) -> i64 {
        1 + self.turnover_of(1)
    }

    const fn rounds_of_month(&self) -> i64 {
        2 * self.orders_of(1)
    }

    fn reservation(&self, index: i64, order: i64, is_captured: bool) -> anyhow::Result<ReservationRow> {
        let (number, order_id) = if index == LONG {
            (3 + 4 * order, LONG_ORDERS + order)
        } else {
            (1 + self.turnover_of(index) + 2 * order, order * self.regular() + index)
        };
        let created_at = self.time(index, number);
        Ok(ReservationRow {
            user_id: user(index)?,
            service_id: 1 + order_id % SERVICES,
            order_id,
            is_captured,
            created_at,
            expires_at: created_at + i64::from(TTL_SECONDS) * 1_000_000,
            reserve_seq: number + 1,
        })
    }

    pub(super) fn account(&self, index: i64) -> anyhow::Result<AccountRow> {
        let last = self.operations_of(index) - 1;
        Ok(AccountRow {
            user_id: user(index)?,
            available: self.available(index, last),
            seq: last + 1,
            last_at: self.time(index, last),
        })
    }

    /// Every reservation as it ended, the oldest first.
    pub(super) fn all_reservations(&self) -> impl Iterator<Item = anyhow::Result<ReservationRow>> {
        let long = (0..self.long_orders()).map(|order| (LONG, order));
        let rounds = 0..self.orders_of(1);
        let regular = rounds.flat_map(move |order| {
            (1..self.accounts)
                .filter(move |&index| order < self.orders_of(index))
                .map(move |index| (index, order))
        });
        long.chain(regular).map(|(index, order)| self.reservation(index, order, true))
    }

    /// The same, by user.
    pub(super) fn reservations_by_user(&self) -> impl Iterator<Item = anyhow::Result<ReservationRow>> {
        let orders = |index| if index == LONG { self.long_orders() } else { self.orders_of(index) };
        (0..self.accounts)
            .flat_map(move |index| (0..orders(index)).map(move |order| self.reservation(index, order, true)))
    }

    /// Every operation, in the order of time.
    pub(super) fn all_operations(&self) -> impl Iterator<Item = anyhow::Result<OperationRow>> {
        let year = (0..self.rounds_of_year()).flat_map(move |number| {
            (1..self.accounts)
                .filter(move |&index| number <= self.turnover_of(index))
                .map(move |index| (index, number))
        });
        let month = (0..self.rounds_of_month()).flat_map(move |step| {
            (1..self.accounts)
                .filter(move |&index| step < 2 * self.orders_of(index))
                .map(move |index| (index, 1 + self.turnover_of(index) + step))
        });
        let mut year = year.peekable();
        let mut long = 0;
        let merged = std::iter::from_fn(move || {
            let next_regular = year.peek().map(|&(index, number)| self.time(index, number));
            let is_long =
                long < self.long_history && next_regular.is_none_or(|time| self.time(LONG, long) <= time);
            if is_long {
                long += 1;
                return Some((LONG, long - 1));
            }
            year.next()
        });
        merged.chain(month).map(|(index, number)| self.operation(index, number))
    }

    fn operation(&self, index: i64, number: i64) -> anyhow::Result<OperationRow> {
        let user_id = user(index)?;
        let (kind, amount, reserved_after, reservation) = match self.step(index, number) {
            Step::Deposit { amount } => ("deposit", amount, 0, None),
            Step::Withdrawal { amount } => ("withdrawal", amount, 0, None),
            Step::Reserve { order } => {
                ("reserve", PRICE, PRICE, Some(self.reservation(index, order, false)?))
            }
            Step::Capture { order } => ("capture", PRICE, 0, Some(self.reservation(index, order, true)?)),
        };
        let key = format!("grow-{number}");
        let action = action(user_id, kind, amount, reservation.as_ref())?;
        let command =
            MoneyCommand { action, key: IdempotencyKey::new(key.clone()).context("key")?, comment: None };
        Ok(OperationRow {
            user_id,
            seq: number + 1,
            kind,
            amount,
            available_after: self.available(index, number),
            reserved_after,
            created_at: self.time(index, number),
            reservation,
            key,
            fingerprint: command.fingerprint().0,
        })
    }
}

/// The share of number `rank` of `of` in a whole: the first get one more if it does not divide evenly.
const fn share(whole: i64, of: i64, rank: i64) -> i64 {
    whole / of + if rank < whole % of { 1 } else { 0 }
}

/// Anything from 1 to 100,000 minor units, the same every time.
const fn some_amount(index: i64, number: i64) -> i64 {
    let mixed =
        (index.cast_unsigned() ^ number.cast_unsigned().rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    1 + (mixed >> 33).cast_signed() % 100_000
}

/// What orders have cost before a deposit or withdrawal; those of regular accounts come last.
const fn spent_before(index: i64, later: i64) -> i64 {
    if index == LONG { later / 4 * PRICE } else { 0 }
}

fn user(index: i64) -> anyhow::Result<UserId> {
    UserId::new(user_id(index.cast_unsigned()).cast_signed()).context("user id")
}

/// The request that an operation answers.
fn action(
    user_id: UserId,
    kind: &str,
    amount: i64,
    reservation: Option<&ReservationRow>,
) -> anyhow::Result<Action> {
    let amount = Amount::new(amount).context("amount")?;
    let Some(row) = reservation else {
        return Ok(match kind {
            "withdrawal" => Action::Withdraw { user_id, amount },
            _ => Action::Deposit { user_id, amount },
        });
    };
    let reservation = ReservationKey {
        user_id,
        service_id: ServiceId::new(row.service_id).context("service id")?,
        order_id: OrderId::new(row.order_id).context("order id")?,
    };
    if row.is_captured {
        return Ok(Action::Capture { reservation: reservation.into(), amount: None, is_final: true });
    }
    let time_limit = TimeLimit::Asked(Ttl::from_seconds(TTL_SECONDS).context("time limit")?);
    Ok(Action::Reserve { reservation, amount, time_limit })
}
