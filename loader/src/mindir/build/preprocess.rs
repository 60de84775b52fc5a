//! Recorded preprocessing: JSON texts to transforms.

use std::sync::Arc;

use mindir_graph::DType;
use mindir_graph::preprocess::{Border, Interpolation, Preprocess, Transform};
use mindir_proto::mindir::{ModelProto, PreprocessOpProto};
use serde_json::Value;

/// What the file records, one entry per column. What cannot be read is there as [`Transform::Other`]: it matters only when
/// the transforms are to be done.
pub(super) fn preprocess(proto: &ModelProto) -> Vec<Preprocess> {
    let mut all: Vec<Preprocess> = Vec::new();
    for op in proto.preprocessor.iter().flat_map(|p| &p.op) {
        let (column, transforms) = (column(op), transforms(op));
        match all.iter_mut().find(|p| p.column == column) {
            Some(known) => known.transforms.extend(transforms),
            None => all.push(Preprocess { column, transforms }),
        }
    }
    all
}

fn parse(text: Option<&str>) -> Option<Value> {
    serde_json::from_str(text?).ok()
}

/// The columns that are read, as one name.
fn column(op: &PreprocessOpProto) -> Arc<str> {
    let names = parse(op.input_columns.as_deref());
    let names = names.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",").into()
}

fn transforms(op: &PreprocessOpProto) -> Vec<Transform> {
    match parse(op.operations.as_deref()) {
        Some(Value::Array(list)) => list.iter().map(transform).collect(),
        _ => vec![Transform::Other("a record that is no list".into())],
    }
}

fn transform(entry: &Value) -> Transform {
    let name = entry.get("tensor_op_name").and_then(Value::as_str).unwrap_or("a record without a name");
    let params = Params(entry.get("tensor_op_params").unwrap_or(&Value::Null));
    known(name, params).unwrap_or_else(|| Transform::Other(name.into()))
}

/// The transform called `name`; `None` if there is none, or its parameters are not what they should be.
fn known(name: &str, params: Params) -> Option<Transform> {
    Some(match name {
        "Decode" if params.flag("rgb") != Some(false) => Transform::Decode,
        "Resize" => Transform::Resize(params.sizes("size")?, params.interpolation()?),
        "CenterCrop" => Transform::CenterCrop(square(params.sizes("size")?)?),
        "Crop" => {
            let corner: [usize; 2] = params.sizes("coordinates")?.try_into().ok()?;
            // The file has the column first.
            Transform::Crop { corner: [corner[1], corner[0]], size: square(params.sizes("size")?)? }
        }
        "Pad" => Transform::Pad { frame: params.sizes("padding")?.try_into().ok()?, border: params.border()? },
        "Normalize" => {
            let channels_last = params.flag("is_hwc").unwrap_or(true);
            Transform::Normalize { mean: params.floats("mean")?, std: params.floats("std")?, channels_last }
        }
        "Rescale" => Transform::Rescale { factor: params.float("rescale")?, shift: params.float("shift")? },
        "HorizontalFlip" => Transform::HorizontalFlip,
        "VerticalFlip" => Transform::VerticalFlip,
        "RgbToBgr" | "SwapRedBlue" => Transform::SwapRedBlue,
        "HwcToChw" | "HWC2CHW" => Transform::HwcToChw,
        "ToTensor" => Transform::ToTensor(params.dtype("output_type")?),
        "TypeCast" => Transform::TypeCast(params.dtype("data_type")?),
        _ => return None,
    })
}

/// The parameters of a transform.
#[derive(Clone, Copy)]
struct Params<'a>(&'a Value);

impl Params<'_> {
    fn flag(self, name: &str) -> Option<bool> {
        self.0.get(name)?.as_bool()
    }

    fn float(self, name: &str) -> Option<f32> {
        self.0.get(name)?.as_f64().map(|x| x as f32)
    }

    fn floats(self, name: &str) -> Option<Vec<f32>> {
        self.0.get(name)?.as_array()?.iter().map(|x| x.as_f64().map(|x| x as f32)).collect()
    }

    fn sizes(self, name: &str) -> Option<Vec<usize>> {
        let size = |x: &Value| usize::try_from(x.as_u64()?).ok();
        self.0.get(name)?.as_array()?.iter().map(size).collect()
    }

    fn dtype(self, name: &str) -> Option<DType> {
        DType::from_mindspore(self.0.get(name)?.as_str()?)
    }

    fn interpolation(self) -> Option<Interpolation> {
        Some(match self.0.get("interpolation")?.as_u64()? {
            0 => Interpolation::Linear,
            1 => Interpolation::Nearest,
            2 => Interpolation::Cubic,
            3 => Interpolation::Area,
            _ => return None,
        })
    }

    fn border(self) -> Option<Border> {
        let byte = |x: usize| u8::try_from(x).ok();
        Some(match self.0.get("padding_mode")?.as_u64()? {
            0 => Border::Constant(self.sizes("fill_value")?.into_iter().map(byte).collect::<Option<_>>()?),
            1 => Border::Edge,
            2 => Border::Reflect,
            3 => Border::Symmetric,
            _ => return None,
        })
    }
}

/// Rows and columns; one number stands for both.
fn square(sizes: Vec<usize>) -> Option<[usize; 2]> {
    match *sizes.as_slice() {
        [both] => Some([both, both]),
        [rows, columns] => Some([rows, columns]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mindir_proto::mindir::PreprocessorProto;

    fn read(operations: &str) -> Vec<Transform> {
        let op = PreprocessOpProto {
            input_columns: Some(r#"["image"]"#.into()),
            operations: Some(operations.into()),
            ..Default::default()
        };
        let proto = ModelProto { preprocessor: Some(PreprocessorProto { op: vec![op] }), ..Default::default() };
        let all = preprocess(&proto);
        assert_eq!(&*all[0].column, "image");
        all[0].transforms.clone()
    }

    #[test]
    fn what_is_not_known_is_kept_by_name() {
        let other = |name: &str| vec![Transform::Other(name.into())];
        for (text, expected) in [
            (r#"[{"tensor_op_name":"HwcToChw","tensor_op_params":null}]"#, vec![Transform::HwcToChw]),
            (r#"[{"tensor_op_name":"RandomCrop","tensor_op_params":{"size":[1,2]}}]"#, other("RandomCrop")),
            (r#"[{"tensor_op_name":"Resize","tensor_op_params":{"size":[-1,2],"interpolation":0}}]"#, other("Resize")),
            (r#"[{"tensor_op_name":"Resize","tensor_op_params":{"size":[1,2],"interpolation":9}}]"#, other("Resize")),
            (r#"[{}]"#, other("a record without a name")),
            (r#"{"#, other("a record that is no list")),
            (r#"[]"#, Vec::new()),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
