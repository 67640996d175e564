//! Every money rule, in one pure function.
//!
//! [`decide`] reads rows that were loaded under locks and answers what a command does to them. It writes
//! nothing: stores write the [`Changes`] of a whole batch after the last command was decided. Each rule is
//! a flat list of early returns in the precedence of [`Rejection`], then a line from which nothing can fail.
//!
//! Due reservations never reach a rule: [`State::new`] expires them before the first command is decided.

mod batch;
mod dry_run;
mod needs;
mod posting;
mod state;

pub use batch::{Accepted, Decided, decide_batch, decide_batch_by};
pub use dry_run::{DryRun, dry_run};
pub use needs::Needs;
pub use state::{Changes, EXPIRIES_MAX, LoadedService, Rows, State};

use crate::{
    Account, AccountStatus, Action, Actor, Amount, Command, Fact, Hold, Moment, MoneyCommand, Operation,
    OperationKind, Rejection, Reservation, ReservationKey, ReservationState, ServiceStatus, TimeLimit,
    Timestamp, Ttl, UserId,
};
use posting::Posting;

/// What an accepted command answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Deposits, withdrawals and transfers answer with their operation (of a transfer: `transfer_out`).
    Operation(Operation),
    /// Commands on a reservation answer with the reservation as they left it.
    Reservation {
        /// After the command.
        reservation: Reservation,
        /// The `seq` of the operation that records the command; `None` for an extension, which records none.
        operation_seq: Option<i64>,
    },
    /// Expiry and closing answer with the account as they left it.
    Account(Account),
}

/// What is to be done about a command that no rule refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It happened before: nothing changes, the first receipt is given again.
    Replay(Receipt),
    /// It happens now.
    Commit(Changes, Receipt),
}

/// Decides one command of `actor` on the state at this moment. Pure: the state is not changed.
pub fn decide(state: &State, command: &Command, actor: Actor, moment: Moment) -> Result<Decision, Rejection> {
    match command {
        Command::Money(command) => money(state, command, actor, moment),
        Command::Extend { reservation, ttl } => extend(state, *reservation, *ttl, actor, moment),
        Command::Expire { user_id } => expire(state, *user_id),
        Command::Close { user_id } => close(state, *user_id, actor, moment),
    }
}

/// Repeats are recognised before any money rule.
fn money(state: &State, command: &MoneyCommand, actor: Actor, moment: Moment) -> Result<Decision, Rejection> {
    let fingerprint = command.fingerprint();
    if let Some(first) = state.answered(command.action.user_id(), &command.key) {
        if !first.has_meaning_of(command, fingerprint) {
            return Err(Rejection::IdempotencyKeyReused);
        }
        return Ok(Decision::Replay(first.receipt.clone()));
    }
    let posting = Posting { state, command, fingerprint, actor, moment };
    match command.action {
        Action::Deposit { user_id, amount } => deposit(&posting, user_id, amount),
        Action::Withdraw { user_id, amount } => withdraw(&posting, user_id, amount),
        Action::Transfer { from, to, amount } => transfer(&posting, from, to, amount),
        Action::Reserve { reservation, amount, time_limit } => {
            reserve(&posting, reservation, amount, time_limit)
        }
        Action::Capture { reservation, amount, is_final } => capture(&posting, reservation, amount, is_final),
        Action::Release { reservation } => release(&posting, reservation),
        Action::Refund { reservation, amount } => refund(&posting, reservation, amount),
    }
}

fn deposit(posting: &Posting<'_>, user_id: UserId, amount: Amount) -> Result<Decision, Rejection> {
    let account = receiving_account(posting.state, user_id)?;
    posting.single(account, OperationKind::Deposit, amount)
}

fn withdraw(posting: &Posting<'_>, user_id: UserId, amount: Amount) -> Result<Decision, Rejection> {
    let account = open_account(posting.state, user_id)?;
    posting.single(account, OperationKind::Withdrawal, amount)
}

fn transfer(posting: &Posting<'_>, from: UserId, to: UserId, amount: Amount) -> Result<Decision, Rejection> {
    if from == to {
        return Err(Rejection::SameAccount);
    }
    let payer = open_account(posting.state, from)?;
    let receiver = receiving_account(posting.state, to)?;
    posting.pair(payer, receiver, amount)
}

fn reserve(
    posting: &Posting<'_>,
    key: ReservationKey,
    amount: Amount,
    time_limit: TimeLimit,
) -> Result<Decision, Rejection> {
    let account = open_account(posting.state, key.user_id)?;
    let service = posting.state.service(key.service_id).ok_or(Rejection::ServiceNotFound(key.service_id))?;
    if service.status == ServiceStatus::Retired {
        return Err(Rejection::ServiceRetired(key.service_id));
    }
    match posting.state.reservation(key).map(|earlier| earlier.state) {
        Some(ReservationState::Active) => return Err(Rejection::ReservationExists),
        Some(ReservationState::Captured) => return Err(Rejection::ReservationCaptured),
        Some(ReservationState::Released | ReservationState::Expired) | None => {}
    }
    let created_at = posting.next_at(&account);
    let reservation = Reservation {
        key,
        state: ReservationState::Active,
        amount,
        captured: 0,
        released: 0,
        refunded: 0,
        created_at,
        reserve_seq: account.seq + 1,
        expires_at: created_at.after(time_limit.ttl()),
    };
    let mut decision = posting.on_reservation(account, reservation, &[(OperationKind::Reserve, amount)])?;
    if let Decision::Commit(changes, _) = &mut decision
        && !service.is_used
    {
        changes.services_used.push(key.service_id);
    }
    Ok(decision)
}

fn capture(
    posting: &Posting<'_>,
    hold: Hold,
    amount: Option<Amount>,
    is_final: bool,
) -> Result<Decision, Rejection> {
    let account = open_account(posting.state, hold.key.user_id)?;
    let mut reservation = active_reservation(posting.state, hold, posting.next_at(&account))?;
    let remaining = reservation.remaining();
    let amount = amount.unwrap_or(posting::held(remaining));
    if amount.get() > remaining {
        return Err(Rejection::CaptureExceedsReserved { remaining });
    }

    reservation.captured += amount.get();
    let rest = Amount::new(reservation.remaining()).ok();
    if is_final || rest.is_none() {
        reservation = reservation.ended(ReservationState::Captured);
    }
    match rest.filter(|_| is_final) {
        None => posting.on_reservation(account, reservation, &[(OperationKind::Capture, amount)]),
        Some(rest) => posting.on_reservation(
            account,
            reservation,
            &[(OperationKind::Capture, amount), (OperationKind::Release, rest)],
        ),
    }
}

fn release(posting: &Posting<'_>, hold: Hold) -> Result<Decision, Rejection> {
    let account = open_account(posting.state, hold.key.user_id)?;
    let reservation = active_reservation(posting.state, hold, posting.next_at(&account))?;

    let rest = posting::held(reservation.remaining());
    let reservation = reservation.ended(ReservationState::Released);
    posting.on_reservation(account, reservation, &[(OperationKind::Release, rest)])
}

fn refund(posting: &Posting<'_>, hold: Hold, amount: Option<Amount>) -> Result<Decision, Rejection> {
    let account = open_account(posting.state, hold.key.user_id)?;
    let mut reservation = meant_reservation(posting.state, hold)?;
    let refundable = reservation.captured - reservation.refunded;
    let all = Amount::new(refundable).map_err(|_| Rejection::NothingToRefund)?;
    let amount = amount.unwrap_or(all);
    if amount > all {
        return Err(Rejection::RefundExceedsCaptured { refundable });
    }

    reservation.refunded += amount.get();
    posting.on_reservation(account, reservation, &[(OperationKind::Refund, amount)])
}

/// The account stays as it is and is written all the same: nothing of a user changes without their account's row, so
/// that the row's version tells whether anything did.
///
/// A deadline never moves back: it needs no key, so a late repeat of an earlier call may come behind a later one.
fn extend(state: &State, hold: Hold, ttl: Ttl, actor: Actor, moment: Moment) -> Result<Decision, Rejection> {
    let account = open_account(state, hold.key.user_id)?;
    let at = moment.next(account.last_at);
    let mut reservation = active_reservation(state, hold, at)?;

    reservation.expires_at = reservation.expires_at.max(at.after(ttl));
    let changes = Changes {
        accounts: vec![account],
        reservations: vec![reservation],
        facts: vec![Fact::reservation_extended(&account, &reservation, actor, at)],
        ..Changes::default()
    };
    Ok(Decision::Commit(changes, Receipt::Reservation { reservation, operation_seq: None }))
}

/// What is due was expired when the state was made; here it is only answered for. Nothing of a closed account is due.
fn expire(state: &State, user_id: UserId) -> Result<Decision, Rejection> {
    let account = known_account(state, user_id)?;
    Ok(Decision::Commit(Changes::default(), Receipt::Account(account)))
}

fn close(state: &State, user_id: UserId, actor: Actor, moment: Moment) -> Result<Decision, Rejection> {
    let mut account = open_account(state, user_id)?;
    if account.total() != 0 {
        let Account { available, reserved, .. } = account;
        return Err(Rejection::AccountNotEmpty { available, reserved });
    }

    account.status = AccountStatus::Closed;
    let changes = Changes {
        accounts: vec![account],
        closed: vec![user_id],
        facts: vec![Fact::account_closed(&account, actor, moment.next(account.last_at))],
        ..Changes::default()
    };
    Ok(Decision::Commit(changes, Receipt::Account(account)))
}

/// An account that something happened to and that was not closed.
fn open_account(state: &State, user_id: UserId) -> Result<Account, Rejection> {
    not_closed(known_account(state, user_id)?)
}

/// An account that something happened to.
fn known_account(state: &State, user_id: UserId) -> Result<Account, Rejection> {
    let account = state.account(user_id);
    if account.seq == 0 { Err(Rejection::AccountNotFound(user_id)) } else { Ok(account) }
}

/// An account that may receive money: it appears with the first.
fn receiving_account(state: &State, user_id: UserId) -> Result<Account, Rejection> {
    not_closed(state.account(user_id))
}

fn not_closed(account: Account) -> Result<Account, Rejection> {
    match account.status {
        AccountStatus::Open => Ok(account),
        AccountStatus::Closed => Err(Rejection::AccountClosed(account.user_id)),
    }
}

/// `at` is when the command would be recorded. A transfer may have taken the account's time past `now`, to that of
/// the other side: what is due by then is over, although the expiry is not written down yet.
fn active_reservation(state: &State, hold: Hold, at: Timestamp) -> Result<Reservation, Rejection> {
    let reservation = meant_reservation(state, hold)?;
    match reservation.state {
        ReservationState::Active if reservation.is_due(at) => Err(if reservation.captured > 0 {
            Rejection::ReservationCaptured
        } else {
            Rejection::ReservationExpired
        }),
        ReservationState::Active => Ok(reservation),
        ReservationState::Captured => Err(Rejection::ReservationCaptured),
        ReservationState::Released => Err(Rejection::ReservationReleased),
        ReservationState::Expired => Err(Rejection::ReservationExpired),
    }
}

/// The reservation, unless another hold of it is there than the one that is meant.
fn meant_reservation(state: &State, hold: Hold) -> Result<Reservation, Rejection> {
    let reservation = state.reservation(hold.key).ok_or(Rejection::ReservationNotFound(hold.key))?;
    match hold.reserve_seq {
        Some(meant) if meant != reservation.reserve_seq => {
            Err(Rejection::ReservationSuperseded { reserve_seq: reservation.reserve_seq })
        }
        _ => Ok(reservation),
    }
}
