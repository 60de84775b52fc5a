//! Writing `.ckpt` files.

use std::io::{self, Write};

use bytes::Bytes;
use mindir_proto::checkpoint::TensorProto;
use mindir_proto::prost::Message;
use mindir_proto::prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::crc::Summing;
use super::types;
use crate::ckpt::{Array, Checkpoint, Value, text};
use crate::map::release;

/// Bytes of a tensor that one entry holds at most.
pub(in crate::ckpt) const SLICE: usize = 512 << 20;

/// Writes what MindSpore writes for these entries. Tensors of more than `slice` bytes take several entries.
pub(in crate::ckpt) fn write(checkpoint: &Checkpoint, slice: usize, crc: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut out = Summing::new(out, crc);
    for (name, value) in checkpoint.iter() {
        match value {
            Value::Array(array) => tensor(&mut out, name, array, slice.max(1))?,
            Value::Text(text) => {
                let header = TensorProto { dims: vec![0], tensor_type: Some(types::TEXT.into()), tensor_content: None };
                entry(&mut out, name, &header, &[&text::encode(text)])?;
            }
        }
    }
    out.finish()
}

fn tensor(out: &mut impl Write, name: &str, array: &Array, slice: usize) -> io::Result<()> {
    let header = TensorProto {
        dims: array.dims().iter().map(|dim| *dim as i64).collect(),
        tensor_type: Some(Bytes::from_static(types::name(array.element()).as_bytes())),
        tensor_content: None,
    };
    let mut pieces: Vec<&[u8]> = Vec::new();
    let mut len = 0;
    for part in array.parts() {
        let mut rest: &[u8] = part;
        while let Some((piece, after)) =
            rest.split_at_checked(rest.len().min(slice - len)).filter(|(p, _)| !p.is_empty())
        {
            pieces.push(piece);
            len += piece.len();
            rest = after;
            if len == slice {
                entry(out, name, &header, &pieces)?;
                pieces.clear();
                len = 0;
            }
        }
    }
    if len > 0 || array.is_empty() { entry(out, name, &header, &pieces) } else { Ok(()) }
}

/// Writes an entry whose contents are those pieces. They are read for the last time, so mapped ones may leave the memory.
fn entry(out: &mut impl Write, name: &str, header: &TensorProto, pieces: &[&[u8]]) -> io::Result<()> {
    let len: usize = pieces.iter().map(|piece| piece.len()).sum();
    let field = |number, len: usize| key_len(number) + encoded_len_varint(len as u64) + len;
    let tensor_len = header.encoded_len() + field(3, len);
    let value_len = field(1, name.len()) + field(2, tensor_len);
    let mut start = Vec::new();
    let mut delimited = |number, len: usize, contents: &[u8]| {
        encode_key(number, WireType::LengthDelimited, &mut start);
        encode_varint(len as u64, &mut start);
        start.extend_from_slice(contents);
    };
    delimited(1, value_len, &[]);
    delimited(1, name.len(), name.as_bytes());
    delimited(2, tensor_len, &header.encode_to_vec());
    delimited(3, len, &[]);
    out.write_all(&start)?;
    pieces.iter().try_for_each(|piece| {
        out.write_all(piece)?;
        release(piece);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use mindir_graph::Tensor;
    use mindir_proto::checkpoint;

    use super::*;
    use crate::ckpt::ReadOptions;
    use crate::ckpt::messages::read;

    fn written(checkpoint: &Checkpoint, slice: usize, crc: bool) -> Bytes {
        let mut out = Vec::new();
        write(checkpoint, slice, crc, &mut out).unwrap();
        out.into()
    }

    fn some() -> Checkpoint {
        let mut checkpoint = Checkpoint::new();
        checkpoint.insert("w", Tensor::from_vec(&[2, 5], (0..10).map(|x| x as f32).collect()).unwrap());
        checkpoint.insert("note", "hé");
        checkpoint.insert("none", "");
        checkpoint.insert("flag", true);
        checkpoint.insert("step", 7i64);
        checkpoint.insert("empty", Tensor::from_vec::<f32>(&[3, 0], vec![]).unwrap());
        checkpoint
    }

    #[test]
    fn what_is_written_is_read_again() {
        for slice in [1, 3, 4, 7, 39, 40, 41, SLICE] {
            for crc in [false, true] {
                let bytes = written(&some(), slice, crc);
                let options = ReadOptions { verify_crc: crc, ..ReadOptions::default() };
                assert_eq!(read("f", &bytes, &options).unwrap().0, some(), "slices of {slice}");
            }
        }
    }

    #[test]
    fn files_are_messages() {
        let bytes = written(&some(), 16, false);
        let message = checkpoint::Checkpoint::decode(bytes.clone()).unwrap();
        assert_eq!(message.encode_to_vec(), bytes);
        let of =
            |name: &str| message.value.iter().filter(|value| value.tag.as_deref() == Some(name.as_bytes())).count();
        assert_eq!((of("w"), of("note"), of("empty")), (3, 1, 1));
    }

    #[test]
    fn slices_are_those_of_mindspore() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ckpt/sliced_bytes.ckpt");
        let bytes = Bytes::from(std::fs::read(path).unwrap());
        let whole = read("f", &bytes, &ReadOptions::default()).unwrap().0;
        assert!(written(&whole, 1024, false) == bytes);
    }

    #[test]
    fn parts_may_be_cut_anywhere() {
        let sliced = read("f", &written(&some(), 7, false), &ReadOptions::default()).unwrap().0;
        assert_eq!(sliced.get("w").unwrap().array().unwrap().parts().len(), 6);
        assert_eq!(written(&sliced, SLICE, true), written(&some(), SLICE, true));
        assert_eq!(written(&sliced, 16, true), written(&some(), 16, true));
    }
}
