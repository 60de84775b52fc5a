// A block computes one element of the state of one sequence after a step: its threads share the products of the rows of r with the
// state, and the first one ends them. FIRST and the types Element, Number and State, of states that steps keep, are declared in front
// of this text.

struct Params {
    // Sequences times length of the state, length of the state, and that times the gates.
    u32 lines;
    u32 hidden;
    u32 rows;
    // First elements of the step: of x, of the state before it, and of the state after it.
    u32 x_first;
    u32 h_first;
    u32 y_first;
};

inline Number softsign(Number x) { return x / ((Number)1 + fn::Abs(x)); }

// What a step reads and writes; of other buffers there may be none.
struct Layer {
    const Params& params;
    const Element* x;
    const Element* r;
    const Element* h;
    State* y;
    const Element* bias;
    State* reset;
    const Element* c;
    State* next_c;

    Number state(u32 at) const { return FIRST ? load(h[at]) : (Number)y[params.h_first + at]; }

    Number input(u32 gate, u32 sequence, u32 j) const {
        return load(x[params.x_first + sequence * params.rows + gate * params.hidden + j]);
    }

    // Element k of the row of r for element j of a gate.
    Number weight(u32 gate, u32 j, u32 k) const { return load(r[(u64)(gate * params.hidden + j) * params.hidden + k]); }
};

__shared__ Number cells[2];
