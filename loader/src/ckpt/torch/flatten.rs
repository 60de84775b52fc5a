//! From nested containers to names and values.

use std::rc::Rc;

use super::pickle::{Id, Object, Objects};
use super::tensor::Strided;
use crate::ckpt::Value;
use crate::limits::Limits;

/// A value at the end of a path.
pub(super) enum Leaf {
    Value(Value),
    Tensor(Rc<Strided>),
}

/// Every value with its path, in order.
///
/// An object that is used twice appears twice, which could make few objects very many values: there are at most as many
/// steps as twice the objects and a million.
pub(super) fn leaves(objects: &Objects, limits: &Limits) -> Result<Vec<(String, Leaf)>, String> {
    let most = 2 * objects.len() + (1 << 20);
    let mut found = Vec::new();
    let mut open: Vec<(String, Id, u32)> = vec![(String::new(), objects.root, 0)];
    let mut steps = 0;
    while let Some((path, id, depth)) = open.pop() {
        steps += 1;
        if steps > most {
            return Err("containers that hold each other have too many values".to_string());
        }
        if path.len() > limits.max_name_len || depth > limits.nesting() {
            return Err(format!("containers are nested more than {} deep", limits.nesting()));
        }
        let leaf = match objects.get(id) {
            Object::None => continue,
            Object::Bool(truth) => Leaf::Value((*truth).into()),
            Object::Int(number) => Leaf::Value((*number).into()),
            Object::Float(number) => Leaf::Value((*number).into()),
            Object::Text(text) => Leaf::Value((&**text).into()),
            Object::Tensor(tensor) => Leaf::Tensor(Rc::clone(tensor)),
            Object::Tuple(items) | Object::List(items) => {
                let items = items.iter().enumerate().rev();
                open.extend(items.map(|(position, item)| (join(&path, &position.to_string()), *item, depth + 1)));
                continue;
            }
            Object::Dict(pairs) => {
                for (key, value) in pairs.iter().rev() {
                    let key = match objects.get(*key) {
                        Object::Text(key) => key.to_string(),
                        Object::Int(key) => key.to_string(),
                        _ => return Err("a key of a dictionary is neither a text nor an integer".to_string()),
                    };
                    open.push((join(&path, &key), *value, depth + 1));
                }
                continue;
            }
            Object::Function(_) | Object::StorageType(_) | Object::Storage(_) => {
                return Err("a function or storage stands where a value is expected".to_string());
            }
        };
        if path.is_empty() {
            return Err("the file holds one value without a name".to_string());
        }
        found.push((path, leaf));
    }
    Ok(found)
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}
