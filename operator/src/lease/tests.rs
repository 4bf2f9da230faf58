use jiff::Timestamp;

use super::*;

/// A Lease on an API server: replaced only under its version.
#[derive(Default)]
struct Server {
    lease: Option<Lease>,
    version: u64,
}

/// The version has changed.
#[derive(Debug)]
struct Collision;

impl Server {
    fn write(&mut self, step: Step) -> Result<Lease, Collision> {
        let mut lease = match step {
            Step::Create(lease) if self.lease.is_none() => *lease,
            Step::Replace(lease) => {
                let live = self.lease.as_ref().ok_or(Collision)?;
                if live.metadata.resource_version != lease.metadata.resource_version {
                    return Err(Collision);
                }
                *lease
            }
            _ => return Err(Collision),
        };
        self.version += 1;
        lease.metadata.resource_version = Some(self.version.to_string());
        self.lease = Some(lease.clone());
        Ok(lease)
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn candidate(name: &str) -> Election {
    Election::new(name.to_owned())
}

/// One turn of a candidate at `now`; `wall` is its own idea of the time.
fn turn_by(candidate: &mut Election, server: &mut Server, now: Duration, wall: Timestamp) -> bool {
    if candidate.must_read(now) {
        candidate.saw(server.lease.clone(), now);
    }
    let step = candidate.step(now, wall);
    if step == Step::Wait {
        return false;
    }
    let written = server.write(step);
    let won = written.is_ok();
    match written {
        Ok(lease) => candidate.won(lease, now),
        Err(Collision) => candidate.forget_version(),
    }
    won
}

fn turn(candidate: &mut Election, server: &mut Server, now: Duration) -> bool {
    turn_by(candidate, server, now, Timestamp::UNIX_EPOCH + now)
}

#[test]
fn the_first_candidate_creates_the_lease_and_the_second_waits() {
    let (mut a, mut b, mut server) = (candidate("a"), candidate("b"), Server::default());
    assert!(turn(&mut a, &mut server, seconds(0)));
    assert!(!turn(&mut b, &mut server, seconds(0)));
    assert_eq!(a.claimed_until(), Some(LEASE_DURATION));
    assert_eq!(b.claimed_until(), None);
}

#[test]
fn a_holder_that_renews_is_never_replaced() {
    let (mut a, mut b, mut server) = (candidate("a"), candidate("b"), Server::default());
    for now in 0..100 {
        if now % 4 == 0 {
            assert!(turn(&mut a, &mut server, seconds(now)), "at {now}");
        }
        assert!(!turn(&mut b, &mut server, seconds(now)), "at {now}");
    }
}

#[test]
fn a_silent_holder_is_replaced_once_its_duration_has_passed_as_seen_here() {
    let (mut a, mut b, mut server) = (candidate("a"), candidate("b"), Server::default());
    assert!(turn(&mut a, &mut server, seconds(0)));
    // b comes late: what it did not see itself does not count.
    for now in 30..42 {
        assert!(!turn(&mut b, &mut server, seconds(now)), "at {now}");
    }
    assert!(turn(&mut b, &mut server, seconds(42)));
    let spec = server.lease.unwrap().spec.unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("b"), Some(1)));
}

#[test]
fn clocks_an_hour_apart_make_no_two_holders() {
    let (mut a, mut b, mut server) = (candidate("a"), candidate("b"), Server::default());
    for skew in [-3600, 3600] {
        for now in 0..60 {
            let wall = Timestamp::UNIX_EPOCH + seconds(now + 7200);
            let skewed = wall + jiff::SignedDuration::from_secs(skew);
            turn_by(&mut a, &mut server, seconds(now), wall);
            turn_by(&mut b, &mut server, seconds(now), skewed);
            let claims = [&a, &b].map(|c| c.claimed_until().is_some_and(|until| seconds(now) < until));
            assert_ne!(claims, [true, true], "at {now} with a skew of {skew}");
        }
    }
}

#[test]
fn of_two_that_take_over_at_once_one_wins() {
    let (mut a, mut b, mut c, mut server) =
        (candidate("a"), candidate("b"), candidate("c"), Server::default());
    assert!(turn(&mut a, &mut server, seconds(0)));
    for other in [&mut b, &mut c] {
        other.saw(server.lease.clone(), seconds(1));
        other.saw(server.lease.clone(), seconds(13));
    }
    let steps = [&mut b, &mut c].map(|other| other.step(seconds(13), Timestamp::UNIX_EPOCH));
    let results = steps.map(|step| server.write(step).is_ok());
    assert_eq!(results, [true, false]);
}

#[test]
fn a_claim_counts_from_when_the_renewal_was_sent_and_ends_before_anyone_may_take_it() {
    let (mut a, mut b, mut server) = (candidate("a"), candidate("b"), Server::default());
    assert!(turn(&mut a, &mut server, seconds(5)));
    // b sees it the moment that it is written, which is never before it was sent.
    assert!(!turn(&mut b, &mut server, seconds(5)));
    assert!(!turn(&mut b, &mut server, seconds(16)));
    let until = a.claimed_until().unwrap();
    assert_eq!(until, seconds(17));
    assert!(turn(&mut b, &mut server, until));
}

#[test]
fn a_renewal_whose_answer_was_lost_costs_no_leadership() {
    let (mut a, mut server) = (candidate("a"), Server::default());
    assert!(turn(&mut a, &mut server, seconds(0)));
    // Written by the server, but a never heard of it.
    let step = a.step(seconds(4), Timestamp::UNIX_EPOCH);
    server.write(step).unwrap();
    a.forget_version();
    assert_eq!(a.claimed_until(), Some(seconds(12)), "the old claim stands until it ends");
    assert!(turn(&mut a, &mut server, seconds(5)));
    assert_eq!(a.claimed_until(), Some(seconds(17)));
}

#[test]
fn a_holder_that_sees_another_name_stops_at_once() {
    let (mut a, mut server) = (candidate("a"), Server::default());
    assert!(turn(&mut a, &mut server, seconds(0)));
    let mut taken = server.lease.clone().unwrap();
    taken.spec.as_mut().unwrap().holder_identity = Some("b".to_owned());
    server.write(Step::Replace(Box::new(taken))).unwrap();
    assert!(!turn(&mut a, &mut server, seconds(4)), "the version no longer fits");
    assert!(!turn(&mut a, &mut server, seconds(4)), "b's name stands there now");
    assert_eq!(a.claimed_until(), None);
}

#[test]
fn a_released_lease_is_taken_without_waiting() {
    let (mut a, mut b, mut server) = (candidate("a"), candidate("b"), Server::default());
    assert!(turn(&mut a, &mut server, seconds(0)));
    assert!(!turn(&mut b, &mut server, seconds(1)));
    let released = a.release(Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(released.spec.as_ref().unwrap().holder_identity, None, "an empty name would be refused");
    server.write(Step::Replace(released)).unwrap();
    assert!(turn(&mut b, &mut server, seconds(2)));
}

#[test]
fn the_claim_is_compared_with_the_time_that_a_write_takes() {
    let claim = Claim::default();
    assert!(!claim.covers(Duration::ZERO, Duration::ZERO));
    claim.extend_until(seconds(12));
    assert!(claim.covers(seconds(8), seconds(3)));
    assert!(!claim.covers(seconds(9), seconds(3)));
    claim.give_up();
    assert!(!claim.covers(Duration::ZERO, Duration::ZERO));
}
