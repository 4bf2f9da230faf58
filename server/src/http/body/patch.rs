//! JSON merge patches (RFC 7396): a member that is absent stays, null clears.

use super::Object;
use crate::model::Patch;

impl Object<'_> {
    /// The change of a field that may have no value. An invalid value counts as absent; [`Object::finish`] reports it.
    pub fn patch<T>(&mut self, name: &str, read: impl FnOnce(&mut Self, &str) -> Option<T>) -> Patch<T> {
        if self.is_null(name) {
            self.take(name);
            return Patch::Clear;
        }
        read(self, name).map_or(Patch::Keep, Patch::Set)
    }

    /// The change of a field that always has a value; `None` if it stays.
    pub fn change<T>(&mut self, name: &str, read: impl FnOnce(&mut Self, &str) -> Option<T>) -> Option<T> {
        if self.is_null(name) {
            self.take(name);
            self.refuse(name, "must not be null; leave it out to keep its value");
            return None;
        }
        read(self, name)
    }

    fn is_null(&self, name: &str) -> bool {
        self.members.iter().any(|(member, raw)| member == name && raw.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Error;

    #[test]
    fn absent_stays_null_clears_and_a_value_sets() {
        let mut object = Object::parse(br#"{"null":null,"value":"x"}"#).unwrap();
        assert_eq!(object.patch("absent", Object::text_id), Patch::Keep);
        assert_eq!(object.patch("null", Object::text_id), Patch::Clear);
        assert_eq!(object.patch("value", Object::text_id), Patch::Set("x".to_owned()));
        assert!(object.finish().is_ok());
    }

    #[test]
    fn what_always_has_a_value_cannot_be_cleared() {
        let mut object = Object::parse(br#"{"null":null,"on":true,"off":0,"left":null}"#).unwrap();
        assert_eq!(object.change("absent", Object::boolean), None);
        assert_eq!(object.change("null", Object::boolean), None);
        assert_eq!(object.change("on", Object::boolean), Some(true));
        assert_eq!(object.change("off", Object::boolean), None);
        assert!(object.is_refused());
        assert_eq!(object.patch("left", Object::boolean), Patch::Clear);
        let Err(Error::Invalid(errors)) = object.finish() else { panic!("must be invalid") };
        assert_eq!(errors.iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), ["null", "off"]);
    }

    #[test]
    fn a_member_that_no_field_takes_is_unknown() {
        let mut object = Object::parse(br#"{"a":true,"b":null}"#).unwrap();
        assert_eq!(object.change("a", Object::boolean), Some(true));
        assert!(matches!(object.finish(), Err(Error::UnknownField(errors)) if errors[0].field == "b"));
    }
}
