use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::super::admission::{Admission, Work};
use super::super::command::Command;
use super::super::request::Request;
use super::{Group, Lanes, Shard, Taken};
use crate::domain::Error;
use crate::model::{CustomerId, Kind, Money, RecordId, Transno};

fn customer(name: &str) -> CustomerId {
    CustomerId::parse(name).unwrap()
}

/// A charge. Its transno begins with what it is of.
fn request(name: &str, transno: &str) -> Request {
    let (transno, amount) = (Transno::parse(transno).unwrap(), Money::parse("1").unwrap());
    Request::booking(customer(name), transno, Kind::Charge, amount)
}

fn command(name: &str, transno: &str) -> Command {
    Command::new(request(name, transno), RecordId(Uuid::nil()))
}

fn lane(kind: &str, count: usize) -> impl Iterator<Item = Command> {
    (0..count).map(move |n| command(&format!("{kind}-{n}"), &format!("{kind}-{n}")))
}

fn singles(count: usize) -> Lanes {
    Lanes { single: lane("s", count).collect(), ..Lanes::default() }
}

fn bulk(count: usize) -> Lanes {
    Lanes { bulk: lane("b", count).collect(), ..Lanes::default() }
}

fn group(customers: &[&str]) -> Lanes {
    let commands = customers.iter().map(|name| command(name, "g")).collect();
    Lanes { groups: [Group { commands, reply: oneshot::channel().0 }].into(), ..Lanes::default() }
}

fn push(shard: &Shard, lanes: Lanes) {
    assert!(shard.push(lanes).is_ok());
}

/// What is taken next: so many of each lane, by the first letter of their transnos. A group counts once.
async fn next(shard: &Shard, max: usize) -> BTreeMap<char, usize> {
    let taken = shard.gather(max, false, std::future::ready(())).await.unwrap();
    let mut counts = BTreeMap::new();
    let mut count = |command: &Command| {
        let transno = command.request.action.transno().unwrap();
        *counts.entry(transno.as_str().chars().next().unwrap()).or_default() += 1;
    };
    match taken {
        Taken::Batch(batch) => batch.iter().for_each(count),
        Taken::Group(group) => count(&group.commands[0]),
    }
    counts
}

#[tokio::test]
async fn bulk_takes_at_most_half_of_a_commit_while_singles_wait() {
    let shard = Shard::default();
    push(&shard, bulk(30));
    push(&shard, singles(12));
    assert_eq!(next(&shard, 8).await, [('b', 4), ('s', 4)].into());
    assert_eq!(next(&shard, 8).await, [('b', 4), ('s', 4)].into());
    push(&shard, singles(1));
    assert_eq!(next(&shard, 8).await, [('b', 4), ('s', 4)].into());
    assert_eq!(next(&shard, 8).await, [('b', 4), ('s', 1)].into(), "half is the most that bulk may have");
    assert_eq!(next(&shard, 8).await, [('b', 8)].into(), "all of it where nobody else waits");
}

#[tokio::test]
async fn singles_take_what_bulk_leaves() {
    let shard = Shard::default();
    push(&shard, bulk(1));
    push(&shard, singles(20));
    assert_eq!(next(&shard, 8).await, [('b', 1), ('s', 7)].into());
}

#[tokio::test]
async fn where_a_commit_has_one_place_bulk_and_singles_take_turns() {
    let shard = Shard::default();
    push(&shard, bulk(2));
    push(&shard, singles(3));
    let mut order = String::new();
    for _ in 0..5 {
        order.extend(next(&shard, 1).await.into_keys());
    }
    assert_eq!(order, "sbsbs");
}

#[tokio::test]
async fn groups_in_a_row_keep_nobody_waiting() {
    let shard = Shard::default();
    push(&shard, singles(3));
    let mut order = String::new();
    for _ in 0..6 {
        // There always is another group.
        push(&shard, group(&["c"]));
        push(&shard, group(&["c"]));
        order.extend(next(&shard, 1).await.into_keys());
    }
    assert_eq!(order, "gsgsgs");
    push(&shard, bulk(1));
    assert_eq!(next(&shard, 1).await, [('g', 1)].into());
    assert_eq!(next(&shard, 1).await, [('b', 1)].into(), "bulk has its turn too");
}

#[tokio::test]
async fn singles_in_a_row_do_not_keep_a_group_waiting() {
    let shard = Shard::default();
    push(&shard, singles(100));
    push(&shard, group(&["c"]));
    let first = next(&shard, 8).await;
    let second = next(&shard, 8).await;
    assert!(first.contains_key(&'g') || second.contains_key(&'g'), "{first:?} {second:?}");
}

#[test]
fn a_full_queue_takes_no_single_and_takes_one_again_when_another_has_left() {
    let admission = Admission::new(10);
    for n in 0..10 {
        admission.enter(&[request(&format!("c-{n}"), "t")], Work::Single).unwrap();
    }
    assert_eq!(admission.count(), 10);
    let one = [request("another", "t")];
    assert!(matches!(admission.enter(&one, Work::Single), Err(Error::Overloaded)));
    admission.leave(&[command("c-3", "t")]);
    assert!(admission.enter(&one, Work::Single).unwrap().is_empty());
    assert!(matches!(admission.enter(&[request("c-3", "t")], Work::Single), Err(Error::Overloaded)));
}

#[test]
fn one_customer_has_a_fifth_of_the_queue_by_singles_and_by_batches_alike() {
    let admission = Admission::new(10);
    admission.enter(&[request("c", "1")], Work::Single).unwrap();
    assert!(matches!(
        admission.enter(&[request("c", "2"), request("c", "3")], Work::Single),
        Err(Error::Overloaded)
    ));
    assert_eq!(admission.count(), 1, "a batch enters whole or not at all");
    admission.enter(&[request("c", "2"), request("d", "2")], Work::Single).unwrap();
    assert!(matches!(admission.enter(&[request("c", "4")], Work::Single), Err(Error::Overloaded)));
    admission.enter(&[request("e", "1"), request("e", "2")], Work::Single).unwrap();
    admission.leave(&[command("c", "1")]);
    admission.enter(&[request("c", "4")], Work::Single).unwrap();
}

#[test]
fn who_comes_behind_the_transno_of_another_call_is_told_so() {
    let admission = Admission::new(100);
    assert!(
        admission
            .enter(&[request("c", "t"), request("d", "t"), request("d", "t")], Work::Single)
            .unwrap()
            .is_empty()
    );
    assert_eq!(admission.enter(&[request("d", "t")], Work::Single).unwrap(), [0]);
    admission.leave(&[command("d", "t")]);
    assert_eq!(
        admission.enter(&[request("c", "u"), request("d", "t"), request("c", "t")], Work::Single).unwrap(),
        [1, 2]
    );
    admission.leave(&[command("c", "t"), command("c", "t")]);
    admission.leave(&[command("d", "t"), command("d", "t"), command("d", "t")]);
    assert!(admission.enter(&[request("c", "t"), request("d", "t")], Work::Single).unwrap().is_empty());
}

#[tokio::test]
async fn a_parked_customer_waits_alone_and_comes_back_first() {
    let shard = Shard::default();
    push(&shard, Lanes { single: [command("c", "c-2"), command("d", "d-1")].into(), ..Lanes::default() });
    let taken = Lanes { single: [command("c", "c-1"), command("e", "e-1")].into(), ..Lanes::default() };
    let rest = shard.park(vec![customer("c")], taken);
    let names = |lanes: &Lanes| -> Vec<String> {
        let transno = |command: &Command| command.request.action.transno().unwrap().to_string();
        lanes.single.iter().map(transno).collect()
    };
    assert_eq!(names(&rest), ["e-1"], "a neighbour goes on");
    push(&shard, Lanes { single: [command("c", "c-3"), command("d", "d-2")].into(), ..Lanes::default() });
    push(&shard, group(&["d", "c"]));
    assert_eq!(next(&shard, 8).await, [('d', 2)].into());
    assert_eq!(shard.parked_customers(), [customer("c")]);
    push(&shard, singles(1));
    shard.unpark(&customer("c"));
    assert!(shard.parked_customers().is_empty());
    assert_eq!(next(&shard, 2).await, [('g', 1)].into());
    assert_eq!(next(&shard, 2).await, [('c', 2)].into(), "what has waited longest is first");
    assert_eq!(next(&shard, 8).await, [('c', 1), ('s', 1)].into());
}

#[tokio::test]
async fn a_group_comes_back_when_all_its_customers_do() {
    let shard = Shard::default();
    shard.park(vec![customer("c"), customer("d")], group(&["c", "d"]));
    shard.unpark(&customer("c"));
    push(&shard, singles(1));
    assert_eq!(next(&shard, 8).await, [('s', 1)].into());
    shard.unpark(&customer("d"));
    assert_eq!(next(&shard, 8).await, [('g', 1)].into());
}

#[tokio::test]
async fn a_closed_shard_ends_when_nothing_is_parked_any_more() {
    let shard = Shard::default();
    let late = Command { since: Duration::from_secs(20), ..command("c", "c-2") };
    let taken = Lanes { single: [command("c", "c-1"), late].into(), ..Lanes::default() };
    shard.park(vec![customer("c")], taken);
    shard.close();
    let none = shard.push(singles(1)).unwrap_err();
    assert_eq!(none.single.len(), 1);
    let end = shard.gather(8, false, std::future::ready(()));
    tokio::pin!(end);
    assert!(futures_util::poll!(&mut end).is_pending());
    assert_eq!(
        shard.take_overdue(Duration::from_secs(10)).single.len(),
        1,
        "who waits since before that time"
    );
    assert!(futures_util::poll!(&mut end).is_pending());
    assert_eq!(shard.take_overdue(Duration::from_secs(21)).single.len(), 1);
    assert!(end.await.is_none());
}
