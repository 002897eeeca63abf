//! The head of a request, as far as it matters: method and path (RFC 9112).

/// Maximum length of the head of a request in bytes. Prometheus sends a few hundred.
pub(super) const MAX_HEAD: usize = 8192;
/// Maximum number of headers.
const MAX_HEADERS: usize = 64;

/// The page that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpTarget {
    Metrics,
    Health,
    Readiness,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HttpRequest {
    pub(super) target: HttpTarget,
    /// The client wants no body.
    pub(super) is_head: bool,
}

/// The status of an answer to a request that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpRejection {
    BadRequest,
    /// The certificate of the client does not allow it.
    Forbidden,
    /// The client has used up the requests per minute that its access rule allows.
    TooManyRequests {
        per_minute: u32,
        retry_after_s: u64,
    },
    NotFound,
    MethodNotAllowed,
    HeadTooLarge,
}

impl HttpRejection {
    pub(super) fn status_line(self) -> &'static str {
        match self {
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::TooManyRequests { .. } => "429 Too Many Requests",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
        }
    }
}

impl HttpRejection {
    /// Returns the body of the answer.
    pub(super) fn body(self) -> String {
        match self {
            Self::TooManyRequests { per_minute, retry_after_s } => format!(
                "the access rule of the client allows {per_minute} requests a minute: try again in {retry_after_s} s\n"
            ),
            _ => format!("{}\n", self.status_line()),
        }
    }

    /// Returns the header fields of the answer besides those of every one, each ended by CR LF.
    pub(super) fn header_fields(self) -> String {
        match self {
            // RFC 9110, section 10.2.3.
            Self::TooManyRequests { retry_after_s, .. } => format!("Retry-After: {retry_after_s}\r\n"),
            _ => String::new(),
        }
    }
}

/// Parses the head of a request. `None` while it is not complete.
///
/// # Errors
/// How to answer a request that is not served.
pub(super) fn parse_request(bytes: &[u8]) -> Result<Option<HttpRequest>, HttpRejection> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD => return Err(HttpRejection::HeadTooLarge),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HttpRejection::HeadTooLarge),
        Err(_) => return Err(HttpRejection::BadRequest),
    }
    let path = request.path.unwrap_or_default();
    let target = match path.split('?').next().unwrap_or_default() {
        "/metrics" => HttpTarget::Metrics,
        "/healthz" => HttpTarget::Health,
        "/readyz" => HttpTarget::Readiness,
        _ => return Err(HttpRejection::NotFound),
    };
    match request.method {
        Some("GET") => Ok(Some(HttpRequest { target, is_head: false })),
        Some("HEAD") => Ok(Some(HttpRequest { target, is_head: true })),
        _ => Err(HttpRejection::MethodNotAllowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_served_is_rejected_by_name() {
        let parse = |text: &str| parse_request(text.as_bytes());
        let get = |target| Ok(Some(HttpRequest { target, is_head: false }));
        assert_eq!(parse("GET /metrics?a=b HTTP/1.1\r\nHost: x\r\n\r\n"), get(HttpTarget::Metrics));
        assert_eq!(parse("GET /healthz HTTP/1.0\r\n\r\n"), get(HttpTarget::Health));
        let head = HttpRequest { target: HttpTarget::Readiness, is_head: true };
        assert_eq!(parse("HEAD /readyz HTTP/1.1\r\n\r\n"), Ok(Some(head)));
        assert_eq!(parse("GET /metrics HTTP/1.1\r\nHost"), Ok(None));
        assert_eq!(parse("GET / HTTP/1.1\r\n\r\n"), Err(HttpRejection::NotFound));
        assert_eq!(parse("POST /metrics HTTP/1.1\r\n\r\n"), Err(HttpRejection::MethodNotAllowed));
        assert_eq!(parse("\x16\x03\x01\x02 a TLS client\r\n"), Err(HttpRejection::BadRequest));
        assert_eq!(
            parse(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_HEAD))),
            Err(HttpRejection::HeadTooLarge)
        );
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100));
        assert_eq!(parse(&many), Err(HttpRejection::HeadTooLarge));
    }

    #[test]
    fn a_client_that_asks_too_often_learns_when_to_ask_again() {
        let rejection = HttpRejection::TooManyRequests { per_minute: 3, retry_after_s: 11 };
        assert_eq!(rejection.header_fields(), "Retry-After: 11\r\n");
        assert_eq!(
            rejection.body(),
            "the access rule of the client allows 3 requests a minute: try again in 11 s\n"
        );
        assert_eq!(
            (HttpRejection::NotFound.header_fields(), HttpRejection::NotFound.body()),
            (String::new(), "404 Not Found\n".to_owned())
        );
    }
}
