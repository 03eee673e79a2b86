//! Which names the appliance answers to.
//!
//! Until somebody is let in, whoever reaches the address may act. A page of another site reaches
//! loopback by a name of its own that it points there (DNS rebinding); to the browser that is the
//! page's own origin. So a name that is neither an address, `localhost` nor listed is refused.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::error::Error;
use super::state::Front;
use crate::base::text::quote;
use crate::model::refusal::{Code, Refusal};

/// Refuses requests under foreign names.
pub async fn known(
    State(front): State<Front>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let header = request.headers().get(http::header::HOST);
    let given = match header {
        // A browser always sends one.
        None => return Ok(next.run(request).await),
        Some(value) => value.to_str().unwrap_or("?"),
    };
    if is_ours(given, &front.configuration.get().hosts) {
        return Ok(next.run(request).await);
    }
    let message = format!(
        "this appliance does not answer to {}: use its address, or list the name as `server.hosts`",
        quote(given)
    );
    Err(Error(Refusal::new(Code::Forbidden, message)))
}

fn is_ours(given: &str, hosts: &[String]) -> bool {
    let Ok(authority) = given.parse::<http::uri::Authority>() else { return false };
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|name| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_not_ours() {
        let hosts = vec!["tide.example".to_owned()];
        for ours in ["127.0.0.1:5440", "[::1]:5440", "localhost", "LOCALHOST:1", "Tide.Example:443"]
        {
            assert!(is_ours(ours, &hosts), "{ours}");
        }
        for foreign in ["evil.example", "127.0.0.1.evil.example:5440", "localhost.evil", "", "a b"]
        {
            assert!(!is_ours(foreign, &hosts), "{foreign}");
        }
    }
}
