use sageapi_contract::ExitCode;
use serde::Serialize;

use super::args::Customer as Command;
use super::failure::Failure;
use super::output::Output;
use crate::domain::Error;
use crate::domain::booking::Request;
use crate::env::ServerEnv;
use crate::model::{
    Actor, Currency, Customer, CustomerId, CustomerStatus, Kind, Mode, Money, Transno, shown,
};
use crate::store::NewCustomer;

#[derive(Serialize)]
struct Shown {
    customer_id: CustomerId,
    balance: Money,
    held: Money,
    available: Money,
    credit_limit: Money,
    currency: Currency,
    status: CustomerStatus,
    mode: Option<Mode>,
    seq: i64,
    version: i64,
}

impl From<Customer> for Shown {
    fn from(c: Customer) -> Self {
        Self {
            available: c.available(),
            customer_id: c.id,
            balance: c.balance,
            held: c.held,
            credit_limit: c.credit_limit,
            currency: c.currency,
            status: c.status,
            mode: c.mode,
            seq: c.last_seq,
            version: c.version,
        }
    }
}

pub async fn run(env: &ServerEnv, command: Command, out: &Output) -> Result<ExitCode, Failure> {
    let store = env.store();
    let id = match &command {
        Command::Create { id, .. }
        | Command::Credit { id, .. }
        | Command::SetMode { id, .. }
        | Command::SetLimit { id, .. }
        | Command::Suspend { id }
        | Command::Resume { id }
        | Command::Show { id } => {
            CustomerId::parse(id).map_err(|e| Failure::usage(format!("customer {id:?}: {e}")))?
        }
    };
    let found = match command {
        Command::Create { currency, .. } => {
            let currency = match currency {
                Some(code) => currency_of(&code)?,
                None => env.config().accounting.currency,
            };
            let new = NewCustomer { id: id.clone(), currency, credit_limit: Money::ZERO };
            if !store.create_customer(new).await? {
                return Err(Failure::usage(format!(
                    "there is a customer {id} already; it was left as it is"
                )));
            }
            true
        }
        Command::Credit { amount, transno, .. } => {
            let transno = Transno::parse_client(&transno)
                .map_err(|e| Failure::usage(format!("--transno: {e}, not {}", shown(&transno))))?;
            if let Some(prefix) = transno.reserved_prefix() {
                return Err(Failure::usage(format!("--transno: the prefix {prefix} is reserved")));
            }
            let credited = amount_of(&amount)?;
            if credited == Money::ZERO {
                return Err(Failure::usage(format!("amount {amount:?}: must be above zero")));
            }
            env.bookings().book_as(credit(&id, transno, credited), Actor::command_line()).await?;
            true
        }
        Command::SetMode { mode, .. } => {
            let mode = match mode.as_str() {
                "default" => None,
                text => Some(Mode::parse(text).ok_or_else(|| {
                    Failure::usage(format!("mode {text:?}: must be strict, allow_negative or default"))
                })?),
            };
            store.set_customer_mode(&id, mode).await?
        }
        Command::SetLimit { limit, .. } => store.set_credit_limit(&id, amount_of(&limit)?).await?,
        Command::Suspend { .. } => store.set_customer_status(&id, CustomerStatus::Suspended).await?,
        Command::Resume { .. } => store.set_customer_status(&id, CustomerStatus::Active).await?,
        Command::Show { .. } => true,
    };
    if !found {
        return Err(Error::NotFound("customer").into());
    }
    let customer = store.customer(&id).await?.ok_or(Error::NotFound("customer"))?;
    out.result(&Shown::from(customer), |c| {
        let Shown { customer_id, balance, held, available, credit_limit, currency, status, mode, seq, .. } = c;
        let mode = mode.map_or("default", Mode::as_str);
        format!(
            "customer      {customer_id} ({status}, mode {mode})\nbalance       {balance} {currency}\n\
             held          {held}\ncredit limit  {credit_limit}\navailable     {available}\nrecords       {seq}"
        )
    })
}

pub(super) fn currency_of(code: &str) -> Result<Currency, Failure> {
    Currency::parse(code)
        .ok_or_else(|| Failure::usage(format!("currency {code:?}: must be 3 to 8 capital letters")))
}

fn amount_of(text: &str) -> Result<Money, Failure> {
    Money::parse(text).map_err(|e| Failure::usage(format!("amount {text:?}: {e}")))
}

/// A credit booked by a command: the same engine as every other booking.
pub(super) fn credit(customer: &CustomerId, transno: Transno, amount: Money) -> Request {
    Request::booking(customer.clone(), transno, Kind::Credit, amount)
}
