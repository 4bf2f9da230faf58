mod people;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sageapi_contract::ExitCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::customers::{credit, currency_of};
use super::failure::Failure;
use super::keys::{auth_mode_of, customer_of};
use super::output::Output;
use crate::domain::keys::KeyRequest;
use crate::env::ServerEnv;
use crate::model::{Actor, AuthMode, Entity, Money, Reach, Scopes, Transno, shown};
use crate::store::{NewCustomer, Page};
use crate::sync::{Flaw, flaw, parse_seed};

/// Largest seed file in bytes.
const MAX_BYTES: u64 = 64 << 20;
/// Mirrored rows written by one transaction.
const ROWS: usize = 500;

use people::{SeedGroup, SeedMember};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed<'a> {
    #[serde(default)]
    customers: Vec<SeedCustomer>,
    #[serde(default)]
    keys: Vec<SeedKey>,
    #[serde(default, borrow)]
    users: Vec<&'a RawValue>,
    #[serde(default, borrow)]
    pricing: Vec<&'a RawValue>,
    #[serde(default, borrow)]
    llmage: Vec<&'a RawValue>,
    #[serde(default, borrow)]
    uapi: Vec<&'a RawValue>,
    #[serde(default)]
    groups: Vec<SeedGroup>,
    #[serde(default)]
    members: Vec<SeedMember>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedCustomer {
    id: String,
    currency: Option<String>,
    /// "0" means none.
    credit: Option<String>,
    credit_limit: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedKey {
    name: String,
    /// Absent for a key of the platform.
    customer: Option<String>,
    scopes: Vec<String>,
    auth_mode: Option<String>,
}

#[derive(Serialize, Default)]
struct Seeded {
    customers_created: usize,
    credits_booked: usize,
    groups_created: usize,
    users_created: usize,
    rows_written: usize,
    keys: Vec<SeededKey>,
    /// Price lists that no charge can be priced by, with why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct SeededKey {
    name: String,
    key_id: String,
    /// Only if the key was just created; it is shown only once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// A seed file that was checked completely, so that an invalid one changes nothing.
struct Checked {
    customers: Vec<(NewCustomer, Option<Money>)>,
    keys: Vec<(String, KeyRequest)>,
    people: people::Checked,
    mirror: Vec<(Entity, Page)>,
    warnings: Vec<String>,
}

pub async fn run(env: &ServerEnv, file: &Path, out: &Output) -> Result<ExitCode, Failure> {
    let bad = |e: &dyn std::fmt::Display| Failure::usage(format!("{}: {e}", file.display()));
    // Limited while reading: a device has no size.
    let mut text = String::new();
    let mut bounded = File::open(file).map_err(|e| bad(&e))?.take(MAX_BYTES + 1);
    bounded.read_to_string(&mut text).map_err(|e| bad(&e))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(bad(&format!("is larger than {MAX_BYTES} bytes")));
    }
    // serde would take a list as the members in their order.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(bad(&"is not a JSON object"));
    }
    let seed: Seed<'_> = serde_json::from_str(&text).map_err(|e| bad(&e))?;
    let checked = check(env, &seed).map_err(|e| bad(&e))?;
    for warning in &checked.warnings {
        tracing::warn!("{}: {warning}", file.display());
    }
    let progress = out.progress("entries");
    progress.expect(checked.len());
    let mut done = Seeded { warnings: checked.warnings, ..Seeded::default() };
    let mut handled = 0;
    let mut handle = |entries: usize| {
        handled += entries as u64;
        progress.reached(handled);
    };
    for (customer, amount) in checked.customers {
        let id = customer.id.clone();
        done.customers_created += usize::from(env.store().create_customer(customer).await?);
        if let Some(amount) = amount {
            let transno = Transno::parse(&format!("seed:{id}")).map_err(|e| bad(&e))?;
            let booked = env.bookings().book_as(credit(&id, transno, amount), Actor::command_line()).await;
            let booked =
                booked.map_err(|e| Failure::from(e).about(&format!("{}: customer {id}", file.display())))?;
            done.credits_booked += usize::from(!booked.replayed);
        }
        handle(1);
    }
    for (name, request) in checked.keys {
        let seeded = if let Some(key) = env.store().key_by_name(&name).await? {
            SeededKey { name, key_id: key.key_id.to_string(), secret: None }
        } else {
            let made = env.keys().create(request, &Actor::command_line()).await?;
            let secret = Some(made.secret.expose().to_owned());
            SeededKey { name, key_id: made.key_id.to_string(), secret }
        };
        done.keys.push(seeded);
        handle(1);
    }
    for (entity, mut page) in checked.mirror {
        while !page.changes.is_empty() {
            let rest = page.changes.split_off(page.changes.len().min(ROWS));
            let rows = page.changes.len();
            env.store().apply_page(entity, None, std::mem::take(&mut page)).await?;
            done.rows_written += rows;
            handle(rows);
            page.changes = rest;
        }
    }
    // Members may be mirrored users.
    let people = checked.people.len();
    let made = people::load(env, checked.people).await.map_err(|e| e.about(&file.display().to_string()))?;
    (done.groups_created, done.users_created) = made;
    handle(people);
    drop(progress);
    out.result(&done, describe)
}

impl Checked {
    /// How many entries there are.
    fn len(&self) -> u64 {
        let rows: usize = self.mirror.iter().map(|(_, page)| page.changes.len()).sum();
        (self.customers.len() + self.keys.len() + self.people.len() + rows) as u64
    }
}

fn check(env: &ServerEnv, seed: &Seed<'_>) -> Result<Checked, Failure> {
    let mut checked = Checked {
        customers: Vec::new(),
        keys: Vec::new(),
        people: people::Checked::default(),
        mirror: Vec::new(),
        warnings: Vec::new(),
    };
    for customer in &seed.customers {
        let money = |text: &Option<String>, what: &str| {
            let parse = |t: &String| {
                Money::parse(t).map_err(|e| {
                    Failure::usage(format!("customer {}: {what}: {e}, not {}", customer.id, shown(t)))
                })
            };
            text.as_ref().map(parse).transpose()
        };
        let new = NewCustomer {
            id: customer_of(&customer.id)?,
            currency: match &customer.currency {
                Some(code) => currency_of(code)?,
                None => env.config().accounting.currency,
            },
            credit_limit: money(&customer.credit_limit, "credit_limit")?.unwrap_or_default(),
        };
        let credit = money(&customer.credit, "credit")?.filter(|credit| *credit != Money::ZERO);
        checked.customers.push((new, credit));
    }
    for key in &seed.keys {
        let request = KeyRequest {
            name: Some(key.name.clone()),
            // In a seed file a key without a customer is the platform's.
            reach: match key.customer.as_deref() {
                Some(customer) => Reach::Customer(customer_of(customer)?),
                None => Reach::Everything,
            },
            scopes: Scopes::parse(&key.scopes.join(","))
                .map_err(|scope| Failure::usage(format!("key {}: unknown scope {scope:?}", key.name)))?,
            auth_mode: key.auth_mode.as_deref().map_or(Ok(AuthMode::Signed), auth_mode_of)?,
            enabled: true,
            expires_at: None,
            allowed_cidrs: Vec::new(),
        };
        env.keys().check(&request).map_err(|e| Failure::from(e).about(&format!("key {}", key.name)))?;
        checked.keys.push((key.name.clone(), request));
    }
    let (local, mirrored_users) = people::split(&seed.users);
    checked.people = people::check(&seed.groups, &local, &seed.members)?;
    let mirrored = [
        (Entity::Users, &mirrored_users),
        (Entity::Pricing, &seed.pricing),
        (Entity::Llmage, &seed.llmage),
        (Entity::Uapi, &seed.uapi),
    ];
    for (entity, rows) in mirrored {
        let page = parse_seed(entity, rows, &jiff::tz::TimeZone::UTC);
        if let Some(bad) = page.quarantined.first() {
            return Err(Failure::usage(format!("{entity}: row {}: {}", bad.id, bad.error)));
        }
        for Flaw { id, reason, .. } in page.changes.iter().filter_map(|change| flaw(entity, change)) {
            checked.warnings.push(format!("no charge can be priced by the price list {id}: {reason}"));
        }
        checked.mirror.push((entity, page));
    }
    Ok(checked)
}

fn describe(done: &Seeded) -> String {
    let mut text = format!(
        "{} customer(s) created, {} credit(s) booked, {} mirrored row(s) written\n",
        done.customers_created, done.credits_booked, done.rows_written
    );
    if done.groups_created + done.users_created > 0 {
        text += &format!("{} group(s) and {} user(s) created\n", done.groups_created, done.users_created);
    }
    for warning in &done.warnings {
        text += &format!("warning: {warning}\n");
    }
    for key in &done.keys {
        let secret = key.secret.as_deref().map_or("(made earlier)", |s| s);
        text += &format!("key {}  {}  {secret}\n", key.name, key.key_id);
    }
    text
}
