//! What the pages work with, and where they are.

use std::sync::Arc;

use actix_web::{
    middleware::from_fn,
    web::{self, Data, ServiceConfig},
};
use balance_domain::{
    AccountingZone, Currency, Ledger, Reports,
    ports::{Clock, ServiceRepo},
};

use crate::{failure::frame, money::Money, session::Gate};

/// The largest form, in bytes.
const FORM_BYTES_MAX: usize = 32 * 1024;

/// Whether visitors may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleMode {
    /// They may do what their keys' scopes allow.
    On,
    /// They may look at things only, whatever their keys allow.
    ReadOnly,
}

/// Figures of the whole service, as of now. What is not known is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Live {
    /// Operations recorded per second, over the last seconds.
    pub operations_per_second: Option<f64>,
    /// Active reservations, counted up to some bound.
    pub holds: Option<u64>,
    /// How far the clock of this machine is from its reference, in microseconds.
    pub clock_offset_micros: Option<i64>,
}

/// Gives the live figures.
pub trait LiveFigures: Send + Sync + 'static {
    /// The figures as they are now; never waits.
    fn live(&self) -> Live;
}

/// Everything behind the pages.
pub struct Console {
    /// The money.
    pub ledger: Ledger,
    /// The catalogue of services.
    pub services: Arc<dyn ServiceRepo>,
    /// The revenue reports.
    pub reports: Reports,
    /// Who may come in.
    pub gate: Arc<dyn Gate>,
    /// Figures of the whole service.
    pub figures: Arc<dyn LiveFigures>,
    /// For what is left until a deadline.
    pub clock: Arc<dyn Clock>,
    /// The zone that times are shown in and that months are of.
    pub zone: AccountingZone,
    /// The ledger's currency.
    pub currency: Currency,
    /// Whether visitors may act.
    pub mode: ConsoleMode,
    /// TLS stands in front: cookies are for secure connections only.
    pub is_behind_tls: bool,
}

impl Console {
    pub(crate) fn money(&self) -> Money {
        Money(self.currency)
    }
}

/// What mounts the pages below `/console`, in every worker.
pub fn pages(console: Console) -> Arc<dyn Fn(&mut ServiceConfig) + Send + Sync> {
    let console = Data::new(console);
    Arc::new(move |app| {
        let scope = web::scope("/console")
            .app_data(Data::clone(&console))
            .app_data(web::FormConfig::default().limit(FORM_BYTES_MAX))
            .wrap(from_fn(frame))
            .configure(crate::pages::mount);
        app.service(scope);
    })
}
