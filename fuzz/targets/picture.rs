//! A model's recorded preprocessing on a picture: two bytes for its height and width, its pixels, then the model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mindir::preprocess::Picture;
use mindir::{Source, picture};

fuzz_target!(|input: &[u8]| mindir_fuzz::bounded(input, read));

fn read(input: &[u8]) {
    let Some((&[h, w], rest)) = input.split_first_chunk() else { return };
    let (h, w) = (usize::from(h), usize::from(w));
    let Some((pixels, model)) = rest.split_at_checked(h * w * 3) else { return };
    let Ok(loaded) = mindir::load_source(Source::from_bytes("fuzz", model.to_vec())) else { return };
    if let Ok(picture) = Picture::new(h, w, 3, pixels.to_vec()) {
        let _ = picture::input(&loaded.model, picture).map_err(|e| e.to_string());
    }
}
