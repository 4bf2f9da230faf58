//! What the price list says a booking costs, before it goes into the queue.

use super::request::{Action, Amount, Request};
use crate::domain::Error;
use crate::domain::prices::{PriceRequest, Prices};
use crate::model::{TextId, Timestamp};

impl Request {
    /// The request with what the price list of its day says, if its amount comes from there. A priced booking notes
    /// when it happened, so that its day can be told for ever.
    pub async fn priced(
        mut self,
        prices: &Prices,
        published_only: bool,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let Action::Book(entry) = &mut self.action else { return Ok(self) };
        if !matches!(entry.amount, Amount::FromPriceList) {
            return Ok(self);
        }
        let details = &mut entry.details;
        let request = PriceRequest {
            pricing_id: details.pricing_id.clone(),
            llmid: details.llmid.clone(),
            model: details.model_name.clone(),
            input_tokens: details.input_tokens,
            output_tokens: details.output_tokens,
            usage: details.usage.clone(),
            at: *entry.event_time.get_or_insert(now),
            published_only,
            offered_as: None,
        };
        // In a box: asking for prices takes far more room than most bookings need.
        entry.amount = match Box::pin(prices.quote(&request)).await? {
            Ok(quote) => {
                details.pricing_id = Some(quote.pricing_id.clone());
                if details.model_name.is_none() {
                    // The column holds what an id may be.
                    details.model_name = quote.model.clone().filter(|model| TextId::parse(model).is_ok());
                }
                Amount::Quoted(Box::new(quote))
            }
            Err(no_price) => Amount::Unquoted(no_price),
        };
        Ok(self)
    }
}
