//! The first administrator of the platform.

use std::fs::File;
use std::io::Read as _;

use super::users::{UserRequest, UserSettings, Users};
use crate::config::{BootstrapAdmin, BootstrapPassword};
use crate::domain::principal::Principal;
use crate::domain::{Error, FieldError};
use crate::model::{Actor, Owner, Secret, UserRole, Username};
use crate::store::{Store, UserFilter, Window};

/// No password file is longer.
const MAX_BYTES: u64 = 1024;

/// Creates the configured administrator if the platform has none at all, not even a disabled one; whether it did.
///
/// # Errors
/// [`Error::Invalid`] names what is wrong with the configured name or password.
pub async fn create_first_admin(store: &Store, users: &Users, admin: &BootstrapAdmin) -> Result<bool, Error> {
    let filter =
        UserFilter { owner: Some(Owner::Platform), role: Some(UserRole::Admin), ..UserFilter::default() };
    if !store.list(&filter, &Window::oldest(1)).await?.is_empty() {
        return Ok(false);
    }
    let invalid = |field: &str, message: String| {
        Error::Invalid(vec![FieldError::new(format!("auth.bootstrap_admin.{field}"), message)])
    };
    let username = Username::parse(&admin.username).map_err(|e| invalid("username", e.to_string()))?;
    let password = match &admin.password {
        BootstrapPassword::Given(password) => password.clone(),
        BootstrapPassword::File(path) => {
            let mut text = String::new();
            File::open(path)
                .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
                .map_err(|e| invalid("password_file", format!("{}: {e}", path.display())))?;
            Secret::new(text.lines().next().unwrap_or_default())
        }
    };
    let settings = UserSettings { username, role: UserRole::Admin, is_active: true, group_id: None };
    let request = UserRequest { id: None, customer_id: None, settings, password: Some(password) };
    match users.create(&Principal::command_line(), &Actor::server(), request).await {
        Ok(_) => Ok(true),
        // Another instance was first, or the name is that of a user who is no administrator.
        Err(Error::Taken(_)) if !store.list(&filter, &Window::oldest(1)).await?.is_empty() => Ok(false),
        Err(Error::Taken(_)) => Err(invalid(
            "username",
            "is the name of a user who is not an administrator; choose another".to_owned(),
        )),
        Err(error) => Err(error),
    }
}
