//! The `OpenAPI` 3.1 document of a service, generated from its table of routes.

use super::problem;
use super::route::{Answer, Method, Parameter, Place, Route};
use serde_json::{Map, Value, json};

/// Statuses that any request can end with, before a route matches or while it is handled.
const ANYWHERE: [u16; 6] = [400, 403, 408, 431, 503, 504];

pub(super) struct About<'a> {
    pub(super) title: &'a str,
    pub(super) description: &'a str,
    pub(super) schemas: &'a str,
    pub(super) needs_token: bool,
}

pub(super) fn document<W>(service: &About<'_>, routes: &[Route<W>]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method.as_str().to_ascii_lowercase()] = operation(route, service.needs_token);
    }
    let mut schemas: Value =
        serde_json::from_str(service.schemas).expect("the schemas are constants and tested");
    schemas["Problem"] = problem_schema();
    schemas["Health"] = json!({"type": "object", "required": ["status"],
        "properties": {"status": {"const": "ok"}}});
    schemas["OpenApi"] = json!({"type": "object", "required": ["openapi", "info", "paths"]});
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": service.title,
            "description": service.description,
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT or Apache 2.0", "identifier": env!("CARGO_PKG_LICENSE")},
        },
        // relative to the address that the document was fetched from
        "servers": [{"url": "/"}],
        "security": if service.needs_token { json!([{"token": []}]) } else { json!([]) },
        "paths": paths,
        "components": {"schemas": schemas},
    });
    if service.needs_token {
        document["components"]["securitySchemes"] =
            json!({"token": {"type": "http", "scheme": "bearer"}});
    }
    document
}

fn operation<W>(route: &Route<W>, needs_token: bool) -> Value {
    let mut operation = json!({
        "operationId": route.operation,
        "summary": route.about,
        "parameters": route.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": responses(route, needs_token),
    });
    if let Some(schema) = route.body {
        operation["requestBody"] = json!({"required": true,
            "content": {"application/json": {"schema": reference(schema)}}});
    }
    if needs_token && route.is_open {
        operation["security"] = json!([]);
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    json!({
        "name": parameter.name, "in": place, "required": parameter.is_required,
            "description": parameter.about, "schema": parameter.schema(),
    })
}

fn responses<W>(route: &Route<W>, needs_token: bool) -> Value {
    let mut responses = Map::new();
    for answer in &route.answers {
        responses.insert(answer.status.to_string(), response(answer));
    }
    if route.method == Method::Get {
        responses.insert("304".to_owned(), json!({"description": "Not modified."}));
    }
    let body: &[u16] = if route.body.is_some() { &[411, 413, 415, 422] } else { &[411, 413] };
    let token: &[u16] = if needs_token && !route.is_open { &[401] } else { &[] };
    for status in ANYWHERE.iter().chain(body).chain(token).chain(&route.problems) {
        let description = problem::Problem::new(*status, "").title();
        let content = json!({problem::MEDIA: {"schema": reference("Problem")}});
        responses
            .insert(status.to_string(), json!({"description": description, "content": content}));
    }
    let mut responses: Vec<_> = responses.into_iter().collect();
    responses.sort_by(|one, two| one.0.cmp(&two.0));
    Value::Object(responses.into_iter().collect())
}

fn response(answer: &Answer) -> Value {
    let mut response = json!({"description": answer.about});
    if let Some(media) = answer.media {
        let schema = answer.schema.map_or_else(|| json!({"type": "string"}), reference);
        response["content"] = json!({media: {"schema": schema}});
    }
    response
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "pattern": "^urn:agent:problem:[a-z0-9-]+$"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string"},
            "hint": {"type": "string", "description": "What to do next."},
        },
        "additionalProperties": false,
    })
}
