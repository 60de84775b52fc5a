//! Recorded preprocessing as JSON texts.

use mindir_graph::DType;
use mindir_graph::preprocess::{Border, Interpolation, Preprocess, Transform};
use mindir_proto::mindir::{PreprocessOpProto, PreprocessorProto};
use serde_json::{Value, json};

/// The record of a model; `None` if there is nothing to record.
pub(super) fn preprocessor(all: &[Preprocess]) -> Option<PreprocessorProto> {
    let op: Vec<PreprocessOpProto> = all.iter().map(column).collect();
    (!op.is_empty()).then_some(PreprocessorProto { op })
}

fn column(recorded: &Preprocess) -> PreprocessOpProto {
    let names: Vec<&str> = recorded.column.split(',').collect();
    let names = json!(names).to_string();
    let operations: Vec<Value> = recorded.transforms.iter().map(operation).collect();
    PreprocessOpProto {
        input_columns: Some(names.clone()),
        output_columns: Some(names),
        op_type: Some(json!("Map").to_string()),
        operations: Some(json!(operations).to_string()),
        offload: Some(false),
        ..Default::default()
    }
}

fn operation(transform: &Transform) -> Value {
    let cpu = "CPU";
    let (name, params) = match transform {
        Transform::Decode => ("Decode", json!({"device_target": cpu, "rgb": true})),
        Transform::Resize(size, how) => {
            ("Resize", json!({"device_target": cpu, "interpolation": interpolation(*how), "size": size}))
        }
        Transform::CenterCrop(size) => ("CenterCrop", json!({"size": size})),
        Transform::Crop { corner: [row, column], size } => {
            ("Crop", json!({"coordinates": [column, row], "device_target": cpu, "size": size}))
        }
        Transform::Pad { frame, border } => {
            let (mode, fill) = match border {
                Border::Constant(fill) => (0, fill.clone()),
                Border::Edge => (1, vec![0; 3]),
                Border::Reflect => (2, vec![0; 3]),
                Border::Symmetric => (3, vec![0; 3]),
            };
            ("Pad", json!({"device_target": cpu, "fill_value": fill, "padding": frame, "padding_mode": mode}))
        }
        Transform::Normalize { mean, std, channels_last } => {
            ("Normalize", json!({"device_target": cpu, "is_hwc": channels_last, "mean": mean, "std": std}))
        }
        Transform::Rescale { factor, shift } => ("Rescale", json!({"rescale": factor, "shift": shift})),
        Transform::HorizontalFlip => ("HorizontalFlip", json!({"device_target": cpu})),
        Transform::VerticalFlip => ("VerticalFlip", json!({"device_target": cpu})),
        Transform::SwapRedBlue => ("RgbToBgr", Value::Null),
        Transform::HwcToChw => ("HwcToChw", Value::Null),
        Transform::ToTensor(dtype) => ("ToTensor", json!({"output_type": element(*dtype)})),
        Transform::TypeCast(dtype) => ("TypeCast", json!({"data_type": element(*dtype)})),
        Transform::Other(name) => (&**name, Value::Null),
    };
    json!({"tensor_op_name": name, "tensor_op_params": params})
}

fn interpolation(how: Interpolation) -> u8 {
    match how {
        Interpolation::Linear => 0,
        Interpolation::Nearest => 1,
        Interpolation::Cubic => 2,
        Interpolation::Area => 3,
    }
}

/// MindSpore's name of an element type.
fn element(dtype: DType) -> &'static str {
    crate::ElementType::from(dtype).name()
}
