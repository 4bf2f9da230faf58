//! SageAPI inside another program: a customer, a credit, a charge, a balance, on an embedded
//! database in a temporary folder.
//!
//!     cargo run -p sageapi-server --example embed

use std::collections::BTreeMap;
use std::error::Error;

use sageapi_server::domain::accounts::{AccountingQuery, query_accounting};
use sageapi_server::domain::booking::Request;
use sageapi_server::model::{CustomerId, Kind, Money, Reach, Transno};
use sageapi_server::store::NewCustomer;
use sageapi_server::{ServerEnv, config, load_sageapi};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows its result")]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", run().await?);
    Ok(())
}

async fn run() -> Result<String, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("embedded.db");
    // What would be variables of the environment; a file could be named instead of `None`.
    let settings = [
        ("SAGEAPI_DATABASE_URL".to_owned(), format!("sqlite:{}", database.display())),
        ("SAGEAPI_ACCOUNTING_CURRENCY".to_owned(), "CNY".to_owned()),
    ];
    let loaded = config::load(None, &BTreeMap::from(settings), &config::read_file)?;

    let sage = load_sageapi(loaded.config).await?;
    let shown = use_it(&sage).await;
    // Everything that was booked is durable already; this ends the tasks and closes the database.
    sage.shut_down().await;
    shown
}

async fn use_it(sage: &ServerEnv) -> Result<String, Box<dyn Error>> {
    let customer = CustomerId::parse("org_example")?;
    let currency = sage.config().accounting.currency;
    let new = NewCustomer { id: customer.clone(), currency, credit_limit: Money::ZERO };
    sage.store().create_customer(new).await?;

    let book = |transno: &str, kind, amount: &str| -> Result<_, Box<dyn Error>> {
        let (transno, amount) = (Transno::parse_client(transno)?, Money::parse(amount)?);
        Ok(Request::booking(customer.clone(), transno, kind, amount))
    };
    sage.bookings().create(book("recharge-1", Kind::Credit, "10")?).await?;
    let charge = sage.bookings().create(book("request-1", Kind::Charge, "0.0125")?).await?;
    // The same again, as after a lost answer: it is booked once.
    let again = sage.bookings().create(book("request-1", Kind::Charge, "0.0125")?).await?;
    assert!(again.replayed && again.record.id == charge.record.id);
    // More than there is: refused, and nothing is booked.
    let refused = sage.bookings().create(book("request-2", Kind::Charge, "1000")?).await;
    assert!(refused.is_err());

    let balance = sage.balances().get(&customer, true).await?.customer.balance;
    let reach = Reach::Customer(customer.clone());
    let records = query_accounting(sage.store(), &reach, AccountingQuery::default()).await?.rows.len();
    Ok(format!("{customer} has {balance} {currency} after {records} records"))
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn the_example_does_what_it_says() {
        assert_eq!(super::run().await.unwrap(), "org_example has 9.9875 CNY after 2 records");
    }
}
