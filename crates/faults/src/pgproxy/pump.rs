//! One connection: the client's messages one by one, the server's bytes as they come.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
};

use crate::pgproxy::{
    Control,
    commit::CommitWatcher,
    fault::{Fault, Side},
    frames::{Frame, Frames},
};

/// How long the server's first bytes are waited for after a message that was passed on: most messages of a
/// pipeline are answered only with its end.
const ANSWER_WITHIN: Duration = Duration::from_millis(50);

/// How a connection ends on purpose.
enum End {
    /// One side closed it, or it broke by itself, or it was asked to close.
    Closed,
    /// By reset.
    Reset,
    /// The client is closed at once; this is delivered later.
    Late(Frame, Duration),
}

/// What the two directions of a connection share.
struct Gate {
    /// While this is true, the server's answers are kept back.
    held: watch::Sender<bool>,
    /// The server has sent something while its answers were kept back.
    answered: Notify,
    /// The connection is over.
    ended: Notify,
}

pub(super) async fn connection(client: TcpStream, upstream: SocketAddr, control: Arc<Control>) {
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    // Without this, small messages wait for acknowledgements; a failure only costs time.
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let gate =
        Arc::new(Gate { held: watch::Sender::new(false), answered: Notify::new(), ended: Notify::new() });
    let mut backward = tokio::spawn(answers(server_read, client_write, Arc::clone(&gate)));
    let mut closing = control.generation.subscribe();
    let mut forward = Forward { server_write, gate: &gate, control: &control };
    let mut frames = Frames::new(BufReader::new(client_read));
    let (end, halves) = tokio::select! {
        end = forward.run(&mut frames) => (end, None),
        halves = &mut backward => (End::Closed, Some(halves)),
        _ = closing.changed() => (End::Closed, None),
    };
    let server_write = forward.server_write;
    gate.ended.notify_one();
    let halves = match halves {
        Some(halves) => halves,
        None => backward.await,
    };
    let Ok((server_read, client_write)) = halves else { return };
    // Whole again: dropping a half alone would shut it down in order, which is no reset.
    let client_read = frames.into_inner().into_inner();
    let (Ok(client), Ok(server)) = (client_read.reunite(client_write), server_read.reunite(server_write))
    else {
        return;
    };
    match end {
        End::Closed => {}
        End::Reset => drop((client.set_zero_linger(), server.set_zero_linger())),
        End::Late(frame, delay) => {
            drop(client);
            deliver_late(server, frame, delay).await;
        }
    }
}

/// The server's answers, except while they are held back. Gives the halves back in the end.
async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    gate: Arc<Gate>,
) -> (OwnedReadHalf, OwnedWriteHalf) {
    tokio::select! {
        () = pass_answers(&mut server, &mut client, &gate) => {}
        () = gate.ended.notified() => {}
    }
    (server, client)
}

async fn pass_answers(server: &mut OwnedReadHalf, client: &mut OwnedWriteHalf, gate: &Gate) {
    let mut held = gate.held.subscribe();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = server.read(&mut buffer).await {
        if *held.borrow_and_update() {
            gate.answered.notify_one();
        }
        if held.wait_for(|held| !held).await.is_err() || client.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

struct Forward<'a> {
    server_write: OwnedWriteHalf,
    gate: &'a Gate,
    control: &'a Control,
}

impl Forward<'_> {
    async fn run(&mut self, frames: &mut Frames<BufReader<OwnedReadHalf>>) -> End {
        let mut watcher = CommitWatcher::default();
        while let Ok(Some(frame)) = frames.next().await {
            let delay = self.control.delay();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let is_commit = watcher.meet(&frame);
            let step = match self.control.meet(frame.tag, is_commit) {
                None => self.pass(&frame).await,
                Some((side, fault)) => self.fail(frame, side, fault).await,
            };
            if let Some(end) = step {
                return end;
            }
        }
        End::Closed
    }

    async fn pass(&mut self, frame: &Frame) -> Option<End> {
        self.server_write.write_all(&frame.bytes).await.err().map(|_| End::Closed)
    }

    async fn fail(&mut self, frame: Frame, side: Side, fault: Fault) -> Option<End> {
        if let Fault::Late(delay) = fault {
            return Some(End::Late(frame, delay));
        }
        // From here on the client gets nothing: an answer that passes would undo the fault.
        self.gate.held.send_replace(true);
        if side == Side::After {
            if let Some(end) = self.pass(&frame).await {
                return Some(end);
            }
            // A reset right after the message could discard it unread.
            drop(tokio::time::timeout(ANSWER_WITHIN, self.gate.answered.notified()).await);
        }
        match fault {
            Fault::Cut | Fault::Late(_) => Some(End::Closed),
            Fault::Reset => Some(End::Reset),
            Fault::Stall(duration) => {
                tokio::time::sleep(duration).await;
                self.gate.held.send_replace(false);
                if side == Side::Before { self.pass(&frame).await } else { None }
            }
        }
    }
}

async fn deliver_late(mut server: TcpStream, frame: Frame, delay: Duration) {
    tokio::time::sleep(delay).await;
    drop(server.write_all(&frame.bytes).await);
    // The server must have time to read it: a close right after could overtake its work.
    tokio::time::sleep(Duration::from_millis(50)).await;
}
