//! `GET /docs`: the reference, out of the same tables as the routes and the OpenAPI document.

use axum::extract::State;
use serde_json::Value;

use super::html;
use super::look::Look;
use super::overview::first_run;
use crate::front::dashboard::docs::{
    DocsPage, ErrorCode, Operation, OutcomeCode, Parameter, Response, Section,
};
use crate::front::dashboard::shell::Shell;
use crate::front::http::describe::{self, operation_id, path_names};
use crate::front::http::error::Answer;
use crate::front::http::state::Front;
use crate::front::http::table::{OPERATIONS, SECTIONS};
use crate::model::access::{Needs, Role};
use crate::model::outcome::code;
use crate::model::refusal::Code;

/// Fields of fields that are listed, as `delivery.push.url`.
const DEPTH_MAX: usize = 3;

pub async fn show(State(front): State<Front>) -> Answer {
    let look = Look::take(&front)?;
    let task = front.appliance.tasks(None, 1)?;
    let shell = look.shell(&front, "API reference", "/docs", "/docs".to_owned());
    Ok(html(
        200,
        &DocsPage {
            shell: Shell { live: false, ..shell },
            first_run_curl: first_run(&front.about.address, task.first()),
            sections: sections(),
            errors: errors(),
            outcomes: outcomes(),
        },
    ))
}

fn sections() -> Vec<Section> {
    let section = |(anchor, title, intro): &(&str, &str, &str)| Section {
        anchor: (*anchor).to_owned(),
        title: (*title).to_owned(),
        intro: (*intro).to_owned(),
        operations: OPERATIONS
            .iter()
            .filter(|operation| operation.section == *anchor)
            .map(operation)
            .collect(),
    };
    SECTIONS.iter().map(section).collect()
}

/// Who may, in words.
fn roles(operation: &describe::Operation) -> String {
    let roles: Vec<&str> = operation.needs().roles().map(Role::as_str).collect();
    match operation.needs() {
        Needs::Nothing => String::new(),
        Needs::Read => "every role".to_owned(),
        _ => roles.join(" or "),
    }
}

fn operation(operation: &describe::Operation) -> Operation {
    Operation {
        anchor: operation_id(operation),
        method: operation.method.to_owned(),
        path: operation.path.to_owned(),
        summary: operation.summary.to_owned(),
        notes: operation.notes.iter().map(|note| (*note).to_owned()).collect(),
        roles: roles(operation),
        parameters: parameters(operation),
        example: operation.example.to_owned(),
        responses: operation
            .answers
            .iter()
            .map(|(status, meaning)| Response {
                status: status.to_string(),
                meaning: (*meaning).to_owned(),
            })
            .collect(),
    }
}

fn parameters(operation: &describe::Operation) -> Vec<Parameter> {
    let path = path_names(operation.path).map(|name| Parameter {
        name: name.to_owned(),
        place: "path".to_owned(),
        kind: if name == "name" { "name" } else { "id" }.to_owned(),
        required: true,
        meaning: String::new(),
    });
    let query = operation.query.iter().map(|(name, kind, meaning)| Parameter {
        name: (*name).to_owned(),
        place: "query".to_owned(),
        kind: (*kind).to_owned(),
        required: false,
        meaning: (*meaning).to_owned(),
    });
    let mut all: Vec<Parameter> = path.chain(query).collect();
    if let Some(shape) = operation.body {
        let (name, known) = shape();
        let schemas = Schemas(known);
        if let Some(schema) = schemas.named(&name) {
            schemas.fields(schema, "", true, 1, &mut all);
        }
    }
    all
}

/// The schemas that a body refers to, by name.
struct Schemas(Vec<(String, Value)>);

impl Schemas {
    fn named(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, schema)| schema)
    }

    /// The schema itself behind a reference or an option.
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        if let Some(target) = schema["$ref"].as_str() {
            let name = target.rsplit('/').next().unwrap_or(target);
            return self.named(name).unwrap_or(schema);
        }
        let choices = schema["oneOf"].as_array().or(schema["allOf"].as_array());
        let choice = choices.into_iter().flatten().find(|choice| choice["type"] != "null");
        choice.map_or(schema, |choice| self.resolved(choice))
    }

    /// Adds the fields of an object, and theirs below them.
    fn fields(
        &self,
        schema: &Value,
        prefix: &str,
        needed: bool,
        depth: usize,
        into: &mut Vec<Parameter>,
    ) {
        let required = |name: &str| {
            schema["required"].as_array().into_iter().flatten().any(|known| known == name)
        };
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let inner = self.resolved(field);
            let needed = needed && required(name);
            let path = format!("{prefix}{name}");
            into.push(Parameter {
                name: path.clone(),
                place: "body".to_owned(),
                kind: kind(inner),
                required: needed,
                meaning: meaning(field, inner),
            });
            if depth < DEPTH_MAX {
                self.fields(inner, &format!("{path}."), needed, depth + 1, into);
            }
        }
    }
}

fn meaning(field: &Value, inner: &Value) -> String {
    let text = field["description"].as_str().or(inner["description"].as_str());
    text.unwrap_or_default().replace('\n', " ")
}

fn kind(schema: &Value) -> String {
    let word = match &schema["type"] {
        Value::String(word) => word.as_str(),
        Value::Array(words) => words
            .iter()
            .filter_map(Value::as_str)
            .find(|word| *word != "null")
            .unwrap_or("any JSON"),
        _ => "any JSON",
    };
    match word {
        "array" => format!("array of {}", kind(&schema["items"])),
        word => word.to_owned(),
    }
}

fn errors() -> Vec<ErrorCode> {
    let error = |code: &Code| ErrorCode {
        code: code.as_str().to_owned(),
        status: u64::from(code.class().http_status()),
        meaning: code.meaning().to_owned(),
    };
    Code::ALL.iter().map(error).collect()
}

fn outcomes() -> Vec<OutcomeCode> {
    let outcome = |(code, meaning): &(&str, &str)| OutcomeCode {
        code: (*code).to_owned(),
        meaning: (*meaning).to_owned(),
    };
    code::ALL.iter().map(outcome).collect()
}
