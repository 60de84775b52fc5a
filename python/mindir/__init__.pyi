import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Union

from . import context as context
from . import errors as errors
from . import nn as nn
from .context import GRAPH_MODE as GRAPH_MODE
from .context import PYNATIVE_MODE as PYNATIVE_MODE
from .context import get_context as get_context
from .context import set_context as set_context
from .context import set_device as set_device
from .errors import CancelledError as CancelledError
from .errors import CorruptError as CorruptError
from .errors import DeviceError as DeviceError
from .errors import EncryptedError as EncryptedError
from .errors import Error as Error
from .errors import FileError as FileError
from .errors import InputError as InputError
from .errors import LimitError as LimitError
from .errors import UnsupportedError as UnsupportedError

_Path = Union[str, os.PathLike[str]]
_Array = Any  # whatever NumPy makes an array of, or DLPack shares
_Result = Any  # a Tensor, number, text or None, or tuples and lists of them, as the model nests its results
_Cipher = Literal["AES-GCM", "AES-CBC", "SM4-CBC"]
_DType = Union[DType, str, type, Any]

__version__: str

class DType:
    name: str
    itemsize: int

bool_: DType
int8: DType
int16: DType
int32: DType
int64: DType
uint8: DType
uint16: DType
uint32: DType
uint64: DType
float16: DType
bfloat16: DType
float32: DType
float64: DType
complex64: DType
complex128: DType

class Tensor:
    shape: tuple[int, ...]
    dtype: DType
    size: int
    ndim: int
    itemsize: int
    nbytes: int
    data: Tensor
    def __init__(self, input_data: _Array, dtype: _DType | None = None) -> None: ...
    @staticmethod
    def from_numpy(array: _Array) -> Tensor: ...
    def asnumpy(self) -> Any: ...
    def tolist(self) -> Any: ...
    def item(self) -> int | float | bool | complex: ...
    def astype(self, dtype: _DType) -> Tensor: ...
    def copy(self) -> Tensor: ...
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any: ...
    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __getitem__(self, key: Any) -> Tensor: ...
    def __iter__(self) -> Iterator[Tensor]: ...
    def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
    def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
    def __hash__(self) -> int: ...
    def __len__(self) -> int: ...
    def __float__(self) -> float: ...
    def __int__(self) -> int: ...
    def __bool__(self) -> bool: ...

class CancelToken:
    is_cancelled: bool
    def __init__(self) -> None: ...
    def cancel(self) -> None: ...

class Parameter(Tensor):
    name: str
    def __init__(self, default_input: _Array, name: str = "Parameter") -> None: ...

class Port:
    name: str
    dtype: DType | None
    shape: tuple[int | str | None, ...] | None

class Graph:
    inputs: list[Port]
    outputs: list[Port]
    def parameters_dict(self) -> dict[str, Parameter]: ...

class GraphCell:
    inputs: list[Port]
    outputs: list[Port]
    def __init__(
        self,
        graph: Graph,
        params_init: Mapping[str, _Array] | None = None,
        obf_random_seed: None = None,
        *,
        device: Literal["cpu", "wgpu", "cuda"] | None = None,
        fallback: bool = True,
        threads: int | None = None,
        precision: Literal["f32", "tf32", "f16", "bf16"] = "f32",
        batch_invariant: bool = False,
        deadline: float | None = None,
        max_memory: int | None = None,
        max_calls: int | None = None,
        max_depth: int | None = None,
        max_plan_nodes: int | None = None,
        plan_memory: int | None = None,
        packed_weights: str | os.PathLike[str] | None = None,
    ) -> None: ...
    def __call__(self, *args: _Array, **named: _Array) -> _Result: ...
    def construct(self, *args: _Array, **named: _Array) -> _Result: ...
    def run_in(self, state: State, *args: _Array, **named: _Array) -> _Result: ...
    def with_cancel(self, token: CancelToken) -> GraphCell: ...
    def new_state(self) -> State: ...
    def session(self, *shapes: _Array | tuple[int, ...]) -> Session: ...
    def parameters_dict(self) -> dict[str, Parameter]: ...
    def parameters_and_names(self) -> Iterator[tuple[str, Parameter]]: ...
    def get_parameters(self) -> Iterator[Parameter]: ...
    def set_train(self, mode: bool = True) -> GraphCell: ...

class State:
    def copy(self) -> State: ...
    def parameters_dict(self) -> dict[str, Parameter]: ...

class Session:
    def __call__(self, *args: _Array) -> _Result: ...
    def state(self) -> State: ...
    def set_state(self, state: State) -> None: ...
    def set_cancel(self, token: CancelToken | None) -> None: ...

def from_dlpack(x: Any) -> Tensor: ...
def load(
    file_name: _Path,
    *,
    dec_key: bytes | None = None,
    dec_mode: _Cipher | Callable[[_Path, bytes | None], bytes] = "AES-GCM",
) -> Graph: ...
def export(
    net: GraphCell | Graph,
    *inputs: _Array,
    file_name: _Path,
    file_format: Literal["MINDIR", "ONNX", "AIR"],
    enc_key: bytes | None = None,
    enc_mode: _Cipher = "AES-GCM",
    split: bool = False,
    opset: int | None = None,
) -> None: ...
def convert(
    source: _Path,
    target: _Path,
    *,
    dec_key: bytes | None = None,
    dec_mode: _Cipher | Callable[[_Path, bytes | None], bytes] = "AES-GCM",
    enc_key: bytes | None = None,
    enc_mode: _Cipher = "AES-GCM",
    split: bool = False,
    opset: int | None = None,
) -> None: ...
def load_checkpoint(
    ckpt_file_name: _Path,
    net: GraphCell | None = None,
    strict_load: bool = False,
    filter_prefix: str | Sequence[str] | None = None,
    dec_key: bytes | None = None,
    dec_mode: _Cipher = "AES-GCM",
    specify_prefix: str | Sequence[str] | None = None,
    choice_func: Callable[[str], bool] | None = None,
    crc_check: bool = False,
    remove_redundancy: Literal[False] = False,
    format: str = "ckpt",
) -> dict[str, Parameter | str]: ...
def load_param_into_net(
    net: GraphCell,
    parameter_dict: dict[str, _Array | str],
    strict_load: bool = False,
    remove_redundancy: Literal[False] = False,
) -> tuple[list[str], list[str]]: ...
def save_checkpoint(
    save_obj: GraphCell | Mapping[str, _Array | str] | Sequence[Parameter | Mapping[str, Any]],
    ckpt_file_name: _Path,
    integrated_save: bool = True,
    async_save: bool | str = False,
    append_dict: Mapping[str, _Array | str] | None = None,
    enc_key: bytes | None = None,
    enc_mode: _Cipher = "AES-GCM",
    choice_func: Callable[[str], bool] | None = None,
    crc_check: bool = False,
    format: Literal["ckpt", "safetensors"] = "ckpt",
) -> None: ...
