//! The most that this machine can answer over HTTP: the same server library and number of workers, the same
//! requests, a constant JSON answer and no books behind it.

use std::io::{Read, Write};

use actix_web::{App, HttpResponse, HttpServer, http::header::ContentType, web};

/// As long as a typical operation.
const ANSWER: &str = r#"{"user_id":12345,"seq":17,"kind":"deposit","amount":100,"available_after":100000,"reserved_after":0,"comment":"bench","idempotency_key":"bench-00000000000000000000","created_at":"2026-11-24T09:30:00.000000Z"}"#;

/// Serves on a free loopback port, prints it, and ends when standard input closes.
pub(crate) fn serve() -> anyhow::Result<()> {
    actix_web::rt::System::new().block_on(async {
        let server =
            HttpServer::new(|| App::new().default_service(web::to(answer))).bind(("127.0.0.1", 0))?;
        let address = server.addrs().first().map(ToString::to_string).unwrap_or_default();
        writeln!(std::io::stderr(), "http://{address}")?;
        let server = server.run();
        std::thread::spawn(move || {
            // Ends with the pipe to the parent, however the parent ends.
            std::io::stdin().read_to_end(&mut Vec::new()).ok();
            std::process::exit(0);
        });
        server.await?;
        Ok(())
    })
}

/// Reads the whole body first, as the service must.
async fn answer(_body: web::Bytes) -> HttpResponse {
    HttpResponse::Created().content_type(ContentType::json()).body(ANSWER)
}
