//! `tidegate user`: those who sign in to the pages, beside a running appliance or without it.
//!
//! Passwords are never arguments: those are seen by everyone on the machine.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::beside::Ask;
use super::exit::{self, Failure};
use super::token::{Listing, segment, text};

/// Add, list and remove users of the pages, and set their passwords.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidegate user add --name ada --role admin")]
pub struct User {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Add a user; the password is asked for, or the first line of standard input.
    #[command(
        after_help = "Example:\n  tidegate user add --name ada --role admin --password-file ./password"
    )]
    Add(Add),
    /// Set a user's password; it ends the user's sessions.
    #[command(after_help = "Example:\n  tidegate user passwd --name ada < ./password")]
    Passwd(Passwd),
    /// List users.
    #[command(after_help = "Example:\n  tidegate user list --json")]
    List(Listing),
    /// Remove a user.
    #[command(after_help = "Example:\n  tidegate user remove --name ada")]
    Remove(Named),
}

#[derive(Debug, Args)]
struct Named {
    #[arg(long)]
    name: String,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Debug, Args)]
struct Passwd {
    #[command(flatten)]
    named: Named,
    /// Read the password from the first line of this file.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Add {
    /// admin, operator, producer, worker or viewer.
    #[arg(long)]
    role: String,
    #[command(flatten)]
    passwd: Passwd,
}

impl User {
    pub fn run(self) -> i32 {
        match self.act {
            Act::Add(Add { role, passwd }) => {
                let path = "/v1/users".to_owned();
                let body = json!({ "name": passwd.named.name, "role": role });
                passwd.send(Method::POST, path, body, "added")
            }
            Act::Passwd(passwd) => {
                let path = format!("/v1/users/{}/password", segment(&passwd.named.name));
                passwd.send(Method::PUT, path, json!({}), "set the password of")
            }
            Act::List(listing) => {
                let ask = Ask::new(Method::GET, "/v1/users");
                listing.print(ask, Value::clone, |answer| table(&answer["users"]))
            }
            Act::Remove(Named { name, listing }) => {
                let ask = Ask::new(Method::DELETE, format!("/v1/users/{}", segment(&name)));
                let removed = json!({ "removed": name });
                listing.print(ask, |_| removed, |_| format!("removed `{name}`"))
            }
        }
    }
}

impl Passwd {
    fn send(self, method: Method, path: String, mut body: Value, done: &str) -> i32 {
        match password(self.password_file.as_deref()) {
            Ok(password) => body["password"] = password.into(),
            Err(error) => {
                let from =
                    self.password_file.as_deref().map(|file| format!(" from `{}`", file.display()));
                let what =
                    format!("the password cannot be read{}: {error}", from.unwrap_or_default());
                return Failure::new(exit::FAILED, what).tell(self.named.listing.json);
            }
        }
        let ask = Ask::new(method, path).body(body);
        let said = |answer: &Value| format!("{done} `{}`", text(answer, "name"));
        self.named.listing.print(ask, Value::clone, said)
    }
}

fn table(users: &Value) -> String {
    let mut out = format!("{:<30}{:<12}{}", "NAME", "ROLE", "CREATED");
    for user in users.as_array().into_iter().flatten() {
        let (name, role) = (text(user, "name"), text(user, "role"));
        out += &format!("\n{name:<30}{role:<12}{}", text(user, "created_at"));
    }
    out
}

/// The first line of the file or of standard input; at a terminal it is asked for, unseen.
fn password(file: Option<&Path>) -> io::Result<String> {
    let line = match file {
        Some(path) => std::fs::read_to_string(path)?.lines().next().unwrap_or_default().to_owned(),
        None if io::stdin().is_terminal() => {
            eprint!("Password: ");
            io::stderr().flush()?;
            // Without the tool the password is seen while it is typed, and works all the same.
            let echo = |word| Command::new("stty").arg(word).status();
            let hidden = echo("-echo");
            let line = read_line();
            if hidden.is_ok() {
                let _ = echo("echo");
                eprintln!();
            }
            line?
        }
        None => read_line()?,
    };
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}
