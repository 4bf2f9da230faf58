//! What is not as it should be, and why it may be so.

use super::judge::Exception;

/// Cases in which a few rows, found by an index, are sorted, and why they are few.
pub(super) const FEW: &[(&str, &str)] = &[
    ("a price", "a program has a row for each of its validities"),
    ("pricing of a program", "the same"),
    ("pricing of a model", "a model is offered under some programs"),
    ("pricing published of a model", "the same"),
    ("pricing current of a program", "the same as of a program"),
    ("records of all by request_id", "a request is booked a few times"),
    ("records of all by transno", "few customers use the same name"),
    ("holds of all by transno", "the same"),
    ("people by name", "few customers have users of the same name"),
    ("people of a customer by name", "a customer has one user of a name"),
    ("people of a small group", "a thousand at most"),
    ("groups by name", "few customers have groups of the same name"),
    ("groups of a customer by name", "a customer has one group of a name"),
];

/// Columns that conditions of lists and look-ups name and no key in use has: rows are looked at for them, one after
/// another. Each index that would spare it is written with every booking, or with every row of the mirror.
pub(super) const WALKED: &[Exception] = &[
    ("", &["deleted"], "tombstones are few beside the living, and are forgotten after a month"),
    ("", &["sync_version"], "it is compared with the one row of sync_quarantine, if there is one"),
    ("records of all by transno", &["created_at", "id"], "few customers use the same name"),
    ("records of all by request_id", &["created_at", "id"], "a request is booked a few times"),
    ("records of all", &["user_id"], "a person belongs to a customer, within whom there is an index"),
    ("records of all", &["model_name"], "within a customer there is an index; over all, few models are rare"),
    ("sums of records of all", &["id"], "`to` ends them, which comes before the newest record or soon after"),
    ("records of", &["llmid"], "a customer uses few models, and `model` has an index"),
    ("records of", &["kind"], "most records are charges; what is rare wants `from` and `to`, as API.md says"),
    ("records of", &["event_time"], "it is as a rule near the time of booking, which has an index"),
    ("records of", &["delta"], "the status: most are accounted, and what was taken back of each has a key"),
    ("holds of a customer by transno", &["created_at", "id"], "a customer uses a name once"),
    ("holds of all by transno", &["created_at", "id"], "few customers use the same name"),
    ("holds of all by user", &["user_id"], "a person belongs to a customer, within whom there is an index"),
    ("holds of a customer by user", &["state"], "the holds of one person are few beside all"),
    ("holds of a customer expired", &["state"], "two states, which no index has in one order"),
    ("holds of all expired", &["state"], "the same"),
    ("holds of", &["expires_at"], "an open hold is closed soon after it is due: few are passed by"),
    (
        "holds open then",
        &["expires_at", "state", "updated_at"],
        "a customer's holds of a day alone are looked at",
    ),
    ("customers with due holds", &["customer_id"], "those left out are being closed, and few others are due"),
    ("users searched", &["username", "nick_name", "email", "mobile"], "no index has the middle of a text"),
    ("users of a customer by name", &["orgid"], "few people have the same name"),
    ("users by status", &["user_status"], "it has a few values, and users are a million at most"),
    ("users of a customer by status", &["user_status"], "the same, within a customer"),
    ("pricing of a program", &["created_at", "id"], "a program has a row for each of its validities"),
    ("pricing of a model", &["created_at", "id"], "a model is offered under some programs"),
    ("pricing published of a model", &["created_at", "id"], "the same"),
    ("pricing current of a program", &["created_at", "id"], "the same as of a program"),
    ("pricing of a type", &["pricing_type"], "it has a few values"),
    ("pricing published", &["pricing_belong"], "providers' costs are a part of some thousand rows"),
    ("pricing current", &["enabled_date", "expired_date"], "most programs have one row that counts today"),
    ("pricing future", &["enabled_date"], "price lists are some thousand rows"),
    ("pricing expired", &["expired_date"], "the same"),
    (
        "a price",
        &["enabled_date", "expired_date", "pricing_belong"],
        "a program has a row for each of its validities",
    ),
    ("keys of", &["enabled"], "keys are few, and most are enabled"),
    ("keys of a customer by name", &["customer_id", "created_at", "key_id"], "a name is one key's"),
    ("keys of all by name", &["created_at", "key_id"], "the same"),
    ("audit by action", &["action"], "there are few actions, and most have many entries"),
    ("audit by kind", &["object_kind"], "there are a few kinds"),
    ("llmage published", &["status"], "most models are published"),
    ("people by name", &["created_at", "id"], "few customers have users of the same name"),
    ("people of a customer by name", &["created_at", "id"], "a customer has one user of a name"),
    ("people by role", &["role"], "it has two values, and users are a million at most"),
    ("people of a customer by role", &["role"], "the same, within a customer"),
    ("people by activity", &["is_active"], "it has two values, and users are a million at most"),
    ("people of a small group", &["created_at"], "a thousand users at most are looked at"),
    ("groups by name", &["created_at", "id"], "few customers have groups of the same name"),
    ("groups of a customer by name", &["created_at", "id"], "a customer has one group of a name"),
    ("uapi by name", &["name"], "upstream APIs are some hundred rows"),
    ("sessions of", &["kind"], "it has two values, and few sessions are of consoles"),
    ("sessions of", &["revoked_at"], "what was revoked is forgotten with what is idle"),
    ("sessions of a customer's user", &["customer_id"], "a user is of one customer"),
    ("verify", &["hold_id"], "holds of a customer that were captured at one moment are few"),
    ("verify", &["reversal_id"], "a record is taken back a few times"),
];

/// The same for what keeps the tables small.
pub(super) const WALKED_IN_UPKEEP: &[Exception] = &[
    ("cache events", &["origin"], "it stands in the index that is read: no row is looked at for it"),
    ("tombstones of", &["cached_at"], "tombstones alone are read, which are few beside the living"),
];
