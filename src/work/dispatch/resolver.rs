//! Name resolution for the sender: only addresses that may be called come out of it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::base::text::quote;
use crate::model::address::{AddressClass, classify};
use crate::model::target::{AllowList, address_ok, address_ok_for_listed_name};

/// Name lookups that run at the same time. Each holds a thread for as long as the name service
/// keeps silent, and reads of the store share those threads.
const LOOKUPS_MAX: usize = 32;

/// A name that resolves only to addresses which may not be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} resolves to a {class} address, which may not be called", quote(.name))]
pub struct BlockedName {
    pub name: String,
    /// Of the first address in the answer.
    pub class: AddressClass,
}

/// Resolves names by the system's rules and lets only addresses through that may be called.
///
/// It is asked once per new connection and keeps nothing: the system's resolver has its own
/// cache, and an answer kept here would outlive a move of the agent.
#[derive(Clone, Debug)]
pub struct GuardedResolver {
    allow: Arc<AllowList>,
    lookups: Arc<Semaphore>,
}

impl GuardedResolver {
    pub fn new(allow: Arc<AllowList>) -> GuardedResolver {
        GuardedResolver { allow, lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let GuardedResolver { allow, lookups } = self.clone();
        Box::pin(async move {
            let permit = lookups.acquire_owned().await?;
            let host = name.as_str().to_owned();
            let found = tokio::task::spawn_blocking(move || {
                // Held by the thread, not by the request, which may long have given up.
                let _permit = permit;
                (host.as_str(), 0).to_socket_addrs().map(Vec::from_iter)
            })
            .await??;
            let open = admit(name.as_str(), found, &allow)?;
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

/// The addresses out of `found` that may be called; an error when there were only others.
fn admit(
    name: &str,
    mut found: Vec<SocketAddr>,
    allow: &AllowList,
) -> Result<Vec<SocketAddr>, BlockedName> {
    let check = if allow.has_name(name) { address_ok_for_listed_name } else { address_ok };
    let first = found.first().map(|at| classify(at.ip()));
    found.retain(|at| check(at.ip(), allow));
    match first {
        Some(class) if found.is_empty() => Err(BlockedName { name: name.to_owned(), class }),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(entries: &[&str]) -> AllowList {
        AllowList::parse(entries).unwrap()
    }

    #[test]
    fn resolved_addresses_are_sifted() {
        let at = |text: &str| -> Vec<SocketAddr> {
            text.split(' ').map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect()
        };
        let none = AllowList::default();
        assert_eq!(admit("a.example", at("10.0.0.1 8.8.8.8 ::1"), &none), Ok(at("8.8.8.8")));
        assert_eq!(
            admit("a.example", at("10.0.0.1 ::1"), &none),
            Err(BlockedName { name: "a.example".to_owned(), class: AddressClass::Private })
        );
        let some = allow(&["a.example", "192.168.7.0/24"]);
        assert_eq!(admit("a.example", at("10.0.0.1 ::1"), &some), Ok(at("10.0.0.1 ::1")));
        assert_eq!(admit("b.example", at("192.168.7.9"), &some), Ok(at("192.168.7.9")));
        assert!(admit("b.example", at("192.168.8.9"), &some).is_err());
        // Whoever holds a listed name still does not get at the machine's credentials.
        assert!(admit("a.example", at("169.254.169.254 224.0.0.1"), &some).is_err());
    }
}
