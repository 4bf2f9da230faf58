use sageapi_contract::ExitCode;
use serde::Serialize;

use super::args::people::{Named, User as Command};
use super::failure::Failure;
use super::groups::named_group;
use super::keys::customer_of;
use super::output::Output;
use super::password;
use crate::domain::admin::users::{UserRequest, UserSettings, UsersQuery};
use crate::domain::page::{MAX_LIMIT, PageRequest};
use crate::domain::principal::Principal;
use crate::env::ServerEnv;
use crate::model::{
    Actor, CustomerId, GroupId, Owner, Secret, Timestamp, User, UserId, UserRole, Username, shown,
};

#[derive(Serialize)]
struct Shown {
    id: UserId,
    customer_id: Option<CustomerId>,
    username: Username,
    role: UserRole,
    is_active: bool,
    has_password: bool,
    group_id: Option<GroupId>,
    last_login_at: Option<Timestamp>,
    version: i64,
    created_at: Timestamp,
}

impl From<User> for Shown {
    fn from(user: User) -> Self {
        Self {
            customer_id: user.owner.customer().cloned(),
            has_password: user.password_hash.is_some(),
            id: user.id,
            username: user.username,
            role: user.role,
            is_active: user.is_active,
            group_id: user.group_id,
            last_login_at: user.last_login_at,
            version: user.version,
            created_at: user.created_at,
        }
    }
}

pub async fn run(env: &ServerEnv, command: Command, out: &Output) -> Result<ExitCode, Failure> {
    let (principal, by) = (Principal::command_line(), Actor::command_line());
    let users = env.admin_users();
    let changed = match command {
        Command::Create { user, role, group, disabled, password } => {
            let owner = owner_of(user.customer.as_deref())?;
            let role = UserRole::parse(&role)
                .ok_or_else(|| Failure::usage(format!("--role {role:?}: must be user or admin")))?;
            let group_id = match group {
                Some(name) => Some(named_group(env, &owner, &name).await?.id),
                None => None,
            };
            let settings =
                UserSettings { username: name_of(&user.username)?, role, is_active: !disabled, group_id };
            let password = Some(password::read(&password)?).filter(|password| !password.is_empty());
            let request =
                UserRequest { id: None, customer_id: owner.customer().cloned(), settings, password };
            users.create(&principal, &by, request).await?
        }
        Command::List { customer, group } => return list(env, customer, group, out).await,
        Command::Show { user } => found(env, &user).await?,
        Command::SetPassword { user, password } => {
            let found = found(env, &user).await?;
            let password: Secret = password::read(&password)?;
            users.set_password(&principal, &by, &found.id, password).await?
        }
        Command::Enable { user } => set(env, &user, |settings| settings.is_active = true).await?,
        Command::Disable { user } => set(env, &user, |settings| settings.is_active = false).await?,
        Command::SetGroup { user, group } => {
            let group_id = match group.as_str() {
                "none" => None,
                name => Some(named_group(env, &owner_of(user.customer.as_deref())?, name).await?.id),
            };
            set(env, &user, move |settings| settings.group_id.clone_from(&group_id)).await?
        }
        Command::Revoke { user } => {
            let found = found(env, &user).await?;
            users.revoke(&principal, &by, &found.id).await?
        }
        Command::Delete { user } => {
            let found = found(env, &user).await?;
            users.delete(&principal, &by, &found.id, None).await?;
            return out.result(&serde_json::json!({"id": found.id, "deleted": true}), |_| {
                format!("{} is deleted", found.username)
            });
        }
    };
    out.result(&Shown::from(changed), describe)
}

async fn set(
    env: &ServerEnv,
    user: &Named,
    change: impl Fn(&mut UserSettings) + Send + Sync + 'static,
) -> Result<User, Failure> {
    let found = found(env, user).await?;
    let (principal, by) = (Principal::command_line(), Actor::command_line());
    Ok(env.admin_users().update(&principal, &by, &found.id, None, change).await?)
}

async fn found(env: &ServerEnv, user: &Named) -> Result<User, Failure> {
    let (owner, name) = (owner_of(user.customer.as_deref())?, name_of(&user.username)?);
    let found = env.admin_users().get_by_name(&Principal::command_line(), &owner, &name).await;
    found.map_err(|error| Failure::from(error).about(&format!("user {name}")))
}

async fn list(
    env: &ServerEnv,
    customer: Option<String>,
    group: Option<String>,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let principal = Principal::command_line();
    let customer_id = customer.as_deref().map(customer_of).transpose()?;
    let group_id = match group {
        Some(name) => Some(named_group(env, &owner_of(customer.as_deref())?, &name).await?.id),
        None => None,
    };
    let mut all: Vec<Shown> = Vec::new();
    let mut page = PageRequest { limit: MAX_LIMIT, ascending: true, ..PageRequest::default() };
    loop {
        let query = UsersQuery {
            customer_id: customer_id.clone(),
            group_id: group_id.clone(),
            page: page.clone(),
            ..UsersQuery::default()
        };
        let found = env.admin_users().list(&principal, query).await?;
        all.extend(found.rows.into_iter().map(Shown::from));
        page.cursor = found.next_cursor;
        if page.cursor.is_none() {
            break;
        }
    }
    out.result(&all, |users| users.iter().fold(String::new(), |text, user| text + &line(user) + "\n"))
}

fn line(user: &Shown) -> String {
    let whose = user.customer_id.as_ref().map_or("(platform)", CustomerId::as_str);
    let state = if user.is_active { "active" } else { "disabled" };
    format!("{}  {whose}  {}  {}  {state}", user.id, user.username, user.role)
}

fn describe(user: &Shown) -> String {
    let whose = user.customer_id.as_ref().map_or("(platform)", CustomerId::as_str);
    let state = match (user.is_active, user.has_password) {
        (false, _) => "disabled",
        (true, true) => "active",
        (true, false) => "active, without a password: cannot sign in",
    };
    let group = user.group_id.as_ref().map_or("(default)", GroupId::as_str);
    let last = user.last_login_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    format!(
        "user        {} ({})\ncustomer    {whose}\nrole        {}\nstate       {state}\ngroup       {group}\nsigned in   {last}",
        user.username, user.id, user.role
    )
}

fn name_of(text: &str) -> Result<Username, Failure> {
    Username::parse(text).map_err(|e| Failure::usage(format!("username: {e}, not {}", shown(text))))
}

pub(super) fn owner_of(customer: Option<&str>) -> Result<Owner, Failure> {
    customer.map_or(Ok(Owner::Platform), |id| customer_of(id).map(Owner::Customer))
}
