//! Every rejection, in order of precedence.
//!
//! Each kind of command has a ladder of faults, the one to be answered first at the top. A rung is tried on rows
//! that have this fault and all faults below it at once; at the foot the rows are sound and the command passes.

use std::collections::BTreeSet;

use balance_domain::{BALANCE_MAX, Command, Hold, Rejection, ReservationState, ServiceStatus};

use crate::{
    script::{
        capture, close, deposit, expire, extend, order, refund, release, reserve, service, transfer, user,
        withdraw,
    },
    world::World,
};

/// Names every variant twice over: the match does not compile without a new variant, and the walk below fails
/// while no ladder answers it.
macro_rules! variants {
    ($($variant:ident),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        enum Variant { $($variant),* }

        impl Variant {
            const ALL: &[Self] = &[$(Self::$variant),*];

            const fn of(rejection: &Rejection) -> Self {
                match rejection { $(Rejection::$variant { .. } => Self::$variant),* }
            }
        }
    };
}

variants!(
    IdempotencyKeyReused,
    SameAccount,
    AccountNotFound,
    AccountClosed,
    ServiceNotFound,
    ServiceRetired,
    ReservationNotFound,
    ReservationSuperseded,
    ReservationExists,
    ReservationCaptured,
    ReservationReleased,
    ReservationExpired,
    NothingToRefund,
    CaptureExceedsReserved,
    RefundExceedsCaptured,
    InsufficientFunds,
    BalanceLimitExceeded,
    AccountNotEmpty,
);

/// A fault of the rows, and what it is answered with.
struct Rung(Rejection, fn(World) -> World);

struct Ladder {
    name: &'static str,
    command: Command,
    sound: World,
    rungs: Vec<Rung>,
}

impl Ladder {
    /// The rows with this fault and all that are below it; the upper ones are laid over the lower ones.
    fn world(&self, top: usize) -> World {
        self.rungs[top..].iter().rev().fold(self.sound.clone(), |world, Rung(_, fault)| fault(world))
    }

    fn walk(&self) {
        let rejections = self.rungs.iter().map(|Rung(rejection, _)| *rejection).collect::<Vec<_>>();
        assert!(rejections.is_sorted(), "{}: not in order of precedence", self.name);
        for (top, rejection) in rejections.iter().enumerate() {
            let answer = self.world(top).answer(&self.command);
            assert_eq!(answer, Err(*rejection), "{}, rung {top}", self.name);
        }
        let answer = self.world(self.rungs.len()).answer(&self.command);
        assert!(answer.is_ok(), "{}: sound rows are answered {answer:?}", self.name);
    }
}

const fn same(world: World) -> World {
    world
}

fn key_taken(world: World) -> World {
    world.key_taken(1)
}

fn missing(world: World) -> World {
    world.without_account(1)
}

fn closed(world: World) -> World {
    world.closed(1)
}

fn full(world: World) -> World {
    world.account(1, BALANCE_MAX, 0)
}

fn superseded(world: World) -> World {
    world.reserved_by(order(1, 1, 1), 9)
}

/// The hold that the rows of these ladders have.
fn first_hold() -> Hold {
    Hold { key: order(1, 1, 1), reserve_seq: Some(1) }
}

fn in_state(state: ReservationState, captured: i64) -> World {
    World::default().account(1, 0, 100).reservation(order(1, 1, 1), state, captured, 0)
}

/// The rungs of commands that need an active reservation.
fn reservation_rungs() -> Vec<Rung> {
    let the = order(1, 1, 1);
    vec![
        Rung(Rejection::AccountNotFound(user(1)), missing),
        Rung(Rejection::AccountClosed(user(1)), closed),
        Rung(Rejection::ReservationNotFound(the), |world| world.without_reservation(order(1, 1, 1))),
        Rung(Rejection::ReservationSuperseded { reserve_seq: 9 }, superseded),
        Rung(Rejection::ReservationCaptured, |world| {
            world.reservation(order(1, 1, 1), ReservationState::Captured, 60, 0)
        }),
        Rung(Rejection::ReservationReleased, |world| {
            world.reservation(order(1, 1, 1), ReservationState::Released, 0, 0)
        }),
        Rung(Rejection::ReservationExpired, |world| {
            world.reservation(order(1, 1, 1), ReservationState::Expired, 0, 0)
        }),
    ]
}

/// The same below the check of the key.
fn keyed_reservation_rungs() -> Vec<Rung> {
    let mut rungs = reservation_rungs();
    rungs.insert(0, Rung(Rejection::IdempotencyKeyReused, key_taken));
    rungs
}

fn money_ladders() -> Vec<Ladder> {
    let (missing_1, closed_1) = (Rejection::AccountNotFound(user(1)), Rejection::AccountClosed(user(1)));
    vec![
        Ladder {
            name: "deposit",
            command: deposit("k", 1, 100),
            sound: World::default().account(1, 0, 0),
            rungs: vec![
                Rung(Rejection::IdempotencyKeyReused, key_taken),
                Rung(closed_1, closed),
                Rung(Rejection::BalanceLimitExceeded(user(1)), full),
            ],
        },
        Ladder {
            name: "withdraw",
            command: withdraw("k", 1, 100),
            sound: World::default().account(1, 100, 0),
            rungs: vec![
                Rung(Rejection::IdempotencyKeyReused, key_taken),
                Rung(missing_1, missing),
                Rung(closed_1, closed),
                Rung(Rejection::InsufficientFunds { available: 99 }, |world| world.account(1, 99, 500)),
            ],
        },
        Ladder {
            name: "transfer",
            command: transfer("k", 1, 2, 100),
            sound: World::default().account(1, 100, 0),
            rungs: vec![
                Rung(Rejection::IdempotencyKeyReused, key_taken),
                Rung(missing_1, missing),
                Rung(closed_1, closed),
                Rung(Rejection::AccountClosed(user(2)), |world| world.closed(2)),
                Rung(Rejection::InsufficientFunds { available: 99 }, |world| world.account(1, 99, 1)),
                Rung(Rejection::BalanceLimitExceeded(user(2)), |world| world.account(2, BALANCE_MAX - 99, 0)),
            ],
        },
    ]
}

fn reserve_ladder() -> Ladder {
    Ladder {
        name: "reserve",
        command: reserve("k", order(1, 1, 1), 100),
        sound: World::default().account(1, 100, 0).service(1, ServiceStatus::Active),
        rungs: vec![
            Rung(Rejection::IdempotencyKeyReused, key_taken),
            Rung(Rejection::AccountNotFound(user(1)), missing),
            Rung(Rejection::AccountClosed(user(1)), closed),
            Rung(Rejection::ServiceNotFound(service(1)), |world| world.without_service(1)),
            Rung(Rejection::ServiceRetired(service(1)), |world| world.service(1, ServiceStatus::Retired)),
            Rung(Rejection::ReservationExists, |world| {
                world.reservation(order(1, 1, 1), ReservationState::Active, 0, 0)
            }),
            Rung(Rejection::ReservationCaptured, |world| {
                world.reservation(order(1, 1, 1), ReservationState::Captured, 100, 100)
            }),
            Rung(Rejection::InsufficientFunds { available: 99 }, |world| world.account(1, 99, 100)),
        ],
    }
}

fn capture_ladder() -> Ladder {
    let mut rungs = keyed_reservation_rungs();
    rungs.push(Rung(Rejection::CaptureExceedsReserved { remaining: 60 }, |world| {
        world.reservation(order(1, 1, 1), ReservationState::Active, 40, 0)
    }));
    let command = capture("k", first_hold(), Some(61));
    Ladder { name: "capture", command, sound: in_state(ReservationState::Active, 0), rungs }
}

fn refund_ladder() -> Ladder {
    let rungs = vec![
        Rung(Rejection::IdempotencyKeyReused, key_taken),
        Rung(Rejection::AccountNotFound(user(1)), missing),
        Rung(Rejection::AccountClosed(user(1)), closed),
        Rung(Rejection::ReservationNotFound(order(1, 1, 1)), |world| {
            world.without_reservation(order(1, 1, 1))
        }),
        Rung(Rejection::ReservationSuperseded { reserve_seq: 9 }, superseded),
        Rung(Rejection::NothingToRefund, |world| {
            world.reservation(order(1, 1, 1), ReservationState::Captured, 60, 60)
        }),
        Rung(Rejection::RefundExceedsCaptured { refundable: 40 }, |world| {
            world.reservation(order(1, 1, 1), ReservationState::Captured, 60, 20)
        }),
        Rung(Rejection::BalanceLimitExceeded(user(1)), full),
    ];
    let command = refund("k", first_hold(), Some(41));
    Ladder { name: "refund", command, sound: in_state(ReservationState::Captured, 60), rungs }
}

/// An expiry is answered of a closed account, too: nothing of it is due.
fn unknown() -> Vec<Rung> {
    vec![Rung(Rejection::AccountNotFound(user(1)), |world| world.without_account(1))]
}

fn other_ladders() -> Vec<Ladder> {
    let gone = || {
        vec![
            Rung(Rejection::AccountNotFound(user(1)), missing),
            Rung(Rejection::AccountClosed(user(1)), closed),
        ]
    };
    let mut closing = gone();
    closing
        .push(Rung(Rejection::AccountNotEmpty { available: 0, reserved: 1 }, |world| world.account(1, 0, 1)));
    let active = in_state(ReservationState::Active, 0);
    let empty = World::default().account(1, 0, 0);
    vec![
        Ladder {
            name: "release",
            command: release("k", first_hold()),
            sound: active.clone(),
            rungs: keyed_reservation_rungs(),
        },
        Ladder {
            name: "extend",
            command: extend(first_hold(), 60),
            sound: active,
            rungs: reservation_rungs(),
        },
        Ladder { name: "expire", command: expire(1), sound: empty.clone(), rungs: unknown() },
        Ladder { name: "close", command: close(1), sound: empty, rungs: closing },
    ]
}

fn ladders() -> Vec<Ladder> {
    let mut ladders = money_ladders();
    ladders.extend([reserve_ladder(), capture_ladder(), refund_ladder()]);
    ladders.extend(other_ladders());
    ladders
}

#[test]
fn where_several_rejections_apply_the_first_in_order_is_answered() {
    ladders().iter().for_each(Ladder::walk);
}

/// No rows could make this transfer right, so it stands on no ladder of its own.
#[test]
fn a_transfer_to_oneself_is_refused_before_the_account_is_looked_at() {
    let command = transfer("k", 1, 1, 100);
    let worlds: [fn(World) -> World; 4] = [same, missing, closed, full];
    for fault in worlds {
        let world = fault(World::default().account(1, 0, 0));
        assert_eq!(world.answer(&command), Err(Rejection::SameAccount));
        assert_eq!(world.key_taken(1).answer(&command), Err(Rejection::IdempotencyKeyReused));
    }
}

#[test]
fn every_rejection_is_answered_by_some_command() {
    let mut seen: BTreeSet<Variant> =
        ladders().iter().flat_map(|ladder| &ladder.rungs).map(|Rung(r, _)| Variant::of(r)).collect();
    seen.insert(Variant::of(&Rejection::SameAccount));
    let missing = Variant::ALL.iter().filter(|variant| !seen.contains(variant)).collect::<Vec<_>>();
    assert!(missing.is_empty(), "no ladder answers {missing:?}");
}

#[test]
fn a_due_reservation_is_expired_before_any_rule_sees_it() {
    let the = order(1, 1, 1);
    let world = in_state(ReservationState::Active, 0).service(1, ServiceStatus::Active).due(the);
    assert_eq!(world.answer(&capture("k", the, None)), Err(Rejection::ReservationExpired));
    assert_eq!(world.answer(&release("k", the)), Err(Rejection::ReservationExpired));
    assert_eq!(world.answer(&extend(the, 60)), Err(Rejection::ReservationExpired));
    assert!(world.answer(&reserve("k", the, 100)).is_ok(), "its money can be reserved again");
    assert!(world.answer(&withdraw("k", 1, 100)).is_ok(), "its money can be spent");
    let captured = in_state(ReservationState::Active, 40).account(1, 0, 60).due(the);
    assert_eq!(captured.answer(&capture("k", the, None)), Err(Rejection::ReservationCaptured));
    assert!(captured.answer(&refund("k", the, Some(40))).is_ok(), "what was captured can be refunded");
}

#[test]
fn order_codes_and_kinds_of_rejections_are_fixed() {
    let all = ladders().into_iter().flat_map(|ladder| ladder.rungs).map(|Rung(rejection, _)| rejection);
    let all: BTreeSet<Rejection> = all.chain([Rejection::SameAccount]).collect();
    assert!(all.iter().map(Variant::of).is_sorted(), "the order of precedence is part of the contract");
    let by_code: BTreeSet<(&str, Variant)> = all.iter().map(|r| (r.code(), Variant::of(r))).collect();
    assert_eq!(by_code.len(), Variant::ALL.len(), "one code per variant");
    let codes: BTreeSet<&str> = by_code.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes.len(), Variant::ALL.len(), "one variant per code");
    for rejection in all {
        let kind = format!("{:?}", rejection.kind());
        let expected = match rejection.code() {
            code if code.ends_with("_not_found") => "NotFound",
            "account_closed" => "Gone",
            "idempotency_key_reused"
            | "same_account"
            | "capture_exceeds_reserved"
            | "refund_exceeds_captured"
            | "insufficient_funds"
            | "balance_limit_exceeded" => "Refused",
            _ => "Conflict",
        };
        assert_eq!(kind, expected, "{rejection}");
    }
}
