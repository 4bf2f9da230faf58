//! The lines of an export of usage.

use super::body::UsageBody;
use crate::domain::Error;
use crate::domain::usage::UsageExport;
use crate::http::export::{Exported, Line};
use crate::model::{GroupId, UsageRecord};

impl Exported for UsageExport {
    type Row = UsageRecord;

    const COLUMNS: &'static str = "id,useq,request_id,customer_id,user_id,group_id,model,actual_model,llmid,input_tokens,\
        output_tokens,total_tokens,usage,is_streaming,upstream_url,status_code,duration_ms,source_node,cost,currency,pricing,\
        unpriced,billing,uncharged,record_id,hold,hold_use,reservation,reservation_use,event_time,received_at";

    async fn next_page(&mut self) -> Result<Vec<UsageRecord>, Error> {
        Self::next_page(self).await
    }

    fn json(usage: &UsageRecord, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(out, &UsageBody::of(usage))
    }

    fn csv(usage: &UsageRecord, out: &mut Vec<u8>) {
        let (u, d) = (usage, &usage.details);
        let pricing = UsageBody::of(usage).pricing_text();
        let mut line = Line(out);
        line.0.extend_from_slice(u.id.to_string().as_bytes());
        line.plain(Some(u.useq)).text(Some(u.request_id.as_str())).text(Some(u.customer_id.as_str()));
        line.text(d.user_id.as_deref()).text(u.group_id.as_ref().map(GroupId::as_str));
        line.text(d.model.as_deref()).text(d.actual_model.as_deref()).text(d.llmid.as_deref());
        line.plain(Some(d.input_tokens)).plain(Some(d.output_tokens)).plain(Some(u.total_tokens));
        line.text(d.usage.as_deref()).plain(d.is_streaming).text(d.upstream_url.as_deref());
        line.plain(d.status_code).plain(d.duration_ms).text(u.source_node.as_deref());
        line.plain(u.cost).plain(Some(u.currency)).text(pricing.as_deref());
        line.text(u.unpriced.as_deref()).plain(Some(u.billing)).plain(u.uncharged);
        line.plain(u.record_id).plain(u.hold_id).plain(u.hold_use);
        line.plain(u.reservation_id).plain(u.reservation_use);
        line.plain(Some(u.event_time)).plain(Some(u.received_at));
        line.0.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::http::export::ExportForm;
    use crate::model::{
        CustomerId, HoldUse, Money, RecordId, ReservationUse, Timestamp, Transno, Uncharged, UsageBilling,
        UsageDetails,
    };

    fn record() -> UsageRecord {
        let id = RecordId(uuid::Uuid::nil());
        let text = |text: &str| Some(text.to_owned());
        UsageRecord {
            id,
            customer_id: CustomerId::parse("c-1").unwrap(),
            useq: 3,
            request_id: Transno::parse("r-1").unwrap(),
            details: UsageDetails {
                user_id: text("u"),
                model: text("m"),
                actual_model: text("a"),
                llmid: text("l"),
                pricing_id: text("p"),
                input_tokens: 1,
                output_tokens: 2,
                usage: None,
                is_streaming: Some(true),
                upstream_url: text("https://upstream.example/v1"),
                status_code: Some(200),
                duration_ms: Some(5),
            },
            total_tokens: 3,
            group_id: GroupId::parse("g").ok(),
            source_node: text("n"),
            cost: Money::parse("1.5").ok(),
            currency: crate::model::Currency::parse("CNY").unwrap(),
            pricing_version: None,
            unrounded: text("1.5"),
            arithmetic: None,
            unpriced: text("none"),
            billing: UsageBilling::Book,
            uncharged: Some(Uncharged::NoPrice),
            record_id: Some(id),
            hold_id: Some(id),
            hold_use: Some(HoldUse::Captured),
            reservation_id: Some(id),
            reservation_use: Some(ReservationUse::Settled),
            body_hash: [0; 32],
            event_time: Timestamp::from_seconds(1),
            received_at: Timestamp::from_seconds(2),
        }
    }

    fn written(form: ExportForm, usage: &UsageRecord) -> String {
        let mut out = Vec::new();
        form.row::<UsageExport>(usage, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_of_csv_has_the_members_of_the_json_in_their_order() {
        let json: Value = serde_json::from_str(&written(ExportForm::Ndjson, &record())).unwrap();
        let members = json.as_object().unwrap();
        assert!(UsageExport::COLUMNS.split(',').eq(members.keys()), "{members:?}");
        let line = written(ExportForm::Csv, &record());
        let cells: Vec<_> = line.strip_suffix("\r\n").unwrap().split(',').collect();
        assert_eq!(cells.len(), members.len());
        for (cell, (name, value)) in cells.iter().zip(members) {
            let text = match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(*cell, text, "{name}");
        }
    }

    #[test]
    fn the_price_is_a_cell_of_json_and_no_text_begins_a_formula() {
        let mut usage = record();
        (usage.pricing_version, usage.arithmetic) = (Some(7), Some(r#"{"lines":[]}"#.to_owned()));
        usage.details.usage = Some(r#"{"tokens":0.10}"#.to_owned());
        usage.details.user_id = Some("=1+1".to_owned());
        usage.details.upstream_url = Some("@x".to_owned());
        let line = written(ExportForm::Csv, &usage);
        assert!(line.contains(",c-1,'=1+1,g,m,"), "{line}");
        assert!(line.contains(",\"{\"\"tokens\"\":0.10}\",true,'@x,200,5,n,1.5,CNY,"), "{line}");
        let price =
            r#"{""pricing_id"":""p"",""version"":7,""unrounded"":""1.5"",""arithmetic"":{""lines"":[]}}"#;
        assert!(line.contains(&format!(",CNY,\"{price}\",none,")), "{line}");
    }
}
