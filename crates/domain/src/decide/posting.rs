//! Turns a decided movement into operations: the bounds of balances, `seq`, time and receipts are applied
//! here, once for all rules.

use crate::{
    Account, Actor, Amount, Decision, Fingerprint, Moment, MoneyCommand, Operation, OperationKind, Receipt,
    RecordedOperation, Rejection, Reservation, ReservationState, Timestamp,
    decide::{Changes, State},
};

/// One money command that is being written down.
pub(super) struct Posting<'a> {
    pub(super) state: &'a State,
    pub(super) command: &'a MoneyCommand,
    pub(super) fingerprint: Fingerprint,
    pub(super) actor: Actor,
    pub(super) moment: Moment,
}

impl Posting<'_> {
    /// One operation on one account.
    pub(super) fn single(
        &self,
        mut account: Account,
        kind: OperationKind,
        amount: Amount,
    ) -> Result<Decision, Rejection> {
        let at = self.next_at(&account);
        let operation = self.keyed(account.post(kind, amount, self.actor, at)?);
        let receipt = Receipt::Operation(operation.clone());
        let changes = Changes {
            accounts: vec![account],
            operations: vec![self.recorded(operation, None)],
            ..Changes::default()
        };
        Ok(Decision::Commit(changes, receipt))
    }

    /// A transfer: two operations at one instant, each naming the other side.
    pub(super) fn pair(
        &self,
        mut payer: Account,
        mut receiver: Account,
        amount: Amount,
    ) -> Result<Decision, Rejection> {
        let at = self.next_at(&payer).max(self.next_at(&receiver));
        let mut paid = self.keyed(payer.post(OperationKind::TransferOut, amount, self.actor, at)?);
        paid.counterparty_user_id = Some(receiver.user_id);
        let mut income = receiver.post(OperationKind::TransferIn, amount, self.actor, at)?;
        income.counterparty_user_id = Some(payer.user_id);
        income.comment.clone_from(&self.command.comment);
        let receipt = Receipt::Operation(paid.clone());
        let changes = Changes {
            accounts: vec![payer, receiver],
            operations: vec![self.recorded(paid, None), self.recorded(income, None)],
            ..Changes::default()
        };
        Ok(Decision::Commit(changes, receipt))
    }

    /// Operations that leave the reservation as given. The first answers for the command's key.
    pub(super) fn on_reservation(
        &self,
        mut account: Account,
        reservation: Reservation,
        movements: &[(OperationKind, Amount)],
    ) -> Result<Decision, Rejection> {
        let at = self.next_at(&account);
        let mut operations = Vec::with_capacity(movements.len());
        for (position, &(kind, amount)) in movements.iter().enumerate() {
            let mut operation = account.post(kind, amount, self.actor, at)?.on(&reservation);
            if position == 0 {
                operation = self.keyed(operation);
            }
            operations.push(self.recorded(operation, Some(reservation)));
        }
        let operation_seq = operations.first().map(|first| first.operation.seq);
        let changes = Changes {
            accounts: vec![account],
            reservations: vec![reservation],
            operations,
            ..Changes::default()
        };
        Ok(Decision::Commit(changes, Receipt::Reservation { reservation, operation_seq }))
    }

    /// The time of the account's next operation.
    pub(super) fn next_at(&self, account: &Account) -> Timestamp {
        self.moment.next(account.last_at)
    }

    /// The operation that answers for the command's key.
    fn keyed(&self, mut operation: Operation) -> Operation {
        operation.idempotency_key = Some(self.command.key.clone());
        operation.comment.clone_from(&self.command.comment);
        operation
    }

    fn recorded(&self, operation: Operation, reservation_after: Option<Reservation>) -> RecordedOperation {
        let fingerprint = operation.idempotency_key.is_some().then_some(self.fingerprint);
        RecordedOperation { operation, fingerprint, reservation_after }
    }
}

/// Expires a due reservation: at its deadline, however late this is written down. `None` if it holds nothing or
/// its account does not hold the money: stored rows that break an invariant.
pub(super) fn expire(
    account: &mut Account,
    due: Reservation,
    moment: Moment,
) -> Option<(Reservation, RecordedOperation)> {
    let at = moment.expiry(due.expires_at, account.last_at);
    let rest = Amount::new(due.remaining()).ok()?;
    account.balances_after(OperationKind::Expire, rest)?;

    let reservation = due.ended(ReservationState::Expired);
    let operation = account.post(OperationKind::Expire, rest, Actor::Expiry, at).ok()?.on(&reservation);
    Some((
        reservation,
        RecordedOperation { operation, fingerprint: None, reservation_after: Some(reservation) },
    ))
}

/// What an active reservation still holds.
///
/// # Panics
///
/// If it holds nothing: a stored row that breaks the invariant of [`ReservationState::Active`]. The batch
/// turns that into a failure of this one submission.
pub(super) fn held(remaining: i64) -> Amount {
    #[expect(clippy::expect_used, reason = "see Panics")]
    Amount::new(remaining).expect("an active reservation holds money")
}

impl Account {
    /// Appends an operation, or says which bound of the balance refuses it.
    ///
    /// # Panics
    ///
    /// If reserved money would fall below zero: a stored row that breaks the invariant of [`Account`].
    fn post(
        &mut self,
        kind: OperationKind,
        amount: Amount,
        actor: Actor,
        at: Timestamp,
    ) -> Result<Operation, Rejection> {
        let Some((available, reserved)) = self.balances_after(kind, amount) else {
            let (available, reserved) = kind.effect(amount);
            assert!(
                self.reserved + reserved >= 0,
                "user {} has less reserved than its reservations",
                self.user_id
            );
            return Err(if available < 0 {
                Rejection::InsufficientFunds { available: self.available }
            } else {
                Rejection::BalanceLimitExceeded(self.user_id)
            });
        };
        self.available = available;
        self.reserved = reserved;
        self.seq += 1;
        self.last_at = at;
        Ok(Operation {
            user_id: self.user_id,
            seq: self.seq,
            kind,
            amount,
            available_after: available,
            reserved_after: reserved,
            service_id: None,
            order_id: None,
            counterparty_user_id: None,
            comment: None,
            idempotency_key: None,
            actor,
            created_at: at,
        })
    }
}

impl Operation {
    /// This operation as one on the reservation.
    fn on(mut self, reservation: &Reservation) -> Self {
        self.service_id = Some(reservation.key.service_id);
        self.order_id = Some(reservation.key.order_id);
        self
    }
}

impl RecordedOperation {
    /// The receipt that this operation's request was answered with.
    pub fn receipt(&self) -> Receipt {
        match self.reservation_after {
            Some(reservation) => {
                Receipt::Reservation { reservation, operation_seq: Some(self.operation.seq) }
            }
            None => Receipt::Operation(self.operation.clone()),
        }
    }
}
