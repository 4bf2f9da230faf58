//! How records are shown.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::accounts::RecordView;
use crate::http::endpoints::pricing::raw_json;
use crate::http::export::Line;
use crate::http::schema::{
    ArithmeticObject, CurrencyText, IdText, KindText, MoneyText, QuantitiesObject, TimeText, TransnoText,
    UuidText,
};
use crate::model::{Currency, CustomerId, Kind, Money, RecordId, Timestamp, Transno};

/// An accounting record.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Record")]
pub struct RecordBody<'a> {
    #[schemars(with = "UuidText")]
    id: RecordId,
    #[schemars(with = "IdText")]
    customer_id: &'a CustomerId,
    /// 1, 2, 3 ... without a gap within the customer.
    seq: i64,
    #[schemars(with = "TransnoText")]
    transno: &'a Transno,
    #[schemars(with = "KindText")]
    kind: Kind,
    user_id: Option<&'a str>,
    llmid: Option<&'a str>,
    model_name: Option<&'a str>,
    pricing_id: Option<&'a str>,
    pricing_version: Option<i64>,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    total_tokens: Option<i64>,
    #[schemars(with = "Option<QuantitiesObject>")]
    quantity: Option<&'a RawValue>,
    /// The requested amount; negative only for an adjustment.
    #[schemars(with = "MoneyText")]
    amount: Money,
    /// What was added to the balance.
    #[schemars(with = "MoneyText")]
    delta: Money,
    /// The amount before rounding, if it was computed.
    unrounded: Option<&'a str>,
    #[schemars(with = "Option<ArithmeticObject>")]
    arithmetic: Option<&'a RawValue>,
    #[schemars(with = "CurrencyText")]
    currency: Currency,
    request_id: Option<&'a str>,
    #[schemars(with = "Option<UuidText>")]
    reverses: Option<RecordId>,
    #[schemars(with = "Option<UuidText>")]
    hold_id: Option<RecordId>,
    note: Option<&'a str>,
    #[schemars(with = "MoneyText")]
    balance_after: Money,
    #[schemars(with = "MoneyText")]
    held_after: Money,
    #[schemars(with = "MoneyText")]
    available_after: Money,
    /// accounted, or reversed once all of it was reversed.
    status: &'static str,
    /// The sum of its reversals.
    #[schemars(with = "MoneyText")]
    reversed_amount: Money,
    /// When the booked event happened.
    #[schemars(with = "TimeText")]
    event_time: Timestamp,
    #[schemars(with = "TimeText")]
    created_at: Timestamp,
    /// Rises with every reversal.
    version: i64,
}

impl<'a> RecordBody<'a> {
    /// The columns of its CSV line, in the order of its members.
    pub const CSV_COLUMNS: &'static str = "id,customer_id,seq,transno,kind,user_id,llmid,model_name,pricing_id,pricing_version,\
        input_tokens,output_tokens,total_tokens,quantity,amount,delta,unrounded,arithmetic,currency,request_id,reverses,\
        hold_id,note,balance_after,held_after,available_after,status,reversed_amount,event_time,created_at,version";

    /// Of a record as it stands.
    pub fn of(view: &'a RecordView) -> Self {
        let record = &view.record;
        let details = &record.details;
        Self {
            id: record.id,
            customer_id: &record.customer_id,
            seq: record.seq,
            transno: &record.transno,
            kind: record.kind,
            user_id: details.user_id.as_deref(),
            llmid: details.llmid.as_deref(),
            model_name: details.model_name.as_deref(),
            pricing_id: details.pricing_id.as_deref(),
            pricing_version: record.pricing_version,
            input_tokens: details.input_tokens,
            output_tokens: details.output_tokens,
            total_tokens: record.total_tokens(),
            quantity: details.usage.as_deref().and_then(raw_json),
            amount: record.amount,
            delta: record.delta,
            unrounded: record.unrounded.as_deref(),
            arithmetic: record.arithmetic.as_deref().and_then(raw_json),
            currency: record.currency,
            request_id: details.request_id.as_deref(),
            reverses: record.reverses,
            hold_id: record.hold_id,
            note: details.note.as_deref(),
            balance_after: record.balance_after,
            held_after: record.held_after,
            available_after: record.available_after,
            status: view.status(),
            reversed_amount: view.reversed,
            event_time: record.event_time,
            created_at: record.created_at,
            version: view.version(),
        }
    }

    /// The CSV line of a record.
    pub fn csv(view: &RecordView, out: &mut Vec<u8>) {
        let r = &view.record;
        let d = &r.details;
        let mut line = Line(out);
        line.0.extend_from_slice(r.id.to_string().as_bytes());
        line.text(Some(r.customer_id.as_str())).plain(Some(r.seq)).text(Some(r.transno.as_str()));
        line.plain(Some(r.kind)).text(d.user_id.as_deref()).text(d.llmid.as_deref());
        line.text(d.model_name.as_deref()).text(d.pricing_id.as_deref()).plain(r.pricing_version);
        line.plain(d.input_tokens).plain(d.output_tokens).plain(r.total_tokens()).text(d.usage.as_deref());
        line.plain(Some(r.amount)).plain(Some(r.delta)).plain(r.unrounded.as_deref());
        line.text(r.arithmetic.as_deref()).plain(Some(r.currency));
        line.text(d.request_id.as_deref()).plain(r.reverses).plain(r.hold_id).text(d.note.as_deref());
        line.plain(Some(r.balance_after)).plain(Some(r.held_after)).plain(Some(r.available_after));
        line.plain(Some(view.status())).plain(Some(view.reversed)).plain(Some(r.event_time));
        line.plain(Some(r.created_at)).plain(Some(view.version()));
        line.0.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{Record, test_record};

    pub fn record() -> Record {
        let mut record = test_record();
        record.details.usage = Some(r#"{"tokens":0.10}"#.into());
        record
    }

    #[test]
    fn a_record_has_its_columns_and_no_hash() {
        let view = RecordView { record: record(), reversed: Money::ZERO, reversals: 0 };
        let text = serde_json::to_string(&RecordBody::of(&view)).unwrap();
        assert!(text.contains(r#""quantity":{"tokens":0.10}"#), "{text}");
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            json,
            json!({
                "id": "00000000-0000-0000-0000-000000000007", "customer_id": "c-1", "seq": 3, "transno": "t-1",
                "kind": "charge", "user_id": null, "llmid": "m", "model_name": null, "pricing_id": null,
                "pricing_version": null, "input_tokens": 1, "output_tokens": null, "total_tokens": 1,
                "quantity": {"tokens": 0.1}, "amount": "1.5", "delta": "-1.5", "unrounded": null, "arithmetic": null,
                "currency": "CNY", "request_id": null, "reverses": null, "hold_id": null, "note": "余额",
                "balance_after": "8.5", "held_after": "0", "available_after": "8.5", "status": "accounted",
                "reversed_amount": "0", "event_time": "1970-01-01T00:00:01.000000Z",
                "created_at": "1970-01-01T00:00:02.000000Z", "version": 1,
            })
        );
    }

    #[test]
    fn a_record_is_reversed_once_nothing_of_it_is_left() {
        let shown = |reversed: &str, reversals| {
            let view = RecordView { record: record(), reversed: Money::parse(reversed).unwrap(), reversals };
            let json = serde_json::to_value(RecordBody::of(&view)).unwrap();
            (json["status"].clone(), json["reversed_amount"].clone(), json["version"].clone())
        };
        assert_eq!(shown("1.4", 2), (json!("accounted"), json!("1.4"), json!(3)));
        assert_eq!(shown("1.5", 1), (json!("reversed"), json!("1.5"), json!(2)));
        let record = Record { delta: Money::ZERO, ..record() };
        let nothing = RecordView { record, reversed: Money::ZERO, reversals: 0 };
        assert_eq!(RecordBody::of(&nothing).status, "accounted");
    }
}
