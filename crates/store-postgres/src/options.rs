//! Where the database is, and the bounds within which it is used.

use std::{fmt, path::PathBuf, time::Duration};

/// Where the database is, and the bounds within which it is used.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?sslmode=…`. `sslmode=require` and the `verify-` modes
    /// always check the server's certificate and name; `prefer`, the default, is the same for a server
    /// elsewhere that offers TLS, and no TLS for one on this machine.
    pub url: String,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The most connections that are open at a time.
    pub connections_max: usize,
    /// How many batches run side by side. As many connections are reserved for them, and one for readiness; reads
    /// and everything else share what is left, at least one.
    pub batches_max: usize,
    /// How long a call waits for a free connection before it is answered as overloaded.
    pub wait_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a call may take in all, its repetitions after failures included.
    pub deadline: Duration,
    /// How long the server works on one statement. Reports and audits are exempt.
    pub statement_timeout: Duration,
    /// How long the server waits for one lock; half of the deadline at most, so that there is time left for those
    /// who do not need it.
    pub lock_timeout: Duration,
    /// After which silence the server ends a transaction and frees its locks.
    pub idle_in_transaction_timeout: Duration,
    /// How many accounts are cached as this instance left them, with their active reservations, so that commands on
    /// them and their balances need no look-up first: about 150 bytes each and 80 per reservation. 0 switches the
    /// cache off.
    pub recent_accounts_max: usize,
    /// For how long at most batches are not tried without a look, after that has failed again and again.
    pub recent_rest_max: Duration,
    /// How this instance is named in the server's lists.
    pub application_name: String,
    /// Works with a server whose settings can lose acknowledged commits (`fsync`, `full_page_writes` or
    /// `synchronous_commit` off). For tests only.
    pub allow_unsafe_durability: bool,
}

impl PostgresOptions {
    /// Everything but the URL as it is by default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ca_file: None,
            connections_max: 10,
            batches_max: 2,
            wait_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(3),
            deadline: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(3),
            idle_in_transaction_timeout: Duration::from_secs(10),
            recent_accounts_max: 200_000,
            recent_rest_max: Duration::from_secs(10),
            application_name: "balance".into(),
            allow_unsafe_durability: false,
        }
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("connections_max", &self.connections_max)
            .field("deadline", &self.deadline)
            .field("application_name", &self.application_name)
            .finish_non_exhaustive()
    }
}
