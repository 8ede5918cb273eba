//! A host that operators may be granted requests to.

use std::fmt;
use url::Url;

/// A host, as `grants = ["http:HOST"]` names it: a name or an address, and a port where it is not the scheme's own.
///
/// Names are compared as URLs write them: in lower case, addresses in their usual form. A grant is for this one host, not
/// for those of the domain below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpHost {
    host: String,
    port: Option<u16>,
}

impl HttpHost {
    /// Reads `api.example.org`, `localhost:8080`, `[::1]:8080`; `None` if it is no such thing.
    pub fn parse(text: &str) -> Option<HttpHost> {
        let has_port = text.rfind(':').is_some_and(|colon| colon > text.rfind(']').unwrap_or(0));
        let url = Url::parse(&format!("http://{text}")).ok()?;
        // There is no grant of several hosts.
        let is_more = text.contains('*')
            || url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || text.contains(['/', '@']);
        if is_more || text.ends_with(':') {
            return None;
        }
        let port = if has_port { url.port_or_known_default() } else { None };
        Some(HttpHost { host: url.host_str()?.to_owned(), port })
    }

    /// The host that a request to `url` goes to; `None` if that is none over HTTP.
    pub fn of(url: &Url) -> Option<HttpHost> {
        let default = match url.scheme() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let port = url.port_or_known_default().filter(|&port| port != default);
        Some(HttpHost { host: url.host_str()?.to_owned(), port })
    }

    /// Whether a grant of this host is one for requests to `url`: over `http` or `https`, at the scheme's own port if it
    /// names none.
    pub fn allows(&self, url: &Url) -> bool {
        let port = |of: &HttpHost| of.port.or(url.port_or_known_default());
        HttpHost::of(url).is_some_and(|asked| match self.port {
            Some(_) => asked.host == self.host && port(&asked) == self.port,
            None => asked == *self,
        })
    }
}

impl fmt::Display for HttpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::HttpHost;
    use url::Url;

    #[test]
    fn a_grant_is_for_one_host_and_port() {
        let cases = [
            ("api.example.org", "http://api.example.org/x", true),
            ("api.example.org", "https://API.example.org:443/x?y", true),
            ("api.example.org", "https://api.example.org:80/", false),
            ("api.example.org", "http://api.example.org:8080/", false),
            ("api.example.org", "http://api.example.org.evil.org/", false),
            ("api.example.org", "http://evil.api.example.org/", false),
            ("api.example.org", "http://api.example.org@evil.org/", false),
            ("api.example.org", "http://api.example.org./", false),
            ("api.example.org", "ftp://api.example.org/", false),
            ("api.example.org:80", "http://api.example.org/", true),
            ("api.example.org:80", "https://api.example.org/", false),
            ("localhost:8080", "http://localhost:8080/", true),
            ("localhost:8080", "https://localhost:8080/", true),
            ("localhost:8080", "http://localhost/", false),
            ("localhost:8080", "http://127.0.0.1:8080/", false),
            ("127.0.0.1", "http://2130706433/", true),
            ("[::1]:8080", "http://[0:0::1]:8080/", true),
            ("[::1]", "http://[::1]:8080/", false),
        ];
        for (grant, url, is_allowed) in cases {
            let host = HttpHost::parse(grant).unwrap_or_else(|| panic!("{grant} is a host"));
            assert_eq!(host.allows(&Url::parse(url).unwrap()), is_allowed, "{grant} {url}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in
            ["", "a/b", "a/", "user@a", "a?b", "a#b", "http://a", "a:", "a:b", "a:70000", "a b", "[::1", "*", "*.a"]
        {
            assert_eq!(HttpHost::parse(text), None, "{text:?}");
        }
        let told =
            ["A.example.org", "a:80", "[::1]:8080", "[::1]"].map(|text| HttpHost::parse(text).unwrap().to_string());
        assert_eq!(told, ["a.example.org", "a:80", "[::1]:8080", "[::1]"]);
    }
}
