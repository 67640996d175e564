//! The pages: one module each, one function per request. Each asks the ledger, and says what came of it in words.

mod deeds;
mod history;
mod holds;
mod home;
mod log_in;
mod reservation;
mod revenue;
mod rows;
mod services;
mod user;

use actix_web::web::{self, ServiceConfig};

use crate::{assets, session::LOG_OUT};

/// Mounts every page; addresses are below `/console`.
pub(crate) fn mount(app: &mut ServiceConfig) {
    let log_out = LOG_OUT.strip_prefix("/console").unwrap_or(LOG_OUT);
    app.route("", web::get().to(home::home))
        .route("/", web::get().to(home::home))
        .route("/live", web::get().to(home::live))
        .route("/find", web::get().to(home::find))
        .route("/login", web::get().to(log_in::form))
        .route("/login", web::post().to(log_in::log_in))
        .route(log_out, web::post().to(log_in::log_out))
        .route("/language/{code}", web::get().to(log_in::choose_language))
        .route("/files/{name}", web::get().to(assets::get))
        .route("/users/{user_id}", web::get().to(user::user))
        .route("/users/{user_id}/history", web::get().to(history::history))
        .route("/users/{user_id}/statement.csv", web::get().to(history::csv))
        .route("/users/{user_id}/receipts/{key}", web::get().to(deeds::receipt))
        .route("/reservations/{user_id}/{service_id}/{order_id}", web::get().to(reservation::reservation))
        .route("/holds", web::get().to(holds::holds))
        .route("/services", web::get().to(services::list))
        .route("/services", web::post().to(services::add))
        .route("/services/{service_id}", web::get().to(services::one))
        .route("/services/{service_id}/rename", web::post().to(services::rename))
        .route("/services/{service_id}/retire", web::post().to(services::retire))
        .route("/revenue", web::get().to(revenue::months))
        .route("/revenue/{month}", web::get().to(revenue::month))
        .route("/revenue/{month}/file.csv", web::get().to(revenue::csv))
        .route("/act/{deed}", web::get().to(deeds::form))
        .route("/act/{deed}/check", web::post().to(deeds::check))
        .route("/act/{deed}/do", web::post().to(deeds::act));
}
