// One block for each line. The types Element and Number, of computing, and LOG are declared in front of this text.

__shared__ Number cells[8];

static void softmax(const Params& params, const Element* x, Element* y) {
    u32 line = group();
    if (line >= params.lines) return;
    u32 inner = params.inner;
    u32 first = line / inner * params.len * inner + line % inner;
    x += params.x + first;
    y += params.y + first;
    Number largest = -fn::infinity<Number>();
    for (u32 l = threadIdx.x; l < params.len; l += 256) largest = fn::Max(largest, load(x[l * inner]));
    largest = joined<Largest>(largest, cells);
    Number sum = 0;
    for (u32 l = threadIdx.x; l < params.len; l += 256) sum += fn::Exp(load(x[l * inner]) - largest);
    sum = joined<Sum>(sum, cells);
    Number size = LOG ? fn::Log(sum) : 0;
    for (u32 l = threadIdx.x; l < params.len; l += 256) {
        Number shifted = load(x[l * inner]) - largest;
        y[l * inner] = store<Element>(LOG ? shifted - size : fn::Exp(shifted) / sum);
    }
}
