//! What the API server refuses by itself, and how it shows a resource.

use crate::bench::{Bench, SECRETS, sageapi};

#[tokio::test]
async fn what_cannot_be_followed_is_refused_and_the_refusal_says_why() {
    let bench = Bench::new("rules").await;
    let valid = sageapi("");
    let both = "users: {every: 30s, schedule: '* * * * *'}";
    let zone = "users: {every: 30s, timeZone: UTC}";
    let long = "a".repeat(41);
    for (manifest, why) in [
        (valid.replace("name: prod", "name: 1prod"), "must begin with a letter"),
        (valid.replace("name: prod", &format!("name: {long}")), "at most 40 characters"),
        (valid.replace("users: {every: 30s}", both), "at most one of every and schedule"),
        (valid.replace("users: {every: 30s}", zone), "give both or none"),
        (valid.replace("every: 30s", "every: soon"), "spec.sync.users.every"),
        (format!("{valid}  instances: 0"), "greater than or equal to 1"),
        (format!("{valid}  disruptionBudget: {{maxUnavailable: 0}}"), "spec.disruptionBudget.maxUnavailable"),
        (valid.replace("https://sage.example", "ftp://sage.example"), "spec.upstream.url"),
        (valid.replace("database: {mysql: {urlSecretRef: {name: database}}}", "database: {}"), "mysql"),
        (format!("{valid}  instanses: 2"), "instanses"),
        (format!("{valid}  instances: two"), "spec.instances"),
        (
            format!("{valid}  extraEnv: [{{name: A, value: '1'}}, {{name: A, value: '2'}}]"),
            "duplicate entries for key",
        ),
        (format!("{valid}  resources: {{limits: {{memory: lots}}}}"), "spec.resources.limits"),
        (format!("{valid}  accounting: {{mode: Lax}}"), "Unsupported value"),
        (format!("{valid}  accounting: null"), "spec.accounting"),
        (format!("{valid}  image: {{tag: null}}"), "spec.image.tag"),
    ] {
        let said = bench.try_apply(&manifest).expect_err(&manifest).to_string();
        assert!(said.contains(why), "{manifest} was refused for another reason: {said}");
        let offline = sageapi_operator::offline::render(&manifest, "sageapi-server:1");
        assert!(offline.is_err(), "render takes what the API server refuses: {manifest}");
    }
    for manifest in [
        valid.replace("name: prod", &format!("name: {}", "a".repeat(40))),
        format!("{valid}  instances: null"),
    ] {
        bench.apply(&manifest);
        sageapi_operator::offline::render(&manifest, "sageapi-server:1").unwrap();
    }
}

#[tokio::test]
async fn the_currency_and_its_scale_are_fixed_for_good() {
    let bench = Bench::new("fixed").await;
    bench.apply(&sageapi(""));
    let said = |accounting: &str| {
        let changed = sageapi(&format!("  accounting: {accounting}"));
        bench.try_apply(&changed).map_err(|refused| refused.to_string())
    };
    assert!(said("{currency: USD}").unwrap_err().contains("balances are kept in it"));
    assert!(said("{scale: 2}").unwrap_err().contains("amounts were rounded to it"));
    // Leaving a default out and writing it are the same.
    said("{currency: CNY, scale: 6, mode: AllowNegative}").unwrap();
}

#[tokio::test]
async fn kubectl_scales_it_and_shows_what_matters() {
    let bench = Bench::new("kubectl").await;
    bench.apply(SECRETS);
    let _operator = bench.converged("  instances: 2").await;
    let shown = bench.kubectl("get sage");
    let (head, row) = shown.split_once('\n').unwrap();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(head), ["NAME", "READY", "PHASE", "INSTANCES", "VERSION", "SCHEMA", "SYNC", "AGE"]);
    let row = words(row);
    assert_eq!(row[..6], ["prod", "True", "Ready", "2/2", "test", "3"], "{row:?}");

    let args = ["scale", "sageapi", "prod", "--replicas=0", "-n", bench.namespace.name()];
    let said = bench.plane.kubectl(args).unwrap_err().to_string();
    assert!(said.contains("greater than or equal to 1"), "{said}");
    bench.kubectl("wait sageapi prod --for=condition=Ready --timeout=30s");
}
