//! Which requests are traced.

use reqwest::Method;

use crate::{
    harness::{Api, Server, Store, World},
    otel::collector::Collector,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A server, and the world that keeps its files.
fn start(collector: &Collector, ratio: &str) -> (World, Server) {
    let world = World::new(Store::Sqlite)
        .with("BALANCE_OTEL__ENDPOINT", &collector.endpoint)
        .with("BALANCE_OTEL__SAMPLE_RATIO", ratio);
    let server = world.start();
    (world, server)
}

/// Asks with these words in `traceparent`.
async fn ask(server: &Server, parent: &str) {
    let request = server.api.request(Method::GET, "/health/live").header("traceparent", parent);
    Api::send(request).await.expect(200);
}

/// The traces of all spans that arrived.
fn traces(collector: &Collector) -> Vec<String> {
    collector.spans().into_iter().map(|span| span.trace).collect()
}

#[tokio::test]
async fn a_caller_decides_for_its_own_requests() {
    for ratio in ["0", "1"] {
        let collector = Collector::start();
        let (_world, server) = start(&collector, ratio);
        ask(&server, &format!("00-{TRACE}-00f067aa0ba902b7-01")).await;
        ask(&server, "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00").await;
        assert!(server.stop().success());
        assert_eq!(traces(&collector), [TRACE], "ratio {ratio}");
    }
}

#[tokio::test]
async fn the_ratio_decides_for_those_who_say_nothing() {
    for (ratio, expected) in [("0", 0..=0), ("0.5", 1..=99), ("1", 100..=100)] {
        let collector = Collector::start();
        let (_world, server) = start(&collector, ratio);
        for user in 1..=50 {
            server.api.deposit(user, 1).await;
            // Not one of W3C: the same as none.
            ask(&server, "00-nonsense-01").await;
        }
        assert!(server.stop().success());
        let spans = collector.spans();
        let requests = spans.iter().filter(|span| span.kind == 2).count();
        assert!(expected.contains(&requests), "ratio {ratio}: {requests} of 100");
        // Whole traces: each recorded deposit has its commit, and that its batch.
        let named = |name: &str| spans.iter().filter(|span| span.name.starts_with(name)).count();
        assert_eq!((named("commit"), named("batch")), (named("POST"), named("POST")));
    }
}
