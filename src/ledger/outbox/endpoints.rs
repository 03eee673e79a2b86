//! Operators' acts on endpoints.

use crate::base::name::Name;
use crate::base::text::quote;
use crate::base::time::Span;
use crate::model::breaker::Reason;
use crate::model::endpoint::Endpoint;
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::signature::Secret;
use crate::store::fault::Stop;
use crate::store::kinds::endpoint as rows;
use crate::store::tx::Tx;

pub fn must_get(tx: &Tx<'_>, name: &Name) -> Result<Endpoint, Stop> {
    Ok(rows::get(tx, name)?.ok_or_else(|| not_found(name.as_str()))?)
}

pub fn not_found(name: &str) -> Refusal {
    Refusal::new(Code::EndpointNotFound, format!("no endpoint {}", quote(name)))
}

/// Lets a disabled endpoint try again, with one probe first.
pub fn enable(tx: &mut Tx<'_>, name: &Name) -> Result<Endpoint, Stop> {
    let mut endpoint = must_get(tx, name)?;
    endpoint.breaker.enable(tx.now());
    rows::put(tx, &endpoint);
    tx.notify(Notice::Work(name.clone()));
    Ok(endpoint)
}

pub fn disable(tx: &mut Tx<'_>, name: &Name) -> Result<Endpoint, Stop> {
    let mut endpoint = must_get(tx, name)?;
    let news = endpoint.breaker.disable(tx.now(), Reason::Operator);
    rows::put(tx, &endpoint);
    for item in news {
        super::outcome::tell(tx, name, item);
    }
    Ok(endpoint)
}

/// The new secret signs from now on; the old one beside it for `overlap`.
pub fn rotate(
    tx: &mut Tx<'_>,
    name: &Name,
    secret: Secret,
    overlap: Span,
) -> Result<Endpoint, Stop> {
    let mut endpoint = must_get(tx, name)?;
    endpoint.secrets.rotate(secret, tx.now(), overlap);
    rows::put(tx, &endpoint);
    tx.notify(Notice::Page);
    Ok(endpoint)
}
