//! What goes over the wire: flat types that mirror the contract, and their conversions to and from the domain.
//! The domain's own types are never serialised, so that no change inside becomes a promise outside.

mod account;
mod batch;
mod commands;
mod event;
mod key;
mod ledger;
mod operation;
mod report;
mod reservation;
mod scalar;
mod service;

pub(crate) use account::BalanceBody;
pub(crate) use batch::{BatchAnswer, BatchMode, BatchRequest, BatchResult, command_kinds, command_scopes};
pub(crate) use commands::{
    CaptureRequest, DepositRequest, DryRunParameter, ExtendRequest, RefundRequest, ReleaseRequest,
    ReserveRequest, TransferRequest, WithdrawalRequest,
};
pub(crate) use event::{EventBody, EventPageBody, EventParameters, cursor_of, place_of};
pub(crate) use key::{CreateKeyRequest, CreatedKeyBody, KeyBody, KeyList};
pub(crate) use ledger::LedgerBody;
pub(crate) use operation::{OperationBody, OperationPage, OperationParameters};
pub(crate) use report::{
    FileParameters, MonthsBody, MonthsParameters, ReportBody, ReportRequest, RevenueBody,
};
pub(crate) use reservation::{
    ReservationBody, ReservationPage, ReservationParameters, ReservationsParameters, SearchBody,
    SearchParameters, reservation_location,
};
pub(crate) use scalar::{Cursor, EventTypes, FileFor, Scalar, Scopes, Seq, WaitSeconds, Wire, json, present};
pub(crate) use service::{
    AddServicesRequest, RenameServiceRequest, ServiceBody, ServicePage, ServiceParameters, ServicesBody,
};
