//! Short words for commands, so that a test reads as a list of what happens.

use balance_domain::{
    Action, Amount, Command, Comment, Hold, IdempotencyKey, Moment, MoneyCommand, OrderId, ReservationKey,
    ServiceId, Submission, TimeLimit, Timestamp, Ttl, UserId,
};

/// 2026-11-24T09:00:00Z, where scripts begin.
const START: i64 = 1_795_510_800_000_000;

/// Seconds after (or before) the start of the script.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(START + seconds * 1_000_000).unwrap()
}

pub(crate) fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

pub(crate) fn service(id: i64) -> ServiceId {
    ServiceId::new(id).unwrap()
}

pub(crate) fn amount(minor_units: i64) -> Amount {
    Amount::new(minor_units).unwrap()
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

pub(crate) fn ttl(seconds: u32) -> Ttl {
    Ttl::from_seconds(seconds).unwrap()
}

/// The reservation of a user for a service and an order.
pub(crate) fn order(user_id: i64, service_id: i64, order_id: i64) -> ReservationKey {
    ReservationKey {
        user_id: user(user_id),
        service_id: service(service_id),
        order_id: OrderId::new(order_id).unwrap(),
    }
}

pub(crate) fn money(text: &str, action: Action) -> Command {
    Command::Money(MoneyCommand { action, key: key(text), comment: None })
}

pub(crate) fn deposit(text: &str, to: i64, minor_units: i64) -> Command {
    money(text, Action::Deposit { user_id: user(to), amount: amount(minor_units) })
}

pub(crate) fn withdraw(text: &str, from: i64, minor_units: i64) -> Command {
    money(text, Action::Withdraw { user_id: user(from), amount: amount(minor_units) })
}

pub(crate) fn transfer(text: &str, from: i64, to: i64, minor_units: i64) -> Command {
    money(text, Action::Transfer { from: user(from), to: user(to), amount: amount(minor_units) })
}

/// For ten minutes, because the caller did not say.
pub(crate) fn reserve(text: &str, reservation: ReservationKey, minor_units: i64) -> Command {
    let time_limit = TimeLimit::Default(ttl(600));
    money(text, Action::Reserve { reservation, amount: amount(minor_units), time_limit })
}

pub(crate) fn reserve_for(
    text: &str,
    reservation: ReservationKey,
    minor_units: i64,
    seconds: u32,
) -> Command {
    let time_limit = TimeLimit::Asked(ttl(seconds));
    money(text, Action::Reserve { reservation, amount: amount(minor_units), time_limit })
}

/// Ends the reservation; the rest goes back.
pub(crate) fn capture(text: &str, reservation: impl Into<Hold>, minor_units: Option<i64>) -> Command {
    money(
        text,
        Action::Capture { reservation: reservation.into(), amount: minor_units.map(amount), is_final: true },
    )
}

/// Leaves the rest set aside.
pub(crate) fn capture_part(text: &str, reservation: impl Into<Hold>, minor_units: Option<i64>) -> Command {
    money(
        text,
        Action::Capture { reservation: reservation.into(), amount: minor_units.map(amount), is_final: false },
    )
}

pub(crate) fn release(text: &str, reservation: impl Into<Hold>) -> Command {
    money(text, Action::Release { reservation: reservation.into() })
}

pub(crate) fn refund(text: &str, reservation: impl Into<Hold>, minor_units: Option<i64>) -> Command {
    money(text, Action::Refund { reservation: reservation.into(), amount: minor_units.map(amount) })
}

pub(crate) fn extend(reservation: impl Into<Hold>, seconds: u32) -> Command {
    Command::Extend { reservation: reservation.into(), ttl: ttl(seconds) }
}

pub(crate) fn expire(user_id: i64) -> Command {
    Command::Expire { user_id: user(user_id) }
}

pub(crate) fn close(user_id: i64) -> Command {
    Command::Close { user_id: user(user_id) }
}

/// The same command with a comment.
pub(crate) fn saying(comment: &str, command: Command) -> Command {
    match command {
        Command::Money(command) => {
            Command::Money(MoneyCommand { comment: Some(Comment::new(comment).unwrap()), ..command })
        }
        other => other,
    }
}

/// One submission per command.
pub(crate) fn each(commands: impl IntoIterator<Item = Command>) -> Vec<Submission> {
    commands.into_iter().map(Submission::from).collect()
}

/// One submission of all commands.
pub(crate) fn atomic(commands: impl IntoIterator<Item = Command>) -> Submission {
    Submission::from(commands.into_iter().collect::<Vec<_>>())
}

/// That time, for a decision.
pub(crate) fn moment(now: Timestamp) -> Moment {
    Moment::new(now, Moment::TOLERANCE)
}
