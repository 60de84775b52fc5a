//! `prost` with lists of messages that grow by half.
//!
//! Structs that derive their code against this path decode a list of one message into room for one. The usual growth of
//! vectors would make room for four, and most lists of MindIR have one entry of hundreds of bytes.

pub(crate) use prost::*;

pub(crate) mod encoding {
    pub(crate) use prost::encoding::*;

    pub(crate) mod message {
        pub(crate) use prost::encoding::message::*;
        use prost::{
            DecodeError, Message,
            bytes::Buf,
            encoding::{DecodeContext, WireType},
        };

        /// Decodes one more message of a list.
        pub(crate) fn merge_repeated<M: Message + Default>(
            wire_type: WireType,
            messages: &mut Vec<M>,
            buf: &mut impl Buf,
            ctx: DecodeContext,
        ) -> Result<(), DecodeError> {
            let mut message = M::default();
            merge(wire_type, &mut message, buf, ctx)?;
            if messages.len() == messages.capacity() {
                messages.reserve_exact((messages.len() / 2).max(1));
            }
            messages.push(message);
            Ok(())
        }
    }
}
