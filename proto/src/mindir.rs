//! Messages of a `.mindir` file (protobuf package `mind_ir`, proto2).
//!
//! A file is one bare [`ModelProto`]: no magic number, no length prefix.
//!
//! Names form one table over the main graph and all functions: graph inputs are called `<graph>:<argument>`, parameters
//! `<graph>:<python name>`, node outputs `<graph>:<label>:<number>`; constants carry no graph prefix and may be used by any
//! graph of the file.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::{Enumeration, Message};

/// Highest `mind_ir_version` known to this schema.
pub const MAX_MIND_IR_VERSION: i64 = Version::WithScalarGraphHolder as i64;

/// Meaning of `ModelProto::mind_ir_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum Version {
    /// Field absent: nodes name operators directly and carry their attributes.
    Start = 0,
    /// Operators live in the table of primitives; their arguments are still attributes.
    WithPrimitives = 1,
    /// Arguments of operators are inputs.
    WithPrimFunction = 2,
    /// Attributes may hold scalar graphs.
    WithScalarGraphHolder = 3,
}

/// A whole model: header, entry graph, functions and the table of primitives.
#[derive(Clone, PartialEq, Message)]
#[prost(prost_path = "crate::lean")]
pub struct ModelProto {
    /// Version of the format as text: `0.1.0`, `0.1.1` or `1.1`.
    #[prost(string, optional, tag = "1")]
    pub ir_version: Option<String>,
    /// Program that wrote the file, `MindSpore` in practice.
    #[prost(string, optional, tag = "2")]
    pub producer_name: Option<String>,
    /// Version of the producer; usually empty.
    #[prost(string, optional, tag = "3")]
    pub producer_version: Option<String>,
    /// Name space of the model; usually empty.
    #[prost(string, optional, tag = "4")]
    pub domain: Option<String>,
    /// MindSpore release that wrote the file, such as `2.10.0`.
    #[prost(string, optional, tag = "5")]
    pub model_version: Option<String>,
    /// Free text for people.
    #[prost(string, optional, tag = "6")]
    pub doc_string: Option<String>,
    /// Entry graph; the only one with parameters.
    #[prost(message, optional, boxed, tag = "7")]
    pub graph: Option<Box<GraphProto>>,
    /// Every other graph, in no meaningful order.
    #[prost(message, repeated, tag = "8")]
    pub functions: Vec<GraphProto>,
    /// Dataset operations recorded with the model. Old files used this number for a string.
    #[prost(message, optional, tag = "9")]
    pub preprocessor: Option<PreprocessorProto>,
    /// Byte order of tensor contents; absent means little endian.
    #[prost(bool, optional, tag = "10")]
    pub little_endian: Option<bool>,
    /// How parameters were split over devices.
    #[prost(message, optional, tag = "11")]
    pub parallel: Option<ParallelProto>,
    /// Operators used by the nodes, referred to by name.
    #[prost(message, repeated, tag = "12")]
    pub primitives: Vec<PrimitiveProto>,
    /// A [`Version`] number; absent means 0.
    #[prost(int64, optional, tag = "13")]
    pub mind_ir_version: Option<i64>,
    /// Key and value pairs added by the person who exported the model.
    #[prost(btree_map = "string, string", tag = "14")]
    pub user_info: BTreeMap<String, String>,
}

/// One graph: arguments, weights, nodes in order of use, and what it returns.
#[derive(Clone, PartialEq, Message)]
#[prost(prost_path = "crate::lean")]
pub struct GraphProto {
    /// Nodes; each uses only names defined before it.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// Name of the graph, unique in the file, changing from export to export.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    /// Weights; entry graph only. Functions receive weights as inputs.
    #[prost(message, repeated, tag = "3")]
    pub parameter: Vec<TensorProto>,
    /// Free text for people.
    #[prost(string, optional, tag = "4")]
    pub doc_string: Option<String>,
    /// Arguments in the order of the call.
    #[prost(message, repeated, tag = "5")]
    pub input: Vec<ValueInfoProto>,
    /// Returned values; more than one means that a tuple of them is returned.
    #[prost(message, repeated, tag = "6")]
    pub output: Vec<ValueInfoProto>,
    /// Hash of the backward graph; empty in practice.
    #[prost(string, optional, tag = "7")]
    pub bprop_hash: Option<String>,
    /// Flags of the compiler; no influence on results.
    #[prost(message, repeated, tag = "8")]
    pub attribute: Vec<AttributeProto>,
    /// File of the backward graph; empty in practice.
    #[prost(string, optional, tag = "9")]
    pub bprop_filepath: Option<String>,
    /// Weights kept as hash tables.
    #[prost(message, repeated, tag = "10")]
    pub map_parameter: Vec<MapTensorProto>,
}

/// One node: a constant, the call of an operator, or the call of a function.
#[derive(Clone, PartialEq, Message)]
#[prost(prost_path = "crate::lean")]
pub struct NodeProto {
    /// Names of the arguments.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Name of the result; one per node, operators with several results return a tuple.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name of the node, equal to its output.
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    /// `Constant`, `REF::<primitive, graph or value>`, or the bare name of an operator (old files).
    #[prost(string, optional, tag = "4")]
    pub op_type: Option<String>,
    /// `value` of a constant, `shape` of a result, and in old files the attributes of the operator.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    /// Free text for people.
    #[prost(string, optional, tag = "6")]
    pub doc_string: Option<String>,
    /// Path of the cell that made the node, such as `Default/1-Dense/MatMul-op0`.
    #[prost(string, optional, tag = "7")]
    pub domain: Option<String>,
    /// Notes of the compiler; no influence on results.
    #[prost(message, repeated, tag = "8")]
    pub node_attr: Vec<AttributeProto>,
    /// Links between forward and backward nodes; no influence on results.
    #[prost(message, repeated, tag = "9")]
    pub primal_attr: Vec<AttributeProto>,
}

/// Name and type of a graph argument or result.
#[derive(Clone, PartialEq, Message)]
#[prost(prost_path = "crate::lean")]
pub struct ValueInfoProto {
    /// Name of the value.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Shape and element type when the value is a tensor; a dimension of -1 is unknown, a shape of `[-2]` has unknown rank.
    #[prost(message, repeated, tag = "2")]
    pub tensor: Vec<TensorProto>,
    /// Free text for people.
    #[prost(string, optional, tag = "3")]
    pub doc_string: Option<String>,
    /// Kind of a value that is no tensor, such as `Tuple`, `Int` or `UMonadType`.
    #[prost(string, optional, tag = "4")]
    pub denotation: Option<String>,
    /// Description of a value that is no tensor.
    #[prost(message, optional, boxed, tag = "5")]
    pub attr_info: Option<Box<AttributeProto>>,
}

/// A named value: an operator's attribute, a constant, or the description of a result.
///
/// A scalar on its own is in `i`, `f`, `d` or `s`; as element of a tuple, list or dict it is the only entry of `ints`,
/// `floats`, `doubles` or `strings`.
#[derive(Clone, PartialEq, Message)]
#[prost(prost_path = "crate::lean")]
pub struct AttributeProto {
    /// Name of the attribute, or the key of a dict entry.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Single precision value.
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// Integer or truth value; unsigned 64-bit numbers keep their bits.
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// Double precision value.
    #[prost(double, optional, tag = "4")]
    pub d: Option<f64>,
    /// Text, UTF-8 in practice.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub s: Option<Bytes>,
    /// A tensor; not used by known exporters, which fill `tensors`.
    #[prost(message, optional, boxed, tag = "6")]
    pub t: Option<Box<TensorProto>>,
    /// A graph; not used by known exporters.
    #[prost(message, optional, boxed, tag = "7")]
    pub g: Option<Box<GraphProto>>,
    /// Single precision values.
    #[prost(float, repeated, packed = "false", tag = "8")]
    pub floats: Vec<f32>,
    /// Double precision values.
    #[prost(double, repeated, packed = "false", tag = "9")]
    pub doubles: Vec<f64>,
    /// Integers or truth values.
    #[prost(int64, repeated, packed = "false", tag = "10")]
    pub ints: Vec<i64>,
    /// Texts.
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub strings: Vec<Bytes>,
    /// Tensors: with `raw_data` a value, without it an element type or a shape.
    #[prost(message, repeated, tag = "12")]
    pub tensors: Vec<TensorProto>,
    /// Graphs; not used by known exporters.
    #[prost(message, repeated, tag = "13")]
    pub graphs: Vec<GraphProto>,
    /// Free text for people.
    #[prost(string, optional, tag = "14")]
    pub doc_string: Option<String>,
    /// Form of the value in old files, such as `scalar:Tuple[value1,value2,]`.
    #[prost(string, optional, tag = "15")]
    pub ref_attr_name: Option<String>,
    /// An [`AttributeType`] number.
    #[prost(int32, optional, tag = "16")]
    pub r#type: Option<i32>,
    /// Elements of a tuple, list or dict.
    #[prost(message, repeated, tag = "17")]
    pub values: Vec<AttributeProto>,
    /// Facts about a sequence of unknown length. Old files used this number for an enumeration.
    #[prost(message, optional, boxed, tag = "18")]
    pub seq_info: Option<Box<SeqInfoProto>>,
    /// A function known by name.
    #[prost(message, optional, boxed, tag = "19")]
    pub functor: Option<Box<FunctorProto>>,
    /// A graph of scalar computations on shapes.
    #[prost(message, optional, boxed, tag = "20")]
    pub graph_holder: Option<Box<ScalarGraphHolderProto>>,
}

impl AttributeProto {
    /// The kind of value held. `Undefined` when the field is absent, `None` when the number is unknown.
    pub fn attribute_type(&self) -> Option<AttributeType> {
        AttributeType::try_from(self.r#type.unwrap_or_default()).ok()
    }
}

/// Facts about a tuple or list in the description of a value.
#[derive(Clone, PartialEq, Message)]
pub struct SeqInfoProto {
    /// Whether the length is known only at run time.
    #[prost(bool, optional, tag = "1")]
    pub is_dyn_len: Option<bool>,
    /// Description of every element when the length is unknown.
    #[prost(message, optional, boxed, tag = "2")]
    pub tuple_elem_item: Option<Box<AttributeProto>>,
}

/// Kind of value in an [`AttributeProto`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum AttributeType {
    /// Not stated; old files state the form in `ref_attr_name`.
    Undefined = 0,
    /// Single precision number.
    Float = 1,
    /// 8-bit unsigned integer.
    Uint8 = 2,
    /// 8-bit integer.
    Int8 = 3,
    /// 16-bit unsigned integer.
    Uint16 = 4,
    /// 16-bit integer.
    Int16 = 5,
    /// 32-bit integer.
    Int32 = 6,
    /// 64-bit integer; what Python integers become.
    Int64 = 7,
    /// Text.
    String = 8,
    /// Truth value.
    Bool = 9,
    /// Half precision number.
    Float16 = 10,
    /// Double precision number.
    Double = 11,
    /// 32-bit unsigned integer.
    Uint32 = 12,
    /// 64-bit unsigned integer.
    Uint64 = 13,
    /// Complex number of two single precision parts.
    Complex64 = 14,
    /// Complex number of two double precision parts.
    Complex128 = 15,
    /// Brain float number.
    Bfloat16 = 16,
    /// A tensor in `t`.
    Tensor = 17,
    /// A graph in `g`.
    Graph = 18,
    /// Tensors in `tensors`: a value, an element type, or a shape.
    Tensors = 19,
    /// Fixed sequence in `values`.
    Tuple = 20,
    /// List in `values`.
    List = 21,
    /// Entries in `values`: the key is the name, the value the only element.
    Dict = 22,
    /// Token that orders effects on memory.
    Umonad = 23,
    /// Token that orders input and output.
    Iomonad = 24,
    /// Python's `None`.
    None = 25,
    /// Function value: a primitive named in `s`.
    PrimitiveClosure = 26,
    /// Function value: a graph named in `s`.
    FuncGraphClosure = 27,
    /// Function value: the `Partial` node named in `s`.
    PartialClosure = 28,
    /// Function value: one of those in `values`.
    UnionFuncClosure = 29,
    /// Sparse tensor in compressed rows.
    CsrTensor = 30,
    /// Sparse tensor in coordinate form.
    CooTensor = 31,
    /// Sparse tensor of whole rows.
    RowTensor = 32,
    /// Python class named in `s`.
    ClassType = 33,
    /// Python name space named in `s`.
    NameSpace = 34,
    /// Python symbol named in `s`.
    Symbol = 35,
    /// The null type.
    TypeNull = 36,
    /// Hash table.
    MapTensor = 37,
    /// Function known by name, in `functor`.
    Functor = 38,
    /// Description of a scalar: element type in `tensors`.
    Scalar = 39,
    /// Computation on shapes, in `graph_holder`.
    ScalarGraphHolder = 40,
}

/// A function known by name, held by attributes of shape computations.
#[derive(Clone, PartialEq, Message)]
#[prost(prost_path = "crate::lean")]
pub struct FunctorProto {
    /// A [`FunctorType`] number.
    #[prost(int32, optional, tag = "1")]
    pub r#type: Option<i32>,
    /// Name of the function.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    /// Bound arguments.
    #[prost(message, repeated, tag = "3")]
    pub values: Vec<AttributeProto>,
}

/// Kind of a [`FunctorProto`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum FunctorType {
    /// Computes a shape.
    ShapeCalc = 1,
    /// Anything else.
    Any = 2,
}

/// A tensor: shape, element type and, for weights and constants, its contents.
///
/// Known exporters put contents into `raw_data` or describe them with `external_data`; the typed lists stay empty.
#[derive(Clone, PartialEq, Message)]
#[prost(prost_path = "crate::lean")]
pub struct TensorProto {
    /// Dimensions, outermost first; none for a scalar.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// A [`DataType`] number.
    #[prost(int32, optional, tag = "2")]
    pub data_type: Option<i32>,
    /// Contents as single precision numbers; not used by known exporters.
    #[prost(float, repeated, packed = "false", tag = "3")]
    pub float_data: Vec<f32>,
    /// Contents as 32-bit integers; not used by known exporters.
    #[prost(int32, repeated, packed = "false", tag = "4")]
    pub int32_data: Vec<i32>,
    /// Contents as texts; not used by known exporters.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub string_data: Vec<Bytes>,
    /// Contents as 64-bit integers; not used by known exporters.
    #[prost(int64, repeated, packed = "false", tag = "6")]
    pub int64_data: Vec<i64>,
    /// Name of the tensor.
    #[prost(string, optional, tag = "7")]
    pub name: Option<String>,
    /// Free text for people.
    #[prost(string, optional, tag = "8")]
    pub doc_string: Option<String>,
    /// Contents, row-major, in the byte order of the model.
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub raw_data: Option<Bytes>,
    /// Contents as double precision numbers; not used by known exporters.
    #[prost(double, repeated, packed = "false", tag = "10")]
    pub double_data: Vec<f64>,
    /// Contents as unsigned 64-bit integers; not used by known exporters.
    #[prost(uint64, repeated, packed = "false", tag = "11")]
    pub uint64_data: Vec<u64>,
    /// Where the contents are when they are in another file.
    #[prost(message, optional, boxed, tag = "12")]
    pub external_data: Option<Box<ExternalDataProto>>,
    /// Python name of the parameter that this value is.
    #[prost(string, optional, tag = "13")]
    pub ref_key: Option<String>,
    /// Lower bounds of unknown dimensions; not written by current exporters.
    #[prost(int64, repeated, packed = "false", tag = "14")]
    pub min_dims: Vec<i64>,
    /// Upper bounds of unknown dimensions; not written by current exporters.
    #[prost(int64, repeated, packed = "false", tag = "15")]
    pub max_dims: Vec<i64>,
    /// A [`CompressionType`] number.
    #[prost(int32, optional, tag = "16")]
    pub compression_type: Option<i32>,
    /// Quantisation of the contents.
    #[prost(message, repeated, tag = "17")]
    pub quant_params: Vec<QuantParamProto>,
}

/// Contents of a tensor in a data file beside the model.
#[derive(Clone, PartialEq, Message)]
pub struct ExternalDataProto {
    /// File, relative to the folder of the model, with forward slashes.
    #[prost(string, optional, tag = "1")]
    pub location: Option<String>,
    /// First byte in the file.
    #[prost(int64, optional, tag = "2")]
    pub offset: Option<i64>,
    /// Number of bytes, without padding.
    #[prost(int64, optional, tag = "3")]
    pub length: Option<i64>,
}

/// One way in which a tensor was quantised.
#[derive(Clone, PartialEq, Message)]
#[prost(prost_path = "crate::lean")]
pub struct QuantParamProto {
    /// Name of the algorithm.
    #[prost(string, required, tag = "1")]
    pub quant_algo_name: String,
    /// Parameters of the algorithm.
    #[prost(message, repeated, tag = "2")]
    pub attribute: Vec<AttributeProto>,
}

/// Element type of a [`TensorProto`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// Not stated.
    Undefined = 0,
    /// Single precision.
    Float = 1,
    /// 8-bit unsigned integer.
    Uint8 = 2,
    /// 8-bit integer.
    Int8 = 3,
    /// 16-bit unsigned integer.
    Uint16 = 4,
    /// 16-bit integer.
    Int16 = 5,
    /// 32-bit integer.
    Int32 = 6,
    /// 64-bit integer.
    Int64 = 7,
    /// Text.
    String = 8,
    /// Truth value, one byte each.
    Bool = 9,
    /// Half precision.
    Float16 = 10,
    /// Double precision; the number that exporters write.
    Double = 11,
    /// 32-bit unsigned integer.
    Uint32 = 12,
    /// 64-bit unsigned integer.
    Uint64 = 13,
    /// Complex, two single precision parts.
    Complex64 = 14,
    /// Complex, two double precision parts.
    Complex128 = 15,
    /// Brain float.
    Bfloat16 = 16,
    /// Double precision; another number for `Double`.
    Float64 = 17,
    /// 4-bit integers, one byte per stored element.
    Qint4x2 = 18,
}

/// How the contents of a [`TensorProto`] are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum CompressionType {
    /// Stored as they are; the only one in files of MindSpore itself.
    NoCompression = 0,
    /// Table of distinct values and indices.
    Indexing = 1,
    /// Sparse.
    Sparse = 2,
    /// Finite state entropy coding.
    Fse = 3,
    /// Packed bits.
    BitPacking = 4,
    /// Finite state entropy coding of integers.
    FseInt = 5,
    /// Finite state entropy coding, decoded while running.
    FseInfer = 6,
}

/// A weight that is a hash table.
#[derive(Clone, PartialEq, Message)]
pub struct MapTensorProto {
    /// Name of the parameter.
    #[prost(string, required, tag = "1")]
    pub name: String,
    /// Value of keys that are not in the table.
    #[prost(message, optional, boxed, tag = "2")]
    pub default_value: Option<Box<AttributeProto>>,
    /// Keys.
    #[prost(message, optional, boxed, tag = "3")]
    pub key_tensor: Option<Box<TensorProto>>,
    /// One value per key.
    #[prost(message, optional, boxed, tag = "4")]
    pub value_tensor: Option<Box<TensorProto>>,
    /// One state per key.
    #[prost(message, optional, boxed, tag = "5")]
    pub status_tensor: Option<Box<TensorProto>>,
}

/// How parameters were split over devices when the model was exported.
#[derive(Clone, PartialEq, Message)]
#[prost(prost_path = "crate::lean")]
pub struct ParallelProto {
    /// One entry per parameter.
    #[prost(message, repeated, tag = "1")]
    pub layout: Vec<LayoutProto>,
}

/// How one parameter was split over devices.
#[derive(Clone, PartialEq, Message)]
pub struct LayoutProto {
    /// Name of the parameter.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Shape of the grid of devices.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub device_arrangement_int: Vec<i64>,
    /// Axis of the grid for every dimension, -1 for none.
    #[prost(int64, repeated, packed = "false", tag = "3")]
    pub tensor_map_int: Vec<i64>,
    /// Shape of one slice.
    #[prost(int64, repeated, packed = "false", tag = "4")]
    pub slice_shape_int: Vec<i64>,
    /// Size of a field for embedding tables.
    #[prost(int64, optional, tag = "5")]
    pub field_size: Option<i64>,
    /// Whether all slices have the same shape.
    #[prost(bool, optional, tag = "6")]
    pub uniform_split: Option<bool>,
    /// Group of devices that share the optimizer's state.
    #[prost(string, optional, tag = "7")]
    pub opt_shard_group: Option<String>,
    /// Whether several pipeline stages use the parameter.
    #[prost(bool, optional, tag = "8")]
    pub pipeline_shared: Option<bool>,
    /// Whether this stage sends the parameter.
    #[prost(bool, optional, tag = "9")]
    pub is_send: Option<bool>,
    /// Rank on the other side.
    #[prost(int64, optional, tag = "10")]
    pub peer_rank: Option<i64>,
    /// Tag of the transfer.
    #[prost(int64, optional, tag = "11")]
    pub sr_tag: Option<i64>,
    /// Shape of one slice of the optimizer's state.
    #[prost(int64, repeated, packed = "false", tag = "12")]
    pub opt_shard_slice_shape_int: Vec<i64>,
}

/// One operator of the table that nodes refer to.
#[derive(Clone, PartialEq, Message)]
#[prost(prost_path = "crate::lean")]
pub struct PrimitiveProto {
    /// Name in the table, such as `MatMul:6`.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Name of the operator, such as `MatMul`.
    #[prost(string, optional, tag = "2")]
    pub op_type: Option<String>,
    /// Arguments that are not inputs, and notes of the compiler.
    #[prost(message, repeated, tag = "3")]
    pub attribute: Vec<AttributeProto>,
    /// Name of the Python attribute that holds the operator; may be empty.
    #[prost(string, optional, tag = "4")]
    pub instance_name: Option<String>,
    /// A [`PrimType`] number.
    #[prost(int32, optional, tag = "5")]
    pub prim_type: Option<i32>,
}

impl PrimitiveProto {
    /// How the operator takes its arguments; `None` when absent or unknown.
    pub fn primitive_type(&self) -> Option<PrimType> {
        self.prim_type.and_then(|number| PrimType::try_from(number).ok())
    }
}

/// How an operator takes its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum PrimType {
    /// Some arguments are attributes.
    Primitive = 1,
    /// Every argument is an input.
    PrimitiveFunction = 2,
}

/// Operations of the dataset that fed the model.
#[derive(Clone, PartialEq, Message)]
#[prost(prost_path = "crate::lean")]
pub struct PreprocessorProto {
    /// One entry per mapped column set, from source to model.
    #[prost(message, repeated, tag = "1")]
    pub op: Vec<PreprocessOpProto>,
}

/// One dataset operation; every text is JSON.
#[derive(Clone, PartialEq, Message)]
pub struct PreprocessOpProto {
    /// List of column names read.
    #[prost(string, optional, tag = "1")]
    pub input_columns: Option<String>,
    /// List of column names written.
    #[prost(string, optional, tag = "2")]
    pub output_columns: Option<String>,
    /// List of column names kept.
    #[prost(string, optional, tag = "3")]
    pub project_columns: Option<String>,
    /// Kind of dataset node, `"Map"` in practice.
    #[prost(string, optional, tag = "4")]
    pub op_type: Option<String>,
    /// List of transforms with their parameters.
    #[prost(string, optional, tag = "5")]
    pub operations: Option<String>,
    /// Whether the transforms ran on the device.
    #[prost(bool, optional, tag = "6")]
    pub offload: Option<bool>,
}

/// One computation on scalars.
#[derive(Clone, PartialEq, Message)]
pub struct ScalarNodeProto {
    /// Which computation.
    #[prost(int64, optional, tag = "1")]
    pub scalar_op_type: Option<i64>,
    /// Positions of the arguments among the scalar nodes.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub in_index: Vec<i64>,
    /// Constant values.
    #[prost(int64, repeated, packed = "false", tag = "3")]
    pub value: Vec<i64>,
}

/// A graph of scalar computations on shapes.
#[derive(Clone, PartialEq, Message)]
#[prost(prost_path = "crate::lean")]
pub struct ScalarGraphHolderProto {
    /// The computations in order.
    #[prost(message, repeated, tag = "1")]
    pub scalar_node: Vec<ScalarNodeProto>,
    /// Which inputs deliver their shape.
    #[prost(uint64, repeated, packed = "false", tag = "2")]
    pub input_shape_index: Vec<u64>,
}
