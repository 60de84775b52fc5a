// netron's own reader opens MindIR files, and shows in a file written by mindir what it shows in the original.
//
//     node netron.mjs NETRON ORIGINAL=WRITTEN...
//
// NETRON is the folder of the Python package. Compared are the nodes, each with its type, its inputs and its attributes, the inputs
// and results of the graphs and the weights with their contents.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { pathToFileURL } from 'node:url';

const [folder, ...pairs] = process.argv.slice(2);
const part = (name) => import(pathToFileURL(join(folder, name)));
const { ModelFactoryService } = await part('view.js');
const { BinaryStream } = await part('base.js');

// What reading resolves: a file may say it in more or fewer nodes.
const BOOKKEEPING = new Set(['Load', 'UpdateState', 'Depend', 'MakeTuple', 'TupleGetItem', 'tuple_getitem', 'Return']);
// How a primitive is declared, which decides about no result.
const DECLARATION = new Set(['input_names', 'output_names', 'primitive_target', 'side_effect_mem', 'side_effect_io']);

const host = {
    environment: () => undefined,
    require: (id) => part(`${id}.js`),
    asset: async (name) => readFileSync(join(folder, name), 'utf-8'),
    exception: (error) => { throw error; },
    error: (error) => { throw error; },
};

const open = (path) => new ModelFactoryService(host).open({
    ...host, identifier: path, stream: new BinaryStream(readFileSync(path)), entries: new Map(),
});

const count = (items) => {
    const counts = {};
    items.map(String).sort().forEach((item) => { counts[item] = (counts[item] ?? 0) + 1; });
    return counts;
};

// A name without the graph's in front.
const short = (name) => name.slice(name.indexOf(':') + 1);
const types = (list) => list.map((argument) => argument.value.map((value) => `${value.type}`).join()).join(' ');
const text = (value) => JSON.stringify(value, (_, item) => typeof item === 'bigint' ? Number(item) : item);

function describe(model) {
    const all = model.modules.flatMap((graph) => graph.nodes);
    const nodes = all.filter((node) => !BOOKKEEPING.has(node.type.name));
    // Calls have the name of a value.
    const kind = (node) => node.type.name.includes(':') ? 'call' : node.type.name;
    const attributes = (node) => node.attributes.filter((attribute) => !DECLARATION.has(attribute.name));
    const parameters = new Map();
    for (const value of all.flatMap((node) => node.inputs).flatMap((input) => input.value)) {
        if (value.initializer) {
            const digest = createHash('sha256').update(value.initializer.values).digest('hex');
            parameters.set(short(value.name), `${value.type} ${digest}`);
        }
    }
    return {
        graphs: model.modules.length,
        nodes: count(nodes.map((node) => `${kind(node)}/${node.inputs.length}`)),
        attributes: count(nodes.flatMap((node) => attributes(node).map((a) => `${kind(node)}.${a.name}=${text(a.value)}`))),
        inputs: count(model.modules.map((graph) => `${graph.inputs.map((input) => short(input.name))} ${types(graph.inputs)}`)),
        results: count(model.modules.map((graph) => types(graph.outputs))),
        weights: Object.fromEntries([...parameters].sort()),
    };
}

let failed = pairs.length === 0;
for (const pair of pairs) {
    const [original, written] = pair.split('=');
    const models = await Promise.all([open(original), open(written)]);
    const [want, got] = models.map(describe);
    const wrong = Object.keys(want).filter((what) => !isDeepStrictEqual(want[what], got[what]));
    for (const what of wrong) {
        console.log(`${written}: other ${what}`, process.env.MINDIR_TRACE ? { want: want[what], got: got[what] } : '');
    }
    const nodes = Object.values(got.nodes).reduce((a, b) => a + b, 0);
    console.log(`${written}: ${models[1].format}, ${got.graphs} graphs, ${nodes} nodes, ${Object.keys(got.weights).length} weights, `
        + (wrong.length ? 'differs' : 'as the original'));
    failed ||= wrong.length > 0;
}
process.exit(failed ? 1 : 0);
