//! Which receivers may be called: the guard against requests that are turned inward (SSRF).
//!
//! Whoever may register a task chooses a URL that Tidegate calls from inside the operator's
//! network. Three gates keep that from becoming a way in:
//! - [`check_url`] judges the URL as text, at registration and again before each request, since
//!   the allow list may have shrunk meanwhile;
//! - the same check judges a host that is an IP address, in every spelling that the URL standard
//!   folds into one (decimal, hex, octal, mapped), because such a host never meets a resolver;
//! - the sender's resolver drops what may not be called from the answer of the name service. The
//!   address that is checked is the address that is connected to, so a name that changes its
//!   answer between check and use gains nothing.
//!
//! Redirects and proxies would go around all three; the sender switches both off.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use super::address::{AddressClass, classify};
use crate::base::text::quote;
use crate::model::refusal::{Code, Refusal};

/// Longest URL of a receiver, in bytes, as given and as normalised.
pub const URL_BYTES_MAX: usize = 2_048;

/// Hosts and networks that push may reach although they are private (setting `push.allow`).
///
/// A listed name may also use `http`, any port, and resolve to private addresses. A listed
/// network opens its addresses, for names and for URLs that hold the address itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    /// Lower case, without a closing dot.
    names: Vec<String>,
    networks: Vec<IpNet>,
}

/// An entry of `push.allow` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {reason}", quote(.entry))]
pub struct BadEntry {
    pub entry: String,
    pub reason: &'static str,
}

/// As they are written, with a comma between two.
impl fmt::Display for AllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.iter().cloned();
        let all = names.chain(self.networks.iter().map(ToString::to_string));
        f.write_str(&all.collect::<Vec<_>>().join(", "))
    }
}

impl AllowList {
    /// Reads host names, addresses and networks; empty entries are skipped.
    pub fn parse<S: AsRef<str>>(entries: &[S]) -> Result<AllowList, BadEntry> {
        let mut list = AllowList::default();
        for entry in entries.iter().map(|entry| entry.as_ref().trim()).filter(|e| !e.is_empty()) {
            list.add(entry).map_err(|reason| BadEntry { entry: entry.to_owned(), reason })?;
        }
        Ok(list)
    }

    fn add(&mut self, entry: &str) -> Result<(), &'static str> {
        if entry.contains('/') {
            let network = entry.parse::<IpNet>().map_err(
                |_| "is not a network: expected an address and a length, such as `10.0.0.0/8`",
            )?;
            if matches!(network, IpNet::V6(v6) if v6.network().to_ipv4_mapped().is_some()) {
                return Err("is an IPv4 network in IPv6 clothes: write it as IPv4");
            }
            self.networks.push(network.trunc());
            return Ok(());
        }
        let expected = "is neither a host name nor an address nor a network: \
                        expected one of the forms `agent.internal`, `10.1.2.3`, `10.0.0.0/8`";
        // A bare IPv6 address is no host by the URL standard, which wants it in brackets.
        let host = match entry.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => Host::Ipv4(address),
            Ok(IpAddr::V6(address)) => Host::Ipv6(address),
            Err(_) => Host::parse(entry).map_err(|_| expected)?,
        };
        match host {
            Host::Ipv4(address) => self.networks.push(IpAddr::V4(address).into()),
            Host::Ipv6(address) => self.networks.push(IpAddr::V6(address).to_canonical().into()),
            Host::Domain(name) if name.contains('*') => {
                return Err("has a `*`: list every host by its full name");
            }
            Host::Domain(name) => match bare(&name) {
                "" => return Err(expected),
                name => self.names.push(name.to_owned()),
            },
        }
        Ok(())
    }

    /// Whether a name is listed itself. `name` is lower case, as the URL standard leaves it.
    pub fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|listed| listed == bare(name))
    }

    /// Whether an address lies in a listed network.
    pub fn covers(&self, address: IpAddr) -> bool {
        // `::ffff:10.1.2.3` and `10.1.2.3` are one machine.
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// Whether an address may be called.
pub fn address_ok(address: IpAddr, allow: &AllowList) -> bool {
    classify(address) == AddressClass::Public || allow.covers(address)
}

/// Whether an address may be called when a name on the allow list resolved to it: also the
/// private kinds that an agent can live on, but never metadata, link-local or multicast.
pub fn address_ok_for_listed_name(address: IpAddr, allow: &AllowList) -> bool {
    let inside = [AddressClass::Private, AddressClass::Loopback, AddressClass::Shared];
    inside.contains(&classify(address)) || address_ok(address, allow)
}

/// Reads the URL of a receiver and says why it may not be called. The result is normalised, so
/// its text is what should be stored and shown.
pub fn check_url(text: &str, allow: &AllowList) -> Result<Url, Refusal> {
    let refuse = |message: String| Err(Refusal::new(Code::InvalidUrl, message));
    if text.len() > URL_BYTES_MAX {
        return refuse(format!(
            "expected a URL of at most {URL_BYTES_MAX} bytes, given {}",
            text.len()
        ));
    }
    // The URL standard strips these without a word; what is stored should be what was meant.
    if text.chars().any(|c| c.is_ascii_control() || c == ' ') {
        return refuse("a URL holds no blanks and no control characters".to_owned());
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(why) => return refuse(format!("{} is not a URL: {why}", quote(text))),
    };
    if url.as_str().len() > URL_BYTES_MAX {
        return refuse(format!("the URL is longer than {URL_BYTES_MAX} bytes when escaped"));
    }
    if !matches!(url.scheme(), "https" | "http") {
        return refuse(format!("expected a URL with `https`, given {}", quote(url.scheme())));
    }
    // Says nothing of what stands there: it may be a password.
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("a URL may not hold a user name or a password".to_owned());
    }
    if url.fragment().is_some() {
        return refuse("a URL may not have a fragment (`#`): it would never be sent".to_owned());
    }
    check_host(&url, allow).map_err(|why| Refusal::new(Code::InvalidUrl, why))?;
    Ok(url)
}

fn check_host(url: &Url, allow: &AllowList) -> Result<(), String> {
    let Some(host) = url.host() else {
        return Err("a URL needs a host".to_owned());
    };
    let address = match &host {
        Host::Ipv4(v4) => Some(IpAddr::V4(*v4)),
        Host::Ipv6(v6) => Some(IpAddr::V6(*v6)),
        Host::Domain(_) => None,
    };
    let listed = match (&host, address) {
        (_, Some(address)) => allow.covers(address),
        (Host::Domain(name), None) => allow.has_name(name),
        _ => false,
    };
    if listed {
        // Port 0 cannot be connected to.
        return if url.port() == Some(0) {
            Err("port 0 does not exist".to_owned())
        } else {
            Ok(())
        };
    }
    let advice = "list the host in `push.allow` if it should be";
    if let Some(class) = address.map(classify).filter(|class| *class != AddressClass::Public) {
        return Err(format!("`{host}` is a {class} address and may not be called: {advice}"));
    }
    if url.scheme() != "https" {
        return Err(format!("`{host}` may not be called with `http`, only `https`: {advice}"));
    }
    match url.port_or_known_default() {
        Some(80 | 443) => Ok(()),
        port => Err(format!(
            "`{host}` may only be called on port 80 or 443, given {}: {advice}",
            port.unwrap_or(0)
        )),
    }
}

/// A closing dot means the same host.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(entries: &[&str]) -> AllowList {
        AllowList::parse(entries).unwrap()
    }

    #[track_caller]
    fn check(list: &[&str], url: &str) -> String {
        match check_url(url, &allow(list)) {
            Ok(url) => url.to_string(),
            Err(refusal) => {
                assert_eq!(refusal.code, Code::InvalidUrl);
                refusal.message
            }
        }
    }

    #[test]
    fn public_https_urls_pass() {
        for url in [
            "https://agent.example/run",
            "https://agent.example:80/run?a=b",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
        ] {
            assert_eq!(check(&[], url), url);
        }
        assert_eq!(check(&[], "HTTPS://Agent.Example"), "https://agent.example/");
    }

    #[test]
    fn refused_urls_say_why() {
        for (url, why) in [
            ("", "is not a URL"),
            ("agent.example", "is not a URL"),
            ("ftp://agent.example/", "expected a URL with `https`, given `ftp`"),
            ("file:///etc/passwd", "expected a URL with `https`, given `file`"),
            ("https://me@agent.example/", "user name"),
            ("https://:secret@agent.example/", "may not hold a user name or a password"),
            ("https://agent.example/#top", "fragment"),
            ("https://agent.example/a b", "no blanks"),
            ("https://agent.example/\n", "control characters"),
            ("http://agent.example/", "may not be called with `http`"),
            ("https://agent.example:8443/", "only be called on port 80 or 443, given 8443"),
            ("https://agent.example:0/", "only be called on port"),
        ] {
            let said = check(&[], url);
            assert!(said.contains(why), "{url}: {said}");
            assert!(!said.contains("secret"));
        }
        let long = format!("https://agent.example/{}", "x".repeat(URL_BYTES_MAX));
        assert!(check(&[], &long).contains("at most 2048 bytes, given 2070"));
        let escaped = format!("https://agent.example/{}", "ä".repeat(700));
        assert!(check(&[], &escaped).contains("when escaped"));
    }

    #[test]
    fn every_spelling_of_loopback_is_refused() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "017700000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
        ] {
            let said = check(&[], &format!("https://{host}/"));
            assert!(said.contains("is a loopback address"), "{host}: {said}");
        }
        for (host, class) in [
            ("0", "unspecified"),
            ("[::]", "unspecified"),
            ("169.254.169.254", "cloud metadata"),
            ("[::127.0.0.1]", "tunnel"),
            ("[2002:7f00:1::]", "tunnel"),
            ("192.168.1.1", "private"),
        ] {
            let said = check(&[], &format!("https://{host}/"));
            assert!(said.contains(class), "{host}: {said}");
        }
    }

    #[test]
    fn listed_hosts_may_use_http_and_any_port() {
        let list = ["127.0.0.0/8", "10.1.2.3", " Agent.Internal. ", "localhost", "::1", ""];
        for url in [
            "http://127.9.9.9:8080/",
            "http://[::ffff:7f00:1]:9/",
            "http://10.1.2.3/",
            "http://agent.internal:81/",
            "http://agent.internal./",
            "http://localhost:3000/run",
            "http://[::1]:3000/",
        ] {
            assert_eq!(check(&list, url), url);
        }
        for url in ["http://10.1.2.4/", "http://x.agent.internal/", "https://localhost.evil:8/"] {
            assert!(check(&list, url).contains("may"), "{url}");
        }
        assert!(check(&list, "http://localhost:0/").contains("port 0"));
    }

    #[test]
    fn bad_allow_entries_are_named() {
        for (entry, why) in [
            ("10.0.0.0/99", "`10.0.0.0/99` is not a network"),
            ("agent/8", "`agent/8` is not a network"),
            ("http://agent", "`http://agent` is not a network"),
            ("::ffff:10.0.0.0/104", "write it as IPv4"),
            ("agent:80", "`agent:80` is neither"),
            ("a b", "`a b` is neither"),
            (".", "`.` is neither"),
            ("*.internal", "`*.internal` has a `*`"),
        ] {
            let bad = AllowList::parse(&["localhost", entry]).unwrap_err();
            assert!(bad.to_string().contains(why), "{bad}");
        }
    }
}
