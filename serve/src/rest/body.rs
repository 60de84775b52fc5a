//! The body of a request, within bounds of size and time.

use std::io::Read;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use flate2::read::{GzDecoder, ZlibDecoder};
use tokio::sync::OwnedSemaphorePermit;

use crate::RequestError;
use crate::server::Shared;

/// The bytes of a body, unpacked, and their part of the memory that all bodies may take, which is free again when it is dropped.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    shared: &Shared,
) -> Result<(Bytes, OwnedSemaphorePermit), RequestError> {
    let options = &shared.options;
    let most = options.max_body;
    let too_large = || RequestError::TooLarge { what: "the body", most };
    let stated = headers.get(header::CONTENT_LENGTH).and_then(|n| n.to_str().ok()).and_then(|n| n.parse::<u64>().ok());
    if stated.is_some_and(|n| n > most) {
        return Err(too_large());
    }
    let limit = usize::try_from(most).unwrap_or(usize::MAX);
    let packed = headers.contains_key(header::CONTENT_ENCODING);
    let room = shared.room(if packed { most } else { stated.unwrap_or(most) }).await?;
    let arrived = tokio::time::timeout(options.body_time, to_bytes(body, limit)).await;
    let bytes = arrived.map_err(|_| RequestError::Slow(options.body_time))?.map_err(|e| {
        let is_long = std::error::Error::source(&e).is_some_and(|source| source.to_string().contains("length limit"));
        if is_long { too_large() } else { RequestError::Invalid(format!("the body broke off: {e}")) }
    })?;
    let text = |value: &header::HeaderValue| value.to_str().map(str::to_ascii_lowercase).unwrap_or_default();
    match headers.get(header::CONTENT_ENCODING).map(text).as_deref() {
        None | Some("" | "identity") => Ok((bytes, room)),
        Some("gzip") => Ok((unpacked(GzDecoder::new(&bytes[..]), most)?, room)),
        Some("deflate") => Ok((unpacked(ZlibDecoder::new(&bytes[..]), most)?, room)),
        Some(other) => {
            Err(RequestError::Invalid(format!("Content-Encoding: expected gzip or deflate, found {other:?}")))
        }
    }
}

/// What a decoder gives, at most `most` bytes of it.
fn unpacked(decoder: impl Read, most: u64) -> Result<Bytes, RequestError> {
    let mut bytes = Vec::new();
    let read = decoder.take(most.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|e| RequestError::Invalid(format!("the body cannot be unpacked: {e}")))?;
    if bytes.len() as u64 > most {
        return Err(RequestError::TooLarge { what: "the unpacked body", most });
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&vec![0; 1 << 20]).unwrap();
        let packed = packed.finish().unwrap();
        assert!(packed.len() < 4096);
        assert_eq!(unpacked(GzDecoder::new(&packed[..]), 1 << 20).unwrap().len(), 1 << 20);
        assert!(matches!(unpacked(GzDecoder::new(&packed[..]), 1 << 19), Err(RequestError::TooLarge { .. })));
        assert!(matches!(unpacked(GzDecoder::new(&packed[..9]), 1 << 20), Err(RequestError::Invalid(_))));
    }
}
