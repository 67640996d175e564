//! The handlers: one file per resource, one function per call. Each takes what the extractors parsed, asks the
//! ledger once, and answers with the result.

mod balances;
mod batches;
mod events;
mod health;
mod keys;
mod ledger;
mod operations;
mod reports;
mod reservations;
mod services;
mod submit;
mod transfers;
mod users;

use paperclip::actix::web::{self, ServiceConfig};

use crate::operations::{
    AddServices, BuildReport, CaptureReservation, CloseAccount, Documented, ExtendReservation, GetBalance,
    GetLedger, GetOperationByKey, GetReport, GetReportFile, GetReservation, GetService, ListEvents,
    ListOperations, ListReservations, PostBatch, PostDeposit, PostKey, PostTransfer, PostWithdrawal,
    RefundReservation, ReleaseReservation, RevokeKey, SearchReservations,
};

pub(crate) use health::mount as mount_health;

/// Mounts every documented call. The router tries them in order, and each path with parameters that it tries costs a
/// regular expression: those that come most often stand first.
pub(crate) fn mount(app: &mut ServiceConfig<'_>) {
    let path = |operation: &'static crate::operations::Operation| web::resource(operation.path);
    app.service(path(PostDeposit::OPERATION).route(web::post().to(users::deposit)))
        .service(path(GetBalance::OPERATION).route(web::get().to(balances::get)))
        .service(
            path(GetReservation::OPERATION)
                .route(web::post().to(reservations::reserve))
                .route(web::get().to(reservations::get)),
        )
        .service(path(SearchReservations::OPERATION).route(web::get().to(reservations::search)))
        .service(path(CaptureReservation::OPERATION).route(web::post().to(reservations::capture)))
        .service(path(ReleaseReservation::OPERATION).route(web::post().to(reservations::release)))
        .service(path(PostTransfer::OPERATION).route(web::post().to(transfers::transfer)))
        .service(path(PostBatch::OPERATION).route(web::post().to(batches::execute)))
        .service(path(PostWithdrawal::OPERATION).route(web::post().to(users::withdraw)))
        .service(path(RefundReservation::OPERATION).route(web::post().to(reservations::refund)))
        .service(path(ExtendReservation::OPERATION).route(web::post().to(reservations::extend)))
        .service(path(ListOperations::OPERATION).route(web::get().to(operations::list)))
        .service(path(GetOperationByKey::OPERATION).route(web::get().to(operations::by_key)))
        .service(path(ListReservations::OPERATION).route(web::get().to(reservations::list)))
        .service(path(CloseAccount::OPERATION).route(web::delete().to(users::close)))
        .service(
            path(AddServices::OPERATION)
                .route(web::post().to(services::add))
                .route(web::get().to(services::list)),
        )
        .service(
            path(GetService::OPERATION)
                .route(web::get().to(services::get))
                .route(web::patch().to(services::rename))
                .route(web::delete().to(services::remove)),
        )
        .service(
            path(PostKey::OPERATION).route(web::post().to(keys::create)).route(web::get().to(keys::list)),
        )
        .service(path(RevokeKey::OPERATION).route(web::delete().to(keys::revoke)))
        .service(path(ListEvents::OPERATION).route(web::get().to(events::list)))
        .service(
            path(BuildReport::OPERATION)
                .route(web::post().to(reports::build))
                .route(web::get().to(reports::months)),
        )
        // The file first: `{month}` alone would match `2026-11.csv` too.
        .service(path(GetReportFile::OPERATION).route(web::get().to(reports::file)))
        .service(path(GetReport::OPERATION).route(web::get().to(reports::get)))
        .service(path(GetLedger::OPERATION).route(web::get().to(ledger::get)));
}
