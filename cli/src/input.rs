//! Inputs from files, pictures and generators.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use clap::Args;
use mindir::preprocess::{Picture, Preprocess};
use mindir::{DType, Dim, Port, Spec, Tensor};

use crate::args::{self, LimitArgs, Names, ShapeArgs, means};
use crate::content::{Content, kinds};
use crate::failure::Failure;
use crate::image::{ImageArgs, Target};
use crate::print::{self, name};
use crate::random::Fill;
use crate::stdin;

/// What goes into a model.
#[derive(Args, Clone, Debug)]
pub struct InputArgs {
    /// An input: [NAME=]SOURCE, where SOURCE is a .npy or .npz file, a picture (.png, .jpg, .jpeg, .bmp, .gif, .webp, .tif,
    /// .tiff), `-` for standard input, `rand:SEED`, `ones` or `zeros`.
    ///
    /// Files without NAME fill the inputs in order; the arrays of a .npz go by name if their names are those of inputs, and in
    /// order if none is. Several pictures for one input are one batch. A generator without NAME fills every input that is not given
    /// otherwise. rand: floats have mean 0 and deviation 1, integers and truth values are 0 or 1. What a file is its contents
    /// tell where its ending does not. An f32 array may be given for a bf16 input, for NumPy has no such type.
    ///
    /// Of an animated picture the first frame is taken. Transparency is dropped: pixels have the colour that is stored below it.
    /// Pictures are turned as their EXIF orientation says, but not where the model records what happens to them: MindSpore takes
    /// them as they are stored.
    #[arg(short, long = "input", value_name = "[NAME=]SOURCE")]
    pub inputs: Vec<String>,
    /// Convert arrays to the element types of their inputs, which must hold every number; floats are rounded to other floats
    #[arg(long)]
    pub cast: bool,
    #[command(flatten)]
    pub shapes: ShapeArgs,
    #[command(flatten)]
    pub image: ImageArgs,
}

/// An argument of --input.
struct Given {
    /// The input that it names.
    at: Option<usize>,
    /// What stands after the name.
    text: String,
    source: Source,
}

enum Source {
    Fill(Fill),
    File(Content),
}

impl Source {
    fn parse(text: &str, upright: bool, limits: &LimitArgs) -> Result<Source, Failure> {
        match Fill::parse(text) {
            None if text.is_empty() => {
                let expected = format!("{}, -, rand:SEED, ones or zeros", kinds());
                Err(Failure::Usage(format!("--input: expected {expected}, found nothing")))
            }
            Some(fill) => Ok(Source::Fill(fill)),
            None if text.starts_with("rand:") && !Path::new(text).exists() => {
                Err(Failure::Usage(format!("{}: the seed is no number from 0 to {}", name(text), u64::MAX)))
            }
            None => Content::read(text.as_ref(), upright, limits).map(Source::File),
        }
    }

    fn is_picture(&self) -> bool {
        matches!(self, Source::File(Content::Picture(_)))
    }

    fn is_array(&self) -> bool {
        matches!(self, Source::File(Content::Array(_) | Content::Archive(_)))
    }
}

/// Whether an input may be a picture, or a batch of them.
pub fn takes_pictures(port: &Port) -> bool {
    port.spec.dims.as_ref().is_none_or(|d| matches!(d.len(), 3 | 4))
}

/// Inputs found so far.
struct Slots<'a> {
    args: &'a InputArgs,
    ports: &'a [Port],
    shapes: Vec<Option<Vec<Dim>>>,
    recorded: Option<&'a Preprocess>,
    limits: &'a LimitArgs,
    tensors: Vec<Option<Tensor>>,
    lengths: HashMap<&'a str, Length>,
}

/// What a dimension of some name is in an input that is there.
#[derive(Clone, Copy)]
struct Length {
    /// The input.
    at: usize,
    length: usize,
    /// Whether --shape says so, which may be said of one input alone.
    is_stated: bool,
}

impl InputArgs {
    /// The inputs of a model in call order. `recorded` prepares pictures for the first one if no flag about pictures is
    /// given; `default` fills what was not given. What is made up or decoded keeps to `limits`.
    pub fn tensors(
        &self,
        ports: &[Port],
        recorded: Option<&Preprocess>,
        default: Option<Fill>,
        limits: &LimitArgs,
    ) -> Result<Vec<Tensor>, Failure> {
        let recorded = recorded.filter(|_| self.image.given().is_none());
        let mut given = self.read(ports, recorded.is_none(), limits)?;
        self.check_flags(&given)?;
        batches(ports, &mut given)?;
        let (shapes, tensors) = (self.shapes.given(ports)?, vec![None; ports.len()]);
        let mut slots = Slots { args: self, ports, shapes, recorded, limits, tensors, lengths: HashMap::new() };
        let (mut named, mut unnamed): (BTreeMap<usize, Vec<Given>>, Vec<Given>) = Default::default();
        for g in given {
            g.at.map_or(&mut unnamed, |at| named.entry(at).or_default()).push(g);
        }
        named.into_iter().try_for_each(|(at, given)| slots.named(at, given))?;
        slots.unnamed(unnamed, default)
    }

    /// Refuses flags about inputs where there is none.
    pub fn check_unused(&self) -> Result<(), Failure> {
        self.check_flags(&[])
    }

    /// A flag about inputs that is given.
    pub fn flag(&self) -> Option<&'static str> {
        let flags =
            [("--input", !self.inputs.is_empty()), ("--shape", !self.shapes.shapes.is_empty()), ("--cast", self.cast)];
        flags.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag).or(self.image.given())
    }

    /// Whether an input is standard input.
    pub fn reads_stdin(&self) -> bool {
        self.files().any(|file| stdin::is(&file))
    }

    /// The files that may be inputs: what is given, with and without what may be a name.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let ends =
            |text: &str| text.match_indices('=').map(|(at, _)| PathBuf::from(&text[at + 1..])).collect::<Vec<_>>();
        self.inputs.iter().flat_map(move |text| [vec![PathBuf::from(text)], ends(text)].concat())
    }

    fn read(&self, ports: &[Port], upright: bool, limits: &LimitArgs) -> Result<Vec<Given>, Failure> {
        let names = Names::of(ports);
        let split = self.inputs.iter().map(|text| names.split(text)).collect::<Result<Vec<_>, _>>()?;
        if split.iter().filter(|(_, text)| stdin::is(text.as_ref())).count() > 1 {
            return Err(Failure::Usage(format!("{} is given for several inputs", stdin::NAME)));
        }
        let one = |(at, text): (Option<usize>, &str)| {
            Ok(Given { at, text: text.to_string(), source: Source::parse(text, upright, limits)? })
        };
        split.into_iter().map(one).collect()
    }

    fn check_flags(&self, given: &[Given]) -> Result<(), Failure> {
        let unused =
            |flag: &str, what: &str| Err(Failure::Usage(format!("{flag} is about {what}, and no input is one")));
        match self.image.given() {
            Some(flag) if !given.iter().any(|g| g.source.is_picture()) => unused(flag, "pictures"),
            _ if self.cast && !given.iter().any(|g| g.source.is_array()) => unused("--cast", "arrays"),
            _ => Ok(()),
        }
    }
}

/// Gives pictures without a name to the one input that can take them, if there are more of them than such inputs.
fn batches(ports: &[Port], given: &mut [Given]) -> Result<(), Failure> {
    let is_free = |at: &usize| !given.iter().any(|g| g.at == Some(*at));
    let takers: Vec<usize> = (0..ports.len()).filter(is_free).filter(|&at| takes_pictures(&ports[at])).collect();
    let pictures = given.iter().filter(|g| g.at.is_none() && g.source.is_picture()).count();
    if pictures <= takers.len() {
        return Ok(());
    }
    match takers.as_slice() {
        [] => Ok(()),
        [at] => {
            let pictures = given.iter_mut().filter(|g| g.at.is_none() && g.source.is_picture());
            pictures.for_each(|g| g.at = Some(*at));
            Ok(())
        }
        several => {
            let ports: Vec<Port> = several.iter().map(|&at| ports[at].clone()).collect();
            let inputs = args::list(&ports);
            Err(Failure::Usage(format!("{pictures} pictures for several inputs: say NAME=FILE for each; {inputs}")))
        }
    }
}

impl Slots<'_> {
    /// What is given for input `at` by its name.
    fn named(&mut self, at: usize, given: Vec<Given>) -> Result<(), Failure> {
        if given.iter().all(|g| g.source.is_picture()) {
            let pictures = given.into_iter().filter_map(|g| match g.source {
                Source::File(Content::Picture(picture)) => Some((g.text, picture)),
                _ => None,
            });
            return self.pictures(at, pictures.collect());
        }
        given.into_iter().try_for_each(|g| self.set(at, g.source, g.text))
    }

    /// What is given without a name, in order.
    fn unnamed(mut self, given: Vec<Given>, default: Option<Fill>) -> Result<Vec<Tensor>, Failure> {
        let mut rest = None;
        for g in given {
            match g.source {
                Source::Fill(fill) if rest.replace(fill).is_some() => {
                    return Err(Failure::Usage(format!("{}: another generator fills the rest already", g.text)));
                }
                Source::Fill(_) => {}
                source => self.next(source, g.text)?,
            }
        }
        if rest.is_some() && !self.tensors.iter().any(Option::is_none) {
            print::warn("every input is given; the generator without a name fills none");
        }
        self.finish(rest.or(default))
    }

    fn set(&mut self, at: usize, source: Source, from: String) -> Result<(), Failure> {
        let array = match source {
            Source::Fill(fill) => {
                let dims = self.spec(at).dims.map(|dims| dims.iter().map(|dim| self.known(dim)).collect::<Vec<_>>());
                let fact = args::fact(&self.ports[at], dims.as_deref(), self.ports)?;
                self.limits.fits(&fact)?;
                let tensor = fill.tensor(&fact, at)?;
                return self.put(at, tensor, &from);
            }
            Source::File(Content::Picture(picture)) => return self.pictures(at, vec![(from, picture)]),
            Source::File(Content::Archive(entries)) => self.one_of(entries, at, &from)?,
            Source::File(Content::Array(array)) => array,
        };
        let array = array_for(array, &self.ports[at], self.args.cast, &from)?;
        self.put(at, array, &from)
    }

    fn put(&mut self, at: usize, tensor: Tensor, from: &str) -> Result<(), Failure> {
        let port = &self.ports[at];
        if self.tensors[at].is_some() {
            return Err(Failure::Usage(format!("input {} is given twice", name(&port.name))));
        }
        if self.shapes[at].is_some() && !self.spec(at).takes(tensor.shape()) {
            let (expected, found) = (self.spec(at), tensor.fact());
            return Err(Failure::Usage(format!("input {}: --shape says {expected}, found {found}", name(&port.name))));
        }
        self.agree(at, tensor.shape())?;
        print::tell(|| format!("input {} is {} from {}", name(&port.name), tensor.fact(), name(from)));
        self.tensors[at] = Some(tensor);
        Ok(())
    }

    /// Gives pictures, with their paths, to input `at`.
    fn pictures(&mut self, at: usize, pictures: Vec<(String, Picture)>) -> Result<(), Failure> {
        let (paths, pictures): (Vec<String>, Vec<Picture>) = pictures.into_iter().unzip();
        let recorded = self.recorded.filter(|_| at == 0);
        let target = Target { input: &self.ports[at].name, flags: &self.args.image, recorded, limits: self.limits };
        let tensor = target.tensor(&self.spec(at), &paths, pictures)?;
        self.put(at, tensor, &paths.join(", "))
    }

    /// Takes the lengths of the named dimensions of input `at`, and refuses one that another input contradicts.
    fn agree(&mut self, at: usize, shape: &[usize]) -> Result<(), Failure> {
        let stated = self.spec(at).dims.unwrap_or_default();
        let declared = self.ports[at].spec.dims.iter().flatten().zip(shape).enumerate();
        for (axis, (dim, &length)) in declared {
            let Dim::Named(dim) = dim else { continue };
            let is_stated = stated.get(axis).is_some_and(|d| d.size().is_some());
            let mine = Length { at, length, is_stated };
            let known = *self.lengths.entry(dim).or_insert(mine);
            let is_bound = !known.is_stated && !is_stated && dim.contains(char::is_alphabetic);
            if is_bound && known.length != length {
                return Err(self.contradiction(dim, known, mine));
            }
            if known.is_stated && !is_stated {
                self.lengths.insert(dim, mine);
            }
        }
        Ok(())
    }

    fn contradiction(&self, dim: &str, a: Length, b: Length) -> Failure {
        let input = |l: Length| name(&self.ports[l.at].name);
        if a.at == b.at {
            let (lengths, input, dim) = (format!("{} and {}", a.length, b.length), input(a), name(dim));
            let hint = format!("give --shape {input}=DIMS if they may differ");
            return Failure::Usage(format!("dimension {dim} is {lengths} in {input}, and has one length; {hint}"));
        }
        let [one, other] = [a, b].map(|l| format!("{} in {}", l.length, input(l)));
        let (dim, hint) = (name(dim), "give --shape INPUT=DIMS for one of them if they may differ");
        Failure::Usage(format!("dimension {dim} is {one} and {other}, and has one length in all inputs; {hint}"))
    }

    /// The length that a dimension of this name has in an input that is there, if there is one.
    fn known(&self, dim: &Dim) -> Dim {
        let known = if let Dim::Named(dim) = dim { self.lengths.get(&**dim) } else { None };
        known.map_or_else(|| dim.clone(), |known| Dim::Known(known.length))
    }

    /// What input `at` declares, with the shape that was given.
    fn spec(&self, at: usize) -> Spec {
        let spec = self.ports[at].spec.clone();
        match &self.shapes[at] {
            Some(dims) => Spec { dims: Some(dims.iter().cloned().collect()), ..spec },
            None => spec,
        }
    }

    /// Gives a file to the first input without a tensor.
    fn next(&mut self, source: Source, from: String) -> Result<(), Failure> {
        let free: Vec<usize> = (0..self.ports.len()).filter(|&i| self.tensors[i].is_none()).collect();
        if let Source::File(Content::Archive(entries)) = source {
            return self.archive(entries, &free, &from);
        }
        let Some(&at) = free.first() else {
            let (ports, from) = (args::list(self.ports), name(&from));
            let text =
                format!("{from}: there is no input left, and only pictures make a batch; the inputs are {ports}");
            return Err(Failure::Usage(text));
        };
        self.set(at, source, from)
    }

    fn archive(&mut self, entries: Vec<(String, Tensor)>, free: &[usize], from: &str) -> Result<(), Failure> {
        let names = Names::of(self.ports);
        let by_name = entries.iter().map(|(n, _)| names.called(n)).collect::<Result<Vec<_>, _>>()?;
        let wrong = |what: String| Failure::Usage(format!("{from}: {what} {}", args::list(self.ports)));
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
        for (at, (entry, array)) in order.into_iter().zip(entries) {
            let array = array_for(array, &self.ports[at], self.args.cast, &format!("{from}: {entry}"))?;
            self.put(at, array, from)?;
        }
        Ok(())
    }

    /// The array of an archive that belongs to an input.
    fn one_of(&self, mut entries: Vec<(String, Tensor)>, at: usize, from: &str) -> Result<Tensor, Failure> {
        let wanted = &self.ports[at].name;
        let mut found = (0..entries.len()).filter(|i| means(&entries[*i].0, &self.ports[at]) || entries.len() == 1);
        match (found.next(), found.next()) {
            (Some(i), None) => Ok(entries.swap_remove(i).1),
            (None, _) => Err(Failure::Usage(format!("{from}: no array is called {}", name(wanted)))),
            _ => Err(Failure::Usage(format!("{from}: several arrays are called {}", name(wanted)))),
        }
    }

    fn finish(mut self, rest: Option<Fill>) -> Result<Vec<Tensor>, Failure> {
        let free: Vec<usize> = (0..self.ports.len()).filter(|&i| self.tensors[i].is_none()).collect();
        let Some(fill) = rest.or(free.is_empty().then_some(Fill::Zeros)) else {
            let missing: Vec<Port> = free.iter().map(|&i| self.ports[i].clone()).collect();
            let (all, n) = (args::list(self.ports), self.ports.len());
            let rest = if missing.len() == n { String::new() } else { format!("; the inputs are {all}") };
            return Err(Failure::Usage(format!("no value for {}{rest}; see --input", args::list(&missing))));
        };
        free.into_iter().try_for_each(|at| self.set(at, Source::Fill(fill), "a generator".into()))?;
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

/// An array from a file as an input takes it: of its element type, if need be and allowed by `cast`.
pub fn array_for(array: Tensor, port: &Port, cast: bool, from: &str) -> Result<Tensor, Failure> {
    let array = fit(array, port)?;
    let (from, input, found) = (name(from), name(&port.name), array.fact());
    match port.spec.dtype.filter(|d| *d != array.dtype()) {
        None => Ok(array),
        Some(dtype) if cast && !array.dtype().is_complex() => {
            array.convert(dtype).map_err(|e| Failure::Usage(format!("{from}: input {input}: {e}")))
        }
        Some(dtype) => {
            let hint = if array.dtype().is_complex() { "" } else { "; --cast converts it" };
            let text = format!("{from}: expected {dtype} for input {input}, found {found}{hint}");
            Err(Failure::Usage(text))
        }
    }
}
