//! How rows of the mirror are shown.

use schemars::{Schema, SchemaGenerator};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use crate::http::schema::{self, IdText, MoneyText, TimeText};
use crate::model::{Cell, ColumnKind, Entity, MirrorRow, Money, Timestamp};

/// A mirrored row: every column of its entity under its own name.
#[derive(Debug, Clone, Copy)]
pub struct MirrorBody<'a> {
    entity: Entity,
    row: &'a MirrorRow,
    internal: bool,
}

impl<'a> MirrorBody<'a> {
    /// Of a row; with the columns that only the platform's own keys see if `internal`.
    pub fn of(entity: Entity, row: &'a MirrorRow, internal: bool) -> Self {
        Self { entity, row, internal }
    }
}

impl Serialize for MirrorBody<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Self { entity, row, internal } = *self;
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("id", row.id.as_str())?;
        for (column, cell) in entity.columns().iter().zip(&row.cells) {
            if column.internal && !internal {
                continue;
            }
            match (cell, column.kind) {
                (Cell::Null, _) => map.serialize_entry(column.name, &())?,
                (Cell::Text(text), ColumnKind::PricingData) => {
                    map.serialize_entry(column.name, &pricing_data(text))?;
                }
                (Cell::Text(text), _) => map.serialize_entry(column.name, &**text)?,
                (Cell::Int(nanos), ColumnKind::Money) => {
                    map.serialize_entry(column.name, &Money::from_nanos(*nanos))?;
                }
                (Cell::Int(number), _) => map.serialize_entry(column.name, number)?,
            }
        }
        map.serialize_entry("created_at", &known(row.created_at))?;
        map.serialize_entry("cached_at", &row.cached_at)?;
        map.serialize_entry("sync_version", &row.version)?;
        map.serialize_entry("version", &row.version)?;
        map.end()
    }
}

fn nullable(schema: &Schema) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// The schema of a row of this entity.
pub fn mirror_schema(g: &mut SchemaGenerator, name: &str, entity: Entity) -> Schema {
    let (id, time, money) =
        (g.subschema_for::<IdText>(), g.subschema_for::<TimeText>(), g.subschema_for::<MoneyText>());
    let mut properties = Map::new();
    let mut required = vec!["id"];
    properties.insert("id".into(), json!(id));
    for column in entity.columns() {
        let mut schema = match column.kind {
            ColumnKind::Text(most) => json!({ "type": ["string", "null"], "maxLength": most }),
            ColumnKind::Id => nullable(&id),
            ColumnKind::Money => nullable(&money),
            ColumnKind::Decimal => json!({ "type": ["string", "null"] }),
            ColumnKind::Date => json!({ "type": ["string", "null"], "format": "date" }),
            ColumnKind::PricingData => {
                json!({ "description": "The program's rules; null if it has none that can be read." })
            }
        };
        if column.internal {
            schema["description"] = json!("Shown to keys of the platform only.");
        } else {
            required.push(column.name);
        }
        properties.insert(column.name.into(), schema);
    }
    properties.insert("created_at".into(), nullable(&time));
    properties.insert("cached_at".into(), json!(time));
    for version in ["sync_version", "version"] {
        properties.insert(version.into(), json!({ "type": "integer", "format": "int64" }));
    }
    required.extend(["created_at", "cached_at", "sync_version", "version"]);
    schema::defined(g, name, json!({ "type": "object", "properties": properties, "required": required }))
}

/// The epoch stands for a time that the platform did not send.
fn known(time: Timestamp) -> Option<Timestamp> {
    (time.micros() != 0).then_some(time)
}

/// Pricing data is YAML in the database and JSON on the wire; anything but YAML is null.
fn pricing_data(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TextId;

    fn row(entity: Entity, cells: &[(&str, Cell)]) -> MirrorRow {
        let cell = |name| cells.iter().find(|(n, _)| *n == name).map_or(Cell::Null, |(_, cell)| cell.clone());
        MirrorRow {
            id: TextId::parse("r-1").unwrap(),
            created_at: Timestamp::from_micros(0),
            version: 7,
            cached_at: Timestamp::from_seconds(1),
            cells: entity.columns().iter().map(|column| cell(column.name)).collect(),
            unreadable: false,
        }
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.into())
    }

    #[test]
    fn a_user_has_every_column_and_unknown_times_are_null() {
        let row = row(Entity::Users, &[("username", text("ann")), ("orgid", text("c-1"))]);
        assert_eq!(
            serde_json::to_value(MirrorBody::of(Entity::Users, &row, false)).unwrap(),
            json!({
                "id": "r-1", "username": "ann", "nick_name": null, "email": null, "mobile": null, "orgid": "c-1",
                "orgname": null, "user_status": null, "sync_from": null, "created_at": null,
                "cached_at": "1970-01-01T00:00:01.000000Z", "sync_version": 7, "version": 7,
            })
        );
    }

    #[test]
    fn internal_columns_are_for_the_platform() {
        for entity in Entity::ALL {
            let row = row(entity, &[]);
            let names = |internal| {
                let json = serde_json::to_value(MirrorBody::of(entity, &row, internal)).unwrap();
                json.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
            };
            for column in entity.columns() {
                assert!(names(true).iter().any(|name| name == column.name), "{entity}.{}", column.name);
                assert_eq!(names(false).iter().any(|name| name == column.name), !column.internal);
            }
        }
    }

    #[test]
    fn money_is_a_decimal_string() {
        let row = row(Entity::Llmage, &[("min_balance", Cell::Int(1_500_000_000))]);
        let json = serde_json::to_value(MirrorBody::of(Entity::Llmage, &row, false)).unwrap();
        assert_eq!(json["min_balance"], "1.5");
    }

    #[test]
    fn pricing_data_is_json_on_the_wire() {
        let yaml = "unit_values: {k: 1000}\npricings:\n  - unit_prices: 0.002\n    filters: [{model: {in: [a, b]}}]\n";
        assert_eq!(
            pricing_data(yaml),
            json!({"unit_values": {"k": 1000}, "pricings": [{"unit_prices": 0.002, "filters": [{"model": {"in": ["a", "b"]}}]}]})
        );
        for wrong in ["a: [", "a: 1\na: 2", ""] {
            assert_eq!(pricing_data(wrong), Value::Null, "{wrong}");
        }
    }

    #[test]
    fn pricing_data_that_unfolds_without_end_is_null() {
        let line = |i: usize| match i {
            0 => "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(),
            _ => format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", ")),
        };
        let bomb: String = (0..12).map(line).collect();
        assert_eq!(pricing_data(&bomb), Value::Null);
    }
}
