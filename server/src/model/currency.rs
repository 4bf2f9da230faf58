use std::fmt;

/// A currency code, `[A-Z]{3,8}`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 8]);

impl Currency {
    /// Takes a code, or `None` where it is not `[A-Z]{3,8}`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if !(3..=8).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_uppercase) {
            return None;
        }
        let mut code = [0; 8];
        code[..bytes.len()].copy_from_slice(bytes);
        Some(Self(code))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(8);
        std::str::from_utf8(&self.0[..end]).unwrap_or_default()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_three_to_eight_capital_letters() {
        assert_eq!(Currency::parse("CNY").unwrap().as_str(), "CNY");
        assert_eq!(Currency::parse("ABCDEFGH").unwrap().as_str(), "ABCDEFGH");
        for bad in ["", "CN", "cny", "ABCDEFGHI", "CN1", "CNÝ"] {
            assert!(Currency::parse(bad).is_none(), "{bad}");
        }
    }
}
