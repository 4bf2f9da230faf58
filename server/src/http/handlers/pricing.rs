use super::super::call::Call;
use super::super::respond::Answer;
use super::super::wire::{ListBody, MirrorBody, QuoteBody, read_quote};
use crate::domain::Error;
use crate::domain::mirror::PricingQuery;
use crate::model::Entity::Pricing;
use crate::store::Validity;

const STATUSES: &[(&str, Validity)] =
    &[("current", Validity::Current), ("future", Validity::Future), ("expired", Validity::Expired)];

/// The pricing programs that the caller may see.
pub async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let reach = call.reach()?.clone();
    let params = &mut call.params;
    let query = PricingQuery {
        ppid: params.text_id("ppid"),
        llmid: params.text_id("llmid"),
        pricing_type: params.text("type"),
        status: params.choice("status", STATUSES),
        at: params.time("at"),
        from: params.time("from"),
        to: params.time("to"),
        published_only: reach.is_published_only(),
        page: params.page(),
    };
    std::mem::take(params).finish()?;
    let page = call.env.query_pricing(query).await?;
    Answer::ok(&ListBody::of(&page, |row| MirrorBody::of(Pricing, row, reach.shows_internal())))
}

/// The row of a program that is valid at an instant.
pub async fn get(mut call: Call<'_>) -> Result<Answer, Error> {
    let at = call.params.time("at");
    std::mem::take(&mut call.params).finish()?;
    let reach = call.reach()?;
    let ppid = call.id("pricing program")?;
    let row = call.env.get_pricing(ppid.as_str(), at, reach.is_published_only()).await?;
    Answer::ok(&MirrorBody::of(Pricing, &row, reach.shows_internal()))
}

/// What a usage costs. Nothing is changed, but like every write it spends its nonce.
pub async fn quote(mut call: Call<'_>) -> Result<Answer, Error> {
    std::mem::take(&mut call.params).finish()?;
    let request = read_quote(&call.body, call.env.clock().now(), call.reach()?.is_published_only())?;
    call.env.auth().spend_nonce(call.nonce()).await?;
    let quote = call.env.quote(&request).await?;
    Answer::done(&QuoteBody::of(&quote))
}
