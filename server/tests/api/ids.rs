//! UUIDs in upper case (RFC 9562 section 4).

use serde_json::json;

use crate::raw::Reply;
use crate::site::on_every_database;

#[track_caller]
fn id(reply: &Reply) -> String {
    reply.data()["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_id_in_capitals_is_the_same_id() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let record = site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "2"})).await;
        let (small, capital) = (id(&record), id(&record).to_uppercase());
        assert_ne!(small, capital);
        let read = site.get(&c.key, &format!("/accounting/{capital}")).await;
        assert_eq!((read.status, id(&read)), (200, small.clone()));

        let back = json!({"transno": "r", "amount": "1"});
        let reversed = site.post(&c.key, &format!("/accounting/{capital}/reverse"), &back).await;
        assert_eq!(reversed.status, 201, "{}", reversed.text());
        let again = site.post(&c.key, &format!("/accounting/{small}/reverse"), &back).await;
        assert_eq!((again.status, id(&again)), (200, id(&reversed)), "the same request, replayed");

        for (end, body, status) in
            [("capture", json!({"transno": "c", "amount": "1"}), 201), ("release", json!({}), 200)]
        {
            let ask = json!({"transno": format!("h-{end}"), "amount": "1"});
            let hold = site.post(&c.key, "/holds", &ask).await;
            let capital = id(&hold).to_uppercase();
            let read = site.get(&c.key, &format!("/holds/{capital}")).await;
            assert_eq!((read.status, id(&read)), (200, id(&hold)));
            let ended = site.post(&c.key, &format!("/holds/{capital}/{end}"), &body).await;
            assert_eq!(ended.status, status, "{end}: {}", ended.text());
        }
        assert!(site.verify().await.is_empty());
    });
}
