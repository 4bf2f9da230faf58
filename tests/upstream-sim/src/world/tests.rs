use std::collections::{BTreeSet, HashMap};

use super::*;

fn rows(world: &World, entity: Entity) -> Vec<Value> {
    (0..world.base_rows(entity)).map(|i| serde_json::to_value(world.row(entity, i, 0)).unwrap()).collect()
}

#[test]
fn the_same_seed_makes_the_same_world_and_another_seed_another() {
    let (a, again) = (World::new(Counts::default()), World::new(Counts::default()));
    let other = World::new(Counts { seed: 2, ..Counts::default() });
    for entity in Entity::ALL {
        assert_eq!(rows(&a, entity), rows(&again, entity));
    }
    assert_ne!(rows(&a, Entity::Users)[500], rows(&other, Entity::Users)[500]);
}

#[test]
fn every_row_carries_the_id_that_leads_to_it_and_no_id_repeats() {
    let world = World::new(Counts::default());
    for entity in Entity::ALL {
        let rows = rows(&world, entity);
        let ids: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), rows.len(), "{entity}");
        for (index, row) in rows.iter().enumerate() {
            assert_eq!(world.index(entity, row["id"].as_str().unwrap()), Some(index as u64));
        }
    }
}

#[test]
fn a_change_shows_in_every_entity() {
    let world = World::new(Counts::default());
    for entity in Entity::ALL {
        let before = serde_json::to_value(world.row(entity, 3, 0)).unwrap();
        let after = serde_json::to_value(world.row(entity, 3, 1)).unwrap();
        assert_ne!(before, after, "{entity}");
        assert_eq!(before["id"], after["id"]);
    }
}

#[test]
fn columns_are_those_of_the_mirror_tables() {
    let world = World::new(Counts::default());
    let columns = |entity| {
        let row = serde_json::to_value(world.row(entity, 0, 0)).unwrap();
        row.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        columns(Entity::Users),
        "id username nick_name email mobile orgid orgname user_status sync_from created_at"
    );
    assert_eq!(
        columns(Entity::Pricing),
        "id ppid pricing_type name ownerid providerid pricing_belong discount currency pricing_spec pricing_data \
         enabled_date expired_date"
    );
    assert_eq!(
        columns(Entity::Llmage),
        "id llmid name model providerid ownerid upappid llmcatelogid catelogname apiname ppid isdefaultcatelog \
         min_balance status enabled_date expired_date"
    );
    assert_eq!(
        columns(Entity::Uapi),
        "id upappid upappname baseurl name path httpmethod stream need_auth ioid input_fields"
    );
    assert_eq!(columns(Entity::Balances), "id customer_id balance currency credit_limit status");
}

#[test]
fn price_lists_parse_and_every_rule_names_a_known_unit_and_factor() {
    let world = World::new(Counts::default());
    for row in rows(&world, Entity::Pricing) {
        let data: serde_yaml::Value = serde_yaml::from_str(row["pricing_data"].as_str().unwrap()).unwrap();
        let rules = data["pricings"].as_sequence().unwrap();
        assert!(!rules.is_empty());
        for rule in rules {
            assert!(data["unit_values"].get(&rule["unit"]).is_some(), "{rule:?}");
            let factor = rule["price_factors"].as_str().unwrap();
            assert!(factor == "flat" || data["fields"].get(factor).is_some(), "{rule:?}");
            assert!(rule["unit_prices"].as_f64().unwrap() > 0.0);
            for filter in rule["filters"].as_sequence().into_iter().flatten() {
                let field = filter.as_mapping().unwrap().keys().next().unwrap();
                assert!(data["fields"].get(field).is_some(), "{filter:?}");
            }
        }
    }
}

#[test]
fn price_lists_of_one_program_follow_each_other_without_overlap() {
    let world = World::new(Counts::default());
    let mut periods: HashMap<String, Vec<(String, String)>> = HashMap::new();
    for row in rows(&world, Entity::Pricing) {
        let text = |column: &str| row[column].as_str().unwrap().to_owned();
        periods.entry(text("ppid")).or_default().push((text("enabled_date"), text("expired_date")));
    }
    assert_eq!(periods.len(), 30);
    assert!(periods.values().any(|lists| lists.len() == 3));
    for lists in periods.values_mut() {
        lists.sort();
        assert!(lists.windows(2).all(|pair| pair[0].1 == pair[1].0), "{lists:?}");
    }
}

#[test]
fn models_name_programs_that_exist_and_never_a_providers_cost() {
    let world = World::new(Counts::default());
    let programs: HashMap<String, String> = rows(&world, Entity::Pricing)
        .iter()
        .map(|row| {
            (row["ppid"].as_str().unwrap().to_owned(), row["pricing_belong"].as_str().unwrap().to_owned())
        })
        .collect();
    let models = rows(&world, Entity::Llmage);
    for model in &models {
        assert_eq!(programs[model["ppid"].as_str().unwrap()], "customer");
    }
    assert!(programs.values().any(|belong| belong == "provider"));
    assert!(models.iter().any(|model| model["status"] == "unpublished"));
    let pairs: BTreeSet<(&str, &str)> = models
        .iter()
        .map(|model| (model["llmid"].as_str().unwrap(), model["apiname"].as_str().unwrap()))
        .collect();
    assert_eq!(pairs.len(), models.len(), "(llmid, apiname) is unique on the platform");
}

#[test]
fn a_world_without_programs_or_customers_still_has_rows() {
    let world = World::new(Counts { seed: 1, users: 3, customers: 0, models: 2, apis: 0, programs: 0 });
    assert_eq!(rows(&world, Entity::Users)[2]["orgid"], "org_demo_0001");
    assert_eq!(rows(&world, Entity::Llmage)[0]["ppid"], Value::Null);
    assert!(rows(&world, Entity::Pricing).is_empty());
}
