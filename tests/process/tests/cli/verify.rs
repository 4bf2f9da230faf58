use sageapi_process_tests::Installation;
use sageapi_test_support::database::kinds;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn verify_ends_with_65_and_names_the_place_when_something_was_changed_behind_its_back() {
    for kind in kinds() {
        let installation = Installation::new(kind).await;
        installation.seed(&["org_a".to_owned(), "org_b".to_owned()], "10").await;
        for number in 1..=3 {
            let transno = format!("T-{number}");
            installation.json(&["customer", "credit", "org_a", "1", "--transno", &transno]).await;
        }
        assert_eq!(installation.verify().await, 5);
        // Each with what undoes it.
        let tamperings = [
            (
                "UPDATE customer_balance SET balance = balance + 1 WHERE customer_id = 'org_a'",
                "UPDATE customer_balance SET balance = balance - 1 WHERE customer_id = 'org_a'",
                "org_a",
            ),
            (
                "UPDATE accounting_records SET user_id = 'u' WHERE customer_id = 'org_a' AND seq = 2",
                "UPDATE accounting_records SET user_id = NULL WHERE customer_id = 'org_a' AND seq = 2",
                "record 2",
            ),
            (
                "UPDATE accounting_records SET seq = 9 WHERE customer_id = 'org_a' AND seq = 3",
                "UPDATE accounting_records SET seq = 3 WHERE customer_id = 'org_a' AND seq = 9",
                "seq 3 is missing",
            ),
            (
                "UPDATE accounting_records SET customer_id = 'org_c' WHERE customer_id = 'org_b'",
                "UPDATE accounting_records SET customer_id = 'org_b' WHERE customer_id = 'org_c'",
                "org_",
            ),
        ];
        for (tamper, undo, names) in tamperings {
            assert_eq!(installation.database.execute(tamper).await, 1, "{tamper}");
            let ended = installation.command(&["verify", "--output", "json"]).await;
            assert_eq!(ended.code, 65, "{tamper}: {ended:?}");
            let result: Value = serde_json::from_str(&ended.stdout).unwrap();
            assert!(result["difference"].as_str().unwrap().contains(names), "{tamper}: {result}");
            let text = installation.command(&["verify"]).await;
            assert_eq!(text.code, 65);
            assert!(text.stdout.starts_with("DIFFERENCE ") && text.stdout.contains(names), "{text:?}");
            assert_eq!(installation.database.execute(undo).await, 1, "{undo}");
            assert_eq!(installation.verify().await, 5, "{undo}");
        }
    }
}
