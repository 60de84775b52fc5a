//! A model's recorded preprocessing on a picture. The first two bytes give the size of the model, the next two the size of the
//! picture; if too few bytes are left for that, they are decoded as a file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mindir::preprocess::Picture;
use mindir::{Source, picture};

fuzz_target!(|input: &[u8]| {
    let Some((size, rest)) = input.split_first_chunk::<2>() else { return };
    let Some(([h, w], rest)) = rest.split_first_chunk::<2>() else { return };
    let (model, pixels) = rest.split_at(usize::from(u16::from_le_bytes(*size)).min(rest.len()));
    let Ok(loaded) = mindir::load_source(Source::from_bytes("fuzz", model.to_vec())) else { return };
    let (h, w) = (usize::from(*h), usize::from(*w));
    let picture = match pixels.get(..h * w * 3) {
        Some(pixels) => Picture::new(h, w, 3, pixels.to_vec()).ok(),
        None => picture::decode(pixels).ok(),
    };
    if let Some(picture) = picture {
        let _ = picture::input(&loaded.model, picture).map_err(|e| e.to_string());
    }
});
