//! What a ledger is: recorded once, whatever is said later.

use balance_domain::{
    AccountingZone, Currency, LedgerId, LedgerIdentity,
    ports::{IdentityRepo, LedgerRecord},
};

use crate::teller::{Teller, failed};

/// The ledger number `number`, in this currency and zone.
pub(super) fn identity(number: u8, currency: &str, zone: &str) -> LedgerIdentity {
    let invalid = |invalid: balance_domain::Invalid| -> ! { panic!("{currency} in {zone}: {invalid}") };
    LedgerIdentity {
        id: LedgerId::from_bytes([number; 16]),
        currency: Currency::new(currency).unwrap_or_else(|error| invalid(error)),
        zone: AccountingZone::new(zone).unwrap_or_else(|error| invalid(error)),
    }
}

pub(super) async fn recorded(store: &(impl IdentityRepo + ?Sized)) -> Option<LedgerRecord> {
    store.ledger().await.unwrap_or_else(|error| failed(&error))
}

pub(super) async fn make(store: &(impl IdentityRepo + ?Sized), identity: LedgerIdentity) {
    store.make_ledger(identity).await.unwrap_or_else(|error| failed(&error));
}

/// What a ledger is, is said once.
pub async fn a_new_ledger_stays_what_it_became(teller: Teller) {
    let store = teller.store().as_ref();
    assert_eq!(recorded(store).await, None);
    let dinars = identity(1, "KWD", "Asia/Kuwait");
    make(store, dinars).await;
    let made = recorded(store).await;
    assert!(made.is_some_and(|made| made.identity == dinars && made.schema_version >= 1), "{made:?}");
    make(store, identity(2, "RUB", "Europe/Moscow")).await;
    assert_eq!(recorded(store).await, made);
}
