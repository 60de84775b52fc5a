// One thread for each line. The types Element and Number, of computing, and LOG are declared in front of this text.

static void softmax(const Params& params, const Element* x, Element* y) {
    u32 line = group() * 64 + threadIdx.x;
    if (line >= params.lines) return;
    u32 inner = params.inner;
    u32 first = line / inner * params.len * inner + line % inner;
    x += params.x + first;
    y += params.y + first;
    Number largest = -fn::infinity<Number>();
    for (u32 l = 0; l < params.len; l++) largest = fn::Max(largest, load(x[l * inner]));
    Number sum = 0;
    for (u32 l = 0; l < params.len; l++) sum += fn::Exp(load(x[l * inner]) - largest);
    Number size = LOG ? fn::Log(sum) : 0;
    for (u32 l = 0; l < params.len; l++) {
        Number shifted = load(x[l * inner]) - largest;
        y[l * inner] = store<Element>(LOG ? shifted - size : fn::Exp(shifted) / sum);
    }
}
