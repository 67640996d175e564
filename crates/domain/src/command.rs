//! The commands of the ledger.

use sha2::{Digest, Sha256};

use crate::{Actor, Amount, Comment, Hold, IdempotencyKey, Invalid, ReservationKey, UserId};

/// How long money stays set aside: `1 ..= 2_592_000` seconds (30 days).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u32);

impl Ttl {
    /// 30 days, the longest that card schemes let an authorisation stand.
    pub const SECONDS_MAX: u32 = 30 * 24 * 60 * 60;

    /// Accepts `1 ..= 2_592_000` seconds.
    pub const fn from_seconds(seconds: u32) -> Result<Self, Invalid> {
        if seconds < 1 || seconds > Self::SECONDS_MAX { Err(Invalid::Ttl) } else { Ok(Self(seconds)) }
    }

    /// Whole seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

/// The time limit of a new reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLimit {
    /// The caller named it.
    Asked(Ttl),
    /// The caller left it to us, and this is what is configured today. Not part of the request's meaning: a
    /// repeat after a change of configuration is still the same request.
    Default(Ttl),
}

impl TimeLimit {
    /// The limit, chosen by the caller or by default.
    pub const fn ttl(self) -> Ttl {
        match self {
            Self::Asked(ttl) | Self::Default(ttl) => ttl,
        }
    }
}

/// A movement of money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Money comes in; the account appears with the first deposit.
    Deposit {
        /// To whom.
        user_id: UserId,
        /// How much.
        amount: Amount,
    },
    /// Money is paid out.
    Withdraw {
        /// From whom.
        user_id: UserId,
        /// How much.
        amount: Amount,
    },
    /// Money goes from one user to another, whose account appears if it is new.
    Transfer {
        /// Who pays.
        from: UserId,
        /// Who receives.
        to: UserId,
        /// How much.
        amount: Amount,
    },
    /// Money is set aside for an order.
    Reserve {
        /// For whom and what.
        reservation: ReservationKey,
        /// How much.
        amount: Amount,
        /// For how long.
        time_limit: TimeLimit,
    },
    /// Set-aside money becomes revenue.
    Capture {
        /// Of which reservation.
        reservation: Hold,
        /// How much; `None` is all that is left.
        amount: Option<Amount>,
        /// Give the rest back and end the reservation.
        is_final: bool,
    },
    /// Set-aside money goes back.
    Release {
        /// Of which reservation.
        reservation: Hold,
    },
    /// Revenue is given back.
    Refund {
        /// Of which reservation.
        reservation: Hold,
        /// How much; `None` is all that is left of what was captured.
        amount: Option<Amount>,
    },
}

impl Action {
    /// The user whose money moves first: the scope of the idempotency key.
    pub const fn user_id(&self) -> UserId {
        match self {
            Self::Deposit { user_id, .. } | Self::Withdraw { user_id, .. } => *user_id,
            Self::Transfer { from, .. } => *from,
            Self::Reserve { reservation, .. } => reservation.user_id,
            Self::Capture { reservation, .. }
            | Self::Release { reservation }
            | Self::Refund { reservation, .. } => reservation.key.user_id,
        }
    }

    /// The reservation it is about.
    pub const fn reservation(&self) -> Option<ReservationKey> {
        match self {
            Self::Deposit { .. } | Self::Withdraw { .. } | Self::Transfer { .. } => None,
            Self::Reserve { reservation, .. } => Some(*reservation),
            Self::Capture { reservation, .. }
            | Self::Release { reservation }
            | Self::Refund { reservation, .. } => Some(reservation.key),
        }
    }

    /// Which hold of the reservation is meant, if the caller says so.
    const fn reserve_seq(&self) -> Option<i64> {
        match self {
            Self::Capture { reservation, .. }
            | Self::Release { reservation }
            | Self::Refund { reservation, .. } => reservation.reserve_seq,
            Self::Deposit { .. } | Self::Withdraw { .. } | Self::Transfer { .. } | Self::Reserve { .. } => {
                None
            }
        }
    }
}

/// A movement of money, asked for under a key that makes it happen once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoneyCommand {
    /// What to do.
    pub action: Action,
    /// Unique per [`Action::user_id`], for ever.
    pub key: IdempotencyKey,
    /// What it is for.
    pub comment: Option<Comment>,
}

/// The meaning of a request, but for its key and the text of its comment: equal requests have equal fingerprints. The
/// first 16 bytes of a SHA-256.
///
/// The text is compared as it stands in the operation. A hash of it would survive the erasing of the text, and could
/// confirm a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl MoneyCommand {
    /// The meaning of this request. Stored with the operation for ever, so the encoding must never change:
    /// one byte for the action, each integer as 8 bytes big endian, an absent value as 0 (no id, amount or time
    /// limit is 0), then a byte that says whether there is a comment, then the number of the hold if one is named.
    pub fn fingerprint(&self) -> Fingerprint {
        let optional = |amount: Option<Amount>| amount.map_or(0, Amount::get);
        let (tag, numbers) = match &self.action {
            Action::Deposit { user_id, amount } => (1, [user_id.get(), amount.get(), 0]),
            Action::Withdraw { user_id, amount } => (2, [user_id.get(), amount.get(), 0]),
            Action::Transfer { from, to, amount } => (3, [from.get(), amount.get(), to.get()]),
            Action::Reserve { reservation, amount, time_limit } => {
                let asked = match time_limit {
                    TimeLimit::Asked(ttl) => ttl.seconds().into(),
                    TimeLimit::Default(_) => 0,
                };
                (4, [reservation.user_id.get(), amount.get(), asked])
            }
            Action::Capture { reservation, amount, is_final } => {
                (5, [reservation.key.user_id.get(), optional(*amount), (*is_final).into()])
            }
            Action::Release { reservation } => (6, [reservation.key.user_id.get(), 0, 0]),
            Action::Refund { reservation, amount } => {
                (7, [reservation.key.user_id.get(), optional(*amount), 0])
            }
        };
        let mut hash = Sha256::new();
        hash.update([tag]);
        for number in numbers {
            hash.update(number.to_be_bytes());
        }
        let (service, order) = self
            .action
            .reservation()
            .map_or((0, 0), |reservation| (reservation.service_id.get(), reservation.order_id.get()));
        hash.update(service.to_be_bytes());
        hash.update(order.to_be_bytes());
        hash.update([u8::from(self.comment.is_some())]);
        if let Some(seq) = self.action.reserve_seq() {
            hash.update(seq.to_be_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        Fingerprint(first)
    }
}

/// Anything that changes an account or its reservations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Moves money.
    Money(MoneyCommand),
    /// Moves the deadline of an active reservation on, counted from now, but never back. Moves no money, leaves no
    /// operation and needs no key: doing it twice is harmless, in any order.
    Extend {
        /// Which reservation.
        reservation: Hold,
        /// From now.
        ttl: Ttl,
    },
    /// Records the expiry of the user's due reservations: the sweeper's command, and that of a read which finds some.
    Expire {
        /// Whose reservations.
        user_id: UserId,
    },
    /// Closes an empty account for good and erases the free text of its history.
    Close {
        /// Whose account.
        user_id: UserId,
    },
}

impl Command {
    /// The user whose account it is about first.
    pub const fn user_id(&self) -> UserId {
        match self {
            Self::Money(command) => command.action.user_id(),
            Self::Extend { reservation, .. } => reservation.key.user_id,
            Self::Expire { user_id } | Self::Close { user_id } => *user_id,
        }
    }

    /// Every user whose account it touches.
    pub fn user_ids(&self) -> impl Iterator<Item = UserId> + use<> {
        let counterparty = match self {
            Self::Money(MoneyCommand { action: Action::Transfer { to, .. }, .. }) => Some(*to),
            _ => None,
        };
        [Some(self.user_id()), counterparty].into_iter().flatten()
    }
}

/// Commands that happen all together or not at all. A single command is a submission of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// What to do, in order.
    pub commands: Vec<Command>,
    /// Who asks. Not part of the meaning: a repeat by another caller gets the first answer, with the first actor.
    pub actor: Actor,
}

impl Submission {
    /// The same, asked for by this actor.
    #[must_use]
    pub fn by(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }
}

/// Asked for by nobody in particular: see [`Submission::by`].
impl From<Vec<Command>> for Submission {
    fn from(commands: Vec<Command>) -> Self {
        Self { commands, actor: Actor::Anonymous }
    }
}

impl From<Command> for Submission {
    fn from(command: Command) -> Self {
        vec![command].into()
    }
}

impl From<MoneyCommand> for Submission {
    fn from(command: MoneyCommand) -> Self {
        Command::Money(command).into()
    }
}
