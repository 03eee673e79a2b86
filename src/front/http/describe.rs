//! From the table of operations to `openapi.json` and to the reference page: one source for the
//! routes, the document and the page, so none of them can be out of date.

use axum::routing::MethodRouter;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::state::Front;
use super::who::COOKIE;
use crate::model::access::{Needs, Role};
use crate::model::refusal::{Code, Refusal};

/// One method on one path.
#[derive(Clone, Copy)]
pub struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    pub section: &'static str,
    /// Who may; what is not said follows from the method, on the safe side.
    pub needs: Option<Needs>,
    /// Whose things it is about.
    pub reach: Reach,
    pub summary: &'static str,
    pub notes: &'static [&'static str],
    /// Name, kind and meaning of each query parameter.
    pub query: &'static [(&'static str, &'static str, &'static str)],
    pub body: Option<Shape>,
    /// An example of a body.
    pub example: &'static str,
    /// Status and meaning of each answer but refusals.
    pub answers: &'static [(u16, &'static str)],
    pub answer: Option<Shape>,
    pub handler: fn() -> MethodRouter<Front>,
}

/// Whose things an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Things of orgs and envs: a caller that is bound to some sees and changes only theirs.
    Tenants,
    /// The same for all tenants, and telling nothing of any of them.
    Shared,
    /// The whole appliance: a caller that is bound to an org or env stays outside.
    House,
}

impl Operation {
    /// Who may. Where the table says nothing, looking is for those who look and the rest for
    /// operators.
    pub fn needs(&self) -> Needs {
        self.needs.unwrap_or(unsaid(self.method))
    }
}

/// What a route takes that says nothing.
pub fn unsaid(method: &str) -> Needs {
    if method == "GET" { Needs::View } else { Needs::Operate }
}

/// The schema of a type, with those it refers to.
pub type Shape = fn() -> (String, Vec<(String, Value)>);

/// The shape of `T`.
pub fn shape<T: ToSchema>() -> (String, Vec<(String, Value)>) {
    let mut found = Vec::new();
    T::schemas(&mut found);
    let name = T::name().into_owned();
    found.push((name.clone(), T::schema()));
    let found = found
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or(Value::Null)))
        .collect();
    (name, found)
}

/// The OpenAPI 3.1 document.
pub fn openapi(operations: &[Operation], version: &str) -> Value {
    let mut schemas = Map::new();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let entry = describe(operation, &mut schemas);
        let path = paths.entry(operation.path.to_owned()).or_insert_with(|| json!({}));
        path[operation.method.to_ascii_lowercase()] = entry;
    }
    schemas.insert("Error".to_owned(), error_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate",
            "version": version,
            "description": "A run appliance: takes runs, keeps them, delivers them and shows them.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "An API token." },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": COOKIE,
                    "description": "Of the pages.",
                },
            },
        },
    })
}

fn describe(operation: &Operation, schemas: &mut Map<String, Value>) -> Value {
    let mut parameters: Vec<Value> = path_names(operation.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    for (name, kind, meaning) in operation.query {
        parameters.push(json!({
            "name": name, "in": "query", "description": meaning,
            "schema": { "type": "string", "description": kind },
        }));
    }
    let mut entry = json!({
        "operationId": operation_id(operation),
        "summary": operation.summary,
        "tags": [operation.section],
        "parameters": parameters,
        "responses": {},
        "x-roles": operation.needs().roles().map(Role::as_str).collect::<Vec<_>>(),
    });
    if operation.needs() != Needs::Nothing {
        entry["security"] = json!([{ "token": [] }, { "session": [] }]);
    }
    if !operation.notes.is_empty() {
        entry["description"] = json!(operation.notes.join("\n\n"));
    }
    if let Some(body) = operation.body {
        let mut media = json!({ "schema": reference(body, schemas) });
        if let Ok(example) = serde_json::from_str::<Value>(operation.example) {
            media["example"] = example;
        }
        entry["requestBody"] = json!({ "content": { "application/json": media } });
    }
    for (status, meaning) in operation.answers {
        let mut answer = json!({ "description": meaning });
        if let (Some(shape), 200..=299) = (operation.answer, *status) {
            answer["content"] =
                json!({ "application/json": { "schema": reference(shape, schemas) } });
        }
        entry["responses"][status.to_string()] = answer;
    }
    entry["responses"]["default"] = json!({
        "description": "A refusal; `error.code` is one of the codes of the reference.",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    entry
}

/// Names in braces.
pub fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

pub fn operation_id(operation: &Operation) -> String {
    let path = operation.path.trim_start_matches("/v1").replace(['{', '}'], "");
    let words = path.split('/').filter(|part| !part.is_empty());
    let words: Vec<String> = words.map(|word| word.replace(['-', '.'], "_")).collect();
    format!("{}_{}", operation.method.to_ascii_lowercase(), words.join("_"))
}

fn reference(shape: Shape, schemas: &mut Map<String, Value>) -> Value {
    let (name, found) = shape();
    for (name, schema) in found {
        schemas.entry(name).or_insert(schema);
    }
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn error_schema() -> Value {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": { "type": "string", "enum": codes },
                "message": { "type": "string" },
                "details": { "type": "object" },
            },
        } },
        "example": { "error": {
            "code": "task_not_found",
            "message": Refusal::new(Code::TaskNotFound, "no task `resize`").message,
        } },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::front::http::table::{OPERATIONS, SECTIONS};

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, inner) in map {
                    match inner.as_str().filter(|_| key == "$ref") {
                        Some(text) => found.push(text.to_owned()),
                        None => references(inner, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn document_is_whole() {
        let document = openapi(OPERATIONS, "0");
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > OPERATIONS.len());
        for reference in found {
            let name = reference.strip_prefix("#/components/schemas/").expect("a local schema");
            assert!(document["components"]["schemas"][name].is_object(), "{reference}");
        }
        let paths = document["paths"].as_object().expect("an object of paths");
        let entries: Vec<&Value> =
            paths.values().flat_map(|path| path.as_object().expect("methods").values()).collect();
        assert_eq!(entries.len(), OPERATIONS.len(), "two operations share method and path");
        let ids: BTreeSet<&str> =
            entries.iter().filter_map(|e| e["operationId"].as_str()).collect();
        assert_eq!(ids.len(), OPERATIONS.len(), "operation ids repeat");
    }

    #[test]
    fn operations_are_told_well() {
        for operation in OPERATIONS {
            let name = format!("{} {}", operation.method, operation.path);
            assert!(SECTIONS.iter().any(|(anchor, ..)| *anchor == operation.section), "{name}");
            assert!(!operation.summary.is_empty() && !operation.summary.ends_with('.'), "{name}");
            assert!(operation.answers.iter().all(|(_, meaning)| !meaning.is_empty()), "{name}");
            if !operation.example.is_empty() {
                serde_json::from_str::<Value>(operation.example).expect(&name);
                assert!(operation.body.is_some(), "{name}");
            }
        }
    }
}
