//! The money rules, a second time: each command changes the books at once, after its last "no".

use balance_domain::{
    Action, Actor, Amount, BALANCE_MAX, Command, Comment, Fact, Hold, Moment, MoneyCommand, OperationKind,
    Receipt, Rejection, Reservation, ReservationKey, ReservationState, ServiceStatus, TimeLimit, Timestamp,
    Ttl, UserId,
};

use super::{
    Answer, World,
    book::{Book, sign},
    expiry::ended,
};

/// A movement and who asks for it.
struct Request<'a> {
    command: &'a MoneyCommand,
    actor: Actor,
}

impl World {
    /// Does what is asked, or says why not and does nothing. The flag tells a repeat.
    pub(super) fn obey(
        &mut self,
        command: &Command,
        actor: Actor,
        moment: Moment,
    ) -> Result<(Receipt, bool), Rejection> {
        match command {
            Command::Money(command) => self.money(&Request { command, actor }, moment),
            Command::Extend { reservation, ttl } => {
                Ok((self.extend(*reservation, *ttl, actor, moment)?, false))
            }
            Command::Expire { user_id } => {
                let book = self.books.get(user_id).ok_or(Rejection::AccountNotFound(*user_id))?;
                Ok((Receipt::Account(book.account()), false))
            }
            Command::Close { user_id } => Ok((self.close(*user_id, actor, moment)?, false)),
        }
    }

    fn money(&mut self, request: &Request<'_>, moment: Moment) -> Result<(Receipt, bool), Rejection> {
        let command = request.command;
        let meaning = meaning(command);
        let scope = (command.action.user_id(), command.key.clone());
        if let Some(answer) = self.answers.get(&scope) {
            let is_same = if answer.is_erased { without_text(&meaning) } else { meaning } == answer.meaning;
            if !is_same {
                return Err(Rejection::IdempotencyKeyReused);
            }
            return Ok((answer.receipt.clone(), true));
        }
        let receipt = match command.action {
            Action::Deposit { user_id, amount } => self.deposit(request, user_id, amount, moment),
            Action::Withdraw { user_id, amount } => self.withdraw(request, user_id, amount, moment),
            Action::Transfer { from, to, amount } => self.transfer(request, from, to, amount, moment),
            Action::Reserve { reservation, amount, time_limit } => {
                self.reserve(request, reservation, amount, time_limit, moment)
            }
            Action::Capture { reservation, amount, is_final } => {
                self.capture(request, reservation, amount, is_final, moment)
            }
            Action::Release { reservation } => self.release(request, reservation, moment),
            Action::Refund { reservation, amount } => self.refund(request, reservation, amount, moment),
        }?;
        self.answers.insert(scope, Answer { meaning, receipt: receipt.clone(), is_erased: false });
        Ok((receipt, false))
    }

    fn deposit(
        &mut self,
        request: &Request<'_>,
        user_id: UserId,
        amount: Amount,
        moment: Moment,
    ) -> Result<Receipt, Rejection> {
        self.can_receive(user_id, amount)?;
        let book = self.books.entry(user_id).or_insert(Book::empty(user_id));
        let at = book.next_at(moment);
        book.available += amount.get();
        let noted = book.note(OperationKind::Deposit, amount, request.actor, at);
        sign(noted, request.command);
        Ok(Receipt::Operation(noted.operation.clone()))
    }

    fn withdraw(
        &mut self,
        request: &Request<'_>,
        user_id: UserId,
        amount: Amount,
        moment: Moment,
    ) -> Result<Receipt, Rejection> {
        let book = self.open(user_id)?;
        can_spend(book, amount)?;
        let at = book.next_at(moment);
        book.available -= amount.get();
        let noted = book.note(OperationKind::Withdrawal, amount, request.actor, at);
        sign(noted, request.command);
        Ok(Receipt::Operation(noted.operation.clone()))
    }

    fn transfer(
        &mut self,
        request: &Request<'_>,
        from: UserId,
        to: UserId,
        amount: Amount,
        moment: Moment,
    ) -> Result<Receipt, Rejection> {
        if from == to {
            return Err(Rejection::SameAccount);
        }
        self.open(from)?;
        self.not_closed(to)?;
        can_spend(self.open(from)?, amount)?;
        self.can_receive(to, amount)?;
        let of_receiver = self.books.get(&to).map_or(Timestamp::MIN, |book| book.next_at(moment));
        let payer = self.open(from)?;
        let at = payer.next_at(moment).max(of_receiver);

        payer.available -= amount.get();
        let paid = payer.note(OperationKind::TransferOut, amount, request.actor, at);
        paid.operation.counterparty_user_id = Some(to);
        sign(paid, request.command);
        let receipt = Receipt::Operation(paid.operation.clone());

        let receiver = self.books.entry(to).or_insert(Book::empty(to));
        receiver.available += amount.get();
        let income = receiver.note(OperationKind::TransferIn, amount, request.actor, at);
        income.operation.counterparty_user_id = Some(from);
        income.operation.comment.clone_from(&request.command.comment);
        Ok(receipt)
    }

    fn reserve(
        &mut self,
        request: &Request<'_>,
        key: ReservationKey,
        amount: Amount,
        time_limit: TimeLimit,
        moment: Moment,
    ) -> Result<Receipt, Rejection> {
        self.open(key.user_id)?;
        match self.services.get(&key.service_id) {
            None => return Err(Rejection::ServiceNotFound(key.service_id)),
            Some((service, _)) if service.status == ServiceStatus::Retired => {
                return Err(Rejection::ServiceRetired(key.service_id));
            }
            Some(_) => {}
        }
        let book = self.open(key.user_id)?;
        match book.reservations.get(&(key.service_id, key.order_id)) {
            Some(earlier) if earlier.state == ReservationState::Active => {
                return Err(Rejection::ReservationExists);
            }
            Some(earlier) if earlier.captured > 0 => return Err(Rejection::ReservationCaptured),
            _ => {}
        }
        can_spend(book, amount)?;

        let at = book.next_at(moment);
        let reservation = Reservation {
            key,
            state: ReservationState::Active,
            amount,
            captured: 0,
            released: 0,
            refunded: 0,
            created_at: at,
            reserve_seq: book.seq() + 1,
            expires_at: deadline(at, time_limit.ttl()),
        };
        book.available -= amount.get();
        book.reserved += amount.get();
        let noted = book.note_on(reservation, OperationKind::Reserve, amount, request.actor, at);
        sign(noted, request.command);
        let seq = noted.operation.seq;
        if let Some((_, is_used)) = self.services.get_mut(&key.service_id) {
            *is_used = true;
        }
        Ok(Receipt::Reservation { reservation, operation_seq: Some(seq) })
    }

    fn capture(
        &mut self,
        request: &Request<'_>,
        hold: Hold,
        amount: Option<Amount>,
        is_final: bool,
        moment: Moment,
    ) -> Result<Receipt, Rejection> {
        let mut reservation = self.active(hold, moment)?;
        let left = reservation.amount.get() - reservation.captured - reservation.released;
        let taken = amount.map_or(left, Amount::get);
        if taken > left {
            return Err(Rejection::CaptureExceedsReserved { remaining: left });
        }
        let rest = left - taken;
        reservation.captured += taken;
        if is_final || rest == 0 {
            reservation.released += rest;
            reservation.state = ReservationState::Captured;
        }
        let book = self.open(hold.key.user_id)?;
        let at = book.next_at(moment);
        book.reserved -= taken;
        let noted = book.note_on(reservation, OperationKind::Capture, money(taken), request.actor, at);
        sign(noted, request.command);
        let seq = noted.operation.seq;
        if is_final && rest > 0 {
            book.reserved -= rest;
            book.available += rest;
            book.note_on(reservation, OperationKind::Release, money(rest), request.actor, at);
        }
        Ok(Receipt::Reservation { reservation, operation_seq: Some(seq) })
    }

    fn release(&mut self, request: &Request<'_>, hold: Hold, moment: Moment) -> Result<Receipt, Rejection> {
        let before = self.active(hold, moment)?;
        let rest = before.amount.get() - before.captured - before.released;
        let reservation = ended(before, ReservationState::Released);
        let book = self.open(hold.key.user_id)?;
        let at = book.next_at(moment);
        book.reserved -= rest;
        book.available += rest;
        let noted = book.note_on(reservation, OperationKind::Release, money(rest), request.actor, at);
        sign(noted, request.command);
        Ok(Receipt::Reservation { reservation, operation_seq: Some(noted.operation.seq) })
    }

    fn refund(
        &mut self,
        request: &Request<'_>,
        hold: Hold,
        amount: Option<Amount>,
        moment: Moment,
    ) -> Result<Receipt, Rejection> {
        let book = self.open(hold.key.user_id)?;
        let mut reservation = meant(book, hold)?;
        let refundable = reservation.captured - reservation.refunded;
        let back = amount.map_or(refundable, Amount::get);
        if refundable == 0 {
            return Err(Rejection::NothingToRefund);
        }
        if back > refundable {
            return Err(Rejection::RefundExceedsCaptured { refundable });
        }
        if book.available + book.reserved + back > BALANCE_MAX {
            return Err(Rejection::BalanceLimitExceeded(hold.key.user_id));
        }
        reservation.refunded += back;
        let at = book.next_at(moment);
        book.available += back;
        let noted = book.note_on(reservation, OperationKind::Refund, money(back), request.actor, at);
        sign(noted, request.command);
        Ok(Receipt::Reservation { reservation, operation_seq: Some(noted.operation.seq) })
    }

    fn extend(&mut self, hold: Hold, ttl: Ttl, actor: Actor, moment: Moment) -> Result<Receipt, Rejection> {
        let mut reservation = self.active(hold, moment)?;
        let book = self.open(hold.key.user_id)?;
        reservation.expires_at = reservation.expires_at.max(deadline(book.next_at(moment), ttl));
        book.reservations.insert((hold.key.service_id, hold.key.order_id), reservation);
        let fact = Fact::reservation_extended(&book.account(), &reservation, actor, book.next_at(moment));
        self.facts.push(fact);
        Ok(Receipt::Reservation { reservation, operation_seq: None })
    }

    /// Free text goes at once, from history and from the answers that repeats are given.
    fn close(&mut self, user_id: UserId, actor: Actor, moment: Moment) -> Result<Receipt, Rejection> {
        let book = self.open(user_id)?;
        if book.available != 0 || book.reserved != 0 {
            return Err(Rejection::AccountNotEmpty { available: book.available, reserved: book.reserved });
        }
        book.is_closed = true;
        for recorded in &mut book.operations {
            recorded.operation.comment = None;
        }
        let (account, at) = (book.account(), book.next_at(moment));
        self.facts.push(Fact::account_closed(&account, actor, at));
        for ((owner, _), answer) in &mut self.answers {
            if *owner != user_id {
                continue;
            }
            answer.meaning = without_text(&answer.meaning);
            answer.is_erased = true;
            if let Receipt::Operation(operation) = &mut answer.receipt {
                operation.comment = None;
            }
        }
        Ok(Receipt::Account(account))
    }

    fn open(&mut self, user_id: UserId) -> Result<&mut Book, Rejection> {
        match self.books.get_mut(&user_id) {
            None => Err(Rejection::AccountNotFound(user_id)),
            Some(book) if book.is_closed => Err(Rejection::AccountClosed(user_id)),
            Some(book) => Ok(book),
        }
    }

    fn not_closed(&self, user_id: UserId) -> Result<(), Rejection> {
        match self.books.get(&user_id) {
            Some(book) if book.is_closed => Err(Rejection::AccountClosed(user_id)),
            _ => Ok(()),
        }
    }

    /// An unknown user may receive, too: the account appears with the first money.
    fn can_receive(&self, user_id: UserId, amount: Amount) -> Result<(), Rejection> {
        self.not_closed(user_id)?;
        let held = self.books.get(&user_id).map_or(0, |book| book.available + book.reserved);
        if held + amount.get() > BALANCE_MAX {
            return Err(Rejection::BalanceLimitExceeded(user_id));
        }
        Ok(())
    }

    /// What a transfer has dated past a deadline is over, as if the expiry stood in the book already.
    fn active(&mut self, hold: Hold, moment: Moment) -> Result<Reservation, Rejection> {
        let book = self.open(hold.key.user_id)?;
        let at = book.next_at(moment);
        let reservation = meant(book, hold)?;
        match reservation.state {
            ReservationState::Active if reservation.expires_at > at => Ok(reservation),
            ReservationState::Active if reservation.captured > 0 => Err(Rejection::ReservationCaptured),
            ReservationState::Active | ReservationState::Expired => Err(Rejection::ReservationExpired),
            ReservationState::Captured => Err(Rejection::ReservationCaptured),
            ReservationState::Released => Err(Rejection::ReservationReleased),
        }
    }
}

/// The reservation, if its latest hold is the one that is meant.
fn meant(book: &Book, hold: Hold) -> Result<Reservation, Rejection> {
    let found = book.reservations.get(&(hold.key.service_id, hold.key.order_id)).copied();
    let reservation = found.ok_or(Rejection::ReservationNotFound(hold.key))?;
    if hold.reserve_seq.is_some_and(|meant| meant != reservation.reserve_seq) {
        return Err(Rejection::ReservationSuperseded { reserve_seq: reservation.reserve_seq });
    }
    Ok(reservation)
}

fn can_spend(book: &Book, amount: Amount) -> Result<(), Rejection> {
    if amount.get() > book.available {
        return Err(Rejection::InsufficientFunds { available: book.available });
    }
    Ok(())
}

/// What the caller asked for: the key names the request, and a default that we chose is not the caller's.
fn meaning(command: &MoneyCommand) -> MoneyCommand {
    let mut meaning = command.clone();
    if let Action::Reserve { time_limit: TimeLimit::Default(ttl), .. } = &mut meaning.action
        && let Ok(any) = Ttl::from_seconds(1)
    {
        *ttl = any;
    }
    meaning
}

/// Of an erased comment only that there was one is known.
fn without_text(meaning: &MoneyCommand) -> MoneyCommand {
    let comment = meaning.comment.as_ref().and_then(|_| Comment::new("").ok());
    MoneyCommand { comment, ..meaning.clone() }
}

fn deadline(from: Timestamp, ttl: Ttl) -> Timestamp {
    let micros = from.micros() + i64::from(ttl.seconds()) * 1_000_000;
    Timestamp::from_micros(micros).unwrap_or(Timestamp::MAX)
}

#[expect(clippy::expect_used, reason = "only called with what is left of an amount, never with nothing")]
fn money(minor_units: i64) -> Amount {
    Amount::new(minor_units).expect("a part of an amount is an amount")
}
