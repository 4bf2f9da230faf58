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
