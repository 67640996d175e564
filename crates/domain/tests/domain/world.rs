//! Rows for one decision, set one by one: states that no sequence of commands needs to lead to.

use std::collections::BTreeMap;

use balance_domain::{
    Account, AccountStatus, Actor, Command, LoadedService, Operation, OperationKind, Receipt,
    RecordedOperation, Rejection, Reservation, ReservationKey, ReservationState, Rows, ServiceStatus, State,
    UserId, decide,
};
use balance_domain::{Decision, ServiceId, Submission, decide_batch};

use crate::{
    script::{amount, at, key, moment, service, user},
    store::Answer,
};

/// The rows; the time is the start of the script.
#[derive(Clone, Default)]
pub(crate) struct World {
    accounts: BTreeMap<UserId, Account>,
    services: BTreeMap<ServiceId, LoadedService>,
    reservations: BTreeMap<ReservationKey, Reservation>,
    keyed_operations: Vec<RecordedOperation>,
}

impl World {
    /// An open account that something happened to a minute ago.
    pub(crate) fn account(mut self, id: i64, available: i64, reserved: i64) -> Self {
        let status = AccountStatus::Open;
        let account = Account { user_id: user(id), status, available, reserved, seq: 7, last_at: at(-60) };
        self.accounts.insert(user(id), account);
        self
    }

    pub(crate) fn without_account(mut self, id: i64) -> Self {
        self.accounts.remove(&user(id));
        self
    }

    pub(crate) fn closed(mut self, id: i64) -> Self {
        self.accounts.get_mut(&user(id)).unwrap().status = AccountStatus::Closed;
        self
    }

    pub(crate) fn service(mut self, id: i64, status: ServiceStatus) -> Self {
        self.services.insert(service(id), LoadedService { id: service(id), status, is_used: true });
        self
    }

    pub(crate) fn without_service(mut self, id: i64) -> Self {
        self.services.remove(&service(id));
        self
    }

    /// A reservation of 100 that ends in ten minutes, of which so much was captured and refunded. What is over
    /// and was not captured is released.
    pub(crate) fn reservation(
        mut self,
        key: ReservationKey,
        state: ReservationState,
        captured: i64,
        refunded: i64,
    ) -> Self {
        let released = if state == ReservationState::Active { 0 } else { 100 - captured };
        let reservation = Reservation {
            key,
            state,
            amount: amount(100),
            captured,
            released,
            refunded,
            created_at: at(-60),
            reserve_seq: 1,
            expires_at: at(600),
        };
        self.reservations.insert(key, reservation);
        self
    }

    /// The reservation was made by this operation.
    pub(crate) fn reserved_by(mut self, key: ReservationKey, reserve_seq: i64) -> Self {
        if let Some(reservation) = self.reservations.get_mut(&key) {
            reservation.reserve_seq = reserve_seq;
        }
        self
    }

    pub(crate) fn without_reservation(mut self, key: ReservationKey) -> Self {
        self.reservations.remove(&key);
        self
    }

    /// The reservation's time is over, but nobody wrote that down yet.
    pub(crate) fn due(mut self, key: ReservationKey) -> Self {
        self.reservations.get_mut(&key).unwrap().expires_at = at(0);
        self
    }

    /// The user's key `k` belongs to a deposit of 12,345.
    pub(crate) fn key_taken(mut self, id: i64) -> Self {
        let operation = Operation {
            user_id: user(id),
            seq: 1,
            kind: OperationKind::Deposit,
            amount: amount(12_345),
            available_after: 12_345,
            reserved_after: 0,
            service_id: None,
            order_id: None,
            counterparty_user_id: None,
            comment: None,
            idempotency_key: Some(key("k")),
            actor: Actor::Anonymous,
            created_at: at(-60),
        };
        let Command::Money(first) = crate::script::deposit("k", id, 12_345) else { unreachable!() };
        let fingerprint = Some(first.fingerprint());
        self.keyed_operations.push(RecordedOperation { operation, fingerprint, reservation_after: None });
        self
    }

    pub(crate) fn rows(&self) -> Rows {
        Rows {
            accounts: self.accounts.values().copied().collect(),
            keyed_operations: self.keyed_operations.clone(),
            reservations: self.reservations.values().copied().collect(),
            services: self.services.values().copied().collect(),
            backlog: Vec::new(),
        }
    }

    /// What is decided on these rows.
    pub(crate) fn decide(&self, command: &Command) -> Result<Decision, Rejection> {
        decide(&State::new(self.rows(), moment(at(0))).0, command, Actor::Anonymous, moment(at(0)))
    }

    /// Decides the command in each way it can come, which must all answer alike.
    pub(crate) fn answer(&self, command: &Command) -> Result<Receipt, Rejection> {
        let decided = self.decide(command).map(|decision| match decision {
            Decision::Replay(receipt) | Decision::Commit(_, receipt) => receipt,
        });
        let alone = decide_batch(self.rows(), &[command.clone().into()], moment(at(0)));
        let answer = Answer::from(alone.replies.into_iter().next().unwrap());
        match (&decided, answer) {
            (Ok(receipt), Answer::Accepted(accepted)) => assert_eq!(*receipt, accepted[0].receipt),
            (Err(rejection), Answer::Rejected(index, answered)) => {
                assert_eq!((0, *rejection), (index, answered));
                assert_eq!(
                    alone.changes.accounts,
                    State::new(self.rows(), moment(at(0))).1.accounts,
                    "no trace"
                );
            }
            other => panic!("decided {other:?}"),
        }
        // Behind an accepted neighbour of the same submission it is the second that is refused.
        let neighbour = crate::script::deposit("neighbour", 900, 1);
        let both = Submission::from(vec![neighbour, command.clone()]);
        let reply = decide_batch(self.rows(), &[both], moment(at(0))).replies.into_iter().next().unwrap();
        match (&decided, Answer::from(reply)) {
            (Ok(receipt), Answer::Accepted(accepted)) => assert_eq!(*receipt, accepted[1].receipt),
            (Err(rejection), Answer::Rejected(1, answered)) => assert_eq!(*rejection, answered),
            other => panic!("decided {other:?}"),
        }
        decided
    }
}
