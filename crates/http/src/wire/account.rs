//! A user's balance.

use balance_domain::{Account, Currency, Timestamp, UserId};
use paperclip::actix::Apiv2Schema;
use serde::Serialize;

use crate::wire::Wire;

/// A user's money at one moment, in minor units.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct BalanceBody {
    /// Whose money.
    user_id: Wire<UserId>,
    /// What the user can spend.
    available: i64,
    /// What is set aside for orders.
    reserved: i64,
    /// Available and reserved together.
    total: i64,
    /// The currency whose minor units these are.
    currency: String,
    /// The number of operations so far: `seq` of the last one.
    version: i64,
    /// When this was so.
    as_of: Wire<Timestamp>,
}

impl BalanceBody {
    /// The account as it was at this time.
    pub(crate) fn new(account: &Account, as_of: Timestamp, currency: Currency) -> Self {
        Self {
            user_id: Wire(account.user_id),
            available: account.available,
            reserved: account.reserved,
            total: account.total(),
            currency: currency.code().to_owned(),
            version: account.seq,
            as_of: Wire(as_of),
        }
    }
}
