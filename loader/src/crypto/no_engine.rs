//! What stands in for the ciphers in builds without them. There is no key then, so nobody comes here.

use std::io;

use super::UNIT;
use super::key::Key;
use crate::foreign::Cipher;

type Vector = [u8; UNIT];

pub(super) type Secret = Vec<u8>;

pub(super) const EXISTS: bool = false;

pub(super) struct Misfit;

pub(super) fn random() -> io::Result<Vector> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn open(_: Cipher, _: &Key, _: &Vector, _: Option<&Vector>, _: &mut [u8]) -> Result<usize, Misfit> {
    Err(Misfit)
}

pub(super) fn seal(_: Cipher, _: &Key, _: &Vector, _: &mut Vec<u8>) -> Result<Option<Vector>, Misfit> {
    Err(Misfit)
}
