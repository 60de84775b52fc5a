//! Inputs from files, pictures and generators.

use std::path::{Path, PathBuf};

use clap::Args;
use mindir::preprocess::Preprocess;
use mindir::{DType, Port, Tensor, npy};

use crate::args::{self, LimitArgs, ShapeArgs, called, means, named};
use crate::failure::Failure;
use crate::image::{self, ImageArgs};
use crate::print::name;
use crate::random::Fill;

/// What goes into a model.
#[derive(Args, Debug)]
pub struct InputArgs {
    /// An input: [NAME=]SOURCE, where SOURCE is a .npy, .npz, .png or .jpg file, `rand:SEED`, `ones` or `zeros`.
    ///
    /// Files without NAME fill the inputs in order; the arrays of a .npz go by name if their names are those of inputs, and in
    /// order if none is. A generator without NAME fills every input that is not given otherwise. rand: floats have mean 0 and deviation 1,
    /// integers and truth values are 0 or 1. An f32 array may be given for a bf16 input, for NumPy has no such type.
    #[arg(short, long = "input", value_name = "[NAME=]SOURCE")]
    pub inputs: Vec<String>,
    #[command(flatten)]
    pub shapes: ShapeArgs,
    #[command(flatten)]
    pub image: ImageArgs,
}

enum Source {
    File(PathBuf),
    Fill(Fill),
}

impl Source {
    fn parse(text: &str) -> Result<Source, Failure> {
        match Fill::parse(text) {
            None if text.is_empty() => {
                let expected = "a .npy, .npz, .png or .jpg file, rand:SEED, ones or zeros";
                Err(Failure::Usage(format!("--input: expected {expected}, found nothing")))
            }
            Some(fill) => Ok(Source::Fill(fill)),
            None if text.starts_with("rand:") && !Path::new(text).exists() => {
                Err(Failure::Usage(format!("{}: the seed is no number from 0 to {}", name(text), u64::MAX)))
            }
            None => Ok(Source::File(text.into())),
        }
    }
}

/// Inputs found so far.
struct Slots<'a> {
    ports: &'a [Port],
    shapes: Vec<Option<Vec<usize>>>,
    image: &'a ImageArgs,
    recorded: Option<&'a Preprocess>,
    limits: &'a LimitArgs,
    tensors: Vec<Option<Tensor>>,
}

impl InputArgs {
    /// The inputs of a model in call order. `recorded` prepares pictures for the first one if no flag about pictures is
    /// given; `default` fills what was not given. What is made up keeps to `limits`.
    pub fn tensors(
        &self,
        ports: &[Port],
        recorded: Option<&Preprocess>,
        default: Option<Fill>,
        limits: &LimitArgs,
    ) -> Result<Vec<Tensor>, Failure> {
        let shapes = self.shapes.given(ports)?;
        let recorded = recorded.filter(|_| self.image.is_empty());
        let tensors = vec![None; ports.len()];
        let mut slots = Slots { ports, shapes, image: &self.image, recorded, limits, tensors };
        let parsed: Vec<(Option<usize>, Source)> = self
            .inputs
            .iter()
            .map(|text| named(text, ports).and_then(|(at, rest)| Ok((at, Source::parse(rest)?))))
            .collect::<Result<_, _>>()?;
        for (at, source) in &parsed {
            if let Some(at) = at {
                slots.set(*at, source)?;
            }
        }
        let mut rest = default;
        for (at, source) in &parsed {
            match (at, source) {
                (Some(_), _) => {}
                (None, Source::File(path)) => slots.next(path)?,
                (None, Source::Fill(fill)) => rest = Some(*fill),
            }
        }
        slots.finish(rest)
    }
}

impl Slots<'_> {
    fn set(&mut self, at: usize, source: &Source) -> Result<(), Failure> {
        let tensor = match source {
            Source::Fill(fill) => {
                let fact = args::fact(&self.ports[at], self.shapes[at].as_deref())?;
                self.limits.fits(&fact)?;
                fill.tensor(&fact, at)?
            }
            Source::File(path) if is(path, &["npz"]) => self.one_of(path, at)?,
            Source::File(path) => self.read(path, at)?,
        };
        self.put(at, tensor)
    }

    fn put(&mut self, at: usize, tensor: Tensor) -> Result<(), Failure> {
        let port = &self.ports[at];
        if self.tensors[at].is_some() {
            return Err(Failure::Usage(format!("input {} is given twice", name(&port.name))));
        }
        if let Some(dims) = self.shapes[at].as_deref().filter(|d| *d != tensor.shape()) {
            let found = tensor.fact();
            return Err(Failure::Usage(format!("input {}: --shape says {dims:?}, found {found}", name(&port.name))));
        }
        self.tensors[at] = Some(fit(tensor, port)?);
        Ok(())
    }

    /// Gives a file to the first input without a tensor.
    fn next(&mut self, path: &Path) -> Result<(), Failure> {
        let free: Vec<usize> = (0..self.ports.len()).filter(|&i| self.tensors[i].is_none()).collect();
        if is(path, &["npz"]) {
            return self.archive(path, &free);
        }
        let Some(&at) = free.first() else {
            let ports = args::list(self.ports);
            return Err(Failure::Usage(format!("{}: there is no input left; the inputs are {ports}", path.display())));
        };
        let tensor = self.read(path, at)?;
        self.put(at, tensor)
    }

    fn archive(&mut self, path: &Path, free: &[usize]) -> Result<(), Failure> {
        let entries = npy::read_npz(path).map_err(Failure::file(path))?;
        let by_name = entries.iter().map(|(n, _)| called(n, self.ports)).collect::<Result<Vec<_>, _>>()?;
        let wrong = |what: String| {
            let (path, ports) = (path.display(), args::list(self.ports));
            Failure::Usage(format!("{path}: {what} {ports}"))
        };
        let order: Vec<usize> = if by_name.iter().all(Option::is_none) {
            if entries.len() > free.len() {
                return Err(wrong(format!("{} arrays for the inputs", entries.len())));
            }
            free.to_vec()
        } else if let Some((_, (odd, _))) = by_name.iter().zip(&entries).find(|(at, _)| at.is_none()) {
            return Err(wrong(format!("{} is none of the inputs", name(odd))));
        } else {
            by_name.into_iter().flatten().collect()
        };
        order.into_iter().zip(entries).try_for_each(|(at, (_, t))| self.put(at, t))
    }

    /// The array of an archive that belongs to an input.
    fn one_of(&self, path: &Path, at: usize) -> Result<Tensor, Failure> {
        let mut entries = npy::read_npz(path).map_err(Failure::file(path))?;
        let wanted = &self.ports[at].name;
        let mut found = (0..entries.len()).filter(|i| means(&entries[*i].0, &self.ports[at]) || entries.len() == 1);
        match (found.next(), found.next()) {
            (Some(i), None) => Ok(entries.swap_remove(i).1),
            (None, _) => Err(Failure::Usage(format!("{}: no array is called {}", path.display(), name(wanted)))),
            _ => Err(Failure::Usage(format!("{}: several arrays are called {}", path.display(), name(wanted)))),
        }
    }

    fn read(&self, path: &Path, at: usize) -> Result<Tensor, Failure> {
        if is(path, &["png", "jpg", "jpeg"]) {
            if let (0, Some(recorded)) = (at, self.recorded) {
                return image::prepared(path, recorded);
            }
            return image::read(path, &self.ports[at], self.shapes[at].as_deref(), self.image);
        }
        npy::read(path).map_err(Failure::file(path))
    }

    fn finish(mut self, rest: Option<Fill>) -> Result<Vec<Tensor>, Failure> {
        let free: Vec<usize> = (0..self.ports.len()).filter(|&i| self.tensors[i].is_none()).collect();
        let Some(fill) = rest.or(free.is_empty().then_some(Fill::Zeros)) else {
            let missing: Vec<Port> = free.iter().map(|&i| self.ports[i].clone()).collect();
            let (all, n) = (args::list(self.ports), self.ports.len());
            let rest = if missing.len() == n { String::new() } else { format!("; the inputs are {all}") };
            return Err(Failure::Usage(format!("no value for {}{rest}; see --input", args::list(&missing))));
        };
        free.into_iter().try_for_each(|at| self.set(at, &Source::Fill(fill)))?;
        Ok(self.tensors.into_iter().flatten().collect())
    }
}

/// An `f32` array for a `bf16` input is rounded to one of `bf16`; everything else stays as it is.
pub fn fit(tensor: Tensor, port: &Port) -> Result<Tensor, Failure> {
    if port.spec.dtype != Some(DType::BF16) || tensor.dtype() != DType::F32 {
        return Ok(tensor);
    }
    tensor.convert(DType::BF16).map_err(|e| Failure::Usage(format!("input {}: {e}", name(&port.name))))
}

/// Whether a path ends in one of these, in any case.
pub fn is(path: &Path, endings: &[&str]) -> bool {
    let found = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    endings.iter().any(|e| found.eq_ignore_ascii_case(e))
}
