use sageapi_contract::ExitCode;
use serde::Serialize;

use super::args::people::{Group as Command, Limits, NamedGroup};
use super::failure::Failure;
use super::keys::customer_of;
use super::output::Output;
use super::users::owner_of;
use crate::domain::Error;
use crate::domain::admin::groups::{GroupRequest, GroupSettings, GroupsQuery};
use crate::domain::page::{MAX_LIMIT, PageRequest};
use crate::domain::principal::Principal;
use crate::env::ServerEnv;
use crate::model::{
    Actor, CustomerId, Group, GroupId, GroupName, OnStoreFailure, Owner, Patch, ZoneName, shown,
};

#[derive(Serialize)]
struct Shown {
    id: GroupId,
    customer_id: Option<CustomerId>,
    name: GroupName,
    daily_tokens: Option<i64>,
    monthly_tokens: Option<i64>,
    requests_per_minute: Option<i64>,
    max_tokens_per_request: Option<i64>,
    concurrent_requests: Option<i64>,
    default_reservation: Option<i64>,
    time_zone: Option<ZoneName>,
    on_store_failure: OnStoreFailure,
    is_default: bool,
    version: i64,
}

impl From<Group> for Shown {
    fn from(group: Group) -> Self {
        Self {
            customer_id: group.owner.customer().cloned(),
            is_default: group.is_default(),
            id: group.id,
            name: group.name,
            daily_tokens: group.limits.daily_tokens,
            monthly_tokens: group.limits.monthly_tokens,
            requests_per_minute: group.limits.requests_per_minute,
            max_tokens_per_request: group.limits.max_tokens_per_request,
            concurrent_requests: group.limits.concurrent_requests,
            default_reservation: group.default_reservation,
            time_zone: group.time_zone,
            on_store_failure: group.on_store_failure,
            version: group.version,
        }
    }
}

/// The limits of a command, read.
#[derive(Clone)]
struct Changes {
    /// In the order of [`Limits`].
    numbers: [Patch<i64>; 6],
    time_zone: Patch<ZoneName>,
    on_store_failure: Option<OnStoreFailure>,
}

impl Changes {
    fn of(limits: &Limits) -> Result<Self, Failure> {
        let number = |name: &str, text: &Option<String>| match text.as_deref() {
            None => Ok(Patch::Keep),
            Some("none") => Ok(Patch::Clear),
            Some(text) => match text.parse::<i64>() {
                Ok(number) if number >= 0 => Ok(Patch::Set(number)),
                _ => Err(Failure::usage(format!(
                    "--{name}: must be a whole number, 0 to block, or none for no limit, not {}",
                    shown(text)
                ))),
            },
        };
        Ok(Self {
            numbers: [
                number("daily-tokens", &limits.daily_tokens)?,
                number("monthly-tokens", &limits.monthly_tokens)?,
                number("requests-per-minute", &limits.requests_per_minute)?,
                number("max-tokens-per-request", &limits.max_tokens_per_request)?,
                number("concurrent-requests", &limits.concurrent_requests)?,
                number("default-reservation", &limits.default_reservation)?,
            ],
            time_zone: match limits.time_zone.as_deref() {
                None => Patch::Keep,
                Some("none") => Patch::Clear,
                Some(zone) => Patch::Set(
                    ZoneName::parse(zone)
                        .map_err(|e| Failure::usage(format!("--time-zone: {e}, not {}", shown(zone))))?,
                ),
            },
            on_store_failure: match &limits.on_store_failure {
                Some(text) => Some(OnStoreFailure::parse(text).ok_or_else(|| {
                    Failure::usage(format!("--on-store-failure {text:?}: must be deny or allow"))
                })?),
                None => None,
            },
        })
    }

    fn apply(&self, settings: &mut GroupSettings) {
        let limits = &mut settings.limits;
        let fields = [
            &mut limits.daily_tokens,
            &mut limits.monthly_tokens,
            &mut limits.requests_per_minute,
            &mut limits.max_tokens_per_request,
            &mut limits.concurrent_requests,
            &mut settings.default_reservation,
        ];
        for (change, field) in self.numbers.into_iter().zip(fields) {
            change.apply(field);
        }
        self.time_zone.clone().apply(&mut settings.time_zone);
        if let Some(on_store_failure) = self.on_store_failure {
            settings.on_store_failure = on_store_failure;
        }
    }
}

pub async fn run(env: &ServerEnv, command: Command, out: &Output) -> Result<ExitCode, Failure> {
    let (principal, by) = (Principal::command_line(), Actor::command_line());
    let groups = env.groups();
    let changed = match command {
        Command::Create { group, limits, default } => {
            let changes = Changes::of(&limits)?;
            let mut settings = GroupSettings::named(name_of(&group.name)?);
            changes.apply(&mut settings);
            settings.is_default = default;
            let customer_id = group.customer.as_deref().map(customer_of).transpose()?;
            groups.create(&principal, &by, GroupRequest { id: None, customer_id, settings }).await?
        }
        Command::Set { group, limits, default } => {
            let changes = Changes::of(&limits)?;
            let found = found(env, &group).await?;
            let change = move |settings: &mut GroupSettings| {
                changes.apply(settings);
                if let Some(default) = default {
                    settings.is_default = default;
                }
            };
            groups.update(&principal, &by, &found.id, None, change).await?
        }
        Command::List { customer } => {
            let customer_id = customer.as_deref().map(customer_of).transpose()?;
            let mut all: Vec<Shown> = Vec::new();
            let mut page = PageRequest { limit: MAX_LIMIT, ascending: true, ..PageRequest::default() };
            loop {
                let query = GroupsQuery {
                    customer_id: customer_id.clone(),
                    page: page.clone(),
                    ..GroupsQuery::default()
                };
                let found = groups.list(&principal, query).await?;
                all.extend(found.rows.into_iter().map(Shown::from));
                page.cursor = found.next_cursor;
                if page.cursor.is_none() {
                    break;
                }
            }
            let lines =
                |groups: &Vec<Shown>| groups.iter().fold(String::new(), |text, g| text + &line(g) + "\n");
            return out.result(&all, lines);
        }
        Command::Show { group } => found(env, &group).await?,
        Command::Delete { group, force } => {
            let found = found(env, &group).await?;
            groups.delete(&principal, &by, &found.id, None, force).await.map_err(|error| match error {
                Error::Conflict(text) => Failure::usage(format!("{text}; --force frees them")),
                error => error.into(),
            })?;
            return out.result(&serde_json::json!({"id": found.id, "deleted": true}), |_| {
                format!("{} is deleted", found.name.as_str())
            });
        }
    };
    out.result(&Shown::from(changed), describe)
}

/// A group of this owner by its name; for a customer's user one of the platform's will do too.
pub(super) async fn named_group(env: &ServerEnv, owner: &Owner, name: &str) -> Result<Group, Failure> {
    let (principal, name) = (Principal::command_line(), name_of(name)?);
    match env.groups().get_by_name(&principal, owner, &name).await {
        Err(Error::NotFound(_)) if *owner != Owner::Platform => {
            let found = env.groups().get_by_name(&principal, &Owner::Platform, &name).await;
            found.map_err(|error| Failure::from(error).about(&format!("group {}", name.as_str())))
        }
        found => found.map_err(|error| Failure::from(error).about(&format!("group {}", name.as_str()))),
    }
}

async fn found(env: &ServerEnv, group: &NamedGroup) -> Result<Group, Failure> {
    let (owner, name) = (owner_of(group.customer.as_deref())?, name_of(&group.name)?);
    let found = env.groups().get_by_name(&Principal::command_line(), &owner, &name).await;
    found.map_err(|error| Failure::from(error).about(&format!("group {}", name.as_str())))
}

fn name_of(text: &str) -> Result<GroupName, Failure> {
    GroupName::parse(text).map_err(|e| Failure::usage(format!("group name: {e}, not {}", shown(text))))
}

fn limit(limit: Option<i64>) -> String {
    limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string())
}

fn line(group: &Shown) -> String {
    let whose = group.customer_id.as_ref().map_or("(platform)", CustomerId::as_str);
    let default = if group.is_default { "  default" } else { "" };
    format!(
        "{}  {whose}  {}  daily {}, monthly {}, {} a minute{default}",
        group.id,
        group.name.as_str(),
        limit(group.daily_tokens),
        limit(group.monthly_tokens),
        limit(group.requests_per_minute)
    )
}

fn describe(group: &Shown) -> String {
    let whose = group.customer_id.as_ref().map_or("(platform)", CustomerId::as_str);
    let zone = group.time_zone.as_ref().map_or("(quota.timezone)", ZoneName::as_str);
    format!(
        "group                  {} ({})\ncustomer               {whose}\ndefault                {}\n\
         daily tokens           {}\nmonthly tokens         {}\nrequests per minute    {}\n\
         tokens per request     {}\nconcurrent requests    {}\ndefault reservation    {}\n\
         time zone              {zone}\non store failure       {}",
        group.name.as_str(),
        group.id,
        group.is_default,
        limit(group.daily_tokens),
        limit(group.monthly_tokens),
        limit(group.requests_per_minute),
        limit(group.max_tokens_per_request),
        limit(group.concurrent_requests),
        group.default_reservation.map_or_else(|| "none".to_owned(), |n| n.to_string()),
        group.on_store_failure
    )
}
