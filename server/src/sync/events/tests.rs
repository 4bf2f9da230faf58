use super::*;

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("id{n:06}")).collect()
}

#[tokio::test]
async fn many_ids_are_pulled_a_hundred_at_a_time() {
    let queue = Queue::default();
    assert!(queue.push(Entity::Users, &ids(0..250)));
    for expected in [ids(0..100), ids(100..200), ids(200..250)] {
        assert_eq!(queue.take().await, Pull { entity: Entity::Users, ids: expected });
    }
}

#[tokio::test]
async fn pulls_of_one_entity_that_wait_become_one_and_doubles_fall_out() {
    let queue = Queue::default();
    for range in [0..3, 2..5, 0..1] {
        queue.push(Entity::Users, &ids(range));
    }
    queue.push(Entity::Pricing, &ids(0..1));
    queue.push(Entity::Users, &ids(7..8));
    assert_eq!(queue.take().await, Pull { entity: Entity::Users, ids: ids(0..5) });
    assert_eq!(queue.take().await, Pull { entity: Entity::Pricing, ids: ids(0..1) });
    assert_eq!(queue.take().await, Pull { entity: Entity::Users, ids: ids(7..8) });
}

#[tokio::test]
async fn a_full_queue_takes_all_of_an_event_or_nothing() {
    let queue = Queue::default();
    for _ in 0..CAPACITY - 1 {
        assert!(queue.push(Entity::Users, &ids(0..100)));
    }
    assert!(!queue.push(Entity::Users, &ids(0..101)));
    assert!(queue.push(Entity::Users, &ids(0..100)));
    assert!(!queue.push(Entity::Users, &ids(0..1)));
    queue.take().await;
    assert!(queue.push(Entity::Users, &ids(0..1)));
}

#[tokio::test]
async fn every_waiting_worker_gets_its_pull() {
    let queue = Arc::new(Queue::default());
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.take().await.ids.len() })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(queue.push(Entity::Users, &ids(0..MAX_IDS * WORKERS)));
    for worker in workers {
        assert_eq!(worker.await.unwrap(), MAX_IDS);
    }
}
