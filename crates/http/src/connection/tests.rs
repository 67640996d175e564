//! The decoder, fed piece by piece.

use std::future::poll_fn;

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream as Client},
};

use super::*;

/// However much of a body is there already, the decoder gets it piece by piece.
#[actix_web::test]
async fn a_large_body_is_passed_on_piece_by_piece() {
    const BODY: usize = 200 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let second = Duration::from_secs(1);
    let timeouts = Timeouts { head: second, body: second, keep_alive: second, unread: second };
    let (mut connection, _gate) = Connection::new(socket, timeouts);
    let sending = tokio::spawn(async move {
        let head = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&vec![b'x'; BODY]).await.unwrap();
        client
    });
    let (mut received, mut at_once) = (0, 0);
    while received < BODY {
        // As the dispatcher reads: until nothing comes.
        let mut bytes = vec![0; 128 * 1024];
        let read = poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut bytes);
            while buffer.remaining() > 0 {
                let before = buffer.filled().len();
                match Pin::new(&mut connection).poll_read(context, &mut buffer) {
                    Poll::Ready(done) => done.unwrap(),
                    Poll::Pending if before > 0 => break,
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(buffer.filled().len())
        })
        .await;
        received += read;
        at_once = at_once.max(read);
    }
    drop(sending.await.unwrap());
    assert!(at_once <= 2 * READ_BYTES_MAX, "{at_once} bytes at once");
}
