//! How others watch and stop the service: systemd, load balancers, health checks.

use std::{
    os::unix::net::UnixDatagram,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Client;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Api, Store, World, new_key, on_every_store};

on_every_store!(while_it_is_ready_nobody_is_refused_also_when_it_is_to_stop);

/// The notifications up to one that contains this.
fn until(socket: &UnixDatagram, part: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        let length =
            socket.recv(&mut bytes).unwrap_or_else(|error| panic!("no {part} after {all:?}: {error}"));
        all.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        if all.last().is_some_and(|last| last.contains(part)) {
            return all;
        }
    }
}

#[tokio::test]
async fn systemd_hears_that_it_serves_lives_and_stops() {
    let world = World::new(Store::Sqlite);
    let path = world.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let world = world.with("NOTIFY_SOCKET", path.to_str().unwrap()).with("WATCHDOG_USEC", "200000");
    let server = world.start();
    let ready = until(&socket, "READY=1");
    assert!(ready.last().unwrap().contains(&format!("STATUS=http://{}", server.address)), "{ready:?}");
    for _ in 0..3 {
        until(&socket, "WATCHDOG=1");
    }
    server.signal(Signal::TERM);
    until(&socket, "STOPPING=1");
    assert!(server.wait().success());
}

#[tokio::test]
async fn a_health_check_needs_nothing_but_the_binary() {
    let world = World::new(Store::Sqlite);
    let server = world.start();
    let listen = server.address.to_string();
    let check = |arguments: &[&str]| {
        let output = world.run(&[&["health", "--listen", &listen], arguments].concat());
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    assert_eq!(check(&[]), (Some(0), "ready\n".to_owned()));
    assert_eq!(check(&["--live"]), (Some(0), "live\n".to_owned()));
    assert!(server.stop().success());
    let (code, said) = check(&[]);
    assert!(code == Some(1) && said.contains(&format!("{listen} does not answer (")), "{said}");
}

/// For how long a balancer trusts a service that has said that it is ready.
const TRUST: Duration = Duration::from_millis(500);

/// What a balancer knows of the service, and what came of it.
struct Balancer {
    /// When a question was sent that was answered with "ready".
    ready_at: Mutex<Instant>,
    is_over: AtomicBool,
    answered: AtomicU64,
}

impl Balancer {
    fn new() -> Self {
        Self {
            ready_at: Mutex::new(Instant::now()),
            is_over: AtomicBool::default(),
            answered: AtomicU64::default(),
        }
    }

    /// Asks for readiness every 20 ms on a new connection, until it hears no.
    async fn watch(&self, http: Client, origin: String) {
        loop {
            let asked = Instant::now();
            let ready = http.get(format!("{origin}/health/ready")).send().await;
            if !ready.is_ok_and(|ready| ready.status() == 200) {
                return self.is_over.store(true, Ordering::SeqCst);
            }
            *self.ready_at.lock().unwrap() = asked;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Deposits on a new connection each, as long as the service is ready. Every one of them must be answered.
    async fn deposit(&self, http: Client, origin: String, user: i64) {
        while !self.is_over.load(Ordering::SeqCst) {
            if self.ready_at.lock().unwrap().elapsed() > TRUST {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            let request = http.post(format!("{origin}/api/v1/users/{user}/deposits"));
            let request = request.header("Idempotency-Key", new_key()).json(&json!({"amount": 1}));
            let answer = Api::try_send(request).await;
            let answer = answer.unwrap_or_else(|error| panic!("refused while it is ready: {error:?}"));
            assert_eq!(answer.status, 201, "{}", answer.text());
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A few times; as often as `BALANCE_STOPS` says before a release.
async fn while_it_is_ready_nobody_is_refused_also_when_it_is_to_stop(world: World) {
    #[expect(clippy::disallowed_methods, reason = "how long to test is not the product's configuration")]
    let stops = std::env::var("BALANCE_STOPS").map_or(2, |count| count.parse().unwrap());
    let world = world.with("BALANCE_DRAIN_SECONDS", "3");
    let mut answered = 0;
    for _ in 0..stops {
        answered += stop_behind_a_balancer(&world).await;
    }
    let store = world.store;
    println!("{stops} stops of {store:?}: {answered} deposits on connections of their own, none refused");
    world.audit();
}

/// How many deposits were answered.
async fn stop_behind_a_balancer(world: &World) -> u64 {
    // A connection for each call: what is kept open could not be refused.
    let http = Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_secs(30)).build().unwrap();
    let server = world.start();
    server.api.until_ready(200).await;
    let balancer = Arc::new(Balancer::new());
    let mut tasks = Vec::new();
    for user in 1..=8 {
        let (balancer, http, origin) = (Arc::clone(&balancer), http.clone(), server.api.origin().to_owned());
        tasks.push(tokio::spawn(async move { balancer.deposit(http, origin, user).await }));
    }
    let (watcher, origin) = (Arc::clone(&balancer), server.api.origin().to_owned());
    tasks.push(tokio::spawn(async move { watcher.watch(http, origin).await }));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = Instant::now();
    server.signal(Signal::TERM);
    for task in tasks {
        task.await.unwrap();
    }
    let status = server.wait();
    assert!(status.success(), "{status}");
    assert!(
        asked.elapsed() >= Duration::from_secs(3),
        "it served for as long as it was to: {:?}",
        asked.elapsed()
    );
    balancer.answered.load(Ordering::Relaxed)
}
