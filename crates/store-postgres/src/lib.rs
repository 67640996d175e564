//! BalanceRepo on PostgreSQL.
