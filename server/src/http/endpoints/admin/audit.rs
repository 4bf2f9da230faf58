//! /admin/audit: who changed what, for the platform.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::Error;
use crate::domain::admin::audit::{AuditExport, query_audit};
use crate::http::call::Call;
use crate::http::endpoints::pricing::raw_json;
use crate::http::export::{self, Exported, Line};
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::parameters::{CREATED, PAGE, Parameter, ParameterKind};
use crate::http::routes::{Access, Payload, Route, Verb};
use crate::http::schema::{self, ActorKindText, DiffObject, IdText, ObjectKindText, TimeText, UuidText};
use crate::http::tag::Tag;
use crate::model::{ActorKind, AuditEntry, ObjectKind, Owner, RecordId, Scope, TextId, Timestamp};
use crate::store::AuditFilter;

pub const ROUTES: &[Route] = &[
    Route {
        id: "listAudit",
        path: "/api/v1/admin/audit",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Admin),
        parameters: &[FILTERS, CREATED, PAGE],
        answer: Payload::List(schema::of::<AuditBody<'static>>),
        summary: "The audit log: who changed what.",
        problems: &[Code::CustomerForbidden, Code::InvalidCursor],
        ..Route::new(Verb::Get, |call| Box::pin(list(call)))
    },
    Route {
        id: "exportAudit",
        path: "/api/v1/admin/audit/export",
        tag: Tag::Administration,
        access: Access::Scope(Scope::Admin),
        parameters: &[FILTERS, CREATED],
        answer: Payload::Export(schema::of::<AuditBody<'static>>),
        summary: "All entries up to the newest one at the start, oldest first, in the format of Accept. An export is \
                  complete only if its last line is #end,n or {\"_end\":true,\"count\":n}.",
        problems: &[Code::CustomerForbidden],
        ..Route::new(Verb::Get, |call| Box::pin(export(call)))
    },
];

const FILTERS: &[Parameter] = &[
    Parameter::new("actor", ParameterKind::Id(64), "By the key or the user of this id."),
    Parameter::new(
        "action",
        ParameterKind::Id(32),
        "Of this action, such as create, update, delete or rotate.",
    ),
    Parameter::new(
        "object",
        ParameterKind::Id(192),
        "About objects of a kind, such as user, or about one of them, such as user:u-1.",
    ),
    Parameter::new("customer_id", ParameterKind::Id(64), "About what this customer owns."),
];

/// An entry of the audit log.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
struct AuditBody<'a> {
    #[schemars(with = "UuidText")]
    id: RecordId,
    #[schemars(with = "TimeText")]
    created_at: Timestamp,
    #[schemars(with = "ActorKindText")]
    actor_kind: ActorKind,
    /// The key or the user; empty for the command line and the server.
    actor_id: &'a str,
    action: &'a str,
    #[schemars(with = "ObjectKindText")]
    object_kind: ObjectKind,
    object_id: &'a str,
    /// Whose the object is; null for the platform.
    #[schemars(with = "Option<IdText>")]
    customer_id: &'a Owner,
    #[schemars(with = "Option<DiffObject>")]
    diff: Option<&'a RawValue>,
    request_id: Option<&'a str>,
    address: Option<&'a str>,
}

impl<'a> AuditBody<'a> {
    fn of(entry: &'a AuditEntry) -> Self {
        Self {
            id: entry.id,
            created_at: entry.created_at,
            actor_kind: entry.actor_kind,
            actor_id: &entry.actor_id,
            action: &entry.action,
            object_kind: entry.object_kind,
            object_id: &entry.object_id,
            customer_id: &entry.owner,
            diff: raw_json(&entry.diff),
            request_id: entry.request_id.as_deref(),
            address: entry.address.as_deref(),
        }
    }
}

impl Exported for AuditExport {
    type Row = AuditEntry;

    const COLUMNS: &'static str =
        "id,created_at,actor_kind,actor_id,action,object_kind,object_id,customer_id,diff,request_id,address";

    async fn next_page(&mut self) -> Result<Vec<AuditEntry>, Error> {
        Self::next_page(self).await
    }

    fn json(entry: &AuditEntry, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(out, &AuditBody::of(entry))
    }

    fn csv(entry: &AuditEntry, out: &mut Vec<u8>) {
        let mut line = Line(out);
        line.0.extend_from_slice(entry.id.to_string().as_bytes());
        line.plain(Some(entry.created_at)).plain(Some(entry.actor_kind)).text(Some(&entry.actor_id));
        line.text(Some(&entry.action)).plain(Some(entry.object_kind)).text(Some(&entry.object_id));
        line.text(entry.owner.customer().map(crate::model::CustomerId::as_str)).text(Some(&entry.diff));
        line.text(entry.request_id.as_deref()).text(entry.address.as_deref());
        line.0.extend_from_slice(b"\r\n");
    }
}

async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let page = call.params.page();
    let filter = filter(&mut call)?;
    let page = query_audit(call.env.store(), &filter, &page).await?;
    Answer::list(&page, AuditBody::of)
}

async fn export(mut call: Call<'_>) -> Result<Answer, Error> {
    let form = export::accepted(&mut call);
    let filter = filter(&mut call)?;
    let export = AuditExport::start(call.env.store().clone(), filter).await?;
    export::answer(&call, export, form, "audit").await
}

/// The filters of a list or an export. Call it last: it ends the reading of parameters.
fn filter(call: &mut Call<'_>) -> Result<AuditFilter, Error> {
    let params = &mut call.params;
    let object = params.parsed("object", |text| {
        let (kind, id) = text.split_once(':').map_or((text, None), |(kind, id)| (kind, Some(id)));
        let kind = ObjectKind::parse(kind)
            .ok_or("must be customer, user, group, key or session, or one of them and an id")?;
        let id = id.map(|id| TextId::parse(id).map_err(|_| "must end with an id")).transpose()?;
        Ok::<_, &str>((kind, id))
    });
    let (object_kind, object_id) = object.map_or((None, None), |(kind, id)| (Some(kind), id));
    let filter = AuditFilter {
        actor_id: params.text_id("actor"),
        action: params.text_id("action"),
        object_kind,
        object_id: object_id.map(|id| id.as_str().to_owned()),
        customer_id: params.customer(),
        from: params.time("from"),
        to: params.time("to"),
        until: None,
    };
    params.finish()?;
    call.demand_platform()?;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_line_of_csv_has_the_members_of_the_json_in_their_order() {
        let entry = AuditEntry {
            id: RecordId(uuid::Uuid::nil()),
            created_at: Timestamp::from_seconds(1),
            actor_kind: ActorKind::Key,
            actor_id: "=ak_1".to_owned(),
            action: "update".to_owned(),
            object_kind: ObjectKind::User,
            object_id: "u-1".to_owned(),
            owner: Owner::Platform,
            diff: "{}".to_owned(),
            request_id: None,
            address: Some("::1".to_owned()),
        };
        let mut json = Vec::new();
        AuditExport::json(&entry, &mut json).unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(AuditExport::COLUMNS.split(',').collect::<Vec<_>>(), names);
        let mut line = Vec::new();
        AuditExport::csv(&entry, &mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "00000000-0000-0000-0000-000000000000,1970-01-01T00:00:01.000000Z,key,'=ak_1,update,user,u-1,,{},,::1\r\n"
        );
    }
}
