//! The body of a request, within bounds of size and time.

use std::io::Read;
use std::pin::pin;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use tokio::time::Instant;
use tokio_stream::StreamExt;

use crate::RequestError;
use crate::room::Held;
use crate::server::Shared;

/// The bytes of a body, unpacked. `held` has their part of the memory that all bodies may take.
pub(crate) async fn read(headers: &HeaderMap, body: Body, shared: &Shared, held: &Held) -> Result<Bytes, RequestError> {
    let (most, time) = (shared.options.max_body, shared.options.body_time);
    let stated = headers.get(header::CONTENT_LENGTH).and_then(|n| n.to_str().ok()).and_then(|n| n.parse::<u64>().ok());
    if stated.is_some_and(|n| n > most) {
        return Err(RequestError::TooLarge { what: "the body", most });
    }
    let mut pieces = pin!(shared.room.pieces(body, held, (most, time)));
    let first = pieces.next().await.transpose()?.unwrap_or_default();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await.transpose()? {
        if bytes.is_empty() {
            bytes.extend_from_slice(&first);
        }
        bytes.extend_from_slice(&piece);
    }
    let bytes = if bytes.is_empty() { first } else { bytes.into() };
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let text = |value: &header::HeaderValue| value.to_str().map(str::to_ascii_lowercase).unwrap_or_default();
    let (encoding, more) = (encodings.next().map(text), encodings.next());
    match encoding.as_deref() {
        _ if more.is_some() => Err(RequestError::Invalid("Content-Encoding: expected one, found several".into())),
        None | Some("" | "identity") => Ok(bytes),
        Some(encoding @ ("gzip" | "deflate")) => {
            shared.room.take(held, most, Instant::now() + time).await?;
            let is_gzip = encoding == "gzip";
            work(true, move || match is_gzip {
                true => unpacked(MultiGzDecoder::new(&bytes[..]), most).map(|(unpacked, _)| unpacked),
                false => whole(unpacked(ZlibDecoder::new(&bytes[..]), most)?),
            })
            .await
        }
        Some(other) => {
            Err(RequestError::Invalid(format!("Content-Encoding: expected gzip or deflate, found {other:?}")))
        }
    }
}

/// Whether so many bytes take long enough to read or write that it is done on a thread of its own.
pub(crate) fn is_long(bytes: usize) -> bool {
    bytes > 1 << 16
}

/// What `f` says, which is asked on a thread of its own if it may take long.
pub(crate) async fn work<T: Send + 'static>(
    long: bool,
    f: impl FnOnce() -> Result<T, RequestError> + Send + 'static,
) -> Result<T, RequestError> {
    if !long {
        return f();
    }
    tokio::task::spawn_blocking(f).await.map_err(|e| RequestError::Internal(e.to_string()))?
}

/// What a decoder gives, at most `most` bytes of it, and the decoder, which has come to its end.
fn unpacked<D: Read>(decoder: D, most: u64) -> Result<(Bytes, D), RequestError> {
    let mut bytes = Vec::new();
    let mut limited = decoder.take(most.saturating_add(1));
    let read = limited.read_to_end(&mut bytes);
    read.map_err(|e| RequestError::Invalid(format!("the body cannot be unpacked: {e}")))?;
    if bytes.len() as u64 > most {
        return Err(RequestError::TooLarge { what: "the unpacked body", most });
    }
    Ok((bytes.into(), limited.into_inner()))
}

/// What was unpacked, behind which nothing may follow.
fn whole((unpacked, decoder): (Bytes, ZlibDecoder<&[u8]>)) -> Result<Bytes, RequestError> {
    match decoder.into_inner() {
        [] => Ok(unpacked),
        rest => Err(RequestError::Invalid(format!("the body cannot be unpacked: {} bytes follow its end", rest.len()))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&vec![0; 1 << 20]).unwrap();
        let packed = packed.finish().unwrap();
        assert!(packed.len() < 4096);
        let of = |packed: &[u8], most| unpacked(MultiGzDecoder::new(packed), most).map(|(bytes, _)| bytes);
        assert_eq!(of(&packed, 1 << 20).unwrap().len(), 1 << 20);
        assert!(matches!(of(&packed, 1 << 19), Err(RequestError::TooLarge { .. })));
        assert!(matches!(of(&packed[..9], 1 << 20), Err(RequestError::Invalid(_))));
    }

    #[test]
    fn all_that_is_packed_is_read() {
        let gzip = |text: &str| {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(text.as_bytes()).unwrap();
            packed.finish().unwrap()
        };
        let of = |packed: &[u8]| unpacked(MultiGzDecoder::new(packed), 16).map(|(bytes, _)| bytes);
        assert_eq!(of(&[gzip("one "), gzip("and two")].concat()).unwrap(), "one and two");
        assert!(matches!(of(&[gzip("one"), b"two".to_vec()].concat()), Err(RequestError::Invalid(_))));
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(b"one").unwrap();
        let mut packed = packed.finish().unwrap();
        let of = |packed: &[u8]| whole(unpacked(ZlibDecoder::new(packed), 16)?);
        assert_eq!(of(&packed).unwrap(), "one");
        packed.push(0);
        assert!(of(&packed).unwrap_err().to_string().contains("1 bytes follow"));
    }
}
