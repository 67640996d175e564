//! Acting: a form, a check page that shows what would happen, the deed, and the receipt.
//!
//! The form carries the idempotency key that the deed is done under, through the check page to the deed. Clicking
//! twice, loading a page again or going back sends the same key, so the ledger does it once and answers alike.

use actix_web::{HttpResponse, http::StatusCode, web::Path};
use askama::Template;
use balance_domain::{
    Account, Command, IdempotencyKey, Invalid, Rejection, Scope, Submission,
    ports::{RepoError, SubmitError},
};
use uuid::Uuid;

use crate::{
    act::{Deed, Input, understood},
    failure::Failure,
    fields::{Fields, Form, Query, user_id},
    pages::rows::OperationRow,
    shell::{Place, Shell, page, see_other},
    text::T,
    visit::Visit,
    words,
};

/// A field as the form shows it.
struct FieldShown {
    name: &'static str,
    label: T,
    hint: Option<T>,
    value: String,
    fault: Option<T>,
    is_long: bool,
    is_required: bool,
    /// What the deed is about is fixed by where one came from.
    is_fixed: bool,
}

#[derive(Template)]
#[template(path = "form.html")]
struct FormPage {
    shell: Shell,
    deed: &'static str,
    subject: String,
    fields: Vec<FieldShown>,
    has_faults: bool,
    /// Why a rule says no.
    refusal: Option<String>,
    is_for_good: bool,
    key: String,
}

/// The form of a deed, with what the address says filled in.
pub(super) async fn form(visit: Visit, path: Path<String>, query: Query) -> Result<HttpResponse, Failure> {
    let deed = admitted(&visit, &path)?;
    show_form(&visit, deed, &query.0, &[], None)
}

/// The deed of this name, if the visitor may do it.
fn admitted(visit: &Visit, name: &str) -> Result<Deed, Failure> {
    let deed = Deed::of_name(name).ok_or(Failure::NotFound(T::NoSuchPage))?;
    visit.needs(deed.scope())?;
    if visit.may_act(deed.scope()) { Ok(deed) } else { Err(Failure::ReadOnly) }
}

fn show_form(
    visit: &Visit,
    deed: Deed,
    sent: &Fields,
    wrong: &[Input],
    refusal: Option<String>,
) -> Result<HttpResponse, Failure> {
    let shell = Shell::of(visit, visit.language.say(deed.texts().0), Place::Users);
    let shown = |input: &Input| {
        let (label, hint, fault) = input.texts();
        let is_subject = matches!(input, Input::User | Input::Service | Input::Order);
        FieldShown {
            name: input.name(),
            label,
            hint,
            value: sent.get(input.name()).to_owned(),
            fault: wrong.contains(input).then_some(fault),
            is_long: *input == Input::Comment,
            is_required: *input != Input::AmountOrAll,
            is_fixed: is_subject && !sent.get(input.name()).is_empty() && !wrong.contains(input),
        }
    };
    let status = match (wrong, &refusal) {
        ([], None) => StatusCode::OK,
        ([], Some(_)) => StatusCode::CONFLICT,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut answer = page(&FormPage {
        deed: deed.name(),
        subject: deed.subject(sent),
        fields: deed.inputs().iter().map(shown).collect(),
        has_faults: !wrong.is_empty(),
        refusal,
        is_for_good: deed == Deed::Close,
        key: new_key()?.as_str().to_owned(),
        shell,
    })?;
    *answer.status_mut() = status;
    Ok(answer)
}

/// Balances of a user before and after.
struct Course {
    user: String,
    available: (String, String),
    reserved: (String, String),
    total: (String, String),
}

#[derive(Template)]
#[template(path = "check.html")]
struct CheckPage {
    shell: Shell,
    deed: &'static str,
    button: T,
    said: Vec<(T, String)>,
    /// What the fields were, to be sent again or changed.
    fields: Vec<(String, String)>,
    courses: Vec<Course>,
    key: String,
    change: String,
}

/// Shows what would happen; nothing does.
pub(super) async fn check(visit: Visit, path: Path<String>, form: Form) -> Result<HttpResponse, Failure> {
    let deed = admitted(&visit, &path)?;
    let sent = Fields(form.into_inner());
    // A page that is loaded again sends the key that it had.
    let key = IdempotencyKey::new(sent.get("key")).or_else(|_| new_key())?;
    let command = match deed.command(&sent, key.clone(), visit.console.money()) {
        Ok(command) => command,
        Err(wrong) => return show_form(&visit, deed, &sent, &wrong, None),
    };
    let submission = Submission::from(command).by(visit.actor());
    let (reply, run) = visit.console.ledger.dry_run_one(submission).await?;
    if let Err(error) = reply {
        let refusal = refused(error, &visit)?;
        return show_form(&visit, deed, &sent, &[], Some(refusal));
    }
    let shell = Shell::of(&visit, visit.language.say(T::CheckTitle), Place::Users);
    let fields: Vec<(String, String)> = deed
        .inputs()
        .iter()
        .map(|input| (input.name().to_owned(), sent.get(input.name()).to_owned()))
        .collect();
    let changed = Fields(fields.clone()).with(&[]);
    page(&CheckPage {
        deed: deed.name(),
        button: deed.texts().1,
        said: understood(deed, &sent, visit.console.money(), visit.language),
        courses: courses(&run.before, &run.after, &shell),
        key: key.as_str().to_owned(),
        change: format!("/console/act/{}?{changed}", deed.name()),
        fields,
        shell,
    })
}

/// A key that nobody used before.
fn new_key() -> Result<IdempotencyKey, Invalid> {
    IdempotencyKey::new(format!("console-{}", Uuid::now_v7().simple()))
}

/// The words for a rejection; anything else is a failure of ours.
fn refused(error: SubmitError, visit: &Visit) -> Result<String, Failure> {
    match error {
        SubmitError::Rejected { rejection, .. } => {
            Ok(words::rejection(&rejection, visit.console.money(), visit.language))
        }
        SubmitError::Failed(error) => Err(error.into()),
        // The ledger submits those again by itself.
        SubmitError::Postponed(_) => Err(RepoError::Overloaded.into()),
    }
}

fn courses(before: &[Account], after: &[Account], shell: &Shell) -> Vec<Course> {
    let both = after.iter().map(|after| {
        let before = before.iter().find(|before| before.user_id == after.user_id).copied();
        (before.unwrap_or(Account::unopened(after.user_id)), after)
    });
    both.map(|(before, after)| Course {
        user: after.user_id.to_string(),
        available: (shell.money(before.available), shell.money(after.available)),
        reserved: (shell.money(before.reserved), shell.money(after.reserved)),
        total: (shell.money(before.total()), shell.money(after.total())),
    })
    .collect()
}

#[derive(Template)]
#[template(path = "unknown.html")]
struct UnknownPage {
    shell: Shell,
    deed: &'static str,
    fields: Vec<(String, String)>,
    subject: String,
}

/// Does it, and leads to the receipt.
pub(super) async fn act(visit: Visit, path: Path<String>, form: Form) -> Result<HttpResponse, Failure> {
    let deed = admitted(&visit, &path)?;
    let sent = Fields(form.into_inner());
    let key = IdempotencyKey::new(sent.get("key"))?;
    let command = match deed.command(&sent, key.clone(), visit.console.money()) {
        Ok(command) => command,
        Err(wrong) => return show_form(&visit, deed, &sent, &wrong, None),
    };
    let user = command.user_id();
    let has_receipt = matches!(command, Command::Money(_));
    match visit.console.ledger.submit_one(Submission::from(command).by(visit.actor())).await {
        Ok(_) if has_receipt => {
            let key = words::escaped(key.as_str());
            Ok(see_other(format!("/console/users/{user}/receipts/{key}")))
        }
        Ok(_) => Ok(see_other(deed.subject(&sent))),
        // The second of two clicks finds the account closed by the first.
        Err(SubmitError::Rejected { rejection: Rejection::AccountClosed(_), .. }) if deed == Deed::Close => {
            Ok(see_other(deed.subject(&sent)))
        }
        // Whether it happened is not known: the same key asks again, and does it once.
        Err(SubmitError::Failed(RepoError::Unknown(cause))) => {
            tracing::warn!(%cause, "the outcome of a deed is unknown");
            let shell = Shell::of(&visit, visit.language.say(T::NotKnown), Place::Users);
            let subject = deed.subject(&sent);
            let mut answer = page(&UnknownPage { shell, deed: deed.name(), fields: sent.0, subject })?;
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            Ok(answer)
        }
        Err(error) => {
            let refusal = refused(error, &visit)?;
            show_form(&visit, deed, &sent, &[], Some(refusal))
        }
    }
}

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    shell: Shell,
    user: String,
    key: String,
    row: OperationRow,
}

/// What was done under a key.
pub(super) async fn receipt(visit: Visit, path: Path<(String, String)>) -> Result<HttpResponse, Failure> {
    visit.needs(Scope::BalanceRead)?;
    let (user, key) = path.into_inner();
    let user = user_id(&user).ok_or(Failure::NotFound(T::NoSuchUser))?;
    let key = IdempotencyKey::new(key)?;
    let operation = visit.console.ledger.operation_by_key(user, key.clone()).await?;
    let operation = operation.ok_or(Failure::NotFound(T::NothingUnderKey))?;
    let shell = Shell::of(&visit, visit.language.say(T::Done), Place::Users);
    let row = OperationRow::all(std::slice::from_ref(&operation), &visit, &shell).await?;
    let row = row.into_iter().next().ok_or(Failure::Internal)?;
    page(&ReceiptPage { user: user.to_string(), key: key.as_str().to_owned(), row, shell })
}
