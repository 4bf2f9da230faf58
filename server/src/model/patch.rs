/// What a merge patch does to one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patch<T> {
    /// It stays as it is.
    Keep,
    /// It has no value any more.
    Clear,
    /// It has this value.
    Set(T),
}

impl<T> Patch<T> {
    /// Changes a field that may have no value.
    pub fn apply(self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value),
        }
    }

    /// The same with another value.
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(with(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_changes_a_field() {
        let changed = |patch: Patch<i32>| {
            let mut field = Some(1);
            patch.apply(&mut field);
            field
        };
        assert_eq!(
            (changed(Patch::Keep), changed(Patch::Clear), changed(Patch::Set(1).map(|n| n + 1))),
            (Some(1), None, Some(2))
        );
    }
}
