//! `tidegate token`: tokens for programs, beside a running appliance or without it.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::beside::{Ask, Place};
use super::exit;

/// Make, list and revoke API tokens.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tidegate token create --name ci --role producer --org acme --json"
)]
pub struct Token {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Make a token and print it: it is shown this one time.
    #[command(
        after_help = "Example:\n  tidegate token create --name ci --role producer --expires 90d"
    )]
    Create(Create),
    /// List tokens, those included that are over.
    #[command(after_help = "Example:\n  tidegate token list --json")]
    List(Listing),
    /// Revoke a token: it is refused from then on.
    #[command(
        after_help = "Example:\n  tidegate token revoke 0193b2c4-5d6e-7f80-9a1b-2c3d4e5f6a7b"
    )]
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct Create {
    /// What it is for, to know it by in lists and in the audit log.
    #[arg(long)]
    name: String,
    /// admin, operator, producer, worker or viewer.
    #[arg(long)]
    role: String,
    /// Only things of this org.
    #[arg(long)]
    org: Option<String>,
    /// Only things of envs of this name.
    #[arg(long)]
    env: Option<String>,
    /// How long it is good, such as 90d; for ever unless given.
    #[arg(long, value_name = "SPAN")]
    expires: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Debug, Args)]
struct Revoke {
    /// As `token list` shows it.
    id: String,
    #[command(flatten)]
    listing: Listing,
}

/// Where to ask, and how to print.
#[derive(Debug, Args)]
pub struct Listing {
    #[command(flatten)]
    pub place: Place,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Listing {
    /// Asks, and prints the answer in one of two ways.
    pub fn print(
        &self,
        ask: Ask,
        as_json: impl FnOnce(&Value) -> Value,
        as_text: impl FnOnce(&Value) -> String,
    ) -> i32 {
        match self.place.ask(ask) {
            Ok(answer) if self.json => {
                say!("{}", as_json(&answer));
                exit::DONE
            }
            Ok(answer) => {
                say!("{}", as_text(&answer));
                exit::DONE
            }
            Err(failure) => failure.tell(self.json),
        }
    }
}

/// A text of an answer, a dash for none.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("-")
}

impl Token {
    pub fn run(self) -> i32 {
        match self.act {
            Act::Create(create) => create.run(),
            Act::List(listing) => {
                let ask = Ask::new(Method::GET, "/v1/tokens");
                listing.print(ask, Value::clone, |answer| table(&answer["tokens"]))
            }
            Act::Revoke(revoke) => {
                let ask = Ask::new(Method::DELETE, format!("/v1/tokens/{}", segment(&revoke.id)));
                revoke.listing.print(ask, Value::clone, |answer| {
                    format!("revoked `{}`", text(answer, "name"))
                })
            }
        }
    }
}

/// A word as a part of a path.
pub fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl Create {
    fn run(self) -> i32 {
        let mut body = json!({ "name": self.name, "role": self.role });
        for (field, value) in [("org", self.org), ("env", self.env), ("expires_in", self.expires)] {
            if let Some(value) = value {
                body[field] = value.into();
            }
        }
        self.listing.print(
            Ask::new(Method::POST, "/v1/tokens").body(body),
            |answer| json!({ "id": answer["id"], "token": answer["token"] }),
            |answer| {
                format!(
                    "{}\n\nIt is shown this one time; its id is {}.",
                    text(answer, "token"),
                    text(answer, "id")
                )
            },
        )
    }
}

fn table(tokens: &Value) -> String {
    let mut out = format!("{:<38}{:<20}{:<10}{:<20}{}", "ID", "NAME", "ROLE", "ORG/ENV", "STATE");
    for token in tokens.as_array().into_iter().flatten() {
        let state = match (token["live"].as_bool(), token["revoked_at"].as_str()) {
            (Some(true), _) => "live",
            (_, Some(_)) => "revoked",
            _ => "expired",
        };
        let bounds = format!("{}/{}", text(token, "org"), text(token, "env"));
        let (id, name, role) = (text(token, "id"), text(token, "name"), text(token, "role"));
        out += &format!("\n{id:<38}{name:<20}{role:<10}{bounds:<20}{state}");
    }
    out
}
