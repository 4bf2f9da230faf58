use super::{CustomerId, Kind, Owner};

/// Whose data a principal can reach. Every rule that treats the platform and a customer differently is here, and is
/// stated for each case: nothing is concluded from a missing customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All customers, and the data of the platform itself.
    Everything,
    /// The data of one customer.
    Customer(CustomerId),
    /// No customer's data: a user of the platform who is no administrator.
    Nothing,
}

/// A request names a customer that it cannot reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the customer is out of reach")]
pub struct OutOfReach;

impl Reach {
    /// Whether the data of this customer is within reach.
    pub fn includes(&self, customer: &CustomerId) -> bool {
        self.includes_owner(Some(customer.as_str()))
    }

    /// The same for a row whose owner is a plain text, or that has none.
    pub fn includes_owner(&self, owner: Option<&str>) -> bool {
        match self {
            Self::Everything => true,
            Self::Customer(own) => owner == Some(own.as_str()),
            Self::Nothing => false,
        }
    }

    /// Whether what this owner has is within reach.
    pub fn includes_owned_by(&self, owner: &Owner) -> bool {
        match (self, owner) {
            (Self::Everything, _) => true,
            (Self::Customer(own), Owner::Customer(other)) => own == other,
            (Self::Customer(_), Owner::Platform) | (Self::Nothing, _) => false,
        }
    }

    /// What is left of it for a request that names this customer, or none. Another customer than one's own is refused,
    /// whether it exists or not.
    pub fn narrowed_to(&self, named: Option<&CustomerId>) -> Result<Self, OutOfReach> {
        match (self, named) {
            (Self::Nothing, _) => Err(OutOfReach),
            (Self::Everything, Some(named)) => Ok(Self::Customer(named.clone())),
            (Self::Customer(own), Some(named)) if own != named => Err(OutOfReach),
            (reach, None) | (reach @ Self::Customer(_), _) => Ok(reach.clone()),
        }
    }

    /// The owner of something new that a request creates for this customer, or for nobody in particular: then it is the
    /// caller's own, and the platform's where the caller reaches everything.
    pub fn owner_for(&self, named: Option<&CustomerId>) -> Result<Owner, OutOfReach> {
        match (self, named) {
            (Self::Everything, None) => Ok(Owner::Platform),
            (Self::Everything, Some(named)) => Ok(Owner::Customer(named.clone())),
            (Self::Customer(own), None) => Ok(Owner::Customer(own.clone())),
            (Self::Customer(own), Some(named)) if own == named => Ok(Owner::Customer(own.clone())),
            (Self::Customer(_), Some(_)) | (Self::Nothing, _) => Err(OutOfReach),
        }
    }

    /// The one customer, for storing, showing and filtering rows; nothing else is decided by it.
    pub fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Everything | Self::Nothing => None,
            Self::Customer(own) => Some(own),
        }
    }

    /// Whether prices are limited to what customers can see: programs of published models, no provider's costs.
    pub fn is_published_only(&self) -> bool {
        match self {
            Self::Everything => false,
            Self::Customer(_) | Self::Nothing => true,
        }
    }

    /// Whether columns that are internal to the platform are shown.
    pub fn shows_internal(&self) -> bool {
        match self {
            Self::Everything => true,
            Self::Customer(_) | Self::Nothing => false,
        }
    }

    /// Whether records of this kind may be booked.
    pub fn may_book(&self, kind: Kind) -> bool {
        match self {
            Self::Everything => true,
            Self::Customer(_) => kind == Kind::Charge,
            Self::Nothing => false,
        }
    }

    /// Whether records of every kind may be reversed, or charges and captures alone.
    pub fn may_reverse_any_kind(&self) -> bool {
        match self {
            Self::Everything => true,
            Self::Customer(_) | Self::Nothing => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(id: &str) -> CustomerId {
        CustomerId::parse(id).unwrap()
    }

    #[test]
    fn a_customer_reaches_itself_alone_and_the_platform_reaches_everyone() {
        let (own, other) = (customer("c-1"), customer("c-2"));
        let reach = Reach::Customer(own.clone());
        assert_eq!(reach.narrowed_to(None), Ok(reach.clone()));
        assert_eq!(reach.narrowed_to(Some(&own)), Ok(reach.clone()));
        assert_eq!(reach.narrowed_to(Some(&other)), Err(OutOfReach));
        assert!(reach.includes(&own) && !reach.includes(&other) && !reach.includes_owner(None));
        assert_eq!(Reach::Everything.narrowed_to(None), Ok(Reach::Everything));
        assert_eq!(Reach::Everything.narrowed_to(Some(&other)), Ok(Reach::Customer(other.clone())));
        assert!(Reach::Everything.includes(&other) && Reach::Everything.includes_owner(None));
    }

    #[test]
    fn what_is_new_is_of_the_caller_unless_the_platform_names_a_customer() {
        let (own, other) = (customer("c-1"), customer("c-2"));
        let reach = Reach::Customer(own.clone());
        for named in [None, Some(&own)] {
            assert_eq!(reach.owner_for(named), Ok(Owner::Customer(own.clone())));
        }
        assert_eq!(reach.owner_for(Some(&other)), Err(OutOfReach));
        assert_eq!(Reach::Everything.owner_for(None), Ok(Owner::Platform));
        assert_eq!(Reach::Everything.owner_for(Some(&other)), Ok(Owner::Customer(other.clone())));
        assert_eq!(Reach::Nothing.owner_for(None), Err(OutOfReach));
    }

    #[test]
    fn only_the_platform_books_other_kinds_than_charges() {
        let reach = Reach::Customer(customer("c-1"));
        for kind in Kind::ALL {
            assert_eq!(reach.may_book(*kind), *kind == Kind::Charge, "{kind}");
            assert!(Reach::Everything.may_book(*kind), "{kind}");
        }
    }
}
