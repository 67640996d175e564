//! What the ledger is.

use balance_domain::{LedgerIdentity, ports::LedgerRecord};
use paperclip::actix::Apiv2Schema;
use serde::Serialize;

/// What the ledger is.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct LedgerBody {
    /// 32 hexadecimal digits; a copy of a ledger has the id of the original.
    id: String,
    /// The ISO 4217 code of the currency whose minor units all amounts are.
    currency: String,
    /// Digits behind the decimal separator: an amount of 150000 is 1500.00 with 2, and 150000 with 0.
    currency_decimals: i64,
    /// The IANA time zone in which months begin and end.
    accounting_zone: String,
    /// Where the ledger is kept: `sqlite` or `postgres`.
    store: String,
    /// The version of the store's schema.
    schema_version: i64,
}

impl LedgerBody {
    /// The ledger of this record, in a store of this name.
    pub(crate) fn new(record: &LedgerRecord, store: &str) -> Self {
        let LedgerIdentity { id, currency, zone } = record.identity;
        Self {
            id: id.to_string(),
            currency: currency.code().to_owned(),
            currency_decimals: currency.decimals().into(),
            accounting_zone: zone.name().to_owned(),
            store: store.to_owned(),
            schema_version: record.schema_version,
        }
    }
}
