//! The catalogue of services.

use balance_domain::{Limit, Service, ServiceId, ServiceName, ServiceStatus};
use paperclip::actix::Apiv2Schema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    api::HttpSettings,
    extract::{Faults, Field, Items, Pairs, QueryParameters, Request, check_items, check_object, required},
    wire::{Cursor, Wire},
};

/// A service that money is spent on.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct ServiceBody {
    /// Its id.
    id: Wire<ServiceId>,
    /// Its name, unique among all services.
    name: Wire<ServiceName>,
    /// Whether it takes new reservations.
    status: ServiceStatusName,
}

/// `retired`: was removed after use, takes no new reservation; open ones can end, reports keep the name.
#[derive(Serialize, Apiv2Schema)]
#[serde(rename_all = "snake_case")]
enum ServiceStatusName {
    Active,
    Retired,
}

impl From<Service> for ServiceBody {
    fn from(service: Service) -> Self {
        let status = match service.status {
            ServiceStatus::Active => ServiceStatusName::Active,
            ServiceStatus::Retired => ServiceStatusName::Retired,
        };
        Self { id: Wire(service.id), name: Wire(service.name), status }
    }
}

/// The services that were added.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct ServicesBody {
    /// In the order of the request.
    pub(crate) services: Vec<ServiceBody>,
}

/// A page of the catalogue.
#[derive(Serialize, Apiv2Schema)]
pub(crate) struct ServicePage {
    /// The services, by id.
    pub(crate) data: Vec<ServiceBody>,
    /// Where the next page starts; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

/// Which part of the catalogue.
#[derive(Apiv2Schema)]
pub(crate) struct ServiceParameters {
    /// At most this many rows.
    pub(crate) limit: Option<Wire<Limit>>,
    /// `next_cursor` of the page before.
    pub(crate) cursor: Option<Wire<Cursor>>,
}

impl QueryParameters for ServiceParameters {
    fn take(pairs: &mut Pairs) -> Option<Self> {
        Some(Self { limit: pairs.optional("limit").map(Wire), cursor: pairs.optional("cursor").map(Wire) })
    }
}

/// Services to add, all or none.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddServicesRequest {
    /// 1 to 1000 services; ids and names must be new, also among themselves.
    services: Items<NewService>,
}

/// A service to add.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewService {
    /// Its id, chosen by the caller.
    id: Wire<ServiceId>,
    /// Its name.
    name: Wire<ServiceName>,
}

impl AddServicesRequest {
    const FIELDS: &'static [Field] = &[Field::list("services")];
    const ITEM_FIELDS: &'static [Field] = &[required::<ServiceId>("id"), required::<ServiceName>("name")];

    /// The services, in the order of the request.
    pub(crate) fn into_services(self) -> Vec<(ServiceId, ServiceName)> {
        self.services.0.into_iter().map(|service| (service.id.0, service.name.0)).collect()
    }
}

impl Request for AddServicesRequest {
    type Raw = Self;

    fn bytes_max(settings: &HttpSettings) -> usize {
        settings.batch_bytes_max
    }

    fn accept(raw: Self, _: &HttpSettings) -> Option<Self> {
        Some(raw)
    }

    fn check(body: &RawValue, faults: &mut Faults) {
        let Some(fields) = check_object(body, "", &[Self::FIELDS], faults) else { return };
        check_items(fields.get("services"), "/services", faults, |item, pointer, faults| {
            check_object(item, pointer, &[Self::ITEM_FIELDS], faults);
        });
    }
}

/// A new name.
#[derive(Deserialize, Apiv2Schema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenameServiceRequest {
    /// The new name; its own is allowed.
    pub(crate) name: Wire<ServiceName>,
}

impl Request for RenameServiceRequest {
    type Raw = Self;

    fn accept(raw: Self, _: &HttpSettings) -> Option<Self> {
        Some(raw)
    }

    fn check(body: &RawValue, faults: &mut Faults) {
        check_object(body, "", &[&[required::<ServiceName>("name")]], faults);
    }
}
