//! How often a sign-in may be tried. A token of every bucket is taken before a password is hashed, so that parallel guesses
//! count, and given back when it was right. Known devices have buckets of their own: strangers cannot lock them out.

use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

use crate::model::{LengthPrefixedHasher, UserId};
use crate::store::{Bucket, BucketRule};

/// One known device: 5, then one every 30 s.
const DEVICE: BucketRule = BucketRule::Refill { capacity: 5, every: Duration::from_secs(30) };
/// All unknown devices of an account together: 10, then one a minute.
const STRANGERS: BucketRule = BucketRule::Refill { capacity: 10, every: Duration::from_secs(60) };
/// An account from one address: 5, then a lock.
const ACCOUNT_FROM_ADDRESS: BucketRule = BucketRule::Lock { attempts: 5 };
/// An address: 20, then ten a minute.
const ADDRESS: BucketRule = BucketRule::Refill { capacity: 20, every: Duration::from_secs(6) };

/// The buckets of a sign-in by a device that signed in before.
pub fn known_device(user: &UserId, device: Uuid) -> Vec<Bucket> {
    vec![bucket(b"device", DEVICE, &[user.as_str().as_bytes(), device.as_bytes()])]
}

/// The buckets of any other. `account` is whatever was given as its name: accounts that do not exist have buckets too.
pub fn unknown_device(owner: &str, account: &str, address: IpAddr) -> Vec<Bucket> {
    let account = [owner.as_bytes(), account.as_bytes()];
    let network = network(address);
    // Everyone locks rows in this order. The address comes first, so that one that is refused writes nothing, whatever
    // accounts it names.
    vec![
        bucket(b"address", ADDRESS, &[&network]),
        bucket(b"strangers", STRANGERS, &account),
        bucket(b"account and address", ACCOUNT_FROM_ADDRESS, &[account[0], account[1], &network]),
    ]
}

/// The bucket of giving the current password in order to set another.
pub fn reauthentication(user: &UserId) -> Vec<Bucket> {
    vec![bucket(b"reauthentication", DEVICE, &[user.as_str().as_bytes()])]
}

fn bucket(purpose: &[u8], rule: BucketRule, parts: &[&[u8]]) -> Bucket {
    let mut hasher = LengthPrefixedHasher::default();
    hasher.bytes(purpose);
    for part in parts {
        hasher.bytes(part);
    }
    Bucket { id: hasher.finish(), rule }
}

/// An IPv4 address, or the /64 of an IPv6 address: one subscriber has all of it.
fn network(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets()[..8].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(account: &str, address: &str) -> Vec<[u8; 32]> {
        unknown_device("c", account, address.parse().unwrap()).iter().map(|bucket| bucket.id).collect()
    }

    #[test]
    fn one_subscriber_is_one_address() {
        assert_eq!(ids("a", "2001:db8::1"), ids("a", "2001:db8::ffff:1"));
        assert_ne!(ids("a", "2001:db8::1"), ids("a", "2001:db8:0:1::1"));
        assert_eq!(ids("a", "192.0.2.1"), ids("a", "::ffff:192.0.2.1"));
        let shared = |a: &[[u8; 32]], b: &[[u8; 32]]| a.iter().filter(|id| b.contains(id)).count();
        assert_eq!(shared(&ids("a", "192.0.2.1"), &ids("b", "192.0.2.1")), 1, "the address");
        assert_eq!(shared(&ids("a", "192.0.2.1"), &ids("a", "192.0.2.2")), 1, "the account");
    }
}
