//! Writes random histories that are about half valid, full of edges and repeats.
//!
//! The model plays along while a history is written, so that amounts and deadlines can be aimed at.

use std::ops::RangeInclusive;

use balance_domain::{
    Account, AccountStatus, Action, Actor, Amount, ApiKeyId, BALANCE_MAX, Command, Comment, Hold,
    IdempotencyKey, MoneyCommand, Reservation, ReservationKey, ReservationState, ServiceId, Submission,
    TimeLimit, Timestamp, Ttl, UserId,
};
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};

use super::{
    namespace::Namespace,
    script::{Script, Step},
};
use crate::{
    MemoryStore,
    teller::{at, at_micros, key, seconds},
};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Writes the history of a seed.
pub(super) fn script(seed: u64, commands: &RangeInclusive<usize>) -> Script {
    let mut rng = SmallRng::seed_from_u64(seed);
    let wanted = rng.random_range(commands.clone());
    let mut writer = Writer {
        rng,
        ids: Namespace::of(seed),
        played: MemoryStore::new(),
        now: at("2026-11-28T21:00:00Z"),
        sent: Vec::new(),
        keys_given: 0,
        names_given: 0,
        steps: Vec::new(),
    };
    writer.write(wanted);
    Script { seed, steps: writer.steps }
}

struct Writer {
    rng: SmallRng,
    ids: Namespace,
    /// What is expected to be there, to aim at.
    played: MemoryStore,
    now: Timestamp,
    sent: Vec<MoneyCommand>,
    keys_given: u32,
    names_given: u32,
    steps: Vec<Step>,
}

impl Writer {
    fn write(&mut self, wanted: usize) {
        for _ in 0..2 {
            self.add_service();
        }
        let mut written = 0;
        while written < wanted {
            self.step_clock();
            match self.rng.random_range(0..100) {
                0..84 => written += self.submit(wanted - written),
                84..95 => self.look(),
                95..97 => self.add_service(),
                97..99 => self.rename_service(),
                _ => self.remove_service(),
            }
        }
        self.settle();
    }

    /// The last deadline has come: whatever is still open expires.
    fn settle(&mut self) {
        let last = self.open_reservations().iter().map(|open| open.expires_at).max();
        let now = last.map_or(self.now, |last| last.max(self.now));
        let submissions =
            self.ids.users().into_iter().map(|user_id| Command::Expire { user_id }.into()).collect();
        self.steps.push(Step::Look { now });
        self.steps.push(Step::Submit { now, submissions });
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices.choose(&mut self.rng).cloned().unwrap_or_else(|| panic!("nothing to choose from"))
    }

    // Time

    fn step_clock(&mut self) {
        let micros = self.now.micros();
        let next = match self.rng.random_range(0..100) {
            0..50 => micros + self.rng.random_range(0..120 * SECOND),
            50..62 => micros,
            62..72 => micros - self.rng.random_range(0..90 * SECOND),
            72..95 => self.near_a_deadline(),
            95..98 => micros + self.rng.random_range(0..12 * DAY),
            // The end of November in the default accounting zone.
            _ => at("2026-11-30T21:00:00Z").micros() + self.rng.random_range(-1..=1),
        };
        self.now = at_micros(next);
    }

    fn near_a_deadline(&mut self) -> i64 {
        let deadlines: Vec<Timestamp> = self.open_reservations().iter().map(|open| open.expires_at).collect();
        if deadlines.is_empty() {
            return self.now.micros();
        }
        self.pick(&deadlines).micros() + self.rng.random_range(-1..=1)
    }

    // Steps

    fn submit(&mut self, commands_max: usize) -> usize {
        let count = self.rng.random_range(1..=12);
        let mut submissions = Vec::new();
        let mut commands = 0;
        for user in self.ids.users() {
            self.played.expire_now(user, self.now);
        }
        while submissions.len() < count && commands < commands_max {
            let size = if self.chance(15) { self.rng.random_range(2..=5) } else { 1 };
            let submission =
                Submission::from((0..size).map(|_| self.command()).collect::<Vec<_>>()).by(self.actor());
            commands += size;
            self.played.play(&submission, self.now);
            submissions.push(submission);
        }
        self.steps.push(Step::Submit { now: self.now, submissions });
        commands
    }

    fn look(&mut self) {
        let micros = self.now.micros();
        let then = match self.rng.random_range(0..3) {
            0 => micros,
            1 => self.near_a_deadline(),
            _ => micros + self.rng.random_range(0..40 * DAY),
        };
        self.steps.push(Step::Look { now: at_micros(then) });
    }

    fn add_service(&mut self) {
        let known = self.played.service_ids();
        let unknown: Vec<_> = self.ids.services().into_iter().filter(|id| !known.contains(id)).collect();
        // Of two things that are wrong with one service either may be answered, so one at most is.
        let id = if unknown.is_empty() || self.chance(10) {
            self.pick(&self.ids.services())
        } else {
            self.pick(&unknown)
        };
        let is_known = known.contains(&id);
        let name = if is_known { self.new_name() } else { self.some_name() };
        self.played.add_one(id, &name);
        self.steps.push(Step::AddService { id, name });
    }

    fn rename_service(&mut self) {
        let (id, name) = (self.pick(&self.ids.services()), self.some_name());
        self.played.rename_one(id, &name);
        self.steps.push(Step::RenameService { id, name });
    }

    fn remove_service(&mut self) {
        let id = self.pick(&self.ids.services());
        self.played.remove_one(id);
        self.steps.push(Step::RemoveService { id });
    }

    fn new_name(&mut self) -> balance_domain::ServiceName {
        self.names_given += 1;
        self.ids.name(self.names_given)
    }

    fn some_name(&mut self) -> balance_domain::ServiceName {
        if self.names_given > 0 && self.chance(30) {
            let number = self.rng.random_range(1..=self.names_given);
            return self.ids.name(number);
        }
        self.new_name()
    }

    // Commands

    /// Any of three: a repeat is as often another's as the first caller's.
    fn actor(&mut self) -> Actor {
        let key = |id| ApiKeyId::new(id).map_or(Actor::Anonymous, Actor::Key);
        match self.rng.random_range(0..3) {
            0 => Actor::Anonymous,
            1 => key("0123456789ab"),
            _ => key("fedcba987654"),
        }
    }

    fn command(&mut self) -> Command {
        match self.rng.random_range(0..100) {
            0..3 => Command::Close { user_id: self.emptiest_user() },
            3..6 => Command::Expire { user_id: self.user() },
            6..11 => Command::Extend { reservation: self.hold(), ttl: self.ttl() },
            11..31 if !self.sent.is_empty() => Command::Money(self.repeat()),
            _ => {
                let command = self.new_command();
                self.sent.push(command.clone());
                Command::Money(command)
            }
        }
    }

    /// The same again, or the same key with one thing altered.
    fn repeat(&mut self) -> MoneyCommand {
        let mut command = self.sent_before();
        match self.rng.random_range(0..6) {
            0..3 => {}
            3 => command.comment = self.comment(),
            4 => command.action = self.altered(&command.action),
            _ => command.action = self.action(),
        }
        command
    }

    /// Of two tries one that was accepted: only such a key belongs to a request.
    fn sent_before(&mut self) -> MoneyCommand {
        let position = self.rng.random_range(0..self.sent.len());
        let command = self.sent[position].clone();
        if self.played.knows(command.action.user_id(), &command.key) {
            return command;
        }
        let position = self.rng.random_range(0..self.sent.len());
        self.sent[position].clone()
    }

    fn altered(&mut self, action: &Action) -> Action {
        match *action {
            Action::Deposit { user_id, .. } => Action::Deposit { user_id, amount: self.amount(user_id) },
            Action::Withdraw { user_id, amount } => Action::Deposit { user_id, amount },
            Action::Transfer { from, amount, .. } => Action::Transfer { from, to: self.user(), amount },
            Action::Reserve { reservation, amount, .. } => {
                Action::Reserve { reservation, amount, time_limit: self.time_limit() }
            }
            Action::Capture { reservation, amount, is_final } => {
                Action::Capture { reservation, amount, is_final: !is_final }
            }
            Action::Release { reservation } => Action::Refund { reservation, amount: None },
            Action::Refund { reservation, .. } => {
                Action::Refund { reservation, amount: self.part(reservation.key) }
            }
        }
    }

    fn new_command(&mut self) -> MoneyCommand {
        MoneyCommand { action: self.action(), key: self.new_key(), comment: self.comment() }
    }

    /// New for its user; now and then another user has it already.
    fn new_key(&mut self) -> IdempotencyKey {
        self.keys_given += 1;
        if self.chance(5) { key("shared") } else { key(&format!("key-{}", self.keys_given)) }
    }

    fn action(&mut self) -> Action {
        let user_id = self.user();
        match self.rng.random_range(0..100) {
            0..20 => {
                let user_id = self.any_user();
                Action::Deposit { user_id, amount: self.income(user_id) }
            }
            20..31 => Action::Withdraw { user_id, amount: self.amount(user_id) },
            31..46 => Action::Transfer { from: user_id, to: self.any_user(), amount: self.amount(user_id) },
            46..68 => {
                let reservation = self.new_reservation();
                let amount = self.amount(reservation.user_id);
                Action::Reserve { reservation, amount, time_limit: self.time_limit() }
            }
            68..84 => {
                let reservation = self.hold();
                let amount = self.part(reservation.key);
                Action::Capture { reservation, amount, is_final: self.chance(60) }
            }
            84..90 => Action::Release { reservation: self.hold() },
            _ => {
                let reservation = self.captured_reservation();
                let amount = self.part(reservation);
                Action::Refund { reservation: self.named(reservation), amount }
            }
        }
    }

    // Values

    /// Mostly one who takes part already.
    fn user(&mut self) -> UserId {
        let mut open = self.accounts();
        open.retain(|account| account.status == AccountStatus::Open);
        if !open.is_empty() && self.chance(85) { self.pick(&open).user_id } else { self.any_user() }
    }

    fn any_user(&mut self) -> UserId {
        self.pick(&self.ids.users())
    }

    fn emptiest_user(&mut self) -> UserId {
        let played = self.accounts();
        let emptiest = played.iter().min_by_key(|account| account.total()).map(|account| account.user_id);
        if self.chance(50) { emptiest.unwrap_or_else(|| self.user()) } else { self.user() }
    }

    fn accounts(&self) -> Vec<Account> {
        self.ids.users().into_iter().filter_map(|user| self.played.account_now(user)).collect()
    }

    fn open_reservations(&self) -> Vec<Reservation> {
        let mut all = self.played.reservations_of(&self.ids.users());
        all.retain(|reservation| reservation.state == ReservationState::Active);
        all
    }

    /// Mostly for a service that exists.
    fn new_reservation(&mut self) -> ReservationKey {
        let mut key = self.any_reservation();
        let known: Vec<ServiceId> = self.played.service_ids();
        if !known.is_empty() && self.chance(85) {
            key.service_id = self.pick(&known);
        }
        key
    }

    fn any_reservation(&mut self) -> ReservationKey {
        ReservationKey {
            user_id: self.user(),
            service_id: self.pick(&self.ids.services()),
            order_id: self.pick(&Namespace::orders()),
        }
    }

    /// An open one mostly, any other known one, or any at all.
    fn reservation(&mut self) -> ReservationKey {
        let open = self.open_reservations();
        if !open.is_empty() && self.chance(70) {
            return self.pick(&open).key;
        }
        let known = self.played.reservations_of(&self.ids.users());
        if !known.is_empty() && self.chance(80) { self.pick(&known).key } else { self.any_reservation() }
    }

    /// One of them, and now and then which of its holds: mostly the latest.
    fn hold(&mut self) -> Hold {
        let key = self.reservation();
        self.named(key)
    }

    fn named(&mut self, key: ReservationKey) -> Hold {
        let known = self.played.reservations_of(&[key.user_id]);
        let latest =
            known.iter().find(|reservation| reservation.key == key).map_or(1, |known| known.reserve_seq);
        let reserve_seq = match self.rng.random_range(0..10) {
            0 | 1 => Some(latest),
            2 => Some(self.rng.random_range(1..=latest + 2)),
            _ => None,
        };
        Hold { key, reserve_seq }
    }

    fn captured_reservation(&mut self) -> ReservationKey {
        let mut captured = self.played.reservations_of(&self.ids.users());
        captured.retain(|reservation| reservation.captured > reservation.refunded);
        if !captured.is_empty() && self.chance(75) { self.pick(&captured).key } else { self.reservation() }
    }

    fn ttl(&mut self) -> Ttl {
        seconds(self.pick(&[1, 2, 30, 60, 60, 600, 86_400, Ttl::SECONDS_MAX]))
    }

    fn time_limit(&mut self) -> TimeLimit {
        let ttl = self.ttl();
        if self.chance(30) { TimeLimit::Default(ttl) } else { TimeLimit::Asked(ttl) }
    }

    /// Of a reservation: all of what is left or captured, about that, or something.
    fn part(&mut self, key: ReservationKey) -> Option<Amount> {
        if self.chance(35) {
            return None;
        }
        let known = self.played.reservations_of(&[key.user_id]);
        let about = known.iter().find(|reservation| reservation.key == key).map_or(10, |reservation| {
            let left = reservation.remaining();
            if left > 0 { left } else { reservation.captured - reservation.refunded }
        });
        Some(self.around(about))
    }

    /// Mostly small enough to be spent later, at times as much as fits.
    fn income(&mut self, user_id: UserId) -> Amount {
        let held = self.played.account_now(user_id).map_or(0, |account| account.total());
        match self.rng.random_range(0..10) {
            0..7 => bounded(self.rng.random_range(1..2_000)),
            7 => self.around(BALANCE_MAX - held),
            _ => self.edge(),
        }
    }

    fn amount(&mut self, user_id: UserId) -> Amount {
        let available = self.played.account_now(user_id).map_or(0, |account| account.available);
        match self.rng.random_range(0..10) {
            0..4 => bounded(self.rng.random_range(1..=available.clamp(1, 300))),
            4..6 => bounded(available / 2),
            6..8 => self.around(available),
            8 => bounded(self.rng.random_range(1..50)),
            _ => self.edge(),
        }
    }

    fn around(&mut self, minor_units: i64) -> Amount {
        match self.rng.random_range(0..4) {
            0 => bounded(minor_units / 2),
            1 => bounded(minor_units),
            _ => bounded(minor_units + self.rng.random_range(-1..=1)),
        }
    }

    /// Within eight of a power of two or of the largest amount.
    fn edge(&mut self) -> Amount {
        let power = 1_i64 << self.rng.random_range(0..=53);
        bounded(power + self.rng.random_range(-8..=8))
    }

    fn comment(&mut self) -> Option<Comment> {
        const TEXTS: [&str; 8] = [
            "",
            "for order 7",
            "за такси",
            "🦀\u{202e}rtl",
            "a\u{301}",
            "'; --\\\"%_",
            "two\nlines\t",
            "NULL",
        ];
        if self.chance(50) { None } else { Comment::new(self.pick(&TEXTS)).ok() }
    }
}

fn bounded(minor_units: i64) -> Amount {
    Amount::new(minor_units.clamp(1, BALANCE_MAX)).unwrap_or(Amount::MIN)
}
