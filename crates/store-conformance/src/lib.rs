//! The suite every BalanceRepo must pass, and the in-memory model it is compared with.
