//! Routes with their descriptions, and the `OpenAPI` documents made from them.
//!
//! A router and its document come from the same list of routes, so neither can have a route that the other lacks.

use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// Media type of JSON bodies and answers.
pub(crate) const JSON: &str = "application/json";
/// Media type of server-sent events.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
/// Media type of plain text answers.
pub(crate) const TEXT: &str = "text/plain";

/// Makes the schema of one type.
type SchemaMaker = fn(&mut SchemaGenerator) -> Schema;

/// One route and what it does.
pub(crate) struct ApiRoute<S> {
    pub spec: RouteSpec,
    pub handler: MethodRouter<S>,
}

/// What the document says of a route.
pub(crate) struct RouteSpec {
    pub method: &'static str,
    /// The path, with parameters in braces; a star marks one that may hold slashes.
    pub path: &'static str,
    pub summary: &'static str,
    /// Names of the query parameters.
    pub query: &'static [&'static str],
    /// Whether the header `If-Match` is required.
    pub conditional: bool,
    /// Whether the route is open to clients without a key or token.
    pub public: bool,
    body: Option<SchemaMaker>,
    /// Media type and schema of the answer with status 200; several if the request chooses between them.
    answers: Vec<(&'static str, SchemaMaker)>,
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl RouteSpec {
    /// A route that answers `GET` with a `T`.
    pub fn get<T: JsonSchema>(path: &'static str, media_type: &'static str, summary: &'static str) -> Self {
        Self {
            method: "GET",
            path,
            summary,
            query: &[],
            conditional: false,
            public: false,
            body: None,
            answers: vec![(media_type, schema::<T>)],
        }
    }

    /// A route that answers a `POST` of a `B` with a `T`.
    pub fn post<B: JsonSchema, T: JsonSchema>(path: &'static str, summary: &'static str) -> Self {
        Self { method: "POST", body: Some(schema::<B>), ..Self::get::<T>(path, JSON, summary) }
    }

    /// A route that answers a `PATCH` of a `B` with a `T`.
    pub fn patch<B: JsonSchema, T: JsonSchema>(path: &'static str, summary: &'static str) -> Self {
        Self { method: "PATCH", ..Self::post::<B, T>(path, summary) }
    }

    /// The same route, open to clients without a key or token.
    pub fn public(self) -> Self {
        Self { public: true, ..self }
    }

    /// The same route, which requires the header `If-Match`.
    pub fn conditional(self) -> Self {
        Self { conditional: true, ..self }
    }

    /// The same route with these query parameters.
    pub fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    /// The same route, which also answers with a stream of `T`s.
    pub fn or_stream<T: JsonSchema>(mut self) -> Self {
        self.answers.push((EVENT_STREAM, schema::<T>));
        self
    }

    /// Binds the route to what answers it.
    pub fn handled_by<S>(self, handler: MethodRouter<S>) -> ApiRoute<S> {
        ApiRoute { spec: self, handler }
    }

    /// The path as a document writes it.
    fn documented_path(&self) -> String {
        self.path.replace("{*", "{")
    }

    fn operation(&self, generator: &mut SchemaGenerator, error: &Value) -> Value {
        let parameter = |name: &str, place: &str, required: bool| json!({"name": name, "in": place, "required": required, "schema": {"type": "string"}});
        let mut parameters: Vec<Value> = self.query.iter().map(|name| parameter(name, "query", false)).collect();
        let in_path = self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        parameters.extend(in_path.map(|name| parameter(name.trim_start_matches('*'), "path", true)));
        if self.conditional {
            parameters.push(parameter("If-Match", "header", true));
        }
        let answer = |(media_type, schema): &(&str, SchemaMaker)| {
            ((*media_type).to_owned(), json!({"schema": schema(generator)}))
        };
        let content: Map<String, Value> = self.answers.iter().map(answer).collect();
        let mut operation = json!({
            "summary": self.summary,
            "parameters": parameters,
            "responses": {
                "200": {"description": "Success.", "content": content},
                "default": {"description": "An error.", "content": {JSON: {"schema": error}}},
            },
        });
        if self.public {
            operation["security"] = json!([]);
        }
        if let Some(body) = self.body {
            operation["requestBody"] = json!({"required": true, "content": {JSON: {"schema": body(generator)}}});
        }
        operation
    }
}

/// Title and description of an API.
pub(crate) struct ApiInfo {
    pub title: &'static str,
    pub description: &'static str,
    /// What the bearer token of a request is, as the document says it.
    pub token: &'static str,
}

/// The `OpenAPI` 3.1 document of an API whose errors have the body `E`.
pub(crate) fn document<E: JsonSchema>(info: &ApiInfo, routes: impl IntoIterator<Item = RouteSpec>) -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| "/components/schemas".clone_into(settings.definitions_path.to_mut()));
    let mut generator = settings.into_generator();
    let error = serde_json::to_value(generator.subschema_for::<E>()).unwrap_or_default();
    let mut paths = Map::new();
    for route in routes {
        let operation = route.operation(&mut generator, &error);
        let path = paths.entry(route.documented_path()).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = operation;
    }
    let schemas = Value::Object(generator.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {"title": info.title, "version": env!("CARGO_PKG_VERSION"), "description": info.description},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": info.token}},
            "schemas": schemas,
        },
    })
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Checks that a document describes exactly these routes, and that every `$ref` in it leads to a schema.
    pub(crate) fn check_document(document: &Value, routes: &[RouteSpec]) {
        let mut described: Vec<(String, String)> = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            described
                .extend(operations.as_object().unwrap().keys().map(|method| (path.clone(), method.to_uppercase())));
        }
        let mut listed: Vec<_> =
            routes.iter().map(|route| (route.documented_path(), route.method.to_owned())).collect();
        described.sort();
        listed.sort();
        assert_eq!(described, listed);
        let mut references = Vec::new();
        find_references(document, &mut references);
        assert!(references.len() > 10);
        for reference in references {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }

    fn find_references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    found.push(reference.clone());
                }
                fields.values().for_each(|value| find_references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| find_references(item, found)),
            _ => {}
        }
    }
}
