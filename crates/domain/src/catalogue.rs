//! The services that money is spent on.

use crate::{ServiceId, ServiceName};

/// Whether a service takes new reservations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceStatus {
    /// Takes reservations.
    Active,
    /// Was removed after use: takes no new reservation, open ones can end, reports keep the name.
    Retired,
}

/// An entry of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its id, chosen by the caller.
    pub id: ServiceId,
    /// Its name, unique among all services, retired ones included.
    pub name: ServiceName,
    /// Whether it takes new reservations.
    pub status: ServiceStatus,
}

/// What removing a service did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It was never used and is gone.
    Deleted,
    /// It was used and is retired now (or was before).
    Retired,
}

/// Why the catalogue refused a change. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// The id is taken, or named twice in one request.
    #[error("service {0} exists already")]
    IdTaken(ServiceId),
    /// The name is taken, or named twice in one request.
    #[error("another service is named {0:?} already")]
    NameTaken(ServiceName),
    /// No such service.
    #[error("there is no service {0}")]
    NotFound(ServiceId),
}
