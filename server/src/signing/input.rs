//! Reading `Signature-Input`: every signature it announces, and which of them is meant for us.
//!
//! Signatures for other services may stand beside ours, so a fault in one is noted with it and counts only if
//! it is chosen.

use std::borrow::Cow;
use std::convert::Infallible;
use std::ops::Range;

use http::HeaderMap;
use sfv::visitor::{
    DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ParameterVisitor,
};
use sfv::{BareItemFromInput, ItemSerializer, KeyRef, StringRef};

use super::component::Component;
use super::error::AuthError;
use super::{SIGNATURE_INPUT, TAG, fields};

pub(super) const MAX_COMPONENTS: usize = 32;
/// The one algorithm, as the parameter `alg` names it.
pub(super) const ALG: &str = "hmac-sha256";
const MAX_SIGNATURES: usize = 8;

/// A covered component and where its identifier stands in the serialized parameters.
#[derive(Debug, PartialEq)]
pub(super) struct Covered<'a> {
    pub(super) component: Component<'a>,
    pub(super) id: Range<usize>,
}

/// One announced signature.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Announced<'a> {
    pub(super) label: &'a str,
    pub(super) covered: Vec<Covered<'a>>,
    /// The inner list with its parameters, serialized strictly: the value of `@signature-params`.
    pub(super) params: Cow<'a, str>,
    pub(super) created: Option<i64>,
    pub(super) expires: Option<i64>,
    pub(super) nonce: Option<Cow<'a, str>>,
    pub(super) key_id: Option<Cow<'a, str>>,
    pub(super) tag: Option<Cow<'a, str>>,
    pub(super) problem: Option<AuthError>,
}

/// Reads the header and picks the signature tagged for us, or a lone one without a tag.
pub(super) fn choose(headers: &HeaderMap) -> Result<Announced<'_>, AuthError> {
    let mut all = All::default();
    fields::visit_lines(headers, SIGNATURE_INPUT, &mut all)?;
    if let Some(problem) = all.problem {
        return Err(AuthError::malformed(problem));
    }
    let mut signatures = all.signatures;
    let is_ours = |signature: &Announced<'_>| signature.tag.as_deref() == Some(TAG);
    let ours = signatures.iter().filter(|signature| is_ours(signature)).count();
    let index = match (ours, signatures.as_slice()) {
        (1, _) => signatures.iter().position(is_ours).unwrap_or_default(),
        (0, [lone]) if lone.tag.is_none() => 0,
        (0, []) => return Err(AuthError::malformed("signature-input announces no signature")),
        (0, [_]) => return Err(AuthError::malformed("the only signature has the tag of another service")),
        (0, _) => return Err(AuthError::malformed("of several signatures one must have the tag `sageapi`")),
        _ => return Err(AuthError::malformed("two signatures have the tag `sageapi`")),
    };
    let mut chosen = signatures.swap_remove(index);
    match chosen.problem.take() {
        Some(problem) => Err(problem),
        None => Ok(chosen),
    }
}

#[derive(Default)]
struct All<'a> {
    signatures: Vec<Announced<'a>>,
    problem: Option<&'static str>,
}

impl<'de> DictionaryVisitor<'de> for &mut All<'de> {
    type Out = ();
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Infallible> {
        let label = key.as_str();
        if self.signatures.iter().any(|signature| signature.label == label) {
            self.problem = Some("signature-input has a label twice");
            return Ok(None);
        }
        if self.signatures.len() == MAX_SIGNATURES {
            self.problem = Some("signature-input announces more than 8 signatures");
            return Ok(None);
        }
        self.signatures.push(Announced {
            label,
            covered: Vec::with_capacity(6),
            params: Cow::Owned(String::with_capacity(256)),
            ..Announced::default()
        });
        Ok(self.signatures.last_mut())
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<'a> Announced<'a> {
    /// Records the first fault; later ones are ignored.
    fn refuse(&mut self, reason: &'static str) {
        self.problem.get_or_insert_with(|| AuthError::malformed(reason));
    }

    fn write(&mut self, item: &BareItemFromInput<'_>) {
        // The serializer only hands the buffer back.
        let _ = ItemSerializer::with_buffer(self.params.to_mut()).bare_item(item).finish();
    }

    fn write_parameter(&mut self, key: &KeyRef, value: &BareItemFromInput<'_>) {
        let params = self.params.to_mut();
        params.push(';');
        params.push_str(key.as_str());
        if *value != BareItemFromInput::Boolean(true) {
            params.push('=');
            self.write(value);
        }
    }

    fn cover(&mut self, component: Component<'a>, id: Range<usize>) {
        if self.covered.len() == MAX_COMPONENTS {
            self.refuse("more than 32 components are covered");
        } else if self.covered.iter().any(|other| other.component == component) {
            self.refuse("a component is covered twice");
        } else {
            self.covered.push(Covered { component, id });
        }
    }
}

impl<'de> EntryVisitor<'de> for &mut Announced<'de> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'de>, Infallible> {
        self.refuse("a member of signature-input is not a list of components");
        Ok(Ignored)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        self.params.to_mut().push('(');
        Ok(self)
    }
}

impl<'de> InnerListVisitor<'de> for &mut Announced<'de> {
    type Error = Infallible;

    fn item(&mut self) -> Result<impl ItemVisitor<'de>, Infallible> {
        if !self.params.ends_with('(') {
            self.params.to_mut().push(' ');
        }
        Ok(NextComponent(self))
    }

    fn finish(self) -> Result<impl ParameterVisitor<'de>, Infallible> {
        self.params.to_mut().push(')');
        Ok(Parameters { signature: self, seen: Vec::with_capacity(8) })
    }
}

/// A covered component that is about to be read.
struct NextComponent<'s, 'de>(&'s mut Announced<'de>);

impl<'de> ItemVisitor<'de> for NextComponent<'_, 'de> {
    type Out = ();
    type Error = Infallible;

    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = ()>, Infallible> {
        let signature = self.0;
        let start = signature.params.len();
        signature.write(&item);
        let id = text(item);
        if id.is_none() {
            signature.refuse("a covered component is not a quoted string");
        }
        Ok(Identifier { signature, id, name: None, start })
    }
}

/// The parameters of one covered component.
struct Identifier<'s, 'de> {
    signature: &'s mut Announced<'de>,
    id: Option<Cow<'de, str>>,
    name: Option<Cow<'de, str>>,
    start: usize,
}

impl<'de> ParameterVisitor<'de> for Identifier<'_, 'de> {
    type Out = ();
    type Error = Infallible;

    fn parameter(&mut self, key: &'de KeyRef, value: BareItemFromInput<'de>) -> Result<(), Infallible> {
        self.signature.write_parameter(key, &value);
        match (key.as_str(), text(value)) {
            ("name", Some(name)) if self.name.is_none() => self.name = Some(name),
            ("name", _) => self.signature.refuse("the parameter `name` of @query-param must be one string"),
            _ => self.signature.refuse("a covered component has a parameter that is not supported"),
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Infallible> {
        let Some(id) = self.id else { return Ok(()) };
        let range = self.start..self.signature.params.len();
        match Component::new(id, self.name) {
            Ok(component) => self.signature.cover(component, range),
            Err(error) => {
                self.signature.problem.get_or_insert(error);
            }
        }
        Ok(())
    }
}

/// The parameters of the signature itself.
struct Parameters<'s, 'de> {
    signature: &'s mut Announced<'de>,
    seen: Vec<&'de str>,
}

impl<'de> ParameterVisitor<'de> for Parameters<'_, 'de> {
    type Out = ();
    type Error = Infallible;

    fn parameter(&mut self, key: &'de KeyRef, value: BareItemFromInput<'de>) -> Result<(), Infallible> {
        let signature = &mut *self.signature;
        let key_text = key.as_str();
        if self.seen.contains(&key_text) {
            signature.refuse("a signature parameter is there twice");
        }
        self.seen.push(key_text);
        signature.write_parameter(key, &value);
        let understood = match key_text {
            "created" => set(&mut signature.created, seconds(&value)),
            "expires" => set(&mut signature.expires, seconds(&value)),
            "nonce" => set(&mut signature.nonce, text(value)),
            "keyid" => set(&mut signature.key_id, text(value)),
            "tag" => set(&mut signature.tag, text(value)),
            "alg" => text(value).as_deref() == Some(ALG),
            // Other parameters are signed along and mean nothing to us (RFC 9421 section 2.3).
            _ => true,
        };
        if !understood {
            signature.refuse(match key_text {
                "created" | "expires" => "created and expires must be integers, in Unix seconds",
                "alg" => "alg must be \"hmac-sha256\"",
                _ => "nonce, keyid and tag must be quoted strings",
            });
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Stores the value if it was understood, and returns whether it was.
fn set<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    *slot = value;
    slot.is_some()
}

fn seconds(value: &BareItemFromInput<'_>) -> Option<i64> {
    value.as_integer().map(i64::from)
}

fn text(value: BareItemFromInput<'_>) -> Option<Cow<'_, str>> {
    match value {
        BareItemFromInput::String(Cow::Borrowed(text)) => Some(Cow::Borrowed(StringRef::as_str(text))),
        BareItemFromInput::String(Cow::Owned(text)) => Some(Cow::Owned(text.into())),
        _ => None,
    }
}
