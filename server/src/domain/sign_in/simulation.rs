//! Clients of one session that lose answers, send twice, are late and are robbed, by the draw of a seed and in simulated
//! time. What they get is held against what a model says that they must get.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use super::rotation::{GRACE, Rotation, decide};
use crate::model::{Entropy as _, Owner, RecordId, SeededEntropy, Session, SessionKind, Timestamp, UserId};

const START: Timestamp = Timestamp::from_seconds(1_780_000_000);
/// Requests of a client are no later than this, so that none arrives after the grace.
const LATEST: u64 = 20_000;

/// Milliseconds since the start.
type Time = u64;

fn at(time: Time) -> Timestamp {
    START.plus(Duration::from_millis(time))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client refreshes, unless it has another token than this by now.
    Refresh { client: usize, token: i64 },
    /// Its request arrives, and the row is read.
    Arrival { client: usize, token: i64, answered: bool },
    /// The row is updated, if it still has this generation.
    Update { client: usize, token: i64, read: i64, answered: bool },
    /// An answer arrives.
    Answer { client: usize, token: i64 },
    /// The access token of a generation is used, and that is noted.
    Use { generation: i64 },
    /// The second client gets a copy of what the first one has.
    Theft,
}

struct World {
    dice: Arc<SeededEntropy>,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    count: u64,
    session: Session,
    /// What each client has; 0: nothing.
    tokens: [i64; 2],
    /// By the generation that it made: when it was made, and first used.
    made: BTreeMap<i64, Time>,
    used: BTreeMap<i64, Time>,
    replays: u32,
    found: Option<Time>,
}

impl World {
    fn new(seed: u64) -> Self {
        let session = Session {
            id: RecordId(uuid::Uuid::nil()),
            kind: SessionKind::Api,
            user_id: UserId::parse("u").unwrap(),
            owner: Owner::Platform,
            generation: 1,
            generation_seen: 0,
            kid: "k".to_owned(),
            rotated_at: START,
            idle_until: at(30 * 86_400_000),
            expires_at: at(90 * 86_400_000),
            last_seen: Some(START),
            reauthenticated_at: START,
            revoked_at: None,
            revoked_reason: None,
            device_name: None,
            address: None,
            version: 1,
            created_at: START,
        };
        Self {
            dice: SeededEntropy::new(seed),
            events: BinaryHeap::new(),
            count: 0,
            session,
            tokens: [1, 0],
            made: BTreeMap::from([(1, 0)]),
            used: BTreeMap::new(),
            replays: 0,
            found: None,
        }
    }

    fn below(&self, limit: u64) -> u64 {
        let mut bytes = [0; 8];
        self.dice.fill(&mut bytes);
        u64::from_le_bytes(bytes) % limit
    }

    fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn plan(&mut self, time: Time, event: Event) {
        self.count += 1;
        self.events.push(Reverse((time, self.count, event)));
    }

    /// Runs until a time, or until the session ends.
    fn run(&mut self, until: Time) {
        self.plan(1000, Event::Refresh { client: 0, token: 1 });
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            if now > until || self.found.is_some() {
                return;
            }
            self.happen(now, event);
        }
    }

    fn happen(&mut self, now: Time, event: Event) {
        match event {
            Event::Refresh { client, token } if self.tokens[client] == token => self.send(now, client, token),
            Event::Refresh { .. } => {}
            Event::Arrival { client, token, answered } => self.arrive(now, client, token, answered),
            Event::Update { client, token, read, answered } => {
                if self.session.generation == read && self.session.revoked_at.is_none() {
                    self.session.generation += 1;
                    self.session.rotated_at = at(now);
                    self.session.last_seen = Some(at(now));
                    let again = self.made.insert(self.session.generation, now);
                    assert_eq!(again, None, "a generation is made once");
                    self.answer(now, client, self.session.generation, answered);
                } else {
                    self.arrive(now, client, token, answered);
                }
            }
            Event::Answer { client, token } if self.tokens[client] < token => {
                self.tokens[client] = token;
                let used = now + self.below(2000);
                self.plan(used, Event::Use { generation: token });
                // No client refreshes what is fresh.
                let next = now + 60_000 + self.below(840_000);
                self.plan(next, Event::Refresh { client, token });
            }
            Event::Answer { .. } => {}
            Event::Use { generation } => {
                self.used.entry(generation).or_insert(now);
                if self.session.generation_seen < generation {
                    self.session.generation_seen = generation;
                    self.session.last_seen = Some(at(now));
                }
            }
            Event::Theft => {
                self.tokens[1] = self.tokens[0];
                let next = now + self.below(900_000);
                self.plan(next, Event::Refresh { client: 1, token: self.tokens[1] });
            }
        }
    }

    /// Sends a request, sometimes twice, and tries again until there is an answer: soon, or when it is online again.
    fn send(&mut self, now: Time, client: usize, token: i64) {
        for _ in 0..=u64::from(self.chance(25)) {
            if self.chance(80) {
                let arrival = now + self.below(LATEST);
                let answered = self.chance(75);
                self.plan(arrival, Event::Arrival { client, token, answered });
            }
        }
        let offline = if self.chance(5) { 3_600_000 * (1 + self.below(3)) } else { 0 };
        let again = now + 5000 + self.below(55_000) + offline;
        self.plan(again, Event::Refresh { client, token });
    }

    fn arrive(&mut self, now: Time, client: usize, token: i64, answered: bool) {
        let decided = decide(&self.session, token, at(now));
        self.compare(now, token, decided);
        match decided {
            Rotation::Rotate => {
                let written = now + self.below(50);
                let read = self.session.generation;
                self.plan(written, Event::Update { client, token, read, answered });
            }
            Rotation::Replay => {
                self.replays += 1;
                self.answer(now, client, self.session.generation, answered);
            }
            Rotation::Reused => {
                self.session.revoked_at = Some(at(now));
                self.found = Some(now);
            }
            Rotation::Ended | Rotation::Unknown => panic!("{decided:?} for {token} at {now}"),
        }
    }

    /// What was decided is what the past of the token demands: there is one line of generations, of which the last two
    /// alone are good for anything, and the one before the last only for the last.
    fn compare(&self, now: Time, token: i64, decided: Rotation) {
        let (last, _) = self.made.last_key_value().unwrap();
        let settled = self.used.get(last).copied().unwrap_or(0).max(self.made[last]);
        let grace = u64::try_from(GRACE.as_millis()).unwrap();
        let expected = match last - token {
            0 => Rotation::Rotate,
            1 if now < settled + grace => Rotation::Replay,
            1 if !self.used.contains_key(last) => Rotation::Replay,
            _ => Rotation::Reused,
        };
        assert_eq!(decided, expected, "token {token} of {last} at {now}");
    }

    fn answer(&mut self, now: Time, client: usize, token: i64, answered: bool) {
        if answered {
            let arrival = now + self.below(1000);
            self.plan(arrival, Event::Answer { client, token });
        }
    }
}

const DAY: Time = 86_400_000;

#[test]
fn a_client_that_loses_answers_and_sends_twice_is_never_signed_out() {
    let (mut generations, mut replays) = (0, 0);
    for seed in 0..500 {
        let mut world = World::new(seed);
        world.run(3 * DAY);
        assert_eq!(world.found, None, "seed {seed}");
        generations += world.session.generation;
        replays += world.replays;
    }
    assert!(generations > 50_000 && replays > 5000, "{generations} {replays}");
}

#[test]
fn a_stolen_token_is_found_when_both_have_gone_on_with_it() {
    for seed in 0..1000 {
        let mut world = World::new(seed);
        let theft = world.below(DAY / 4);
        world.plan(theft, Event::Theft);
        world.run(10 * DAY);
        let found = world.found.unwrap_or_else(|| panic!("seed {seed}: not found"));
        assert!(found > theft, "seed {seed}");
        // Whatever either of them still has is worth nothing.
        for token in 0..=world.session.generation {
            assert_eq!(decide(&world.session, token, at(found)), Rotation::Ended, "seed {seed}");
        }
    }
}
