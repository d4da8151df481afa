//! Which host names a request may give.
//!
//! This protects from DNS rebinding: a web page can make a name of its own point to a server that only its visitor can
//! reach, but the requests of the page then carry that name. It cannot do so with an address.

use std::net::IpAddr;

/// Whether a `Host` header, or the authority of a URI, is an address, `localhost` or one of `hosts`.
pub(crate) fn is_allowed_host(host: &str, hosts: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    ["localhost"].into_iter().chain(hosts.iter().map(String::as_str)).any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_configured_names_pass() {
        let hosts = ["rsd.example.org".to_owned()];
        for host in [
            "localhost",
            "localhost:1235",
            "127.0.0.1:1",
            "[::1]:1235",
            "[::1]",
            "192.168.1.5:1235",
            "RSD.example.org:80",
        ] {
            assert!(is_allowed_host(host, &hosts), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:1235", "[evil.example]:1"] {
            assert!(!is_allowed_host(host, &hosts), "{host}");
        }
    }
}
