//! Memory for the bodies of requests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_stream::{Stream, StreamExt};

use crate::{RequestError, lock};

/// Bytes of a block of memory.
const BLOCK: u64 = 1024;

/// Memory that the bodies of all requests share.
pub(crate) struct Room {
    most: u64,
    blocks: Arc<Semaphore>,
}

/// What a request has of it, which is free again when the last who holds it lets it go.
#[derive(Clone, Default)]
pub(crate) struct Held(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Held {
    /// Lets all of it go.
    pub fn clear(&self) {
        drop(lock(&self.0).take());
    }

    fn is_empty(&self) -> bool {
        lock(&self.0).is_none()
    }
}

impl Room {
    pub fn new(most: u64) -> Room {
        Room { most, blocks: Arc::new(Semaphore::new(blocks(most) as usize)) }
    }

    /// Lets `held` have so many bytes more, or all others that there are if that is less; waits for them until `end`.
    pub async fn take(&self, held: &Held, bytes: u64, end: Instant) -> Result<(), RequestError> {
        let has = lock(&held.0).as_ref().map_or(0, |held| held.num_permits() as u64);
        let most = u64::from(blocks(self.most)).saturating_sub(has);
        let room = self.blocks.clone().acquire_many_owned(u64::from(blocks(bytes)).min(most) as u32);
        let got = timeout_at(end, room).await;
        let full = |_| RequestError::NotReady("there is no room for the body: too many others are under way".into());
        let got = got.map_err(full)?.map_err(|_| RequestError::Ending)?;
        let mut held = lock(&held.0);
        match held.as_mut() {
            Some(all) => all.merge(got),
            None => *held = Some(got),
        }
        Ok(())
    }

    /// The pieces of a body as they come, at most `most` bytes of them, each of which takes its room. They have to come within
    /// `time`.
    pub fn pieces(
        self: &Arc<Self>,
        body: Body,
        held: &Held,
        (most, time): (u64, Duration),
    ) -> impl Stream<Item = Result<Bytes, RequestError>> + Send + use<> {
        let (room, held, end) = (self.clone(), held.clone(), Instant::now() + time);
        let body = Box::pin(body.into_data_stream());
        try_unfold((body, 0u64), move |(mut body, before)| {
            let (room, held) = (room.clone(), held.clone());
            async move {
                let next = timeout_at(end, body.next()).await.map_err(|_| RequestError::Slow(time))?;
                let Some(piece) = next else { return Ok(None) };
                let piece = piece.map_err(|e| RequestError::Invalid(format!("the body broke off: {e}")))?;
                let size = before.saturating_add(piece.len() as u64);
                if size > most {
                    return Err(RequestError::TooLarge { what: "the body", most });
                }
                room.take(&held, piece.len() as u64, end).await?;
                Ok(Some((piece, (body, size))))
            }
        })
    }

    /// The pieces of a body that is one request after the other, each of which takes its room, and `more` besides for each request,
    /// until who answers the request clears `held`. What has begun to come has to go on until then within `time`.
    pub fn requests(
        self: &Arc<Self>,
        body: Body,
        held: &Held,
        (more, time): (u64, Duration),
    ) -> impl Stream<Item = Result<Bytes, RequestError>> + Send + use<> {
        let (room, held) = (self.clone(), held.clone());
        let body = Box::pin(body.into_data_stream());
        try_unfold((body, Instant::now()), move |(mut body, end)| {
            let (room, held) = (room.clone(), held.clone());
            async move {
                let begun = !held.is_empty();
                let next = match begun {
                    true => timeout_at(end, body.next()).await.map_err(|_| RequestError::Slow(time))?,
                    false => body.next().await,
                };
                let Some(piece) = next else { return Ok(None) };
                let piece = piece.map_err(|e| RequestError::Invalid(format!("the body broke off: {e}")))?;
                let (end, size) = match begun {
                    true => (end, piece.len() as u64),
                    false => (Instant::now() + time, more.saturating_add(piece.len() as u64)),
                };
                room.take(&held, size, end).await?;
                Ok(Some((piece, (body, end))))
            }
        })
    }
}

/// Blocks for so many bytes, as many as a semaphore has at most.
fn blocks(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX >> 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    /// A body of pieces of a block each, after which nothing comes.
    fn endless(pieces: usize) -> Body {
        let pieces = (0..pieces).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![0; BLOCK as usize])));
        Body::from_stream(tokio_stream::iter(pieces).chain(tokio_stream::pending()))
    }

    #[test]
    fn requests_of_a_stream_have_room_until_they_are_answered() {
        wait(async {
            let (room, held) = (Arc::new(Room::new(8 * BLOCK)), Held::default());
            let time = Duration::from_millis(50);
            let mut pieces = Box::pin(room.requests(endless(4), &held, (2 * BLOCK, time)));
            let mut free = Vec::new();
            for _ in 0..3 {
                pieces.next().await.unwrap().unwrap();
                free.push(room.blocks.available_permits());
            }
            assert_eq!(free, [5, 4, 3]);
            held.clear();
            assert_eq!(room.blocks.available_permits(), 8);
            pieces.next().await.unwrap().unwrap();
            assert_eq!(room.blocks.available_permits(), 5);
            // What has begun goes on, or ends.
            assert!(matches!(pieces.next().await, Some(Err(RequestError::Slow(_)))));
        });
    }

    #[test]
    fn a_stream_without_room_is_refused() {
        wait(async {
            let room = Arc::new(Room::new(4 * BLOCK));
            let [one, other] = [Held::default(), Held::default()];
            room.take(&one, 4 * BLOCK, Instant::now()).await.unwrap();
            let mut pieces = Box::pin(room.requests(endless(1), &other, (0, Duration::from_millis(20))));
            assert!(matches!(pieces.next().await, Some(Err(RequestError::NotReady(_)))));
        });
    }
}
