//! Networks that addresses are checked against.

use std::net::IpAddr;

use ipnet::IpNet;

/// Reads an address, or a network such as `192.0.2.0/24`; bits behind the prefix do not matter.
pub fn parse_network(text: &str) -> Option<IpNet> {
    let Some((address, prefix)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(IpNet::from);
    };
    if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // The standard library alone refuses the leading zeros that some take for octal numbers.
    Some(IpNet::new(address.parse().ok()?, prefix.parse().ok()?).ok()?.trunc())
}

/// Whether an address lies in one of some networks. An IPv4 address and its mapped form (`::ffff:192.0.2.7`) are the
/// same address, on either side.
pub fn is_within(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    let mapped = match address {
        IpAddr::V4(address) => Some(IpAddr::V6(address.to_ipv6_mapped())),
        IpAddr::V6(_) => None,
    };
    networks.iter().any(|net| net.contains(&address) || mapped.is_some_and(|mapped| net.contains(&mapped)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(address: &str, network: &str) -> bool {
        is_within(address.parse().unwrap(), &[parse_network(network).unwrap()])
    }

    #[test]
    fn mapped_and_plain_addresses_are_the_same_on_either_side() {
        for network in [
            "192.0.2.0/24",
            "::ffff:192.0.2.0/120",
            "::ffff:c000:200/120",
            "::ffff:0:0/96",
            "0.0.0.0/0",
            "::/0",
        ] {
            for address in ["192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207"] {
                assert!(within(address, network), "{address} in {network}");
            }
        }
        for network in ["192.0.3.0/24", "::ffff:192.0.3.0/120", "2001:db8::/32", "::192.0.2.0/120", "::/96"] {
            for address in ["192.0.2.7", "::ffff:192.0.2.7"] {
                assert!(!within(address, network), "{address} in {network}");
            }
        }
        assert!(within("2001:db8::1", "2001:db8::/32") && within("2001:db8::1", "::/0"));
        assert!(!within("2001:db8::1", "0.0.0.0/0") && !within("2001:db8::1", "::ffff:0:0/96"));
        assert!(!is_within("192.0.2.7".parse().unwrap(), &[]));
    }

    #[test]
    fn a_network_is_an_address_with_or_without_a_prefix() {
        let shown = |text: &str| parse_network(text).map(|network| network.to_string());
        for (text, network) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("::1", "::1/128"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(network), "{text}");
        }
        for wrong in [
            "",
            "192.0.2.0/33",
            "::/129",
            "192.0.2/24",
            "010.0.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            " 10.0.0.0/8",
            "10.0.0.0/8/8",
            "localhost",
        ] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }
}
