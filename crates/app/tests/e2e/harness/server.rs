//! One running process of the service.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ExitStatus},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::Api;

/// How long a start or a stop may take before the test fails, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running service. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    pub(crate) address: SocketAddr,
    pub(crate) api: Api,
    /// What it said on stderr until it was ready.
    pub(crate) said: Vec<String>,
    pub(crate) started_in: Duration,
}

impl Server {
    /// Takes over a child whose stderr is piped, and waits for the line that names its address.
    pub(super) fn attach(mut child: Child) -> Self {
        let started = Instant::now();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // The other end may be gone; the pipe must be emptied all the same.
                drop(sender.send(line));
            }
        });
        let mut said = Vec::new();
        let address = loop {
            let Ok(line) = lines.recv_timeout(PATIENCE.saturating_sub(started.elapsed())) else {
                drop(child.kill());
                panic!("the service did not come up: {:?}, it said {said:#?}", child.wait());
            };
            let address =
                line.split_once("http://").and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
            said.push(line);
            if let Some(address) = address {
                break address;
            }
        };
        let api = Api::new(format!("http://{address}"));
        Self { child, lines, address, api, said, started_in: started.elapsed() }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Ends it as a power switch would end the process: nothing of it runs any more.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the service does not end; it said {:?}", self.rest());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn rest(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
