//! The second line for the numbers of operations, since no index refuses a number that an early operation has
//! already: in a batch they must be consecutive up to the number in the account's new row, and what precedes the
//! first of them is the number that the row must have when it is written over.

use std::collections::HashMap;

use balance_domain::{Changes, UserId, ports::RepoError};

/// The number of each account's last operation before the changes; 0 for an account that is to be opened. Errs where
/// an account's operations do not count on without gaps up to what its row is going to say.
pub(super) fn preceding(changes: &Changes) -> Result<HashMap<UserId, i64>, RepoError> {
    let mut preceding = HashMap::with_capacity(changes.accounts.len());
    let mut last = HashMap::with_capacity(changes.accounts.len());
    for recorded in &changes.operations {
        let (user_id, seq) = (recorded.operation.user_id, recorded.operation.seq);
        let first = *preceding.entry(user_id).or_insert(seq - 1);
        if last.insert(user_id, seq).unwrap_or(first) != seq - 1 {
            return Err(miscounted(user_id));
        }
    }
    for account in &changes.accounts {
        preceding.entry(account.user_id).or_insert(account.seq);
        if last.remove(&account.user_id).unwrap_or(account.seq) != account.seq {
            return Err(miscounted(account.user_id));
        }
    }
    match last.into_keys().next() {
        Some(without_row) => Err(miscounted(without_row)),
        None => Ok(preceding),
    }
}

/// The numbers of a user's operations, or what the file has under that user, do not follow each other.
pub(super) fn miscounted(user_id: UserId) -> RepoError {
    RepoError::Internal(format!("the operations of user {user_id} do not count on from those before").into())
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use balance_domain::{
        Account, Actor, Amount, Operation, OperationKind, RecordedOperation, Timestamp, UserId,
    };

    use super::*;
    use crate::{execute::write, schema};

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    fn account(id: i64, seq: i64) -> Account {
        Account { seq, ..Account::unopened(user(id)) }
    }

    fn operation(id: i64, seq: i64) -> RecordedOperation {
        let operation = Operation {
            user_id: user(id),
            seq,
            kind: OperationKind::TransferIn,
            amount: Amount::MIN,
            available_after: 1,
            reserved_after: 0,
            service_id: None,
            order_id: None,
            counterparty_user_id: None,
            comment: None,
            idempotency_key: None,
            actor: Actor::Anonymous,
            created_at: Timestamp::from_micros(0).unwrap(),
        };
        RecordedOperation { operation, fingerprint: None, reservation_after: None }
    }

    fn numbers(accounts: &[(i64, i64)], operations: &[(i64, i64)]) -> Option<Vec<(i64, i64)>> {
        let changes = Changes {
            accounts: accounts.iter().map(|&(id, seq)| account(id, seq)).collect(),
            operations: operations.iter().map(|&(id, seq)| operation(id, seq)).collect(),
            ..Changes::default()
        };
        let mut found: Vec<_> = preceding(&changes).ok()?.iter().map(|(id, seq)| (id.get(), *seq)).collect();
        found.sort_unstable();
        Some(found)
    }

    #[test]
    fn rows_say_what_precedes_the_first_operation() {
        let found = numbers(&[(1, 7), (2, 1), (3, 4)], &[(1, 6), (2, 1), (1, 7)]);
        assert_eq!(found, Some(vec![(1, 5), (2, 0), (3, 4)]));
    }

    #[test]
    fn a_row_that_has_another_number_is_not_written_over() {
        let connection = schema::migrated();
        let write = |seqs: RangeInclusive<i64>| {
            let changes = Changes {
                accounts: vec![account(1, *seqs.end())],
                operations: seqs.map(|seq| operation(1, seq)).collect(),
                ..Changes::default()
            };
            write::changes(&connection, &changes)
        };
        assert!(write(2..=2).is_err(), "there is no row");
        write(1..=2).unwrap();
        for seqs in [1..=1, 2..=3, 4..=4] {
            let refused = write(seqs.clone()).unwrap_err();
            assert!(refused.to_string().contains("do not count on"), "{seqs:?}: {refused}");
        }
        write(3..=4).unwrap();
    }

    #[test]
    fn numbers_that_do_not_count_on_are_refused() {
        for (accounts, operations) in [
            (&[(1, 2)][..], &[(1, 1), (1, 1)][..]),
            (&[(1, 3)], &[(1, 1), (1, 3)]),
            (&[(1, 2)], &[(1, 2), (1, 1)]),
            (&[(1, 3)], &[(1, 2)]),
            (&[(1, 1)], &[(1, 2)]),
            (&[(1, 1)], &[(1, 1), (2, 1)]),
        ] {
            assert_eq!(numbers(accounts, operations), None, "{accounts:?} {operations:?}");
        }
    }
}
