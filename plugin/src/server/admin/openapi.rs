//! The `OpenAPI` document, made from the list of routes and the wire types.

use rsd_protocol::error::ErrorBody;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::routes::{Endpoint, endpoints};

/// `OpenAPI` 3.1 of the admin API.
pub(super) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| "/components/schemas".clone_into(settings.definitions_path.to_mut()));
    let mut generator = settings.into_generator();
    let error = serde_json::to_value(generator.subschema_for::<ErrorBody>()).unwrap_or_default();
    let mut paths = Map::new();
    for endpoint in endpoints() {
        let operation = operation(&endpoint, &mut generator, &error);
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.to_lowercase()] = operation;
    }
    let schemas = Value::Object(generator.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "mistralrs-rsd admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The policy of a serving RSD server: see it, foresee a change, change it, go back.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    })
}

fn operation(endpoint: &Endpoint, generator: &mut schemars::SchemaGenerator, error: &Value) -> Value {
    let text = |name: &str, place: &str, required: bool| json!({"name": name, "in": place, "required": required, "schema": {"type": "string"}});
    let mut parameters: Vec<Value> = endpoint.query.iter().map(|name| text(name, "query", false)).collect();
    parameters
        .extend(endpoint.path.split('{').skip(1).filter_map(|rest| Some(text(rest.split('}').next()?, "path", true))));
    if endpoint.conditional {
        parameters.push(text("If-Match", "header", true));
    }
    let kind = if endpoint.path == rsd_protocol::routes::EVENTS { "text/event-stream" } else { "application/json" };
    let mut operation = json!({
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "done", "content": {kind: {"schema": (endpoint.answer)(generator)}}},
            "default": {"description": "refused", "content": {"application/json": {"schema": error}}},
        },
    });
    if let Some(body) = endpoint.body {
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": body(generator)}}});
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` in a document.
    fn references(value: &Value, all: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    all.push(reference.clone());
                }
                fields.values().for_each(|value| references(value, all));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, all)),
            _ => {}
        }
    }

    #[test]
    fn the_document_names_every_route_and_every_reference_leads_somewhere() {
        let document = document();
        for endpoint in endpoints() {
            let operation = &document["paths"][endpoint.path][endpoint.method.to_lowercase()];
            assert_eq!(operation["summary"], endpoint.summary);
        }
        let mut all = Vec::new();
        references(&document, &mut all);
        assert!(all.len() > 20);
        for reference in all {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }
}
