use super::{CustomerId, Kind};

/// Whose data a principal can reach. Every rule that treats the platform and a customer differently is here, and is
/// stated for each case: nothing is concluded from a missing customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All customers, and the data of the platform itself.
    Everything,
    /// The data of one customer.
    Customer(CustomerId),
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
        }
    }

    /// The customer to filter by when a request names this one; `None` is no filter. Another customer than one's own
    /// is refused, whether it exists or not.
    pub fn customer_for(&self, named: Option<&CustomerId>) -> Result<Option<CustomerId>, OutOfReach> {
        match (self, named) {
            (Self::Everything, named) => Ok(named.cloned()),
            (Self::Customer(own), None) => Ok(Some(own.clone())),
            (Self::Customer(own), Some(named)) if own == named => Ok(Some(own.clone())),
            (Self::Customer(_), Some(_)) => Err(OutOfReach),
        }
    }

    /// The one customer, for storing and showing; nothing is decided by it.
    pub fn customer(&self) -> Option<&CustomerId> {
        match self {
            Self::Everything => None,
            Self::Customer(own) => Some(own),
        }
    }

    /// Whether prices are limited to what customers can see: programs of published models, no provider's costs.
    pub fn is_published_only(&self) -> bool {
        match self {
            Self::Everything => false,
            Self::Customer(_) => true,
        }
    }

    /// Whether columns that are internal to the platform are shown.
    pub fn shows_internal(&self) -> bool {
        match self {
            Self::Everything => true,
            Self::Customer(_) => false,
        }
    }

    /// Whether records of this kind may be booked.
    pub fn may_book(&self, kind: Kind) -> bool {
        match self {
            Self::Everything => true,
            Self::Customer(_) => kind == Kind::Charge,
        }
    }

    /// Whether records of every kind may be reversed, or charges and captures alone.
    pub fn may_reverse_any_kind(&self) -> bool {
        match self {
            Self::Everything => true,
            Self::Customer(_) => false,
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
        assert_eq!(reach.customer_for(None), Ok(Some(own.clone())));
        assert_eq!(reach.customer_for(Some(&own)), Ok(Some(own.clone())));
        assert_eq!(reach.customer_for(Some(&other)), Err(OutOfReach));
        assert!(reach.includes(&own) && !reach.includes(&other) && !reach.includes_owner(None));
        assert_eq!(Reach::Everything.customer_for(None), Ok(None));
        assert_eq!(Reach::Everything.customer_for(Some(&other)), Ok(Some(other.clone())));
        assert!(Reach::Everything.includes(&other) && Reach::Everything.includes_owner(None));
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
