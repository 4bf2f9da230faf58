//! How much a booking moves: what the caller says, or what a price list says.

use super::{Action, BookingDetails, BookingRequest, Entry, Request};
use crate::domain::Error;
use crate::domain::prices::{NoPrice, PriceRequest, Prices, Quote};
use crate::model::{Money, TextId, Timestamp};

/// How much a booking moves.
#[derive(Debug, Clone)]
pub enum Amount {
    /// What the caller says; negative only for an adjustment.
    Given(Money),
    /// What a price list says.
    Quoted(Box<Quote>),
    /// No price list says anything. That refuses a new booking alone: a repetition gets the first answer, whatever
    /// became of the price list since.
    Unquoted(NoPrice),
}

impl BookingRequest {
    /// The request with the amount given, or with what the price list of its day says. A priced booking notes when
    /// it happened, so that its day can be told for ever.
    pub async fn priced(
        mut self,
        prices: &Prices,
        published_only: bool,
        now: Timestamp,
    ) -> Result<Request, Error> {
        if let Some(amount) = self.amount {
            return Ok(self.amounting_to(Amount::Given(amount)));
        }
        let request = PriceRequest {
            pricing_id: self.pricing_id.clone(),
            llmid: self.llmid.clone(),
            model: self.model_name.clone(),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            usage: self.usage.clone(),
            at: *self.event_time.get_or_insert(now),
            published_only,
        };
        // In a box: asking for prices takes far more room than most bookings need.
        let amount = match Box::pin(prices.quote(&request)).await? {
            Ok(quote) => {
                self.pricing_id = Some(quote.pricing_id.clone());
                // The column holds what an id may be.
                let model = quote.model.as_deref().filter(|model| TextId::parse(model).is_ok());
                self.model_name = self.model_name.or(model.map(str::to_owned));
                Amount::Quoted(Box::new(quote))
            }
            Err(no_price) => Amount::Unquoted(no_price),
        };
        Ok(self.amounting_to(amount))
    }

    /// The request with this amount.
    pub(super) fn amounting_to(self, amount: Amount) -> Request {
        let details = BookingDetails {
            user_id: self.user_id,
            llmid: self.llmid,
            model_name: self.model_name,
            pricing_id: self.pricing_id,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            usage: self.usage,
            request_id: self.request_id,
            event_time: self.event_time,
            note: self.note,
        };
        let (transno, kind, currency) = (self.transno, self.kind, self.currency);
        let entry = Entry { transno, kind, amount, currency, details };
        Request {
            customer_id: self.customer_id,
            body_hash: self.body_hash,
            nonce: self.nonce,
            action: Action::Book(entry),
        }
    }
}
