//! A reader of pickles that makes plain objects and executes nothing.

use std::collections::HashMap;
use std::rc::Rc;

use mindir_graph::DType;

use super::PickleFault;
use super::tensor::{Storage, Strided};
use crate::element::ElementType;
use crate::error::Excess;

/// Objects by number; containers hold numbers.
pub(super) struct Objects {
    all: Vec<Object>,
    pub(super) root: Id,
}

impl Objects {
    pub(super) fn get(&self, id: Id) -> &Object {
        self.all.get(id as usize).unwrap_or(&Object::None)
    }

    /// The storages that are described, in order.
    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.all.iter().filter_map(|object| if let Object::Storage(storage) = object { Some(&**storage) } else { None })
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

pub(super) type Id = u32;

/// What a pickle describes.
pub(super) enum Object {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Function(Function),
    StorageType(ElementType),
    Storage(Rc<Storage>),
    Tensor(Rc<Strided>),
}

/// Functions that may be called.
#[derive(Clone, Copy)]
pub(super) enum Function {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`.
    Tensor,
    /// `torch._utils._rebuild_parameter`.
    Parameter,
}

/// Kinds of storages, by the names of their classes in `torch`.
const STORAGES: [(&str, ElementType); 12] = [
    ("FloatStorage", ElementType::Of(DType::F32)),
    ("DoubleStorage", ElementType::Of(DType::F64)),
    ("HalfStorage", ElementType::Of(DType::F16)),
    ("BFloat16Storage", ElementType::Of(DType::BF16)),
    ("LongStorage", ElementType::Of(DType::I64)),
    ("IntStorage", ElementType::Of(DType::I32)),
    ("ShortStorage", ElementType::Of(DType::I16)),
    ("CharStorage", ElementType::Of(DType::I8)),
    ("ByteStorage", ElementType::Of(DType::U8)),
    ("BoolStorage", ElementType::Of(DType::Bool)),
    ("ComplexFloatStorage", ElementType::Of(DType::C64)),
    ("ComplexDoubleStorage", ElementType::Of(DType::C128)),
];

/// The classes and functions that are known.
fn global(module: &str, name: &str) -> Option<Object> {
    let storage = || STORAGES.iter().find(|(known, _)| *known == name).map(|(_, kind)| Object::StorageType(*kind));
    match (module, name) {
        ("collections", "OrderedDict") => Some(Object::Function(Function::OrderedDict)),
        ("torch._utils", "_rebuild_tensor_v2") => Some(Object::Function(Function::Tensor)),
        ("torch._utils", "_rebuild_parameter") => Some(Object::Function(Function::Parameter)),
        ("torch" | "torch.storage", _) => storage(),
        _ => None,
    }
}

const SHORT: PickleFault = PickleFault::Damaged("the pickle ends too early");
const EMPTY: PickleFault = PickleFault::Damaged("an instruction finds nothing to work on");
const KIND: PickleFault = PickleFault::Damaged("an instruction works on the wrong kind of object");

/// The object that a pickle describes and how many bytes the pickle has, or where and why it does not. `budget` bounds the memory of objects.
pub(super) fn load(pickle: &[u8], budget: u64) -> Result<(Objects, usize), (usize, PickleFault)> {
    let mut machine = Machine {
        pickle,
        at: 0,
        all: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        used: 0,
        budget,
    };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => return Ok((Objects { all: machine.all, root }, machine.at)),
            Err(fault) => return Err((at, fault)),
        }
    }
}

struct Machine<'a> {
    pickle: &'a [u8],
    at: usize,
    all: Vec<Object>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Bytes that objects take, at most.
    used: u64,
    budget: u64,
}

impl Machine<'_> {
    /// Executes an instruction; the result of the last one is the object.
    fn step(&mut self) -> Result<Option<Id>, PickleFault> {
        let [code] = self.take()?;
        match code {
            // PROTO, FRAME
            0x80 => drop(self.take::<1>()?),
            0x95 => drop(self.take::<8>()?),
            b'.' => return self.pop().map(Some),
            b'(' => {
                self.charge(size_of::<usize>())?;
                self.marks.push(self.stack.len());
            }
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = *self.stack.last().ok_or(EMPTY)?;
                self.push_id(top)?;
            }
            b'N' => self.push(Object::None)?,
            0x88 => self.push(Object::Bool(true))?,
            0x89 => self.push(Object::Bool(false))?,
            b'J' | b'K' | b'M' | 0x8a => self.integer(code)?,
            b'G' => {
                let bytes = self.take()?;
                self.push(Object::Float(f64::from_be_bytes(bytes)))?;
            }
            b'X' | 0x8c | 0x8d | b'T' | b'U' => self.text(code)?,
            b')' => self.push(Object::Tuple(Vec::new()))?,
            b']' => self.push(Object::List(Vec::new()))?,
            b'}' => self.push(Object::Dict(Vec::new()))?,
            b't' | b'l' | b'd' | 0x85 | 0x86 | 0x87 => self.container(code)?,
            b'a' | b'e' => self.append(code)?,
            b's' | b'u' => self.set_items(code)?,
            b'q' | b'r' | 0x94 => self.remember(code)?,
            b'h' | b'j' => self.recall(code)?,
            b'c' | 0x93 => self.find(code)?,
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            // The attributes of an ordered dictionary are notes of PyTorch; other objects cannot have any.
            b'b' => {
                self.pop()?;
                let id = *self.stack.last().ok_or(EMPTY)?;
                if !matches!(self.object(id), Object::Dict(_)) {
                    return Err(KIND);
                }
            }
            other => return Err(PickleFault::Instruction(other)),
        }
        Ok(None)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], PickleFault> {
        let bytes = self.pickle.get(self.at..).and_then(<[u8]>::first_chunk::<N>).ok_or(SHORT)?;
        self.at += N;
        Ok(*bytes)
    }

    fn slice(&mut self, len: u64) -> Result<&[u8], PickleFault> {
        let len = usize::try_from(len).map_err(|_| SHORT)?;
        let end = self.at.checked_add(len).ok_or(SHORT)?;
        let bytes = self.pickle.get(self.at..end).ok_or(SHORT)?;
        self.at = end;
        Ok(bytes)
    }

    fn line(&mut self) -> Result<&str, PickleFault> {
        let rest = self.pickle.get(self.at..).ok_or(SHORT)?;
        let len = rest.iter().position(|byte| *byte == b'\n').ok_or(SHORT)?;
        self.at += len + 1;
        rest.get(..len).and_then(|line| str::from_utf8(line).ok()).ok_or(PickleFault::Damaged("a name is not UTF-8"))
    }

    fn charge(&mut self, bytes: usize) -> Result<(), PickleFault> {
        self.used = self.used.saturating_add(bytes as u64);
        if self.used <= self.budget {
            return Ok(());
        }
        let what = "memory for objects (bytes)";
        Err(PickleFault::TooMany(Excess { what, limit: self.budget, found: self.used, offset: None }))
    }

    fn push(&mut self, object: Object) -> Result<(), PickleFault> {
        self.charge(2 * size_of::<Object>())?;
        let id = Id::try_from(self.all.len()).map_err(|_| KIND)?;
        self.all.push(object);
        self.push_id(id)
    }

    fn push_id(&mut self, id: Id) -> Result<(), PickleFault> {
        // On the stack, and later perhaps in a container.
        self.charge(4 * size_of::<Id>())?;
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, PickleFault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(EMPTY);
        }
        self.stack.pop().ok_or(EMPTY)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, PickleFault> {
        let mark = self.marks.pop().ok_or(EMPTY)?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn object(&self, id: Id) -> &Object {
        self.all.get(id as usize).unwrap_or(&Object::None)
    }

    /// The container on top of the stack.
    fn top(&mut self) -> Result<&mut Object, PickleFault> {
        let id = *self.stack.last().ok_or(EMPTY)?;
        self.all.get_mut(id as usize).ok_or(EMPTY)
    }

    fn integer(&mut self, code: u8) -> Result<(), PickleFault> {
        let number = match code {
            b'J' => i64::from(i32::from_le_bytes(self.take()?)),
            b'K' => i64::from(u8::from_le_bytes(self.take()?)),
            b'M' => i64::from(u16::from_le_bytes(self.take()?)),
            _ => {
                let [len] = self.take()?;
                let bytes = self.slice(len.into())?;
                if bytes.len() > 8 {
                    return Err(PickleFault::Damaged("a number has more than 64 bits"));
                }
                let filling = if bytes.last().is_some_and(|byte| *byte >= 0x80) { -1 } else { 0 };
                bytes.iter().rev().fold(filling, |all, byte| all << 8 | i64::from(*byte))
            }
        };
        self.push(Object::Int(number))
    }

    fn text(&mut self, code: u8) -> Result<(), PickleFault> {
        let len = match code {
            b'X' | b'T' => u64::from(u32::from_le_bytes(self.take()?)),
            0x8d => u64::from_le_bytes(self.take()?),
            _ => u64::from(u8::from_le_bytes(self.take()?)),
        };
        let bytes = self.slice(len)?;
        let text: Rc<str> = str::from_utf8(bytes).map_err(|_| PickleFault::Damaged("a text is not UTF-8"))?.into();
        self.charge(text.len())?;
        self.push(Object::Text(text))
    }

    fn container(&mut self, code: u8) -> Result<(), PickleFault> {
        let items = match code {
            0x85 => vec![self.pop()?],
            0x86 | 0x87 => {
                let mut items = (0..code - 0x84).map(|_| self.pop()).collect::<Result<Vec<Id>, _>>()?;
                items.reverse();
                items
            }
            _ => self.pop_mark()?,
        };
        self.push(match code {
            b'l' => Object::List(items),
            b'd' => Object::Dict(pairs(&items)?),
            _ => Object::Tuple(items),
        })
    }

    fn append(&mut self, code: u8) -> Result<(), PickleFault> {
        let items = if code == b'a' { vec![self.pop()?] } else { self.pop_mark()? };
        match self.top()? {
            Object::List(list) => list.extend(items),
            _ => return Err(KIND),
        }
        Ok(())
    }

    fn set_items(&mut self, code: u8) -> Result<(), PickleFault> {
        let items = if code == b's' {
            let value = self.pop()?;
            vec![self.pop()?, value]
        } else {
            self.pop_mark()?
        };
        let new = pairs(&items)?;
        match self.top()? {
            Object::Dict(dict) => dict.extend(new),
            _ => return Err(KIND),
        }
        Ok(())
    }

    fn remember(&mut self, code: u8) -> Result<(), PickleFault> {
        let number = match code {
            b'q' => u32::from(u8::from_le_bytes(self.take()?)),
            b'r' => u32::from_le_bytes(self.take()?),
            _ => self.memo.len() as u32,
        };
        self.charge(4 * size_of::<(u32, Id)>())?;
        self.memo.insert(number, *self.stack.last().ok_or(EMPTY)?);
        Ok(())
    }

    fn recall(&mut self, code: u8) -> Result<(), PickleFault> {
        let number = match code {
            b'h' => u32::from(u8::from_le_bytes(self.take()?)),
            _ => u32::from_le_bytes(self.take()?),
        };
        let id = *self.memo.get(&number).ok_or(PickleFault::Damaged("an object is used before it is made"))?;
        self.push_id(id)
    }

    fn find(&mut self, code: u8) -> Result<(), PickleFault> {
        let (module, name) = if code == b'c' {
            let module = self.line()?.to_string();
            (module, self.line()?.to_string())
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (self.object(module), self.object(name)) {
                (Object::Text(module), Object::Text(name)) => (module.to_string(), name.to_string()),
                _ => return Err(KIND),
            }
        };
        let found = global(&module, &name).ok_or(PickleFault::Global(module, name))?;
        self.push(found)
    }

    /// Turns `("storage", type, key, place, length)`, behind which old files have `None`, into a storage.
    fn storage(&mut self) -> Result<(), PickleFault> {
        let id = self.pop()?;
        let Object::Tuple(parts) = self.object(id) else { return Err(KIND) };
        let parts: Vec<&Object> = parts.iter().map(|id| self.object(*id)).collect();
        let storage = match parts.as_slice() {
            [
                Object::Text(kind),
                Object::StorageType(element),
                Object::Text(key),
                Object::Text(_),
                Object::Int(len),
                rest @ ..,
            ] if matches!(rest, [] | [Object::None]) && **kind == *"storage" => {
                let len = u64::try_from(*len).map_err(|_| KIND)?;
                Storage { element: *element, key: Rc::clone(key), len }
            }
            _ => return Err(PickleFault::Damaged("the description of a storage is not valid")),
        };
        self.push(Object::Storage(Rc::new(storage)))
    }

    fn call(&mut self) -> Result<(), PickleFault> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Object::Tuple(arguments) = self.object(arguments) else { return Err(KIND) };
        let Object::Function(function) = *self.object(function) else { return Err(KIND) };
        let made = match (function, arguments.as_slice()) {
            (Function::OrderedDict, []) => Object::Dict(Vec::new()),
            (Function::Tensor, [storage, offset, shape, strides, ..]) => {
                let (Object::Storage(storage), Object::Int(offset)) = (self.object(*storage), self.object(*offset))
                else {
                    return Err(KIND);
                };
                let storage = Rc::clone(storage);
                let offset = u64::try_from(*offset).map_err(|_| KIND)?;
                let (shape, strides) = (self.numbers(*shape)?, self.numbers(*strides)?);
                Object::Tensor(Rc::new(Strided { storage, offset, shape, strides }))
            }
            (Function::Parameter, [tensor, ..]) => match self.object(*tensor) {
                Object::Tensor(tensor) => Object::Tensor(Rc::clone(tensor)),
                _ => return Err(KIND),
            },
            _ => return Err(PickleFault::Damaged("a function has other arguments than expected")),
        };
        if let Object::Tensor(tensor) = &made {
            self.charge(size_of::<Strided>() + tensor.shape.len() * 2 * size_of::<u64>())?;
        }
        self.push(made)
    }

    /// A tuple of numbers that are not negative.
    fn numbers(&self, id: Id) -> Result<Vec<u64>, PickleFault> {
        let Object::Tuple(items) = self.object(id) else { return Err(KIND) };
        let number = |id: &Id| match self.object(*id) {
            Object::Int(number) => {
                u64::try_from(*number).map_err(|_| PickleFault::Damaged("a size or stride is negative"))
            }
            _ => Err(KIND),
        };
        items.iter().map(number).collect()
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, PickleFault> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() { Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect()) } else { Err(EMPTY) }
}
