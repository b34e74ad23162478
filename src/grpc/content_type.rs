//! The content type of a request, in any letter case and with parameters (RFC 9110, section 8.3.1).

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

const GRPC: &[u8] = b"application/grpc";
const WEB: &str = "application/grpc-web+proto";
const WEB_TEXT: &str = "application/grpc-web-text+proto";

/// The protocol that a content type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentKind {
    /// Native gRPC.
    Native,
    /// Native gRPC, with messages of a format that is not protobuf.
    OtherFormat,
    /// gRPC-Web, its messages in bytes or in base64.
    Web,
    /// No gRPC.
    Other,
}

/// Returns the kind of a request; a body without a type is no gRPC.
#[inline]
pub(super) fn of(headers: &HeaderMap) -> ContentKind {
    match headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) {
        Some(GRPC) => ContentKind::Native,
        Some(value) => read(value),
        None => ContentKind::Other,
    }
}

fn read(value: &[u8]) -> ContentKind {
    let kind = essence(value);
    match kind.split_at_checked(GRPC.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(GRPC) => {
            if rest.is_empty() || rest.eq_ignore_ascii_case(b"+proto") {
                ContentKind::Native
            } else if rest.first() == Some(&b'+') {
                ContentKind::OtherFormat
            } else if web(kind).is_some() {
                ContentKind::Web
            } else {
                ContentKind::Other
            }
        }
        _ => ContentKind::Other,
    }
}

/// Returns a type without its parameters.
fn essence(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// Returns the form of a gRPC-Web type that tonic's translation knows.
fn web(kind: &[u8]) -> Option<&'static str> {
    let is = |known: &str| kind.eq_ignore_ascii_case(known.as_bytes());
    if is("application/grpc-web") || is(WEB) {
        Some(WEB)
    } else if is("application/grpc-web-text") || is(WEB_TEXT) {
        Some(WEB_TEXT)
    } else {
        None
    }
}

/// Replaces the types of a gRPC-Web request and of its answer by those that tonic's translation
/// knows, which compares them byte by byte.
pub(super) fn normalise_web(headers: &mut HeaderMap) {
    for name in [CONTENT_TYPE, ACCEPT] {
        if let Some(value) = headers.get_mut(&name)
            && let Some(known) = web(essence(value.as_bytes()))
        {
            *value = HeaderValue::from_static(known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_in_any_case_and_with_parameters() {
        for (value, kind) in [
            ("application/grpc", ContentKind::Native),
            ("Application/gRPC", ContentKind::Native),
            ("application/grpc+proto", ContentKind::Native),
            ("application/grpc; charset=utf-8", ContentKind::Native),
            ("application/grpc;charset=utf-8", ContentKind::Native),
            ("application/grpc+json", ContentKind::OtherFormat),
            ("application/grpc-web", ContentKind::Web),
            ("Application/gRPC-Web+Proto", ContentKind::Web),
            ("application/grpc-web+proto; charset=utf-8", ContentKind::Web),
            ("application/grpc-web-text ;x=y", ContentKind::Web),
            ("application/grpc-website", ContentKind::Other),
            ("application/grpcx", ContentKind::Other),
            ("text/plain", ContentKind::Other),
            ("", ContentKind::Other),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
            assert_eq!(of(&headers), kind, "{value}");
        }
        assert_eq!(of(&HeaderMap::new()), ContentKind::Other);
    }
}
