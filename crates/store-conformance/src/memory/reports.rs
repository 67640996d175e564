//! Revenue and kept reports of the model.

use std::collections::BTreeMap;

use async_trait::async_trait;
use balance_domain::{
    Month, OperationKind, Period, RevenueLine, RevenueReport, ServiceId, Timestamp,
    ports::{RepoError, ReportRepo},
};

use super::MemoryStore;

#[async_trait]
impl ReportRepo for MemoryStore {
    async fn revenue(&self, period: Period) -> Result<Vec<RevenueLine>, RepoError> {
        let world = self.world();
        let mut lines: BTreeMap<ServiceId, RevenueLine> = BTreeMap::new();
        for recorded in world.books.values().flat_map(|book| &book.operations) {
            let operation = &recorded.operation;
            let is_inside = period.start <= operation.created_at && operation.created_at < period.end;
            let moves_revenue = matches!(operation.kind, OperationKind::Capture | OperationKind::Refund);
            let Some((service, _)) = operation.service_id.and_then(|id| world.services.get(&id)) else {
                continue;
            };
            if !is_inside || !moves_revenue {
                continue;
            }
            let line = lines.entry(service.id).or_insert_with(|| RevenueLine {
                service_id: service.id,
                service_name: service.name.clone(),
                captured: 0,
                refunded: 0,
            });
            let amount = i128::from(operation.amount.get());
            if operation.kind == OperationKind::Capture {
                line.captured += amount;
            } else {
                line.refunded += amount;
            }
        }
        Ok(lines.into_values().collect())
    }

    async fn close_books(&self, until: Timestamp) -> Result<(), RepoError> {
        let mut world = self.world();
        world.closed_until = world.closed_until.max(Some(until));
        Ok(())
    }

    async fn final_reports(&self) -> Result<Vec<RevenueReport>, RepoError> {
        Ok(self.world().reports.values().filter(|report| report.is_final).cloned().collect())
    }

    async fn save_report(&self, report: RevenueReport) -> Result<RevenueReport, RepoError> {
        let mut world = self.world();
        match world.reports.get(&report.month) {
            Some(kept) if kept.is_final => Ok(kept.clone()),
            _ => {
                world.reports.insert(report.month, report.clone());
                Ok(report)
            }
        }
    }

    async fn report(&self, month: Month) -> Result<Option<RevenueReport>, RepoError> {
        Ok(self.world().reports.get(&month).cloned())
    }
}
