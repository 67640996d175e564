//! The table of every call, in the order in which a newcomer meets them: its name, place, scope, and the ways it may be
//! refused beyond those that every call shares. Access, the OpenAPI document, logs and metrics all read it here.

use balance_domain::Scope;

use crate::problem::Code;

/// One call of the contract.
#[derive(Debug)]
pub(crate) struct Operation {
    /// The `operationId` of the OpenAPI document.
    pub(crate) id: &'static str,
    /// The method, in capitals.
    pub(crate) method: &'static str,
    /// The path template.
    pub(crate) path: &'static str,
    /// The chapter of the OpenAPI document.
    pub(crate) tag: &'static str,
    /// What a caller needs.
    pub(crate) needs: Needs,
    /// Why this call may be refused, apart from malformed requests, access and failures of ours.
    pub(crate) refusals: &'static [Code],
}

/// What a caller needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// A key with this scope.
    Scope(Scope),
    /// A key, whatever it is for.
    AnyKey,
    /// A key with the scope of each command that the body contains.
    ScopesOfCommands,
}

/// Ties a handler to its row of the table.
pub(crate) trait Documented: 'static {
    const OPERATION: &'static Operation;
}

macro_rules! operations {
    ($($name:ident: $method:ident $path:literal, $id:literal, $tag:ident, $needs:expr, [$($code:ident),*];)+) => {
        $(
            pub(crate) enum $name {}

            impl Documented for $name {
                const OPERATION: &'static Operation = &Operation {
                    id: $id,
                    method: stringify!($method),
                    path: $path,
                    tag: stringify!($tag),
                    needs: $needs,
                    refusals: &[$(Code::$code),*],
                };
            }
        )+

        /// Every call that needs a key.
        pub(crate) const ALL: &[&Operation] = &[$($name::OPERATION),+];
    };
}

const BALANCE_READ: Needs = Needs::Scope(Scope::BalanceRead);
const HISTORY_READ: Needs = Needs::Scope(Scope::HistoryRead);
const ADMIN: Needs = Needs::Scope(Scope::Admin);
const RESERVE: Needs = Needs::Scope(Scope::Reserve);
const REPORT: Needs = Needs::Scope(Scope::Report);
const SERVICES_WRITE: Needs = Needs::Scope(Scope::ServicesWrite);

operations! {
    AddServices: POST "/api/v1/services", "addServices", Services, SERVICES_WRITE,
        [ServiceExists, ServiceNameTaken];
    ListServices: GET "/api/v1/services", "listServices", Services, BALANCE_READ, [];
    GetService: GET "/api/v1/services/{service_id}", "getService", Services, BALANCE_READ, [ServiceNotFound];
    RenameService: PATCH "/api/v1/services/{service_id}", "renameService", Services, SERVICES_WRITE,
        [ServiceNotFound, ServiceNameTaken];
    RemoveService: DELETE "/api/v1/services/{service_id}", "removeService", Services, SERVICES_WRITE,
        [ServiceNotFound];
    PostDeposit: POST "/api/v1/users/{user_id}/deposits", "createDeposit", Money,
        Needs::Scope(Scope::Deposit),
        [IdempotencyKeyReused, AccountClosed, BalanceLimitExceeded];
    PostWithdrawal: POST "/api/v1/users/{user_id}/withdrawals", "createWithdrawal", Money,
        Needs::Scope(Scope::Withdraw),
        [IdempotencyKeyReused, AccountNotFound, AccountClosed, InsufficientFunds];
    PostTransfer: POST "/api/v1/transfers", "createTransfer", Money,
        Needs::Scope(Scope::Transfer),
        [IdempotencyKeyReused, SameAccount, AccountNotFound, AccountClosed, InsufficientFunds, BalanceLimitExceeded];
    PostReservation: POST "/api/v1/reservations", "createReservation", Reservations, RESERVE,
        [IdempotencyKeyReused, AccountNotFound, AccountClosed, ServiceNotFound, ServiceRetired, ReservationExists,
         ReservationCaptured, InsufficientFunds];
    CaptureReservation: POST "/api/v1/reservations/capture", "captureReservation", Reservations, RESERVE,
        [IdempotencyKeyReused, AccountNotFound, AccountClosed, ReservationNotFound, ReservationSuperseded, ReservationCaptured,
         ReservationReleased, ReservationExpired, CaptureExceedsReserved];
    ReleaseReservation: POST "/api/v1/reservations/release", "releaseReservation", Reservations, RESERVE,
        [IdempotencyKeyReused, AccountNotFound, AccountClosed, ReservationNotFound, ReservationSuperseded, ReservationCaptured,
         ReservationReleased, ReservationExpired];
    RefundReservation: POST "/api/v1/reservations/refund", "refundReservation", Reservations,
        Needs::Scope(Scope::Refund),
        [IdempotencyKeyReused, AccountNotFound, AccountClosed, ReservationNotFound, ReservationSuperseded, NothingToRefund,
         RefundExceedsCaptured, BalanceLimitExceeded];
    ExtendReservation: POST "/api/v1/reservations/extend", "extendReservation", Reservations, RESERVE,
        [AccountNotFound, AccountClosed, ReservationNotFound, ReservationSuperseded, ReservationCaptured, ReservationReleased,
         ReservationExpired];
    GetReservation: GET "/api/v1/reservations", "getReservation", Reservations, BALANCE_READ,
        [ReservationNotFound, AccountClosed];
    ListReservations: GET "/api/v1/users/{user_id}/reservations", "listReservations", Reservations, BALANCE_READ,
        [AccountNotFound, AccountClosed];
    SearchReservations: GET "/api/v1/reservations/search", "searchReservations", Reservations,
        Needs::Scope(Scope::Search), [];
    GetBalance: GET "/api/v1/users/{user_id}/balance", "getBalance", Accounts, BALANCE_READ,
        [AccountNotFound, AccountClosed];
    ListOperations: GET "/api/v1/users/{user_id}/operations", "listOperations", Accounts, HISTORY_READ,
        [AccountNotFound, AccountClosed];
    GetOperationByKey: GET "/api/v1/users/{user_id}/operations/by-key/{key}", "getOperationByKey", Accounts,
        HISTORY_READ, [OperationNotFound];
    CloseAccount: DELETE "/api/v1/users/{user_id}", "closeAccount", Accounts, Needs::Scope(Scope::UsersDelete),
        [AccountNotFound, AccountClosed, AccountNotEmpty];
    ListEvents: GET "/api/v1/events", "listEvents", Events, Needs::Scope(Scope::EventsRead),
        [CursorAhead, EventsUnordered, TooManyFollowers];
    PostKey: POST "/api/v1/keys", "createKey", Keys, ADMIN, [];
    ListKeys: GET "/api/v1/keys", "listKeys", Keys, ADMIN, [];
    RevokeKey: DELETE "/api/v1/keys/{key_id}", "revokeKey", Keys, ADMIN, [KeyNotFound];
    ListRevenue: GET "/api/v1/reports/revenue", "listRevenue", Reports, REPORT, [MonthNotBegun];
    BuildReport: POST "/api/v1/reports/revenue", "buildRevenueReport", Reports, REPORT,
        [MonthNotBegun, ReportNotPublished];
    GetReportFile: GET "/api/v1/reports/revenue/{month}.csv", "getRevenueReportFile", Reports, REPORT,
        [ReportNotFound, ReportNotPublished];
    GetReport: GET "/api/v1/reports/revenue/{month}", "getRevenueReport", Reports, REPORT,
        [ReportNotFound, ReportNotPublished];
    PostBatch: POST "/api/v1/batches", "executeBatch", Batches, Needs::ScopesOfCommands,
        [IdempotencyKeyReused, SameAccount, AccountNotFound, AccountClosed, ServiceNotFound, ServiceRetired,
         ReservationNotFound, ReservationSuperseded, ReservationExists, ReservationCaptured, ReservationReleased, ReservationExpired,
         NothingToRefund, CaptureExceedsReserved, RefundExceedsCaptured, InsufficientFunds, BalanceLimitExceeded];
    GetLedger: GET "/api/v1/ledger", "getLedger", Ledger, Needs::AnyKey, [];
}
