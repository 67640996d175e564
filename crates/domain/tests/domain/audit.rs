//! The auditor finds whatever someone changes in the rows behind the ledger's back.

use balance_domain::{
    AccountStatus, Actor, Amount, Comment, Fingerprint, OperationKind, RecordedOperation, Reservation,
    ReservationState, Timestamp,
};

use crate::{
    play::run,
    script::{
        at, capture, capture_part, close, deposit, expire, extend, key, order, refund, release, reserve,
        reserve_for, saying, service, transfer, user, withdraw,
    },
    store::Store,
};

/// Books with an operation of every kind; user 3 is closed.
fn books() -> Store {
    let mut store = Store::new();
    let (a, b, c, d) = (order(1, 1, 1), order(1, 2, 1), order(1, 1, 2), order(2, 1, 1));
    run(&mut store, 0, [saying("salary", deposit("d", 1, 1_000)), deposit("d", 2, 500), deposit("d", 3, 30)]);
    run(
        &mut store,
        1,
        [saying("rent", transfer("t", 1, 2, 100)), withdraw("w", 1, 50), transfer("u", 2, 1, 7)],
    );
    run(&mut store, 2, [reserve_for("a", a, 200, 60), extend(a, 300), capture_part("p", a, Some(20))]);
    run(&mut store, 3, [capture("q", a, Some(80)), refund("r", a, Some(30)), refund("s", a, None)]);
    run(&mut store, 4, [reserve("b", b, 40), release("z", b), reserve_for("y", b, 60, 10)]);
    run(
        &mut store,
        20,
        [saying("", reserve_for("c", c, 90, 600)), reserve("f", d, 11), capture("g", d, None)],
    );
    run(&mut store, 21, [capture_part("h", c, Some(1)), withdraw("w", 3, 30), close(3), withdraw("v", 1, 1)]);
    store
}

#[track_caller]
fn is_found(store: &Store, what: &str) {
    let summary = store.audit();
    assert!(!summary.is_clean(), "{what} was not found");
}

fn later(time: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(time.micros() + micros).unwrap()
}

#[test]
fn untouched_books_are_clean_and_summed_up() {
    let store = books();
    let summary = store.audit();
    assert!(summary.is_clean(), "{summary:#?}");
    assert_eq!((summary.accounts, summary.reservations), (3, 4));
    assert_eq!(summary.operations, store.operations.len() as u64);
    assert_eq!((summary.paid_in, summary.revenue, summary.held), (1_449, 12, 1_437));
    let kinds = store.operations.values().map(|recorded| recorded.operation.kind);
    assert_eq!(kinds.collect::<std::collections::BTreeSet<_>>().len(), OperationKind::ALL.len());
}

#[test]
fn a_change_of_any_field_of_an_account_is_found() {
    let store = books();
    for id in store.accounts.keys() {
        let changed = |what: &str, change: fn(&mut balance_domain::Account)| {
            let mut store = store.clone();
            change(store.accounts.get_mut(id).unwrap());
            is_found(&store, &format!("{what} of account {id}"));
        };
        changed("more available", |account| account.available += 1);
        changed("less available", |account| account.available -= 1);
        changed("more reserved", |account| account.reserved += 1);
        changed("reserved for available", |account| {
            account.reserved -= 1;
            account.available += 1;
        });
        changed("another seq", |account| account.seq += 1);
        changed("another time", |account| account.last_at = later(account.last_at, 1));
        if store.accounts[id].total() != 0 {
            changed("the status", |account| account.status = AccountStatus::Closed);
        }
    }
}

/// A change of an operation; `None` where it would be none.
type Change = fn(&mut RecordedOperation) -> Option<()>;

#[test]
fn a_change_of_any_field_of_an_operation_is_found() {
    let changes: [(&str, Change); 16] = [
        ("user_id", |r| {
            r.operation.user_id = user(9);
            Some(())
        }),
        ("seq", |r| {
            r.operation.seq += 1;
            Some(())
        }),
        ("amount", |r| {
            r.operation.amount = Amount::new(r.operation.amount.get() + 1).unwrap();
            Some(())
        }),
        ("available_after", |r| {
            r.operation.available_after += 1;
            Some(())
        }),
        ("reserved_after", |r| {
            r.operation.reserved_after += 1;
            Some(())
        }),
        ("service_id", |r| {
            r.operation.service_id = r.operation.service_id.xor(Some(service(1)));
            Some(())
        }),
        ("service_id to another", |r| {
            *r.operation.service_id.as_mut()? = service(7);
            Some(())
        }),
        ("order_id", |r| {
            r.operation.order_id = r.operation.order_id.xor(Some(order(1, 1, 1).order_id));
            Some(())
        }),
        ("order_id to another", |r| {
            *r.operation.order_id.as_mut()? = order(1, 1, 7).order_id;
            Some(())
        }),
        ("counterparty", |r| {
            r.operation.counterparty_user_id = r.operation.counterparty_user_id.xor(Some(user(3)));
            Some(())
        }),
        ("counterparty to another", |r| {
            *r.operation.counterparty_user_id.as_mut()? = user(3);
            Some(())
        }),
        ("key", |r| {
            // The rest of a final capture has none; with one it would be a release that somebody asked for.
            r.operation.idempotency_key = r.operation.idempotency_key.clone().xor(Some(key("new")));
            Some(())
        }),
        ("fingerprint", |r| {
            r.fingerprint = r.fingerprint.xor(Some(Fingerprint([7; 16])));
            Some(())
        }),
        ("reservation_after", |r| r.reservation_after.take().map(drop)),
        ("earlier time", |r| (r.operation.seq > 1).then(|| r.operation.created_at = at(-9))),
        ("later time", |r| {
            r.operation.created_at = at(99);
            Some(())
        }),
    ];
    for_each_operation(&changes);
}

fn for_each_operation(changes: &[(&str, Change)]) {
    let store = books();
    for (name, change) in changes {
        let mut tried = 0;
        for place in store.operations.keys() {
            let mut store = store.clone();
            let recorded = store.operations.get_mut(place).unwrap();
            if change(recorded).is_some() {
                tried += 1;
                is_found(&store, &format!("{name} of {:?}", books().operations[place].operation));
            }
        }
        assert!(tried > 0, "{name} was tried nowhere");
    }
}

/// Of a closed account the comments are gone, and with them the means to tell.
fn unless_closed(recorded: &RecordedOperation) -> Option<()> {
    (recorded.operation.user_id != user(3)).then_some(())
}

#[test]
fn a_change_of_what_was_asked_is_found_by_its_fingerprint() {
    for_each_operation(&[
        ("another fingerprint", |r| {
            r.fingerprint.as_mut()?.0[15] ^= 1;
            Some(())
        }),
        ("a comment that was not made", |r| {
            unless_closed(r)?;
            r.operation.idempotency_key.as_ref()?;
            r.operation.comment.is_none().then(|| r.operation.comment = Some(Comment::new("forged").unwrap()))
        }),
        ("another actor", |r| {
            let is_expiry = r.operation.actor == Actor::Expiry;
            r.operation.actor = if is_expiry { Actor::Anonymous } else { Actor::Expiry };
            Some(())
        }),
        ("no comment", |r| {
            unless_closed(r)?;
            r.operation.idempotency_key.as_ref()?;
            r.operation.comment.take().map(drop)
        }),
        ("a comment that was erased", |r| {
            (r.operation.user_id == user(3))
                .then(|| r.operation.comment = Some(Comment::new("back").unwrap()))
        }),
    ]);
}

#[test]
fn another_kind_of_any_operation_is_found() {
    let store = books();
    for (place, recorded) in &store.operations {
        for kind in OperationKind::ALL.into_iter().filter(|kind| *kind != recorded.operation.kind) {
            let mut store = store.clone();
            store.operations.get_mut(place).unwrap().operation.kind = kind;
            is_found(&store, &format!("{kind:?} instead of {:?}", recorded.operation));
        }
    }
}

type ReservationChange = fn(&mut Reservation);

const RESERVATION_CHANGES: [(&str, ReservationChange); 9] = [
    ("user", |r| r.key.user_id = user(9)),
    ("service", |r| r.key.service_id = service(9)),
    ("order", |r| r.key.order_id = order(1, 1, 9).order_id),
    ("amount", |r| r.amount = Amount::new(r.amount.get() + 1).unwrap()),
    ("captured", |r| r.captured += 1),
    ("released", |r| r.released += 1),
    ("refunded", |r| r.refunded += 1),
    ("created_at", |r| r.created_at = later(r.created_at, 1)),
    ("reserve_seq", |r| r.reserve_seq += 1),
];

const STATES: [ReservationState; 4] = [
    ReservationState::Active,
    ReservationState::Captured,
    ReservationState::Released,
    ReservationState::Expired,
];

#[test]
fn a_change_of_any_field_of_a_reservation_is_found() {
    let books = books();
    for (place, reservation) in &books.reservations {
        let found = |what: &str, changed: Reservation| {
            let mut store = books.clone();
            store.reservations.insert(*place, changed);
            is_found(&store, &format!("{what} of {reservation:?}"));
        };
        for (name, change) in RESERVATION_CHANGES {
            let mut changed = *reservation;
            change(&mut changed);
            found(name, changed);
        }
        for state in STATES.into_iter().filter(|state| *state != reservation.state) {
            found("state", Reservation { state, ..*reservation });
        }
        let over = reservation.state != ReservationState::Active;
        let expires_at = if over { later(reservation.expires_at, 1) } else { reservation.created_at };
        found("deadline", Reservation { expires_at, ..*reservation });
    }
}

#[test]
fn a_change_of_the_reservation_in_a_receipt_is_found() {
    let books = books();
    for (place, recorded) in &books.operations {
        let Some(reservation) = recorded.reservation_after else { continue };
        let found = |what: &str, changed: Reservation| {
            let mut store = books.clone();
            store.operations.get_mut(place).unwrap().reservation_after = Some(changed);
            is_found(&store, &format!("{what} in the receipt of {:?}", recorded.operation));
        };
        for (name, change) in RESERVATION_CHANGES {
            let mut changed = reservation;
            change(&mut changed);
            found(name, changed);
        }
        for state in STATES.into_iter().filter(|state| *state != reservation.state) {
            found("state", Reservation { state, ..reservation });
        }
        if matches!(recorded.operation.kind, OperationKind::Expire | OperationKind::Reserve) {
            found("deadline", Reservation { expires_at: later(reservation.expires_at, 1), ..reservation });
        }
    }
}

#[test]
fn a_missing_row_is_found() {
    let store = books();
    for place in store.operations.keys() {
        let mut store = store.clone();
        store.operations.remove(place);
        is_found(&store, &format!("a missing operation {place:?}"));
    }
    for place in store.reservations.keys() {
        let mut store = store.clone();
        store.reservations.remove(place);
        is_found(&store, &format!("a missing reservation {place:?}"));
    }
    for place in store.accounts.keys().filter(|place| store.accounts[place].total() != 0) {
        let mut store = store.clone();
        store.accounts.remove(place);
        is_found(&store, &format!("a missing account {place}"));
    }
}

#[test]
fn a_row_too_many_is_found() {
    let store = books();
    for recorded in store.operations.values() {
        let mut store = store.clone();
        let mut again = recorded.clone();
        let user_id = recorded.operation.user_id;
        let account = store.accounts.get_mut(&user_id).unwrap();
        account.seq += 1;
        again.operation.seq = account.seq;
        store.operations.insert((user_id, account.seq), again);
        is_found(&store, &format!("a second {:?}", recorded.operation));
    }
    let mut store = store.clone();
    let copy = Reservation { key: order(1, 2, 9), ..store.reservations[&order(1, 2, 1)] };
    store.reservations.insert(copy.key, copy);
    is_found(&store, "a reservation that nobody made");
}

/// Each half is sound by itself and the sums agree; only together are they wrong.
#[test]
fn two_transfers_that_change_partners_are_found() {
    let mut store = Store::new();
    run(&mut store, 0, [deposit("d", 1, 10), deposit("d", 2, 10)]);
    run(&mut store, 1, [transfer("t", 1, 3, 5), transfer("t", 2, 4, 5)]);
    assert!(store.audit().is_clean());
    for (id, from) in [(3, 2), (4, 1)] {
        let half = store.operations.get_mut(&(user(id), 1)).unwrap();
        half.operation.counterparty_user_id = Some(user(from));
    }
    let summary = store.audit();
    assert_eq!((summary.differences_total, summary.missing, summary.transfers_open), (0, 0, 0));
    assert!(summary.transfers_unpaired && !summary.is_clean());
}

#[test]
fn differences_are_listed_in_words_and_counted_beyond_their_limit() {
    let mut store = Store::new();
    let many = i64::try_from(balance_domain::Audit::DIFFERENCES_MAX).unwrap() + 5;
    run(&mut store, 0, (1..=many).map(|id| deposit("d", id, 1)));
    store.accounts.values_mut().for_each(|account| account.seq += 1);
    let summary = store.audit();
    assert_eq!(summary.differences.len(), balance_domain::Audit::DIFFERENCES_MAX);
    assert_eq!(summary.differences_total, many.unsigned_abs());
    assert!(summary.differences[0].to_string().starts_with("user 1: (seq, available, reserved)"));
}

#[test]
fn an_expiry_that_was_not_written_down_yet_is_no_difference() {
    let mut store = Store::new();
    run(&mut store, 0, [deposit("d", 1, 10), reserve_for("r", order(1, 1, 1), 5, 1)]);
    assert!(store.audit().is_clean());
    run(&mut store, 99, [expire(1)]);
    assert!(store.audit().is_clean());
}

#[test]
fn a_capture_at_its_deadline_is_found() {
    for (late_by, is_late) in [(-1, false), (0, true)] {
        let mut store = books();
        // The capture of reservation `d` is the last thing that happened to user 2.
        let ((id, _), last) = store.operations.range_mut((user(2), 0)..=(user(2), i64::MAX)).last().unwrap();
        assert_eq!(last.operation.kind, OperationKind::Capture);
        let time = later(last.reservation_after.unwrap().expires_at, late_by);
        last.operation.created_at = time;
        store.accounts.get_mut(id).unwrap().last_at = time;
        assert_eq!(!store.audit().is_clean(), is_late, "{:?}", store.audit().differences);
    }
}
