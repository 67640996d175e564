//! The ledger port of the model: one call, one lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use balance_domain::{
    Accepted, AccountAsOf, Command, DryRun, Hold, IdempotencyKey, Moment, Operation, OperationPosition,
    OperationQuery, Page, Receipt, Rejection, Reservation, ReservationKey, ReservationPosition,
    ReservationQuery, ReservationSearch, SearchPosition, Service, ServiceId, Submission, UserId,
    ports::{BalanceRepo, LedgerSink, Reply, RepoError, SubmitError},
};

use super::{Answer, MemoryStore, World, book::Book, expiry::users_of};

#[async_trait]
impl BalanceRepo for MemoryStore {
    async fn execute(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        let mut world = self.world();
        let moment = self.moment(&world)?;
        for user_id in users_of(&submissions) {
            world.expire(user_id, moment);
        }
        let replies = submissions.iter().map(|submission| world.submit(submission, moment)).collect();
        world.list(&users_of(&submissions));
        Ok(replies)
    }

    async fn accounts(&self, user_ids: Vec<UserId>) -> Result<Vec<Option<AccountAsOf>>, RepoError> {
        let world = self.world();
        let moment = self.moment(&world)?;
        Ok(user_ids.into_iter().map(|user_id| world.account_as_of(user_id, moment)).collect())
    }

    async fn reservation(&self, key: ReservationKey) -> Result<Option<Reservation>, RepoError> {
        Ok(self.world().reservation(key))
    }

    async fn reservations(
        &self,
        query: ReservationQuery,
    ) -> Result<Page<Reservation, ReservationPosition>, RepoError> {
        Ok(self.world().reservations_page(&query))
    }

    async fn operations(
        &self,
        query: OperationQuery,
    ) -> Result<Page<Operation, OperationPosition>, RepoError> {
        Ok(self.world().operations_page(&query))
    }

    async fn dry_run(&self, submissions: Vec<Submission>) -> Result<DryRun, RepoError> {
        // A world of its own, in which everything happens.
        let mut world = self.world().clone();
        let moment = self.moment(&world)?;
        let users: BTreeSet<UserId> =
            submissions.iter().flat_map(|one| &one.commands).flat_map(Command::user_ids).collect();
        for user_id in &users {
            world.expire(*user_id, moment);
        }
        let accounts = |world: &World| {
            users.iter().filter_map(|user_id| world.books.get(user_id)).map(Book::account).collect()
        };
        let before = accounts(&world);
        let replies = submissions.iter().map(|submission| world.submit(submission, moment)).collect();
        Ok(DryRun { replies, before, after: accounts(&world) })
    }

    async fn search_reservations(
        &self,
        search: ReservationSearch,
    ) -> Result<Page<Reservation, SearchPosition>, RepoError> {
        let world = self.world();
        Ok(world.search(&search, self.moment(&world)?.now()))
    }

    async fn operation_by_key(
        &self,
        user_id: UserId,
        key: IdempotencyKey,
    ) -> Result<Option<Operation>, RepoError> {
        Ok(self.world().operation_by_key(user_id, &key))
    }

    async fn due_users(&self, users_max: u32) -> Result<Vec<UserId>, RepoError> {
        let world = self.world();
        Ok(world.due_users(self.moment(&world)?.now(), users_max))
    }

    async fn scan(&self, sink: Arc<dyn LedgerSink>) -> Result<(), RepoError> {
        let world = self.world();
        sink.begin(world.books.len().try_into().unwrap_or(u64::MAX));
        for book in world.books.values() {
            sink.account(book.account());
            for recorded in &book.operations {
                sink.operation(recorded.clone());
            }
            for reservation in book.reservations.values() {
                sink.reservation(*reservation);
            }
        }
        Ok(())
    }

    async fn ready(&self) -> Result<(), RepoError> {
        Ok(())
    }
}

impl World {
    /// All commands, or none.
    pub(super) fn submit(&mut self, submission: &Submission, moment: Moment) -> Reply {
        // A single command that is refused changes nothing: only several may have to be undone.
        let before = (submission.commands.len() > 1).then(|| Before::of(self, submission));
        let mut accepted = Vec::new();
        let has_happened = submission.commands.len() > 1 && self.knows_every_key(submission);
        for (index, command) in submission.commands.iter().enumerate() {
            match self.obey(command, submission.actor, moment) {
                Ok((receipt, is_replay)) => accepted.push(Accepted { receipt, is_replay }),
                Err(rejection) => {
                    if has_happened && let Some(receipt) = self.over(command, rejection) {
                        accepted.push(Accepted { receipt, is_replay: true });
                        continue;
                    }
                    if let Some(before) = before {
                        before.restore(self);
                    }
                    return Err(SubmitError::Rejected { index, rejection });
                }
            }
        }
        Ok(accepted)
    }

    /// Whether there are keys in it, and none that is new.
    fn knows_every_key(&self, submission: &Submission) -> bool {
        let keys: Vec<_> = submission.commands.iter().filter_map(money).collect();
        !keys.is_empty() && keys.iter().all(|key| self.answers.contains_key(key))
    }

    /// What a command without a key is about that can be done only once, if it is refused because that is over.
    fn over(&self, command: &Command, rejection: Rejection) -> Option<Receipt> {
        match command {
            Command::Extend { reservation: Hold { key, .. }, .. } => {
                let reservation =
                    *self.books.get(&key.user_id)?.reservations.get(&(key.service_id, key.order_id))?;
                let is_ended = rejection == Rejection::ReservationCaptured
                    || rejection == Rejection::ReservationReleased
                    || rejection == Rejection::ReservationExpired
                    || matches!(rejection, Rejection::ReservationSuperseded { .. });
                is_ended.then_some(Receipt::Reservation { reservation, operation_seq: None })
            }
            Command::Close { user_id } => {
                let is_closed = rejection == Rejection::AccountClosed(*user_id);
                is_closed.then_some(Receipt::Account(self.books.get(user_id)?.account()))
            }
            Command::Money(_) | Command::Expire { .. } => None,
        }
    }
}

fn money(command: &Command) -> Option<(UserId, IdempotencyKey)> {
    match command {
        Command::Money(command) => Some((command.action.user_id(), command.key.clone())),
        _ => None,
    }
}

/// Everything of the users that a submission names, as it was before.
struct Before {
    books: Vec<(UserId, Option<Book>)>,
    answers: Vec<((UserId, IdempotencyKey), Answer)>,
    services: BTreeMap<ServiceId, (Service, bool)>,
    facts: usize,
}

impl Before {
    fn of(world: &World, submission: &Submission) -> Self {
        let users = users_of(std::slice::from_ref(submission));
        let is_named = |user: &UserId| users.contains(user);
        Self {
            books: users.iter().map(|user| (*user, world.books.get(user).cloned())).collect(),
            answers: world
                .answers
                .iter()
                .filter(|((user, _), _)| is_named(user))
                .map(|(scope, answer)| (scope.clone(), answer.clone()))
                .collect(),
            services: world.services.clone(),
            facts: world.facts.len(),
        }
    }

    fn restore(self, world: &mut World) {
        for (user, book) in self.books {
            world.answers.retain(|(owner, _), _| *owner != user);
            match book {
                Some(book) => world.books.insert(user, book),
                None => world.books.remove(&user),
            };
        }
        world.answers.extend(self.answers);
        world.services = self.services;
        world.facts.truncate(self.facts);
    }
}
