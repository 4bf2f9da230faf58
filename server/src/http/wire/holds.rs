//! Holds: the bodies that ask for them, and how they are shown.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::domain::Error;
use crate::domain::booking::{Action, Capture, MAX_HOLD, Request, Reserve, Reserved, Reverse};
use crate::model::{Currency, CustomerId, Hold, HoldState, Money, RecordId, Timestamp, Transno};

use super::super::body::Object;
use super::super::call::Call;
use super::schema::{CurrencyText, HoldStateText, IdText, MoneyText, TimeText, TransnoText, UuidText};
use super::transno::transno;

/// How long a hold lasts that does not say so, in seconds.
const DEFAULT_TTL_S: i64 = 600;
const MAX_NOTE_CHARS: usize = 1024;

/// A hold.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Hold")]
pub struct HoldBody<'a> {
    #[schemars(with = "UuidText")]
    id: RecordId,
    #[schemars(with = "TransnoText")]
    transno: &'a Transno,
    #[schemars(with = "IdText")]
    customer_id: &'a CustomerId,
    user_id: Option<&'a str>,
    #[schemars(with = "MoneyText")]
    amount: Money,
    /// What a capture took.
    #[schemars(with = "MoneyText")]
    captured: Money,
    #[schemars(with = "CurrencyText")]
    currency: Currency,
    #[schemars(with = "HoldStateText")]
    state: HoldState,
    /// From when on it reserves nothing and cannot be captured.
    #[schemars(with = "TimeText")]
    expires_at: Timestamp,
    #[schemars(with = "TimeText")]
    created_at: Timestamp,
    note: Option<&'a str>,
    /// The balance when it was made; after a release, the balance now.
    #[schemars(with = "MoneyText")]
    balance: Money,
    #[schemars(with = "MoneyText")]
    held: Money,
    #[schemars(with = "MoneyText")]
    available: Money,
    /// Answers of POST alone: whether this had been done before.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<bool>,
}

impl<'a> HoldBody<'a> {
    /// Of a hold, with the balance that it left when it was made.
    pub fn of(hold: &'a Hold) -> Self {
        Self {
            id: hold.id,
            transno: &hold.transno,
            customer_id: &hold.customer_id,
            user_id: hold.user_id.as_deref(),
            amount: hold.amount,
            captured: hold.captured,
            currency: hold.currency,
            state: hold.state,
            expires_at: hold.expires_at,
            created_at: hold.created_at,
            note: hold.note.as_deref(),
            balance: hold.balance_after,
            held: hold.held_after,
            available: hold.available_after,
            replayed: None,
        }
    }

    /// Of a hold that was just made or let go, with its customer's balance now.
    pub fn after(reserved: &'a Reserved) -> Self {
        let body = Self { replayed: Some(reserved.replayed), ..Self::of(&reserved.hold) };
        match &reserved.customer {
            None => body,
            Some(c) => Self { balance: c.balance, held: c.held, available: c.available(), ..body },
        }
    }
}

/// SHA-256 over members in a fixed order, each with its length in front, an absent one unlike an empty one.
struct BodyHash(Sha256);

impl BodyHash {
    /// Of a request for `what` of a customer.
    fn new(what: &str, customer: &CustomerId) -> Self {
        let mut hash = Self(Sha256::new());
        hash.text(Some(what));
        hash.text(Some(customer.as_str()));
        hash
    }

    fn bytes(&mut self, bytes: Option<&[u8]>) {
        self.0.update([u8::from(bytes.is_some())]);
        self.0.update((bytes.map_or(0, <[u8]>::len) as u64).to_be_bytes());
        self.0.update(bytes.unwrap_or_default());
    }

    fn text(&mut self, text: Option<&str>) {
        self.bytes(text.map(str::as_bytes));
    }

    fn money(&mut self, money: Option<Money>) {
        self.bytes(money.map(|m| m.nanos().to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice));
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The amount of money of a request, which must be there and not nothing.
fn positive(body: &mut Object<'_>, required: bool) -> Option<Money> {
    let amount = body.amount("amount", false);
    if required && amount.is_none() && !body.has_wrong_amount() {
        body.refuse("amount", "is required");
    }
    amount
}

/// POST /holds.
pub fn read_hold(call: &Call<'_>) -> Result<Request, Error> {
    let mut body = Object::parse(&call.body)?;
    let transno = transno(&mut body, call.headers);
    let customer_id = body.customer("customer_id");
    let amount = positive(&mut body, true);
    let currency = body.currency("currency");
    let most = i64::try_from(MAX_HOLD.as_secs()).unwrap_or(i64::MAX);
    let ttl_s = body.integer("ttl_s", 1, most).unwrap_or(DEFAULT_TTL_S);
    let user_id = body.text_id("user_id");
    let note = body.text("note", MAX_NOTE_CHARS);
    body.finish()?;
    let customer_id = call.one_customer(customer_id.as_ref())?;
    let (Some(transno), Some(amount)) = (transno, amount) else { return Err(incomplete()) };
    let mut hash = BodyHash::new("hold", &customer_id);
    hash.text(Some(transno.as_str()));
    hash.money(Some(amount));
    hash.text(currency.as_ref().map(Currency::as_str));
    hash.bytes(Some(&ttl_s.to_be_bytes()));
    hash.text(user_id.as_deref());
    hash.text(note.as_deref());
    let ttl = Duration::from_secs(u64::try_from(ttl_s).unwrap_or(0));
    let action = Action::Hold(Reserve { transno, amount, currency, ttl, user_id, note });
    Ok(Request { customer_id, body_hash: hash.finish(), nonce: call.nonce(), action })
}

/// POST /holds/{id}/capture, of a hold of this customer.
pub fn read_capture(call: &Call<'_>, hold: RecordId, customer_id: CustomerId) -> Result<Request, Error> {
    let mut body = Object::parse(&call.body)?;
    let transno = transno(&mut body, call.headers);
    let amount = positive(&mut body, false);
    body.finish()?;
    let Some(transno) = transno else { return Err(incomplete()) };
    let mut hash = BodyHash::new("capture", &customer_id);
    hash.text(Some(transno.as_str()));
    hash.bytes(Some(hold.as_bytes()));
    hash.money(amount);
    let action = Action::Capture(Capture { transno, hold, amount });
    Ok(Request { customer_id, body_hash: hash.finish(), nonce: call.nonce(), action })
}

/// POST /holds/{id}/release, of a hold of this customer: no body, or an empty object.
pub fn read_release(call: &Call<'_>, hold: RecordId, customer_id: CustomerId) -> Result<Request, Error> {
    if !call.body.is_empty() {
        Object::parse(&call.body)?.finish()?;
    }
    let nonce = call.nonce();
    Ok(Request { customer_id, body_hash: [0; 32], nonce, action: Action::Release(hold) })
}

/// POST /accounting/{id}/reverse, of a record of this customer.
pub fn read_reverse(call: &Call<'_>, record: RecordId, customer_id: CustomerId) -> Result<Request, Error> {
    let mut body = Object::parse(&call.body)?;
    let transno = transno(&mut body, call.headers);
    let amount = positive(&mut body, false);
    let note = body.text("note", MAX_NOTE_CHARS);
    body.finish()?;
    let Some(transno) = transno else { return Err(incomplete()) };
    let mut hash = BodyHash::new("reverse", &customer_id);
    hash.text(Some(transno.as_str()));
    hash.bytes(Some(record.as_bytes()));
    hash.money(amount);
    hash.text(note.as_deref());
    let of_any_kind = call.reach()?.may_reverse_any_kind();
    let action = Action::Reverse(Reverse { transno, record, amount, of_any_kind, note });
    Ok(Request { customer_id, body_hash: hash.finish(), nonce: call.nonce(), action })
}

/// [`Object::finish`] names every member that is missing; this is what remains where it did not.
fn incomplete() -> Error {
    Error::BodyMalformed("a required member is missing".to_owned())
}
