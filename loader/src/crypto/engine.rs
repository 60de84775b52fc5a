//! Encryption and decryption of the contents of one block, in place.

use aes::cipher::array::ArraySize;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::consts::{U12, U16};
use aes::cipher::{
    BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, BlockSizeUser, KeyInit, KeyIvInit,
    StreamCipher,
};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::{AeadInOut, AesGcm, Nonce};
use sm4::Sm4;

use super::UNIT;
use super::key::Key;
use crate::foreign::Cipher;

type Vector = [u8; UNIT];

/// Bytes that are wiped from memory when they go.
pub(super) type Secret = zeroize::Zeroizing<Vec<u8>>;

/// Whether there are ciphers.
pub(super) const EXISTS: bool = true;

/// A vector that nobody can know.
pub(super) fn random() -> std::io::Result<Vector> {
    let mut vector = [0; UNIT];
    getrandom::fill(&mut vector)?;
    Ok(vector)
}

/// The contents do not fit the key.
pub(super) struct Misfit;

/// Decrypts `data` and returns how many bytes of contents are at its start.
pub(super) fn open(
    cipher: Cipher,
    key: &Key,
    iv: &Vector,
    tag: Option<&Vector>,
    data: &mut [u8],
) -> Result<usize, Misfit> {
    let bytes = key.bytes();
    match (cipher, tag, bytes.len()) {
        (Cipher::AesGcm, Some(tag), 16) => gcm_open::<Aes128>(bytes, iv, tag, data),
        (Cipher::AesGcm, Some(tag), 24) => gcm_open::<Aes192>(bytes, iv, tag, data),
        (Cipher::AesGcm, Some(tag), 32) => gcm_open::<Aes256>(bytes, iv, tag, data),
        (Cipher::AesGcm, None, 16) => counter::<Aes128>(bytes, iv, data),
        (Cipher::AesGcm, None, 24) => counter::<Aes192>(bytes, iv, data),
        (Cipher::AesGcm, None, 32) => counter::<Aes256>(bytes, iv, data),
        (Cipher::AesCbc, _, 16) => cbc_open::<Aes128>(bytes, iv, data),
        (Cipher::AesCbc, _, 24) => cbc_open::<Aes192>(bytes, iv, data),
        (Cipher::AesCbc, _, 32) => cbc_open::<Aes256>(bytes, iv, data),
        (Cipher::Sm4Cbc, _, 16) => cbc_open::<Sm4>(bytes, iv, data),
        _ => Err(Misfit),
    }
}

/// Encrypts `data`, padding it where the mode pads, and returns the tag of AES-GCM.
pub(super) fn seal(cipher: Cipher, key: &Key, iv: &Vector, data: &mut Vec<u8>) -> Result<Option<Vector>, Misfit> {
    let bytes = key.bytes();
    match (cipher, bytes.len()) {
        (Cipher::AesGcm, 16) => gcm_seal::<Aes128>(bytes, iv, data).map(Some),
        (Cipher::AesGcm, 24) => gcm_seal::<Aes192>(bytes, iv, data).map(Some),
        (Cipher::AesGcm, 32) => gcm_seal::<Aes256>(bytes, iv, data).map(Some),
        (Cipher::AesCbc, 16) => cbc_seal::<Aes128>(bytes, iv, data).map(|()| None),
        (Cipher::AesCbc, 24) => cbc_seal::<Aes192>(bytes, iv, data).map(|()| None),
        (Cipher::AesCbc, 32) => cbc_seal::<Aes256>(bytes, iv, data).map(|()| None),
        (Cipher::Sm4Cbc, 16) => cbc_seal::<Sm4>(bytes, iv, data).map(|()| None),
        _ => Err(Misfit),
    }
}

fn gcm_open<A>(key: &[u8], iv: &Vector, tag: &Vector, data: &mut [u8]) -> Result<usize, Misfit>
where
    A: BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt + KeyInit,
{
    // The tag is compared before anything is decrypted, so that a second attempt finds `data` as it was.
    gcm_open_with::<A, U12>(key, iv, tag, data).or_else(|_| gcm_open_with::<A, U16>(key, iv, tag, data))
}

/// AES-GCM with as many bytes of the vector as `N` says.
fn gcm_open_with<A, N>(key: &[u8], iv: &Vector, tag: &Vector, data: &mut [u8]) -> Result<usize, Misfit>
where
    A: BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt + KeyInit,
    N: ArraySize,
{
    let cipher = AesGcm::<A, N>::new_from_slice(key).map_err(|_| Misfit)?;
    let nonce = nonce::<N>(iv)?;
    let len = data.len();
    cipher.decrypt_inout_detached(nonce, &[], data.into(), &(*tag).into()).map_err(|_| Misfit)?;
    Ok(len)
}

fn gcm_seal<A>(key: &[u8], iv: &Vector, data: &mut [u8]) -> Result<Vector, Misfit>
where
    A: BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt + KeyInit,
{
    let cipher = AesGcm::<A, U12>::new_from_slice(key).map_err(|_| Misfit)?;
    let tag = cipher.encrypt_inout_detached(nonce::<U12>(iv)?, &[], data.into()).map_err(|_| Misfit)?;
    Ok(tag.into())
}

fn nonce<N: ArraySize>(iv: &Vector) -> Result<&Nonce<N>, Misfit> {
    iv.get(..N::to_usize()).and_then(|bytes| bytes.try_into().ok()).ok_or(Misfit)
}

/// AES-GCM without its tag: the counter starts at 2.
fn counter<A>(key: &[u8], iv: &Vector, data: &mut [u8]) -> Result<usize, Misfit>
where
    A: BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt + KeyInit,
{
    let [nonce @ .., _, _, _, _] = iv;
    let mut start = [0; UNIT];
    start.iter_mut().zip(nonce).for_each(|(to, from)| *to = *from);
    start.last_mut().into_iter().for_each(|last| *last = 2);
    let mut cipher = ctr::Ctr32BE::<A>::new_from_slices(key, &start).map_err(|_| Misfit)?;
    cipher.try_apply_keystream(data).map_err(|_| Misfit)?;
    Ok(data.len())
}

fn cbc_open<A: BlockCipherDecrypt + KeyInit>(key: &[u8], iv: &Vector, data: &mut [u8]) -> Result<usize, Misfit> {
    let cipher = cbc::Decryptor::<A>::new_from_slices(key, iv).map_err(|_| Misfit)?;
    Ok(cipher.decrypt_padded::<Pkcs7>(data).map_err(|_| Misfit)?.len())
}

fn cbc_seal<A: BlockCipherEncrypt + KeyInit>(key: &[u8], iv: &Vector, data: &mut Vec<u8>) -> Result<(), Misfit> {
    let len = data.len();
    data.resize((len / UNIT + 1) * UNIT, 0);
    let cipher = cbc::Encryptor::<A>::new_from_slices(key, iv).map_err(|_| Misfit)?;
    cipher.encrypt_padded::<Pkcs7>(data, len).map_err(|_| Misfit).map(drop)
}
