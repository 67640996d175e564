//! Wakes that come from other threads, gathered.
//!
//! A request is answered by the store's threads, and each worker has a runtime of its own. Such a runtime makes a
//! system call for every task that another thread wakes, also when it is awake already. A batch of a hundred
//! commands, committed together, would cost a hundred of them. So whoever answers leaves the wake in the mailbox of
//! the worker: the first rouses the worker's clerk, the others only join, and the clerk wakes all of them from the
//! worker's own thread, which costs nothing.

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

/// The mailbox of one worker: of the thread that first uses it.
#[derive(Clone, Default)]
pub(crate) struct Mailbox(Arc<OnceLock<Arc<Post>>>);

/// What other threads see of a worker.
struct Post {
    worker: ThreadId,
    woken: Mutex<Vec<Waker>>,
    clerk: AtomicWaker,
}

impl Mailbox {
    /// Runs the future so that wakes from other threads go through the mailbox. Only for the worker's own thread.
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

    /// The clerk lives as long as the worker's runtime: all that he could wake ends with it too.
    fn post(&self) -> &Arc<Post> {
        self.0.get_or_init(|| {
            let post = Arc::new(Post {
                worker: thread::current().id(),
                woken: Mutex::default(),
                clerk: AtomicWaker::new(),
            });
            rt::spawn(clerk(Arc::clone(&post)));
            post
        })
    }
}

/// Wakes on the worker's own thread whatever was left for it.
async fn clerk(post: Arc<Post>) {
    let mut round = Vec::new();
    poll_fn(|context| {
        // Before looking: what comes right after rouses the clerk once more.
        post.clerk.register(context.waker());
        mem::swap(&mut *post.woken(), &mut round);
        round.drain(..).for_each(Waker::wake);
        Poll::<()>::Pending
    })
    .await;
}

impl Post {
    fn leave(&self, task: Waker) {
        self.woken().push(task);
        // Without effect, and without a system call, if that was done since the clerk last looked.
        self.clerk.wake();
    }

    /// Held for a push or a swap; a poisoned lock is as good as any.
    fn woken(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker that a future is polled with in the place of its task's own.
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
    fn the_clerk_is_roused_once_for_many() {
        let post =
            Post { worker: thread::current().id(), woken: Mutex::default(), clerk: AtomicWaker::new() };
        let roused = Arc::new(Counting::default());
        post.clerk.register(&Waker::from(Arc::clone(&roused)));
        for _ in 0..5 {
            post.leave(Waker::noop().clone());
        }
        assert_eq!(post.woken().len(), 5);
        assert_eq!(roused.0.load(Ordering::Relaxed), 1);
    }
}
