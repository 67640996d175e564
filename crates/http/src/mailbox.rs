//! Coalesces wake-ups from other threads.
//!
//! A request is answered by the store's threads, and each worker has a current-thread runtime. Such a runtime makes
//! a system call for every task that another thread wakes, even if it is awake already: a batch of a hundred
//! commands would cost a hundred of them. Here a worker's pending wakers are collected; the first one wakes the
//! worker's draining task, and that wakes all of them from the worker's own thread, which costs nothing.

use std::{
    future::poll_fn,
    mem,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread::{self, ThreadId},
};

use actix_web::rt;
use futures::task::AtomicWaker;

/// The pending wakers of one worker: of the thread that first uses it.
#[derive(Clone, Default)]
pub(crate) struct Mailbox(Arc<OnceLock<Arc<Post>>>);

/// What other threads share with a worker.
struct Post {
    worker: ThreadId,
    woken: Mutex<Vec<Waker>>,
    drain: AtomicWaker,
}

impl Mailbox {
    /// Runs the future so that wake-ups from other threads are coalesced. Only for the worker's own thread.
    pub(crate) async fn receive<T>(&self, future: impl Future<Output = T>) -> T {
        let relay = Arc::new(Relay { post: Arc::clone(self.post()), task: AtomicWaker::new() });
        let waker = Waker::from(Arc::clone(&relay));
        let mut future = pin!(future);
        poll_fn(|context| {
            relay.task.register(context.waker());
            future.as_mut().poll(&mut Context::from_waker(&waker))
        })
        .await
    }

    /// The draining task lives as long as the worker's runtime: everything it could wake ends with it too.
    fn post(&self) -> &Arc<Post> {
        self.0.get_or_init(|| {
            let post = Arc::new(Post {
                worker: thread::current().id(),
                woken: Mutex::default(),
                drain: AtomicWaker::new(),
            });
            rt::spawn(drain(Arc::clone(&post)));
            post
        })
    }
}

/// The draining task: wakes the collected wakers on the worker's own thread.
async fn drain(post: Arc<Post>) {
    let mut round = Vec::new();
    poll_fn(|context| {
        // Registered before draining: what arrives right after wakes this task again.
        post.drain.register(context.waker());
        mem::swap(&mut *post.woken(), &mut round);
        round.drain(..).for_each(Waker::wake);
        Poll::<()>::Pending
    })
    .await;
}

impl Post {
    fn leave(&self, task: Waker) {
        self.woken().push(task);
        // Without effect, and without a system call, if the task was woken since it last drained.
        self.drain.wake();
    }

    /// Held for a push or a swap, so poisoning does not matter.
    fn woken(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker that a future is polled with instead of its task's own.
struct Relay {
    post: Arc<Post>,
    /// Taken by the first wake after a poll: the others have nothing to add.
    task: AtomicWaker,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(task) = self.task.take() else { return };
        if thread::current().id() == self.post.worker {
            task.wake();
        } else {
            self.post.leave(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::oneshot;

    use super::*;

    #[actix_web::test]
    async fn every_answer_arrives_wherever_it_comes_from() {
        let mailbox = Mailbox::default();
        for round in 0..200 {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..64).map(|_| oneshot::channel::<usize>()).unzip();
            let answering = thread::spawn(move || {
                for (index, sender) in senders.into_iter().enumerate() {
                    if (index + round) % 7 == 0 {
                        thread::yield_now();
                    }
                    sender.send(index).unwrap();
                }
            });
            let all = receivers.into_iter().map(|receiver| {
                let mailbox = mailbox.clone();
                rt::spawn(async move { mailbox.receive(receiver).await.unwrap() })
            });
            let answers = join_all(all).await;
            let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
            assert_eq!(answers, (0..64).collect::<Vec<_>>());
            answering.join().unwrap();
        }
    }

    #[actix_web::test]
    async fn a_wake_from_the_own_thread_takes_no_detour() {
        let mailbox = Mailbox::default();
        let (sender, receiver) = oneshot::channel();
        let task = rt::spawn({
            let mailbox = mailbox.clone();
            async move { mailbox.receive(receiver).await }
        });
        tokio::task::yield_now().await;
        sender.send(7).unwrap();
        assert!(mailbox.post().woken().is_empty());
        assert_eq!(task.await.unwrap(), Ok(7));
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_draining_task_is_woken_once_for_many() {
        let post =
            Post { worker: thread::current().id(), woken: Mutex::default(), drain: AtomicWaker::new() };
        let woken_task = Arc::new(Counting::default());
        post.drain.register(&Waker::from(Arc::clone(&woken_task)));
        for _ in 0..5 {
            post.leave(Waker::noop().clone());
        }
        assert_eq!(post.woken().len(), 5);
        assert_eq!(woken_task.0.load(Ordering::Relaxed), 1);
    }
}
