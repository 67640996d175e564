//! What the handlers work with.

use std::sync::Arc;

use balance_domain::{
    Currency, Ledger, Reports, Ttl,
    ports::{IdentityRepo, ServiceRepo},
};

use crate::{
    access::Access,
    bodies::Bodies,
    drain::Drain,
    events::Events,
    fairness::{Fairness, QueueSettings},
    readiness::Readiness,
    refusals::Refusals,
    report_turns::ReportTurns,
};

/// Everything behind the HTTP contract.
#[derive(Clone)]
pub struct Api {
    /// The money.
    pub ledger: Ledger,
    /// What the ledger is.
    pub identity: Arc<dyn IdentityRepo>,
    /// The catalogue of services.
    pub services: Arc<dyn ServiceRepo>,
    /// The revenue reports.
    pub reports: Reports,
    /// The feed.
    pub events: Events,
    /// Who may do what.
    pub access: Access,
    /// Refused requests that the log has no line for yet.
    pub refusals: Refusals,
    /// What an operator may choose.
    pub settings: HttpSettings,
}

/// What an operator may choose about the contract.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The currency of all balances.
    pub currency: Currency,
    /// Which store the ledger is in, in one word.
    pub store: &'static str,
    /// How long a reservation stands whose caller names no limit.
    pub reservation_ttl_default: Ttl,
    /// The largest request body, in bytes.
    pub body_bytes_max: usize,
    /// The largest body of a batch, in bytes.
    pub batch_bytes_max: usize,
    /// Answer ids as strings of digits, for callers whose numbers are exact up to 2^53 only.
    pub ids_as_strings: bool,
    /// Request bodies that are being read, all together, in bytes; one caller may have a quarter of it.
    pub bodies_bytes_max: usize,
    /// Commands per second and API key, or per peer address while there are no keys; everything but a batch counts as
    /// one. 0 means no limit. As many may come at once.
    pub commands_per_second: u32,
    /// Commands that may be submitted at once, and those that may wait for that.
    pub queue: QueueSettings,
    /// Whether a proxy stands in front, whose `X-Forwarded-For` says who is at the other end.
    pub behind_proxy: bool,
}

impl HttpSettings {
    /// The settings of a fresh installation, for this default time limit of reservations.
    pub const fn new(currency: Currency, store: &'static str, reservation_ttl_default: Ttl) -> Self {
        Self {
            currency,
            store,
            reservation_ttl_default,
            body_bytes_max: 64 * 1024,
            batch_bytes_max: 1024 * 1024,
            ids_as_strings: false,
            bodies_bytes_max: 64 * 1024 * 1024,
            commands_per_second: 0,
            queue: QueueSettings {
                submitted_max: 4_000,
                waiting_max: 20_000,
                age_max: std::time::Duration::from_secs(2),
            },
            behind_proxy: false,
        }
    }
}

/// What every worker shares.
pub(crate) struct Shared {
    pub(crate) api: Api,
    pub(crate) bodies: Bodies,
    pub(crate) fairness: Fairness,
    pub(crate) report_turns: ReportTurns,
    pub(crate) readiness: Readiness,
    pub(crate) body_timeout: std::time::Duration,
    pub(crate) drain: Drain,
}
