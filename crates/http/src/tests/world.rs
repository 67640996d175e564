//! A small company: the model store, a manual clock, one service, and a way to call the API.

use std::{fmt::Write, rc::Rc, sync::Arc};

use actix_web::{
    body::{BodySize, MessageBody, to_bytes},
    dev::Service,
    http::header::HeaderMap,
    test::TestRequest,
    web::Data,
};
use balance_domain::{
    AccountingZone, Currency, Ledger, LedgerId, LedgerIdentity, Month, Reports, RevenueLine, RevenueReport,
    ServiceId, ServiceName, Timestamp, Ttl,
    ports::{
        ApiKeyRepo, BalanceRepo, Clock, IdentityRepo, Published, RepoError, ReportDraft, ReportRepo,
        ReportSink, ServiceRepo, SinkError, Spreadsheet, SpreadsheetLanguage,
    },
};
use balance_store_conformance::{MemoryStore, SetClock};
use futures::{FutureExt, future::LocalBoxFuture};
use serde_json::Value;

use crate::{
    Access, Api, Drain, Events, HttpSettings,
    api::Shared,
    server::{app, mount_pages, shared},
};

/// Publishes into memory.
pub(crate) struct TestSink;

struct TestDraft(Month, String);

impl ReportSink for TestSink {
    fn begin(&self, month: Month) -> Result<Box<dyn ReportDraft>, SinkError> {
        Ok(Box::new(TestDraft(month, "service;revenue\n".to_owned())))
    }

    fn spreadsheet(&self, report: &RevenueReport, _: SpreadsheetLanguage) -> Result<Spreadsheet, SinkError> {
        let bytes = format!("\u{feff}{};{}", report.month, report.total()).into_bytes();
        Ok(Spreadsheet { file_name: format!("{}-excel.csv", report.month), bytes })
    }
}

#[async_trait::async_trait]
impl ReportDraft for TestDraft {
    fn line(&mut self, line: &RevenueLine) -> Result<(), SinkError> {
        writeln!(self.1, "{};{}", line.service_name, line.net()).unwrap();
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Published, SinkError> {
        Ok(Published {
            file_name: format!("revenue-{}.csv", self.0),
            bytes: self.1.into_bytes(),
            sha256: "0".repeat(64),
        })
    }
}

/// When the clock of a new world stands: 2026-11-24T09:30:00Z.
pub(crate) const START: i64 = 1_795_512_600_000_000;

/// What a test works with.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) clock: SetClock,
    pub(crate) shared: Data<Shared>,
}

/// The ports of a world, to be replaced one by one.
pub(crate) struct Ports {
    pub(crate) ledger: Arc<dyn BalanceRepo>,
    pub(crate) services: Arc<dyn ServiceRepo>,
    pub(crate) reports: Arc<dyn ReportRepo>,
    pub(crate) sink: Arc<dyn ReportSink>,
    pub(crate) keys: Arc<dyn ApiKeyRepo>,
}

impl World {
    /// Everything on the model; access is open; service 7 exists.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    /// With some ports or settings replaced.
    pub(crate) async fn with(
        ports: impl FnOnce(&mut Ports),
        settings: impl FnOnce(&mut HttpSettings),
    ) -> Self {
        Self::assembled(ports, settings, 64).await
    }

    /// Everything on the model, where at most `followers_max` may wait for events.
    pub(super) async fn with_followers(followers_max: usize) -> Self {
        Self::assembled(|_| {}, |_| {}, followers_max).await
    }

    async fn assembled(
        ports: impl FnOnce(&mut Ports),
        settings: impl FnOnce(&mut HttpSettings),
        followers_max: usize,
    ) -> Self {
        let store = MemoryStore::new();
        let service = (ServiceId::new(7).unwrap(), ServiceName::new("Delivery").unwrap());
        store.add_services(vec![service]).await.unwrap().unwrap();
        let mut all = Ports {
            ledger: Arc::new(store.clone()),
            services: Arc::new(store.clone()),
            reports: Arc::new(store.clone()),
            sink: Arc::new(TestSink),
            keys: Arc::new(store.clone()),
        };
        ports(&mut all);
        let clock = store.clock();
        let shared_clock: Arc<dyn Clock> = Arc::new(clock.clone());
        let access = Access::new(all.keys, Arc::clone(&shared_clock));
        // A port that cannot be read yet is a case of its own.
        let _: Result<(), RepoError> = access.refresh().await;
        let mut chosen = HttpSettings::new(Currency::RUB, "sqlite", Ttl::from_seconds(600).unwrap());
        settings(&mut chosen);
        let zone = AccountingZone::new("Europe/Moscow").unwrap();
        let id = LedgerId::from_bytes([7; 16]);
        store.make_ledger(LedgerIdentity { id, currency: Currency::RUB, zone }).await.unwrap();
        let api = Api {
            ledger: Ledger::new(all.ledger),
            identity: Arc::new(store.clone()),
            services: all.services,
            reports: Reports::new(all.reports, all.sink, shared_clock, zone),
            access,
            refusals: crate::Refusals::default(),
            events: Events::new(Arc::new(store.clone()), Arc::new(store.clone()), followers_max),
            settings: chosen,
        };
        Self { store, clock, shared: shared(api, std::time::Duration::from_millis(500), Drain::default()) }
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, seconds: i64) {
        let now = self.clock.now().micros() + seconds * 1_000_000;
        self.clock.set(Timestamp::from_micros(now).unwrap());
    }

    /// What serves requests.
    pub(crate) async fn app(&self) -> TestApp {
        let ids_as_strings = self.shared.api.settings.ids_as_strings;
        let metrics: crate::MetricsText = Arc::new(|| "balance_up 1\n".to_owned());
        let service = actix_web::test::init_service(app(self.shared.clone(), move |app| {
            mount_pages(app, Some(metrics), ids_as_strings);
            crate::landing::mount(app, false);
        }))
        .await;
        let service = Rc::new(service);
        TestApp(Box::new(move |request| {
            let service = Rc::clone(&service);
            async move {
                // As the server does: an error that reaches it becomes the answer.
                let response = match service.call(request.to_request()).await {
                    Ok(response) => response.map_into_boxed_body().into_parts().1,
                    Err(error) => error.error_response(),
                };
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                let is_stream = headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
                let size = response.body().size();
                let bytes = to_bytes(response.into_body()).await.unwrap();
                let length = match size {
                    BodySize::Sized(length) => length,
                    BodySize::Stream if is_stream => bytes.len() as u64,
                    size => panic!("a body without a length: {size:?}"),
                };
                Reply { status, headers, length, text: String::from_utf8_lossy(&bytes).into_owned() }
            }
            .boxed_local()
        }))
    }
}

/// One worker, without sockets.
pub(crate) struct TestApp(Box<dyn Fn(TestRequest) -> LocalBoxFuture<'static, Reply>>);

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// What the answer says that its body has.
    pub(crate) length: u64,
    pub(crate) text: String,
}

impl Reply {
    /// The body as JSON, or null.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The stable code of a problem, which must be whole.
    pub(crate) fn code(&self) -> String {
        let problem = self.json();
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(problem["request_id"], self.header("x-request-id"), "{self:?}");
        for text in ["type", "title", "detail", "instance", "executed"] {
            assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{text} of {self:?}");
        }
        problem["code"].as_str().unwrap().to_owned()
    }

    /// Status and code.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, self.code())
    }
}

/// Sends a request.
pub(crate) async fn call(app: &TestApp, request: TestRequest) -> Reply {
    call_at("localhost", app, request).await
}

/// Sends a request that names this place.
pub(crate) async fn call_at(host: &'static str, app: &TestApp, request: TestRequest) -> Reply {
    (app.0)(request.insert_header(("host", host))).await
}

/// A GET.
pub(crate) fn get(path: &str) -> TestRequest {
    TestRequest::get().uri(path)
}

/// A DELETE.
pub(super) fn delete(path: &str) -> TestRequest {
    TestRequest::delete().uri(path)
}

/// A POST with a body that is sent as it stands.
pub(crate) fn post_text(path: &str, key: &str, body: &str) -> TestRequest {
    TestRequest::post()
        .uri(path)
        .insert_header(("idempotency-key", key))
        .insert_header(("content-type", "application/json"))
        .set_payload(body.to_owned())
}

/// A POST with a JSON body.
pub(crate) fn post(path: &str, key: &str, body: &Value) -> TestRequest {
    post_text(path, key, &body.to_string())
}
