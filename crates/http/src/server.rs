//! The process around the contract: workers, connections, timeouts.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

#[cfg(feature = "otel")]
use actix_web::middleware::Condition;
use actix_web::{
    App, Error, HttpServer,
    body::BoxBody,
    dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    web::Data,
};
use paperclip::actix::OpenApiExt;

#[cfg(feature = "otel")]
use crate::spans;
use crate::{
    api::{Api, Shared},
    figures::describe,
    limits::RateLimit,
    routes, swagger,
    trace::{Worker, trace},
};

/// Gives the text of `/metrics`.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

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
    /// How long an idle connection stays open.
    pub keep_alive: Duration,
    /// How long requests may take to end once the server is told to stop.
    pub shutdown_timeout: Duration,
    /// The text of `/metrics`, if there is to be such a page.
    pub metrics: Option<MetricsText>,
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
            keep_alive: Duration::from_secs(15),
            shutdown_timeout: Duration::from_secs(5),
            metrics: None,
            #[cfg(feature = "otel")]
            spans: false,
        }
    }
}

/// A server on this listener. It runs while it is awaited, takes no signals, and stops through its handle.
pub fn server(api: Api, listener: TcpListener, options: ServerOptions) -> io::Result<Server> {
    describe();
    let workers = options.workers.max(1);
    let shared = shared(api, options.body_timeout);
    let metrics = options.metrics;
    let app = move || {
        let app = app(shared.clone(), metrics.clone());
        #[cfg(feature = "otel")]
        let app = app.wrap(Condition::new(options.spans, from_fn(spans::observe)));
        app
    };
    let server = HttpServer::new(app)
        .workers(workers)
        .max_connections((options.connections_max / workers).max(1))
        .client_request_timeout(options.head_timeout)
        .keep_alive(options.keep_alive)
        .shutdown_timeout(options.shutdown_timeout.as_secs())
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

/// What the workers share.
pub(crate) fn shared(api: Api, body_timeout: Duration) -> Data<Shared> {
    let rate_limit = RateLimit::new(api.settings.rate_limit_per_second);
    Data::new(Shared { api, rate_limit, body_timeout })
}

/// Everything that one worker serves.
pub(crate) fn app(
    shared: Data<Shared>,
    metrics: Option<MetricsText>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let worker = Worker::default();
    App::new()
        .app_data(shared)
        .wrap_api()
        .configure(routes::mount)
        .build()
        .configure(|app| routes::mount_health(app, metrics))
        .configure(swagger::mount)
        .wrap(from_fn(move |request: ServiceRequest, next: Next<_>| trace(worker.clone(), request, next)))
}
