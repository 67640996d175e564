//! What visitors can do with money: the fields of each deed, and the command that they mean.

use balance_domain::{Action, Command, IdempotencyKey, MoneyCommand, ReservationKey, Scope, Ttl, UserId};

use crate::{
    fields::{Fields, comment, order_id, service_id, user_id},
    language::Language,
    money::Money,
    text::T,
};

/// A deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Deposit,
    Withdraw,
    Transfer,
    Capture,
    Release,
    Refund,
    Extend,
    Close,
}

/// A field of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    User,
    Receiver,
    Service,
    Order,
    Amount,
    /// May be left empty: all that there is.
    AmountOrAll,
    Minutes,
    Comment,
}

impl Input {
    /// Its name in the form.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::User => "user_id",
            Self::Receiver => "to_user_id",
            Self::Service => "service_id",
            Self::Order => "order_id",
            Self::Amount | Self::AmountOrAll => "amount",
            Self::Minutes => "minutes",
            Self::Comment => "comment",
        }
    }

    /// What stands above it, below it, and what is said when it makes no sense.
    pub(crate) const fn texts(self) -> (T, Option<T>, T) {
        match self {
            Self::User => (T::User, None, T::IdWanted),
            Self::Receiver => (T::Receiver, None, T::IdWanted),
            Self::Service => (T::ServiceNumber, None, T::IdWanted),
            Self::Order => (T::Order, None, T::IdWanted),
            Self::Amount => (T::Amount, Some(T::AmountHint), T::AmountWanted),
            Self::AmountOrAll => (T::Amount, Some(T::AmountOrAllHint), T::AmountWanted),
            Self::Minutes => (T::Minutes, Some(T::MinutesHint), T::MinutesWanted),
            Self::Comment => (T::Comment, Some(T::CommentHint), T::CommentWanted),
        }
    }
}

impl Deed {
    const ALL: [Self; 8] = [
        Self::Deposit,
        Self::Withdraw,
        Self::Transfer,
        Self::Capture,
        Self::Release,
        Self::Refund,
        Self::Extend,
        Self::Close,
    ];

    /// The deed of this name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deed| deed.name() == name)
    }

    /// Its name in addresses.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Withdraw => "withdraw",
            Self::Transfer => "transfer",
            Self::Capture => "capture",
            Self::Release => "release",
            Self::Refund => "refund",
            Self::Extend => "extend",
            Self::Close => "close",
        }
    }

    /// What it is called, and what the button says that does it.
    pub(crate) const fn texts(self) -> (T, T) {
        match self {
            Self::Deposit => (T::Deposit, T::DoDeposit),
            Self::Withdraw => (T::Withdraw, T::DoWithdraw),
            Self::Transfer => (T::Transfer, T::DoTransfer),
            Self::Capture => (T::Capture, T::DoCapture),
            Self::Release => (T::Release, T::DoRelease),
            Self::Refund => (T::Refund, T::DoRefund),
            Self::Extend => (T::Extend, T::DoExtend),
            Self::Close => (T::Close, T::DoClose),
        }
    }

    /// What a visitor needs for it.
    pub(crate) const fn scope(self) -> Scope {
        match self {
            Self::Deposit => Scope::Deposit,
            Self::Withdraw => Scope::Withdraw,
            Self::Transfer => Scope::Transfer,
            Self::Capture | Self::Release | Self::Extend => Scope::Reserve,
            Self::Refund => Scope::Refund,
            Self::Close => Scope::UsersDelete,
        }
    }

    /// The fields of its form.
    pub(crate) const fn inputs(self) -> &'static [Input] {
        use Input::{Amount, AmountOrAll, Comment, Minutes, Order, Receiver, Service, User};
        match self {
            Self::Deposit | Self::Withdraw => &[User, Amount, Comment],
            Self::Transfer => &[User, Receiver, Amount, Comment],
            Self::Capture | Self::Refund => &[User, Service, Order, AmountOrAll, Comment],
            Self::Release => &[User, Service, Order, Comment],
            Self::Extend => &[User, Service, Order, Minutes],
            Self::Close => &[User],
        }
    }

    /// The command that the fields mean, or the inputs that make no sense.
    pub(crate) fn command(
        self,
        fields: &Fields,
        key: IdempotencyKey,
        money: Money,
    ) -> Result<Command, Vec<Input>> {
        let mut wrong = Vec::new();
        for input in self.inputs() {
            if !is_sensible(*input, fields.get(input.name()), money) {
                wrong.push(*input);
            }
        }
        let command = if wrong.is_empty() { self.meant(fields, key, money) } else { None };
        command.ok_or(wrong)
    }

    fn meant(self, fields: &Fields, key: IdempotencyKey, money: Money) -> Option<Command> {
        let user = user_id(fields.get("user_id"))?;
        let amount = money.read(fields.get("amount"));
        let reservation = || {
            Some(ReservationKey {
                user_id: user,
                service_id: service_id(fields.get("service_id"))?,
                order_id: order_id(fields.get("order_id"))?,
            })
        };
        let action = match self {
            Self::Deposit => Action::Deposit { user_id: user, amount: amount? },
            Self::Withdraw => Action::Withdraw { user_id: user, amount: amount? },
            Self::Transfer => {
                Action::Transfer { from: user, to: user_id(fields.get("to_user_id"))?, amount: amount? }
            }
            Self::Capture => Action::Capture { reservation: reservation()?.into(), amount, is_final: true },
            Self::Release => Action::Release { reservation: reservation()?.into() },
            Self::Refund => Action::Refund { reservation: reservation()?.into(), amount },
            Self::Extend => {
                let ttl = ttl(fields.get("minutes"))?;
                return Some(Command::Extend { reservation: reservation()?.into(), ttl });
            }
            Self::Close => return Some(Command::Close { user_id: user }),
        };
        Some(Command::Money(MoneyCommand { action, key, comment: comment(fields.get("comment")) }))
    }

    /// The page of what the deed is about.
    pub(crate) fn subject(self, fields: &Fields) -> String {
        let user = fields.get("user_id");
        let user = user_id(user).map_or(0, UserId::get);
        match self {
            Self::Deposit | Self::Withdraw | Self::Transfer | Self::Close => format!("/console/users/{user}"),
            Self::Capture | Self::Release | Self::Refund | Self::Extend => {
                let service = service_id(fields.get("service_id")).map_or(0, balance_domain::ServiceId::get);
                let order = order_id(fields.get("order_id")).map_or(0, balance_domain::OrderId::get);
                format!("/console/reservations/{user}/{service}/{order}")
            }
        }
    }
}

fn is_sensible(input: Input, text: &str, money: Money) -> bool {
    match input {
        Input::User | Input::Receiver => user_id(text).is_some(),
        Input::Service => service_id(text).is_some(),
        Input::Order => order_id(text).is_some(),
        Input::Amount => money.read(text).is_some(),
        Input::AmountOrAll => text.is_empty() || money.read(text).is_some(),
        Input::Minutes => ttl(text).is_some(),
        Input::Comment => comment(text).is_some(),
    }
}

fn ttl(minutes: &str) -> Option<Ttl> {
    let minutes: u32 = minutes.parse().ok()?;
    Ttl::from_seconds(minutes.checked_mul(60)?).ok()
}

/// What the fields say, for the check page: labels and values as they will be understood.
pub(crate) fn understood(deed: Deed, fields: &Fields, money: Money, language: Language) -> Vec<(T, String)> {
    let said = deed.inputs().iter().map(|input| {
        let text = fields.get(input.name());
        let value = match input {
            Input::Amount | Input::AmountOrAll => match money.read(text) {
                Some(amount) => money.write(amount.get().into(), language),
                None => language.say(T::AllThatIsLeft).to_owned(),
            },
            _ => text.to_owned(),
        };
        (input.texts().0, value)
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUBLES: Money = Money(balance_domain::Currency::RUB);

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn key() -> IdempotencyKey {
        IdempotencyKey::new("k").unwrap()
    }

    #[test]
    fn fields_mean_a_command_or_are_named() {
        let sent = fields(&[("user_id", " 42 "), ("amount", "1 250,50"), ("comment", "by hand")]);
        let Ok(Command::Money(command)) = Deed::Deposit.command(&sent, key(), ROUBLES) else { panic!() };
        let Action::Deposit { user_id, amount } = command.action else { panic!() };
        assert_eq!((user_id.get(), amount.get()), (42, 125_050));
        assert_eq!(command.comment.unwrap().as_str(), "by hand");
        let wrong = fields(&[("user_id", "x"), ("amount", "1,250"), ("comment", " ")]);
        let named = Deed::Deposit.command(&wrong, key(), ROUBLES).unwrap_err();
        assert_eq!(named, [Input::User, Input::Amount, Input::Comment]);
    }

    #[test]
    fn an_empty_amount_is_all_only_where_that_makes_sense() {
        let order =
            [("user_id", "1"), ("service_id", "2"), ("order_id", "3"), ("comment", "c"), ("amount", "")];
        let sent = fields(&order);
        let Ok(Command::Money(command)) = Deed::Refund.command(&sent, key(), ROUBLES) else { panic!() };
        assert!(matches!(command.action, Action::Refund { amount: None, .. }));
        assert_eq!(Deed::Withdraw.command(&sent, key(), ROUBLES).unwrap_err(), [Input::Amount]);
        assert_eq!(Deed::Refund.subject(&sent), "/console/reservations/1/2/3");
    }

    #[test]
    fn every_deed_is_found_by_its_name() {
        for deed in Deed::ALL {
            assert_eq!(Deed::of_name(deed.name()), Some(deed));
            assert_eq!(deed.inputs()[0], Input::User);
        }
        assert_eq!(Deed::of_name("mint"), None);
    }
}
