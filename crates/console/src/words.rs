//! Sentences that say something of a thing: what happened, what is left, why not. One place per sentence, both
//! languages in it.

use std::fmt::Write;

use balance_domain::{
    Actor, CatalogueError, Operation, OperationKind, Rejection, ReservationState, Scope, WallClock,
};

use crate::{language::Language, money::Money, names::Names, session::Gate, text::T};
use Language::{English, Russian};

/// Percent-encoded for a query string or a path.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            escaped.push(byte.into());
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The form of a word for a number of things: one, a few, many. English has no "few".
pub(crate) fn plural(count: i64, language: Language, forms: [&'static str; 3]) -> &'static str {
    let count = count.unsigned_abs();
    match (language, count % 10, count % 100) {
        (English, ..) => forms[if count == 1 { 0 } else { 2 }],
        (Russian, _, 11..=14) => forms[2],
        (Russian, 1, _) => forms[0],
        (Russian, 2..=4, _) => forms[1],
        (Russian, ..) => forms[2],
    }
}

/// `1 operation`, `5 операций`.
pub(crate) fn operations(count: i64, language: Language) -> String {
    let forms = match language {
        English => ["operation", "operations", "operations"],
        Russian => ["операция", "операции", "операций"],
    };
    format!("{count}\u{a0}{}", plural(count, language, forms))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const MONTHS_WHOLE: [[&str; 12]; 2] = [
    [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    [
        "январь",
        "февраль",
        "март",
        "апрель",
        "май",
        "июнь",
        "июль",
        "август",
        "сентябрь",
        "октябрь",
        "ноябрь",
        "декабрь",
    ],
];

fn of_list<'a>(list: &[&'a str; 12], month: u8) -> &'a str {
    list[usize::from(month.clamp(1, 12)) - 1]
}

/// `24 Nov 2026` or `24.11.2026`.
pub(crate) fn date(at: &WallClock, language: Language) -> String {
    let WallClock { year, month, day, .. } = at;
    match language {
        English => format!("{day}\u{a0}{}\u{a0}{year}", of_list(&MONTHS, *month)),
        Russian => format!("{day:02}.{month:02}.{year}"),
    }
}

/// The same with the time of the day.
pub(crate) fn date_and_time(at: &WallClock, language: Language) -> String {
    let WallClock { hour, minute, second, .. } = at;
    format!("{}, {hour:02}:{minute:02}:{second:02}", date(at, language))
}

/// `November 2026` or `ноябрь 2026`.
pub(crate) fn month(year: i16, month: u8, language: Language) -> String {
    let list = &MONTHS_WHOLE[usize::from(language == Russian)];
    format!("{} {year}", of_list(list, month))
}

/// What is left until a deadline, in the two largest units.
pub(crate) fn left(seconds: i64, language: Language) -> String {
    if seconds <= 0 {
        return language.say(T::Over).to_owned();
    }
    let units = match language {
        English => ["d", "h", "min", "s"],
        Russian => ["д", "ч", "мин", "с"],
    };
    let amounts = [seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60];
    let first = amounts.iter().position(|amount| *amount > 0).unwrap_or(3);
    let parts = (first..4.min(first + 2)).filter(|at| amounts[*at] > 0 || *at == first);
    parts.map(|at| format!("{}\u{a0}{}", amounts[at], units[at])).collect::<Vec<_>>().join(" ")
}

/// What happened, in words.
pub(crate) fn operation(operation: &Operation, names: &Names, language: Language) -> String {
    let order = operation.order_id.map(|order| order.to_string()).unwrap_or_default();
    let service = operation.service_id.map(|id| names.get(id)).unwrap_or_default();
    let other = operation.counterparty_user_id.map(|user| user.to_string()).unwrap_or_default();
    match (language, operation.kind) {
        (English, OperationKind::Deposit) => "Topped up".to_owned(),
        (Russian, OperationKind::Deposit) => "Пополнение".to_owned(),
        (English, OperationKind::Withdrawal) => "Paid out".to_owned(),
        (Russian, OperationKind::Withdrawal) => "Выплата".to_owned(),
        (English, OperationKind::TransferOut) => format!("Transferred to user {other}"),
        (Russian, OperationKind::TransferOut) => format!("Перевод пользователю {other}"),
        (English, OperationKind::TransferIn) => format!("Received from user {other}"),
        (Russian, OperationKind::TransferIn) => format!("Перевод от пользователя {other}"),
        (English, OperationKind::Reserve) => format!("Set aside for {service}, order {order}"),
        (Russian, OperationKind::Reserve) => format!("Отложено: {service}, заказ {order}"),
        (English, OperationKind::Capture) => format!("Charged for {service}, order {order}"),
        (Russian, OperationKind::Capture) => format!("Списано: {service}, заказ {order}"),
        (English, OperationKind::Release) => format!("Set free: {service}, order {order}"),
        (Russian, OperationKind::Release) => format!("Возвращено из отложенного: {service}, заказ {order}"),
        (English, OperationKind::Expire) => format!("Set free, time was over: {service}, order {order}"),
        (Russian, OperationKind::Expire) => format!("Возвращено по сроку: {service}, заказ {order}"),
        (English, OperationKind::Refund) => format!("Refunded: {service}, order {order}"),
        (Russian, OperationKind::Refund) => format!("Возврат денег: {service}, заказ {order}"),
    }
}

/// The name of a kind of operation, for filters.
pub(crate) const fn kind(kind: OperationKind) -> T {
    match kind {
        OperationKind::Deposit => T::KindDeposit,
        OperationKind::Withdrawal => T::KindWithdrawal,
        OperationKind::TransferOut => T::KindTransferOut,
        OperationKind::TransferIn => T::KindTransferIn,
        OperationKind::Reserve => T::KindReserve,
        OperationKind::Capture => T::KindCapture,
        OperationKind::Release => T::KindRelease,
        OperationKind::Expire => T::KindExpire,
        OperationKind::Refund => T::KindRefund,
    }
}

/// The name of a state, and the class that colours it.
pub(crate) const fn state(state: ReservationState) -> (T, &'static str) {
    match state {
        ReservationState::Active => (T::StateActive, "active"),
        ReservationState::Captured => (T::StateCaptured, "captured"),
        ReservationState::Released => (T::StateReleased, "released"),
        ReservationState::Expired => (T::StateExpired, "expired"),
    }
}

/// Who did it: a key by its name, if that is known.
pub(crate) fn actor(actor: Actor, gate: &dyn Gate, language: Language) -> String {
    match actor {
        Actor::Key(id) => gate.key_name(id).unwrap_or_else(|| format!("{} {id}", language.say(T::Key))),
        Actor::Anonymous => language.say(T::Anybody).to_owned(),
        Actor::Expiry => language.say(T::TheDeadline).to_owned(),
        Actor::CommandLine => language.say(T::CommandLine).to_owned(),
    }
}

/// The key lacks a scope.
pub(crate) fn lacks_scope(scope: Scope, language: Language) -> String {
    match language {
        English => {
            format!("Your key lacks the scope {}. Ask an administrator for one that has it.", scope.as_str())
        }
        Russian => {
            format!("У вашего ключа нет права {}. Попросите у администратора другой ключ.", scope.as_str())
        }
    }
}

/// The quota is used up.
pub(crate) fn too_many(seconds: u32, language: Language) -> String {
    match language {
        English => format!("Too many requests. Wait {seconds} s and load the page again."),
        Russian => format!("Слишком много запросов. Подождите {seconds} с и обновите страницу."),
    }
}

/// Why the catalogue refused.
pub(crate) fn catalogue(error: &CatalogueError, language: Language) -> String {
    match (language, error) {
        (English, CatalogueError::IdTaken(id)) => {
            format!("There is a service {id} already. Choose another number.")
        }
        (Russian, CatalogueError::IdTaken(id)) => format!("Услуга {id} уже есть. Выберите другой номер."),
        (English, CatalogueError::NameTaken(name)) => {
            format!("Another service is called “{name}” already; retired services keep their names.")
        }
        (Russian, CatalogueError::NameTaken(name)) => {
            format!("Услуга «{name}» уже есть; закрытые услуги сохраняют свои названия.")
        }
        (English, CatalogueError::NotFound(id)) => format!("There is no service {id}."),
        (Russian, CatalogueError::NotFound(id)) => format!("Услуги {id} нет."),
    }
}

/// Why a rule said no.
pub(crate) fn rejection(rejection: &Rejection, money: Money, language: Language) -> String {
    let amount = |minor: i64| money.write(minor.into(), language);
    match (language, rejection) {
        (English, Rejection::InsufficientFunds { available }) => {
            format!("The user can spend {} only.", amount(*available))
        }
        (Russian, Rejection::InsufficientFunds { available }) => {
            format!("У пользователя доступно только {}.", amount(*available))
        }
        (English, Rejection::CaptureExceedsReserved { remaining }) => {
            format!("Only {} are still set aside.", amount(*remaining))
        }
        (Russian, Rejection::CaptureExceedsReserved { remaining }) => {
            format!("Отложено только {}.", amount(*remaining))
        }
        (English, Rejection::RefundExceedsCaptured { refundable }) => {
            format!("Only {} can be refunded.", amount(*refundable))
        }
        (Russian, Rejection::RefundExceedsCaptured { refundable }) => {
            format!("Вернуть можно только {}.", amount(*refundable))
        }
        (English, Rejection::AccountNotEmpty { available, reserved }) => {
            format!(
                "The account still holds {}, of which {} are set aside.",
                amount(available + reserved),
                amount(*reserved)
            )
        }
        (Russian, Rejection::AccountNotEmpty { available, reserved }) => {
            format!("На счёте ещё {}, из них отложено {}.", amount(available + reserved), amount(*reserved))
        }
        (English, Rejection::AccountNotFound(user)) => {
            format!("User {user} has no account: nothing was ever paid in.")
        }
        (Russian, Rejection::AccountNotFound(user)) => {
            format!("У пользователя {user} нет счёта: на него ничего не зачисляли.")
        }
        (English, Rejection::AccountClosed(user)) => format!("The account of user {user} is closed."),
        (Russian, Rejection::AccountClosed(user)) => format!("Счёт пользователя {user} закрыт."),
        (English, Rejection::ServiceNotFound(id)) => format!("There is no service {id}."),
        (Russian, Rejection::ServiceNotFound(id)) => format!("Услуги {id} нет."),
        (English, Rejection::ServiceRetired(id)) => {
            format!("Service {id} is retired and takes no new orders.")
        }
        (Russian, Rejection::ServiceRetired(id)) => {
            format!("Услуга {id} закрыта и новых заказов не принимает.")
        }
        (English, Rejection::BalanceLimitExceeded(user)) => {
            format!("User {user} would hold more than an account can.")
        }
        (Russian, Rejection::BalanceLimitExceeded(user)) => {
            format!("На счёте пользователя {user} было бы больше, чем счёт вмещает.")
        }
        (language, Rejection::IdempotencyKeyReused) => language.say(T::DoneOtherwise).to_owned(),
        (language, Rejection::SameAccount) => language.say(T::SameUser).to_owned(),
        (language, Rejection::ReservationNotFound(_)) => language.say(T::NoSuchReservation).to_owned(),
        (language, Rejection::ReservationSuperseded { .. }) => {
            language.say(T::ReservationSuperseded).to_owned()
        }
        (language, Rejection::ReservationExists) => language.say(T::ReservationExists).to_owned(),
        (language, Rejection::ReservationCaptured) => language.say(T::ReservationCaptured).to_owned(),
        (language, Rejection::ReservationReleased) => language.say(T::ReservationReleased).to_owned(),
        (language, Rejection::ReservationExpired) => language.say(T::ReservationExpired).to_owned(),
        (language, Rejection::NothingToRefund) => language.say(T::NothingToRefund).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_things_take_their_form() {
        let forms = ["заказ", "заказа", "заказов"];
        for (count, form) in [
            (1, 0),
            (2, 1),
            (4, 1),
            (5, 2),
            (0, 2),
            (11, 2),
            (12, 2),
            (14, 2),
            (21, 0),
            (22, 1),
            (111, 2),
            (101, 0),
        ] {
            assert_eq!(plural(count, Russian, forms), forms[form], "{count}");
        }
        assert_eq!([1, 2, 0, 21].map(|count| plural(count, English, ["a", "b", "c"])), ["a", "c", "c", "c"]);
    }

    #[test]
    fn what_is_left_is_said_in_two_units() {
        for (seconds, text) in [
            (5, "5\u{a0}s"),
            (65, "1\u{a0}min 5\u{a0}s"),
            (60, "1\u{a0}min"),
            (3_600, "1\u{a0}h"),
            (90_000, "1\u{a0}d 1\u{a0}h"),
            (86_460, "1\u{a0}d"),
        ] {
            assert_eq!(left(seconds, English), text);
        }
        assert_eq!(left(65, Russian), "1\u{a0}мин 5\u{a0}с");
        assert_eq!(left(0, English), English.say(T::Over));
    }

    #[test]
    fn addresses_hold_any_text() {
        assert_eq!(escaped("/console/users/1?q=а&b=1"), "/console/users/1%3Fq%3D%D0%B0%26b%3D1");
    }
}
