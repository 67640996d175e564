//! Who asks, and whether they may: before anything else of the request is looked at.

use std::{
    collections::BTreeMap,
    future::{Ready, ready},
    marker::PhantomData,
    rc::Rc,
    sync::Arc,
};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, web::Data};
use balance_domain::{Actor, ApiKey, Scope, UserId};
use paperclip::{
    actix::OperationModifier,
    v2::{
        models::{DefaultOperationRaw, SecurityScheme},
        schema::Apiv2Schema,
    },
};

use crate::{
    access::presented_id,
    api::{Api, Shared},
    context::Context,
    events::Reader,
    fairness::Place,
    limits,
    operations::{Documented, Needs},
    problem::{Code, Problem},
    report_turns::ReportTurns,
    trace::log_cause,
    wire::DryRunParameter,
};

/// The name of the security scheme that the finishing rules look for.
pub(crate) const SCHEME: &str = "ApiKey";

/// A caller who may use the call `O`, within the rate limit.
pub(crate) struct Caller<O> {
    shared: Data<Shared>,
    context: Rc<Context>,
    key: Option<Arc<ApiKey>>,
    operation: PhantomData<O>,
}

impl<O: Documented> Caller<O> {
    /// What the call works with.
    pub(crate) fn api(&self) -> &Api {
        &self.shared.api
    }

    /// The feed, and whether this caller may go on reading it.
    pub(crate) async fn reader(&self) -> Result<Reader, Problem> {
        let api = self.api();
        Ok(Reader::new(api.events.clone(), api.access.clone(), self.key.clone()).await?)
    }

    /// Who asks, as it is written with what they do.
    pub(crate) fn actor(&self) -> Actor {
        self.key.as_ref().map_or(Actor::Anonymous, |key| Actor::Key(key.id))
    }

    /// Notes for the log whose account this is about.
    pub(crate) fn about(&self, user_id: UserId) {
        self.context.user_id.set(Some(user_id));
    }

    /// Notes that nothing is to be done, if that was asked for.
    pub(crate) fn dry_run(&self, asked: &DryRunParameter) {
        self.context.is_dry_run.set(asked.is_asked());
    }

    /// Whether nothing is to be done.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.context.is_dry_run.get()
    }

    /// Notes for the log which operation was made.
    pub(crate) fn made(&self, operation_seq: Option<i64>) {
        self.context.operation_seq.set(operation_seq);
    }

    /// Logs the cause of a failure that is reported inside a successful answer.
    pub(crate) fn note(&self, problem: &Problem) {
        log_cause(problem, &self.context, &self.shared.api.refusals);
    }

    /// Refuses a caller without this scope, for calls that need what their body says.
    pub(crate) fn needs(&self, scope: Scope) -> Result<(), Problem> {
        self.api().access.authorise(self.key.as_deref(), scope)
    }

    /// Where those wait who ask for reports.
    pub(crate) fn report_turns(&self) -> &ReportTurns {
        &self.shared.report_turns
    }

    /// Waits for the caller's turn to submit this many commands.
    pub(crate) async fn turn(&self, commands: usize) -> Result<Place, Problem> {
        Place::take(&self.shared, self.quota(), commands).await
    }

    /// Counts the commands of a request beyond the first against the caller's quota.
    pub(crate) fn weigh(&self, commands: usize) -> Result<(), Problem> {
        self.count(commands.saturating_sub(1))
    }

    fn count(&self, commands: usize) -> Result<(), Problem> {
        self.shared.api.access.count(self.key.as_deref(), self.context.peer, commands)
    }

    fn quota(&self) -> limits::Caller {
        limits::Caller::of(self.key.as_deref(), self.context.peer)
    }

    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let missing = || Problem::new(Code::Internal);
        let shared = request.app_data::<Data<Shared>>().ok_or_else(missing)?.clone();
        let context = request.extensions().get::<Rc<Context>>().cloned().ok_or_else(missing)?;
        context.operation.set(Some(O::OPERATION));
        let key = shared.api.access.authenticate(request.headers(), context.peer).inspect_err(|_| {
            // Set once, as below: there is one caller per request.
            let id = presented_id(request.headers());
            id.map(|id| context.refused_key_id.set(id.to_owned()).ok());
        })?;
        if let Some(key) = &key {
            let _ = context.key.set(Arc::clone(key));
        }
        let caller = Self { shared, context, key, operation: PhantomData };
        caller.count(1)?;
        match O::OPERATION.needs {
            Needs::Scope(scope) => caller.needs(scope)?,
            Needs::AnyKey => {}
            Needs::ScopesOfCommands => caller.api().access.authorise_any_command(caller.key.as_deref())?,
        }
        Ok(caller)
    }
}

impl<O: Documented> FromRequest for Caller<O> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

impl<O: Documented> Apiv2Schema for Caller<O> {
    fn name() -> Option<String> {
        Some(SCHEME.to_owned())
    }

    fn security_scheme() -> Option<SecurityScheme> {
        let scope = match O::OPERATION.needs {
            Needs::Scope(scope) => scope.as_str(),
            Needs::AnyKey | Needs::ScopesOfCommands => "",
        };
        Some(SecurityScheme {
            name: Some("X-Api-Key".to_owned()),
            type_: "apiKey".to_owned(),
            in_: Some("header".to_owned()),
            flow: None,
            auth_url: None,
            token_url: None,
            scopes: BTreeMap::from([(scope.to_owned(), String::new())]),
            description: None,
        })
    }
}

/// Name and chapter come from the table of operations.
impl<O: Documented> OperationModifier for Caller<O> {
    fn update_parameter(operation: &mut DefaultOperationRaw) {
        operation.operation_id = Some(O::OPERATION.id.to_owned());
        operation.tags = vec![O::OPERATION.tag.to_owned()];
    }

    fn update_definitions(_: &mut BTreeMap<String, paperclip::v2::models::DefaultSchemaRaw>) {}
}
