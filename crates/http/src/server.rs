//! The process around the contract: workers, connections, timeouts.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

#[cfg(feature = "otel")]
use actix_web::middleware::Condition;
use actix_web::{
    App, Error,
    body::BoxBody,
    dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    web::{Data, ServiceConfig},
};
use paperclip::actix::OpenApiExt;

#[cfg(feature = "otel")]
use crate::spans;
use crate::{
    api::{Api, Shared},
    connection::{self, Timeouts, Turned},
    docs,
    drain::Drain,
    figures::describe,
    landing, routes, swagger,
    trace::{Worker, trace},
};

/// Gives the text of `/metrics`.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// Mounts pages of another adapter beside the contract: the console.
pub type Pages = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

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
    pub pages: Option<Pages>,
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
            pages: None,
            #[cfg(feature = "otel")]
            spans: false,
        }
    }
}

/// A server on this listener. It runs while it is awaited, takes no signals, and stops through its handle.
pub fn server(api: Api, listener: TcpListener, options: ServerOptions) -> io::Result<Server> {
    describe();
    connection::describe();
    let workers = options.workers.max(1);
    let shared = shared(api, options.body_timeout, options.drain);
    let (metrics, pages) = (options.metrics, options.pages);
    let app = move || {
        let app = app(shared.clone(), metrics.clone(), pages.as_ref());
        #[cfg(feature = "otel")]
        let app = app.wrap(Condition::new(options.spans, from_fn(spans::observe)));
        app
    };
    let timeouts = Timeouts {
        head: options.head_timeout,
        body: options.body_timeout,
        keep_alive: options.keep_alive,
        unread: options.unread_timeout,
    };
    let address = listener.local_addr()?;
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections((options.connections_max / workers).max(1))
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
    api.access.limit_to(api.settings.rate_limit_per_second);
    Data::new(Shared { api, body_timeout, drain })
}

/// Everything that one worker serves.
pub(crate) fn app(
    shared: Data<Shared>,
    metrics: Option<MetricsText>,
    pages: Option<&Pages>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<Turned<BoxBody>>,
        Error = Error,
        InitError = (),
    > + use<>,
> {
    let worker = Worker::new(shared.drain.clone());
    let ids_as_strings = shared.api.settings.ids_as_strings;
    App::new()
        .app_data(shared)
        .wrap_api()
        .configure(routes::mount)
        .build()
        .configure(|app| routes::mount_health(app, metrics))
        .configure(|app| swagger::mount(app, ids_as_strings))
        .configure(docs::mount)
        .configure(|app| landing::mount(app, pages.is_some()))
        .configure(|app| {
            if let Some(pages) = pages {
                pages(app);
            }
        })
        .wrap(from_fn(move |request: ServiceRequest, next: Next<_>| trace(worker.clone(), request, next)))
}
