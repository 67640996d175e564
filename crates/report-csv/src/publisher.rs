//! The one thread that touches the folder. A folder that hangs (a dead network file system, a pipe instead of a
//! file) takes this thread and no other: who waits for it gives up after a while, and few may wait.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        OnceLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

/// Jobs that may wait.
const WAITING_MAX: usize = 16;

/// How long publishing may take, the wait included.
const DEADLINE: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce() + Send>;

/// Runs one job at a time. The thread begins with the first.
#[derive(Default)]
pub(crate) struct Publisher(OnceLock<SyncSender<Job>>);

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Publisher")
    }
}

impl Publisher {
    /// Does the work on the thread, unless that is busy for too long. Work that has begun is finished in any case.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let busy = || io::Error::new(io::ErrorKind::TimedOut, "the report folder does not answer");
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody waits any more for what was given up.
            if !reply.is_closed() {
                drop(reply.send(work()));
            }
        });
        self.0.get_or_init(start).try_send(job).map_err(|_| busy())?;
        match timeout(DEADLINE, answer).await {
            Ok(answered) => answered.unwrap_or_else(|_| Err(io::Error::other("publishing panicked"))),
            Err(_) => Err(busy()),
        }
    }
}

fn start() -> SyncSender<Job> {
    let (jobs, todo) = sync_channel(WAITING_MAX);
    // Without a thread every job is refused as if the folder hung.
    drop(thread::Builder::new().name("reports".into()).spawn(move || run(&todo)));
    jobs
}

fn run(todo: &Receiver<Job>) {
    for job in todo {
        // The reply of a job that panicked is dropped with it.
        drop(catch_unwind(AssertUnwindSafe(job)));
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Instant};

    use super::*;

    #[tokio::test]
    async fn a_folder_that_hangs_holds_up_nobody_for_long() {
        let publisher = std::sync::Arc::new(Publisher::default());
        let (go_on, hangs) = mpsc::channel::<()>();
        let started = Instant::now();
        let stuck = tokio::spawn({
            let publisher = std::sync::Arc::clone(&publisher);
            async move { publisher.run(move || hangs.recv().map_err(io::Error::other)).await }
        });
        tokio::task::yield_now().await;
        let waiting: Vec<_> = (0..WAITING_MAX + 10)
            .map(|_| {
                let publisher = std::sync::Arc::clone(&publisher);
                tokio::spawn(async move { publisher.run(|| Ok(())).await })
            })
            .collect();
        for answer in waiting {
            assert_eq!(answer.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        assert_eq!(stuck.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() < DEADLINE * 2, "{:?}", started.elapsed());
        go_on.send(()).unwrap();
        assert!(publisher.run(|| Ok(7)).await.is_ok(), "once it answers again all is well");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_not_the_end() {
        let publisher = Publisher::default();
        assert!(publisher.run(|| -> io::Result<()> { panic!("on purpose") }).await.is_err());
        assert_eq!(publisher.run(|| Ok(7)).await.unwrap(), 7);
    }
}
