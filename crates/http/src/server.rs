//! The process around the contract: workers, connections, timeouts.

use std::{io, net::TcpListener, rc::Rc, sync::Arc, time::Duration};

use actix_http::Request;
use actix_service::IntoServiceFactory;
#[cfg(feature = "otel")]
use actix_web::middleware::Condition;
use actix_web::{
    App, Error,
    body::{BoxBody, MessageBody},
    dev::{AppConfig, Server, Service, ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    web::{Data, ServiceConfig},
};
use paperclip::actix::OpenApiExt;

#[cfg(feature = "otel")]
use crate::spans;
use crate::{
    api::{Api, Shared},
    bodies::Bodies,
    connection::{self, Timeouts, Turned},
    docs,
    drain::Drain,
    fairness::Fairness,
    figures::describe,
    landing,
    readiness::Readiness,
    report_turns::ReportTurns,
    routes, swagger,
    trace::{Worker, trace},
};

/// Gives the text of `/metrics`.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// Mounts pages of another adapter beside the contract: the console.
pub type Pages = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;
/// Connections of operators and orchestrators at once.
const ADMIN_CONNECTIONS_MAX: usize = 64;

/// How to serve.
#[derive(Clone)]
pub struct ServerOptions {
    /// Threads that answer requests.
    pub workers: usize,
    /// Connections at once, over all workers; more wait to be accepted.
    pub connections_max: usize,
    /// How long the head of a request may take to arrive.
    pub head_timeout: Duration,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long an idle connection stays open. Longer than a proxy in front keeps its own: otherwise a call can meet a
    /// connection that is being closed.
    pub keep_alive: Duration,
    /// How long a caller may take none of its answer.
    pub unread_timeout: Duration,
    /// How long requests may take to end once the server stops.
    pub shutdown_timeout: Duration,
    /// Whether the server is about to stop.
    pub drain: Drain,
    /// The text of `/metrics`, if there is to be such a page.
    pub metrics: Option<MetricsText>,
    /// The console, if there is to be one; `/` leads a browser there.
    pub console: Option<Pages>,
    /// Whether the listener of the API also serves what needs no key: health, metrics, the document, the pages about
    /// it.
    pub has_pages: bool,
    /// Whether each request has a span, made with the global tracer provider and propagator of OpenTelemetry.
    #[cfg(feature = "otel")]
    pub spans: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(2, Into::into),
            connections_max: 2_000,
            head_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(75),
            unread_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(5),
            drain: Drain::default(),
            metrics: None,
            console: None,
            has_pages: true,
            #[cfg(feature = "otel")]
            spans: false,
        }
    }
}

/// A server of the API on this listener. It runs while it is awaited, takes no signals, and stops through its handle.
pub fn server(api: Api, listener: TcpListener, options: &ServerOptions) -> io::Result<Server> {
    describe();
    connection::describe();
    let (workers, connections_max) = (options.workers.max(1), options.connections_max);
    #[cfg(feature = "otel")]
    let has_spans = options.spans;
    let shared = shared(api, options.body_timeout, options.drain.clone());
    let ids_as_strings = shared.api.settings.ids_as_strings;
    let pages = options.has_pages.then(|| options.metrics.clone());
    let console = options.console.clone();
    let app = move || {
        let (pages, console) = (pages.clone(), console.clone());
        let app = app(shared.clone(), move |app| {
            if let Some(metrics) = pages {
                mount_pages(app, metrics, ids_as_strings);
            }
            landing::mount(app, console.is_some());
            if let Some(console) = console {
                console(app);
            }
        });
        #[cfg(feature = "otel")]
        let app = app.wrap(Condition::new(has_spans, from_fn(spans::observe)));
        app
    };
    run(app, listener, options, workers, connections_max)
}

/// A server of what operators and orchestrators ask, and of nothing else, on a listener of its own: health can be
/// asked for when the API has no connection to spare.
pub fn admin_server(api: Api, listener: TcpListener, options: &ServerOptions) -> io::Result<Server> {
    let shared = shared(api, options.body_timeout, options.drain.clone());
    let (metrics, ids_as_strings) = (options.metrics.clone(), shared.api.settings.ids_as_strings);
    let app = move || {
        let worker = Rc::new(Worker::new(shared.clone()).for_operators());
        App::new()
            .app_data(shared.clone())
            .configure(|app| mount_pages(app, metrics.clone(), ids_as_strings))
            .wrap(from_fn(move |request: ServiceRequest, next: Next<_>| {
                trace(Rc::clone(&worker), request, next)
            }))
    };
    run(app, listener, options, 1, ADMIN_CONNECTIONS_MAX)
}

fn run<I, S, B>(
    app: impl Fn() -> I + Clone + Send + 'static,
    listener: TcpListener,
    options: &ServerOptions,
    workers: usize,
    connections_max: usize,
) -> io::Result<Server>
where
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let timeouts = Timeouts {
        head: options.head_timeout,
        body: options.body_timeout,
        keep_alive: options.keep_alive,
        unread: options.unread_timeout,
    };
    let address = listener.local_addr()?;
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections((connections_max / workers).max(1))
        .shutdown_timeout(options.shutdown_timeout.as_secs())
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let service = move || {
        let stopping = stopping.clone();
        let stopping = move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        };
        connection::service(app(), address, timeouts, stopping)
    };
    Ok(builder.listen("balance", listener, service)?.run())
}

/// What the workers share.
pub(crate) fn shared(api: Api, body_timeout: Duration, drain: Drain) -> Data<Shared> {
    api.access.limit_to(api.settings.commands_per_second);
    let bodies = Bodies::new(api.settings.bodies_bytes_max);
    let fairness = Fairness::new(api.settings.queue);
    Data::new(Shared {
        api,
        bodies,
        fairness,
        report_turns: ReportTurns::default(),
        readiness: Readiness::default(),
        drain,
        body_timeout,
    })
}

/// What needs no key: health, metrics, the document, the pages.
pub(crate) fn mount_pages(app: &mut ServiceConfig, metrics: Option<MetricsText>, ids_as_strings: bool) {
    routes::mount_health(app, metrics);
    swagger::mount(app, ids_as_strings);
    docs::mount(app);
}

/// The API as one worker serves it, and `pages` beside it.
pub(crate) fn app<P: FnOnce(&mut ServiceConfig)>(
    shared: Data<Shared>,
    pages: P,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<Turned<BoxBody>>,
        Error = Error,
        InitError = (),
    > + use<P>,
> {
    let worker = Rc::new(Worker::new(shared.clone()));
    App::new()
        .app_data(shared)
        .wrap_api()
        .configure(routes::mount)
        .build()
        .configure(pages)
        .wrap(from_fn(move |request: ServiceRequest, next: Next<_>| trace(Rc::clone(&worker), request, next)))
}
