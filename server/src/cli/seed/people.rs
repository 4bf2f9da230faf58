//! Users who sign in, groups and members of a seed file.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::failure::Failure;
use super::super::groups::named_group;
use super::super::users::owner_of;
use crate::domain::Error;
use crate::domain::admin::groups::{GroupRequest, GroupSettings};
use crate::domain::admin::users::{UserRequest, UserSettings};
use crate::domain::principal::Principal;
use crate::domain::sign_in::Passwords;
use crate::env::ServerEnv;
use crate::model::{
    Actor, GroupName, OnStoreFailure, Owner, Secret, UserId, UserRole, Username, ZoneName, shown,
};

/// A group. One of this name is left as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedGroup {
    name: String,
    /// Absent for a group for users of all customers.
    customer: Option<String>,
    daily_tokens: Option<i64>,
    monthly_tokens: Option<i64>,
    requests_per_minute: Option<i64>,
    max_tokens_per_request: Option<i64>,
    concurrent_requests: Option<i64>,
    default_reservation: Option<i64>,
    time_zone: Option<String>,
    on_store_failure: Option<String>,
    #[serde(default)]
    default: bool,
}

/// A user who signs in: among `users`, a row with a role. One of this name is left as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedUser {
    username: String,
    role: String,
    /// Absent for a user of the platform.
    customer: Option<String>,
    /// The name of a group.
    group: Option<String>,
    /// Absent for a user who cannot sign in yet.
    password: Option<String>,
    #[serde(default)]
    disabled: bool,
}

/// A mirrored user, or one who signs in, and the group that it is made a member of.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedMember {
    user_id: String,
    /// The name of the group.
    group: String,
    /// Whose group it is; absent for one for users of all customers.
    customer: Option<String>,
}

/// What of it is well-formed.
#[derive(Default)]
pub struct Checked {
    groups: Vec<(Owner, GroupSettings)>,
    users: Vec<(Owner, UserSettings, Option<String>, Option<Secret>)>,
    members: Vec<(UserId, Owner, String)>,
}

impl Checked {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.groups.len() + self.users.len() + self.members.len()
    }
}

/// Users who sign in, and mirrored rows. A role tells them apart: the platform's rows have none.
pub fn split<'a>(users: &[&'a RawValue]) -> (Vec<&'a RawValue>, Vec<&'a RawValue>) {
    #[derive(Deserialize)]
    struct Row<'a> {
        #[serde(borrow)]
        role: Option<&'a RawValue>,
    }
    let has_role =
        |raw: &&RawValue| serde_json::from_str::<Row<'_>>(raw.get()).is_ok_and(|row| row.role.is_some());
    users.iter().copied().partition(has_role)
}

/// Checks all of it.
pub fn check(groups: &[SeedGroup], users: &[&RawValue], members: &[SeedMember]) -> Result<Checked, Failure> {
    let mut checked = Checked::default();
    for group in groups {
        let about = |e: String| Failure::usage(format!("group {}: {e}", shown(&group.name)));
        let name = GroupName::parse(&group.name).map_err(|e| about(format!("name {e}")))?;
        let mut settings = GroupSettings::named(name);
        let limits = &mut settings.limits;
        for (name, given, field) in [
            ("daily_tokens", group.daily_tokens, &mut limits.daily_tokens),
            ("monthly_tokens", group.monthly_tokens, &mut limits.monthly_tokens),
            ("requests_per_minute", group.requests_per_minute, &mut limits.requests_per_minute),
            ("max_tokens_per_request", group.max_tokens_per_request, &mut limits.max_tokens_per_request),
            ("concurrent_requests", group.concurrent_requests, &mut limits.concurrent_requests),
            ("default_reservation", group.default_reservation, &mut settings.default_reservation),
        ] {
            if given.is_some_and(|number| number < 0) {
                return Err(about(format!("{name} must not be negative")));
            }
            *field = given;
        }
        let zone = group.time_zone.as_deref().map(ZoneName::parse).transpose();
        settings.time_zone = zone.map_err(|e| about(format!("time_zone {e}")))?;
        if let Some(text) = &group.on_store_failure {
            let known = OnStoreFailure::parse(text);
            settings.on_store_failure =
                known.ok_or_else(|| about("on_store_failure must be deny or allow".to_owned()))?;
        }
        settings.is_default = group.default;
        checked.groups.push((owner_of(group.customer.as_deref())?, settings));
    }
    for raw in users {
        let user: SeedUser = serde_json::from_str(raw.get())
            .map_err(|e| Failure::usage(format!("a user with a role: {e}")))?;
        let about = |e: String| Failure::usage(format!("user {}: {e}", shown(&user.username)));
        let username = Username::parse(&user.username).map_err(|e| about(format!("username {e}")))?;
        let role =
            UserRole::parse(&user.role).ok_or_else(|| about("role must be user or admin".to_owned()))?;
        let password = user.password.map(Secret::new);
        if let Some(password) = &password {
            Passwords::check(role, password)
                .map_err(|e| Failure::from(e).about(&format!("user {username}")))?;
        }
        let settings = UserSettings { username, role, is_active: !user.disabled, group_id: None };
        checked.users.push((owner_of(user.customer.as_deref())?, settings, user.group, password));
    }
    for member in members {
        let id = UserId::parse(&member.user_id)
            .map_err(|e| Failure::usage(format!("member {}: {e}", shown(&member.user_id))))?;
        checked.members.push((id, owner_of(member.customer.as_deref())?, member.group.clone()));
    }
    Ok(checked)
}

/// Creates what is not there yet; how many groups and users.
pub async fn load(env: &ServerEnv, checked: Checked) -> Result<(usize, usize), Failure> {
    let (principal, by) = (Principal::command_line(), Actor::command_line());
    let (mut groups, mut users) = (0, 0);
    for (owner, settings) in checked.groups {
        let name = settings.name.as_str().to_owned();
        let request = GroupRequest { id: None, customer_id: owner.customer().cloned(), settings };
        match env.groups().create(&principal, &by, request).await {
            Ok(_) => groups += 1,
            Err(Error::Taken("name")) => {}
            Err(error) => return Err(Failure::from(error).about(&format!("group {name}"))),
        }
    }
    for (owner, settings, group, password) in checked.users {
        let name = settings.username.clone();
        let group_id = match group {
            Some(group) => Some(named_group(env, &owner, &group).await?.id),
            None => None,
        };
        let settings = UserSettings { group_id, ..settings };
        let request = UserRequest { id: None, customer_id: owner.customer().cloned(), settings, password };
        match env.admin_users().create(&principal, &by, request).await {
            Ok(_) => users += 1,
            Err(Error::Taken("username")) => {}
            Err(error) => return Err(Failure::from(error).about(&format!("user {name}"))),
        }
    }
    for (user, owner, group) in checked.members {
        let group = named_group(env, &owner, &group).await?;
        let added = env.members().add(&principal, &by, &group.id, &user).await;
        added.map_err(|error| Failure::from(error).about(&format!("member {user}")))?;
    }
    Ok((groups, users))
}
