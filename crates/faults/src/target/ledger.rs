//! A ledger in this process, driven through the same calls as the service: the domain's own driving side over
//! any `BalanceRepo`.

use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use balance_domain::{
    AccountAsOf, AccountingZone, Action, Amount, Comment, IdempotencyKey, Invalid, Ledger, Limit,
    MoneyCommand, Month, OperationFilter, OperationQuery, OperationSort, OrderId, Page, Period, Receipt,
    ReservationKey, ReservationQuery, ServiceId, Submission, TimeLimit, Ttl, UserId,
    ports::{Reply, RepoError, SubmitError},
};

use crate::{
    history::{
        AnswerBody, BalanceView, Call, MoneyAction, MoneyCall, OperationView, OrderRef, Outcome,
        ReportLineView, ReportView, ReservationView, operation_view, reservation_view,
    },
    target::Target,
};

/// What a ledger in this process must offer beside its port.
pub trait Bookkeeping: Send + Sync + 'static {
    /// Adds services that take reservations.
    fn add_services(&self, ids: &[ServiceId]);

    /// Service, captured and refunded, of the operations in the period; services without movement left out.
    fn revenue(&self, period: Period) -> Vec<(ServiceId, i128, i128)>;
}

/// A ledger without HTTP.
pub struct LedgerTarget {
    ledger: Ledger,
    books: Arc<dyn Bookkeeping>,
    zone: AccountingZone,
}

impl LedgerTarget {
    /// Drives `ledger`, whose books are `books`; its reports are of months in `zone`.
    pub fn new(ledger: Ledger, books: Arc<dyn Bookkeeping>, zone: AccountingZone) -> Self {
        Self { ledger, books, zone }
    }

    async fn submit(&self, submission: Submission) -> Vec<Outcome> {
        let commands = submission.commands.len();
        outcomes(self.ledger.submit_one(submission).await, commands)
    }

    async fn read_balance(&self, user_id: i64) -> Result<Option<BalanceView>, RepoError> {
        let Ok(user) = UserId::new(user_id) else { return Ok(None) };
        let account = self.ledger.account(user).await?;
        Ok(account.map(|AccountAsOf { at, recorded, .. }| BalanceView {
            user_id,
            available: recorded.available,
            reserved: recorded.reserved,
            total: recorded.total(),
            version: recorded.seq,
            as_of: at.to_string(),
        }))
    }

    async fn read_page(
        &self,
        user_id: i64,
        sort: OperationSort,
        after: Option<balance_domain::OperationPosition>,
        limit: u16,
    ) -> Result<Page<OperationView, balance_domain::OperationPosition>, RepoError> {
        let query = OperationQuery {
            user_id: UserId::new(user_id).map_err(internal)?,
            filter: OperationFilter::default(),
            sort,
            after,
            limit: Limit::new(limit).map_err(internal)?,
        };
        let page = self.ledger.operations(query).await?;
        Ok(page.map_or(Page { items: Vec::new(), next: None }, |page| Page {
            items: page.items.iter().map(operation_view).collect(),
            next: page.next,
        }))
    }
}

fn internal(invalid: Invalid) -> RepoError {
    RepoError::Internal(invalid.into())
}

#[async_trait]
impl Target for LedgerTarget {
    async fn call(&self, call: &Call) -> Outcome {
        match call {
            Call::Money(call) => match money_command(call) {
                Ok(command) => first(self.submit(command.into()).await),
                Err(invalid) => Outcome::Rejected { code: invalid.code().to_owned() },
            },
            Call::Extend { order, expires_in_seconds } => match extend(*order, *expires_in_seconds) {
                Ok(command) => first(self.submit(command.into()).await),
                Err(invalid) => Outcome::Rejected { code: invalid.code().to_owned() },
            },
            Call::Balance { user_id } => read(self.read_balance(*user_id).await.map(AnswerBody::Balance)),
            Call::Operations { user_id } => {
                let page = self.read_page(*user_id, OperationSort::NewestFirst, None, 20).await;
                read(page.map(|page| AnswerBody::Operations(page.items)))
            }
        }
    }

    async fn batch(&self, calls: &[MoneyCall], atomic: bool) -> Vec<Outcome> {
        let commands: Result<Vec<_>, Invalid> = calls.iter().map(money_command).collect();
        let commands = match commands {
            Ok(commands) => commands.into_iter().map(balance_domain::Command::Money),
            Err(invalid) => return vec![Outcome::Rejected { code: invalid.code().to_owned() }; calls.len()],
        };
        if atomic {
            return self.submit(Submission::from(commands.collect::<Vec<_>>())).await;
        }
        match self.ledger.submit(commands.map(Submission::from).collect()).await {
            Ok(replies) => replies.into_iter().flat_map(|reply| outcomes(reply, 1)).collect(),
            Err(error) => vec![failed(&error); calls.len()],
        }
    }

    async fn add_services(&self, ids: &[i64]) -> anyhow::Result<()> {
        let ids: Result<Vec<_>, Invalid> = ids.iter().map(|id| ServiceId::new(*id)).collect();
        self.books.add_services(&ids?);
        Ok(())
    }

    async fn balance(&self, user_id: i64) -> anyhow::Result<Option<BalanceView>> {
        Ok(self.read_balance(user_id).await?)
    }

    async fn operations(&self, user_id: i64) -> anyhow::Result<Vec<OperationView>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.read_page(user_id, OperationSort::OldestFirst, after, 200).await?;
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    async fn operation_by_key(&self, user_id: i64, key: &str) -> anyhow::Result<Option<OperationView>> {
        let operation =
            self.ledger.operation_by_key(UserId::new(user_id)?, IdempotencyKey::new(key)?).await?;
        Ok(operation.as_ref().map(operation_view))
    }

    async fn reservations(&self, user_id: i64) -> anyhow::Result<Vec<ReservationView>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let query = ReservationQuery {
                user_id: UserId::new(user_id)?,
                state: None,
                after,
                limit: Limit::new(200)?,
            };
            let Some(page) = self.ledger.reservations(query).await? else { return Ok(all) };
            all.extend(page.items.iter().map(reservation_view));
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    async fn report(&self, month: &str) -> anyhow::Result<ReportView> {
        let lines = self.books.revenue(self.zone.period(month.parse::<Month>()?));
        let line = |(service_id, captured, refunded): (ServiceId, i128, i128)| ReportLineView {
            service_id: service_id.get(),
            captured,
            refunded,
        };
        Ok(ReportView { month: month.to_owned(), lines: lines.into_iter().map(line).collect() })
    }
}

fn first(outcomes: Vec<Outcome>) -> Outcome {
    let none = || Outcome::Unknown { why: "no answer".to_owned() };
    outcomes.into_iter().next().unwrap_or_else(none)
}

fn outcomes(reply: Reply, commands: usize) -> Vec<Outcome> {
    match reply {
        Ok(accepted) => accepted
            .into_iter()
            .map(|accepted| match answer(&accepted.receipt) {
                Some(answer) => Outcome::Ok { answer, replayed: accepted.is_replay },
                None => Outcome::Unknown { why: "an answer of another kind".to_owned() },
            })
            .collect(),
        Err(SubmitError::Rejected { rejection, .. }) => {
            vec![Outcome::Rejected { code: rejection.code().to_owned() }; commands]
        }
        Err(SubmitError::Failed(error)) => vec![failed(&error); commands],
        Err(SubmitError::Postponed(_)) => vec![failed(&RepoError::Overloaded); commands],
    }
}

fn answer(receipt: &Receipt) -> Option<AnswerBody> {
    match receipt {
        Receipt::Operation(operation) => Some(AnswerBody::Operation(operation_view(operation))),
        Receipt::Reservation { reservation, .. } => {
            Some(AnswerBody::Reservation(reservation_view(reservation)))
        }
        Receipt::Account(_) => None,
    }
}

fn failed(error: &RepoError) -> Outcome {
    let why = error.to_string();
    match error {
        RepoError::Unknown(_) => Outcome::Unknown { why },
        _ => Outcome::NeverSent { why },
    }
}

fn read(answer: Result<AnswerBody, RepoError>) -> Outcome {
    match answer {
        Ok(answer) => Outcome::Ok { answer, replayed: false },
        Err(error) => failed(&error),
    }
}

fn reservation_key(order: OrderRef) -> Result<ReservationKey, Invalid> {
    Ok(ReservationKey {
        user_id: UserId::new(order.user_id)?,
        service_id: ServiceId::new(order.service_id)?,
        order_id: OrderId::new(order.order_id)?,
    })
}

fn extend(order: OrderRef, seconds: u32) -> Result<balance_domain::Command, Invalid> {
    let (reservation, ttl) = (reservation_key(order)?, Ttl::from_seconds(seconds)?);
    Ok(balance_domain::Command::Extend { reservation: reservation.into(), ttl })
}

fn money_command(call: &MoneyCall) -> Result<MoneyCommand, Invalid> {
    let optional = |amount: Option<i64>| amount.map(Amount::new).transpose();
    let action = match call.action {
        MoneyAction::Deposit { user_id, amount } => {
            Action::Deposit { user_id: UserId::new(user_id)?, amount: Amount::new(amount)? }
        }
        MoneyAction::Withdraw { user_id, amount } => {
            Action::Withdraw { user_id: UserId::new(user_id)?, amount: Amount::new(amount)? }
        }
        MoneyAction::Transfer { from_user_id, to_user_id, amount } => Action::Transfer {
            from: UserId::new(from_user_id)?,
            to: UserId::new(to_user_id)?,
            amount: Amount::new(amount)?,
        },
        MoneyAction::Reserve { order, amount, expires_in_seconds } => Action::Reserve {
            reservation: reservation_key(order)?,
            amount: Amount::new(amount)?,
            time_limit: TimeLimit::Asked(Ttl::from_seconds(expires_in_seconds)?),
        },
        MoneyAction::Capture { order, amount, is_final } => Action::Capture {
            reservation: reservation_key(order)?.into(),
            amount: optional(amount)?,
            is_final,
        },
        MoneyAction::Release { order } => Action::Release { reservation: reservation_key(order)?.into() },
        MoneyAction::Refund { order, amount } => {
            Action::Refund { reservation: reservation_key(order)?.into(), amount: optional(amount)? }
        }
    };
    Ok(MoneyCommand {
        action,
        key: IdempotencyKey::new(call.key.as_str())?,
        comment: Some(Comment::new(call.comment.as_str())?),
    })
}

/// The zone of reports unless another is configured.
pub fn usual_zone() -> anyhow::Result<AccountingZone> {
    AccountingZone::new("Europe/Moscow").context("the usual zone")
}
