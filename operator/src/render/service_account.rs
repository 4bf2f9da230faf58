use k8s_openapi::api::core::v1::ServiceAccount;

use super::context::{Context, sealed};
use crate::labels;
use crate::object::Object;

/// The account that pods run under. It has no rights, and its token is not mounted.
pub fn service_account(context: &Context<'_>) -> Object {
    let account = ServiceAccount {
        metadata: context.owned(context.name(), labels::COMPONENT_SERVER),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    };
    sealed(&account, None)
}
