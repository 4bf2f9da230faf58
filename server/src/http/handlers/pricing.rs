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
    let internal = call.caller()?.is_platform();
    let params = &mut call.params;
    let query = PricingQuery {
        ppid: params.text_id("ppid"),
        llmid: params.text_id("llmid"),
        pricing_type: params.text("type"),
        status: params.choice("status", STATUSES),
        at: params.time("at"),
        from: params.time("from"),
        to: params.time("to"),
        published_only: !internal,
        page: params.page(),
    };
    std::mem::take(params).finish()?;
    let page = call.env.query_pricing(query).await?;
    Answer::ok(&ListBody::of(&page, |row| MirrorBody::of(Pricing, row, internal)))
}

/// The row of a program that is valid at an instant.
pub async fn get(mut call: Call<'_>) -> Result<Answer, Error> {
    let at = call.params.time("at");
    std::mem::take(&mut call.params).finish()?;
    let internal = call.caller()?.is_platform();
    let row = call.env.get_pricing(call.id("pricing program")?.as_str(), at, !internal).await?;
    Answer::ok(&MirrorBody::of(Pricing, &row, internal))
}

/// What a usage costs. Nothing is changed, but like every write it spends its nonce.
pub async fn quote(mut call: Call<'_>) -> Result<Answer, Error> {
    std::mem::take(&mut call.params).finish()?;
    let caller = call.caller()?;
    let request = read_quote(&call.body, call.env.clock().now(), !caller.is_platform())?;
    call.env.auth().spend_nonce(caller).await?;
    let quote = call.env.quote(&request).await?;
    Answer::done(&QuoteBody::of(&quote))
}
