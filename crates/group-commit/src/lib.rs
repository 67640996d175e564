//! A BalanceRepo around a BalanceRepo: merges concurrent calls into one transaction.
