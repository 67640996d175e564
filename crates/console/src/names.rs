//! The names of services that a page speaks of.

use std::collections::BTreeMap;

use balance_domain::{ServiceId, ports::RepoError};

use crate::console::Console;

/// Names by id; a service that is gone is called by its number.
pub(crate) struct Names(BTreeMap<ServiceId, String>);

impl Names {
    /// The names of these services, each looked up once.
    pub(crate) async fn of(
        console: &Console,
        ids: impl IntoIterator<Item = ServiceId>,
    ) -> Result<Self, RepoError> {
        let mut names = BTreeMap::new();
        for id in ids {
            if !names.contains_key(&id)
                && let Some(service) = console.services.service(id).await?
            {
                names.insert(id, service.name.as_str().to_owned());
            }
        }
        Ok(Self(names))
    }

    /// What the service is called.
    pub(crate) fn get(&self, id: ServiceId) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| format!("№\u{a0}{id}"))
    }
}
