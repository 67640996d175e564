//! One report at a time: adding up a month reads all of it, and must not take the store from those who move money or
//! look.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::rt;
use balance_domain::{Month, PublishedReport, ReportError, Reports, RevenueReport};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout_at,
};

use crate::problem::{Code, Problem};

/// How long a caller waits for a report, its turn included.
const PATIENCE: Duration = Duration::from_secs(10);

/// Seconds after which to ask again.
const RETRY_SECONDS: u32 = 5;

/// The turn, and the report that was built last.
#[derive(Clone, Default)]
pub(crate) struct ReportTurns(Arc<Mutex<Option<Built>>>);

struct Built {
    began_at: Instant,
    month: Month,
    published: PublishedReport,
}

impl ReportTurns {
    /// Builds the report of a month. Those who ask for the same month while it is being built share the next one: it
    /// begins after they have asked, so it has in it whatever they know of.
    pub(crate) async fn build(&self, reports: &Reports, month: Month) -> Result<PublishedReport, Problem> {
        let (asked_at, reports) = (Instant::now(), reports.clone());
        self.take(move |mut last: OwnedMutexGuard<Option<Built>>| async move {
            if let Some(built) =
                last.as_ref().filter(|built| built.month == month && built.began_at >= asked_at)
            {
                return Ok(built.published.clone());
            }
            let began_at = Instant::now();
            let published = reports.build(month).await?;
            *last = Some(Built { began_at, month, published: published.clone() });
            Ok(published)
        })
        .await
    }

    /// The figures of months, for those who look at them.
    pub(crate) async fn months(
        &self,
        reports: &Reports,
        months: Vec<Month>,
    ) -> Result<Vec<RevenueReport>, Problem> {
        let reports = reports.clone();
        self.take(move |turn| async move {
            let shown = reports.months(&months).await;
            drop(turn);
            shown
        })
        .await
    }

    /// Does work that reads whole months, in its turn. Once begun it goes on by itself, and keeps the turn, even if
    /// its caller gives up: what reads the store cannot be called back.
    async fn take<T, F>(&self, work: impl FnOnce(OwnedMutexGuard<Option<Built>>) -> F) -> Result<T, Problem>
    where
        T: 'static,
        F: Future<Output = Result<T, ReportError>> + 'static,
    {
        let until = tokio::time::Instant::now() + PATIENCE;
        let late = |_| Problem::retry(Code::Overloaded, RETRY_SECONDS);
        let turn = timeout_at(until, Arc::clone(&self.0).lock_owned()).await.map_err(late)?;
        let working = timeout_at(until, rt::spawn(work(turn))).await.map_err(late)?;
        Ok(working.map_err(|_| Problem::panicked())??)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use balance_domain::{
        AccountingZone,
        ports::{MockReportRepo, RepoError},
    };
    use futures::future::join_all;

    use super::*;
    use crate::tests::world::{TestSink, World};

    /// A thousand who ask at once cost two looks at the store: the one that had begun, and one for all others.
    #[actix_web::test]
    async fn callers_of_one_month_share_a_report_that_began_after_they_asked() {
        let world = World::new().await;
        let looks = Arc::new(AtomicUsize::new(0));
        let mut repo = MockReportRepo::new();
        repo.expect_report().returning(|_| Ok(None));
        let counted = Arc::clone(&looks);
        repo.expect_close_books().returning(|_| Ok(()));
        repo.expect_revenue().returning(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Vec::new())
        });
        repo.expect_save_report().returning(|report: RevenueReport| Ok::<_, RepoError>(report));
        let zone = AccountingZone::new("UTC").unwrap();
        let reports = Reports::new(Arc::new(repo), Arc::new(TestSink), Arc::new(world.clock.clone()), zone);
        let turns = ReportTurns::default();
        let month: Month = "2026-11".parse().unwrap();
        let held = turns.0.clone().lock_owned().await;
        let asking = join_all((0..1_000).map(|_| turns.build(&reports, month)));
        let mut asking = std::pin::pin!(asking);
        assert!(futures::poll!(&mut asking).is_pending());
        drop(held);
        assert!(asking.await.iter().all(Result::is_ok));
        assert_eq!(looks.load(Ordering::Relaxed), 1);
        turns.build(&reports, month).await.unwrap();
        assert_eq!(looks.load(Ordering::Relaxed), 2, "a later caller gets what is so by then");
    }
}
