use mindir_graph::DType;
use mindir_graph::task::EpilogueInput;

use super::{Binding, cast, function, stored};
use crate::epilogue::Epilogue;
use crate::{Access, Unsupported};

/// What becomes of the sums of a product or convolution: the type `Finish`, whose function `of(sum, row, col, place)` gives the
/// stored element of the result.
pub(crate) struct Finish {
    /// Its text; calls the library.
    pub(crate) text: String,
    /// Element type of the result.
    pub(crate) out: DType,
    operands: Vec<&'static str>,
}

impl Finish {
    /// An epilogue over sums, whose operands start at `params.firsts`; without one, sums as elements of `out`.
    ///
    /// # Errors
    /// [`Unsupported`].
    pub(crate) fn new(epilogue: Option<&Epilogue>, out: DType) -> Result<Finish, Unsupported> {
        let Some(Epilogue { program, operands }) = epilogue else {
            return Ok(Finish { text: text("", "", &cast("sum", out)?), out, operands: Vec::new() });
        };
        let sum = epilogue.map_or(out, |e| e.sum(out));
        let (mut dtypes, mut values) = (vec![sum], vec![cast("sum", sum)?]);
        let (mut members, mut elements) = (String::new(), Vec::new());
        for (i, &(dtype, input)) in operands.iter().enumerate() {
            let element = stored(dtype)?;
            members += &format!("    const {element}* e{i};\n");
            values.push(format!("load(e{i}[params.firsts[{i}] + {}])", place(input)));
            dtypes.push(dtype);
            elements.push(element);
        }
        let program_text = function(program, &dtypes)?;
        let value = format!("program({})", values.join(", "));
        let out = program.dtype().unwrap_or(out);
        Ok(Finish { text: text(&program_text, &members, &value), out, operands: elements })
    }

    /// The epilogue's operands `e0`, `e1`, …, then the result `y`.
    pub(crate) fn bindings(&self) -> Vec<Binding> {
        let operands = self.operands.iter().enumerate().map(|(i, &element)| (format!("e{i}"), element, Access::Read));
        operands.chain([("y".to_string(), "Result", Access::Write)]).collect()
    }

    /// The value of type `Finish`, inside of the kernel.
    pub(crate) fn value(&self) -> String {
        let operands: String = (0..self.operands.len()).map(|i| format!(", e{i}")).collect();
        format!("{{params{operands}}}")
    }
}

fn text(program: &str, members: &str, value: &str) -> String {
    format!(
        "{program}\nstruct Finish {{\n    const Params& params;\n{members}\n    \
         Result of(Number sum, u32 row, u32 col, u32 place) const {{ return store<Result>({value}); }}\n}};\n"
    )
}

fn place(input: EpilogueInput) -> &'static str {
    match input {
        EpilogueInput::Scalar => "0",
        EpilogueInput::Column => "col",
        EpilogueInput::Row => "row",
        EpilogueInput::Full => "place",
    }
}
