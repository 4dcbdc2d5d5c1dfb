// How the models beside this were written, and answered, by tf.js itself:
//   npm install @tensorflow/tfjs-core@4.22.0 @tensorflow/tfjs-converter@4.22.0 @tensorflow/tfjs-layers@4.22.0 \
//     @tensorflow/tfjs-backend-cpu@4.22.0
//   node make.js layers FOLDER          writes layers_picture and layers_sequence, with their vectors
//   node make.js graph FOLDER           answers FOLDER/graph_fused, which graph.py has written
const fs = require('fs');
const tf = require('@tensorflow/tfjs-core');
require('@tensorflow/tfjs-backend-cpu');
const {loadGraphModel} = require('@tensorflow/tfjs-converter');
const L = require('@tensorflow/tfjs-layers');

function random(seed) {  // numbers in -1..1, the same on every machine
  return () => { seed = (seed * 1103515245 + 12345) % 2147483648; return seed / 1073741824 - 1; };
}

function drawn(shape, next, integers) {
  const count = shape.reduce((a, b) => a * b, 1);
  const found = Array.from({length: count}, () => integers ? Math.floor((next() + 1) * integers / 2) : 2 * next());
  return tf.tensor(found, shape, integers ? 'int32' : 'float32');
}

function npy(file, tensor) {
  const kind = tensor.dtype === 'int32' ? '<i4' : '<f4';
  let head = `{'descr': '${kind}', 'fortran_order': False, 'shape': (${tensor.shape.map(n => n + ',').join(' ')}), }`;
  head = head.padEnd(Math.ceil((head.length + 11) / 64) * 64 - 11) + '\n';
  const start = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, head.length & 255, head.length >> 8]);
  fs.writeFileSync(file, Buffer.concat([start, Buffer.from(head), Buffer.from(tensor.dataSync().buffer)]));
}

function settle(model) {  // weights as after training
  const next = random(7);
  model.setWeights(model.getWeights().map((w, n) => {
    const moving = model.weights[n].name.endsWith('variance');
    return tf.tensor(Array.from(w.dataSync(), v => moving ? 1 + 0.4 * next() : v + 0.2 * next()), w.shape);
  }));
}

async function write(model, folder, inputs) {
  fs.mkdirSync(`${folder}/test`, {recursive: true});
  settle(model);
  await model.save(tf.io.withSaveHandler(async artifacts => {
    const manifest = [{paths: ['./model.weights.bin'], weights: artifacts.weightSpecs}];
    const {modelTopology, format, generatedBy, convertedBy} = artifacts;  // as the browser's own handler writes it
    fs.writeFileSync(`${folder}/model.json`, JSON.stringify(
      {modelTopology, format, generatedBy, convertedBy, weightsManifest: manifest}));
    fs.writeFileSync(`${folder}/model.weights.bin`, Buffer.from(artifacts.weightData));
    return {modelArtifactsInfo: tf.io.getModelArtifactsInfoForJSON(artifacts)};
  }));
  const answers = [].concat(model.predict(inputs));
  model.inputs.forEach((input, n) => npy(`${folder}/test/input_${input.name}.npy`, [].concat(inputs)[n]));
  model.outputNames.forEach((name, n) => npy(`${folder}/test/output_${name}.npy`, answers[n]));
}

async function layers(folder) {
  const next = random(3);
  const l = L.layers, plain = {recurrentInitializer: 'glorotNormal'};
  const picture = L.sequential({layers: [
    l.conv2d({inputShape: [9, 8, 2], filters: 4, kernelSize: 3, strides: 2, padding: 'same', activation: 'relu'}),
    l.batchNormalization({}), l.depthwiseConv2d({kernelSize: 2, depthMultiplier: 2}), l.leakyReLU({alpha: 0.1}),
    l.upSampling2d({size: [2, 2]}), l.maxPooling2d({poolSize: 2}), l.flatten(), l.dropout({rate: 0.3}),
    l.dense({units: 3, activation: 'softmax', name: 'scores'})]});
  await write(picture, `${folder}/layers_picture`, drawn([2, 9, 8, 2], next));
  const tokens = L.input({shape: [6], name: 'tokens', dtype: 'int32'}), steps = L.input({shape: [6, 3], name: 'steps'});
  let y = l.concatenate().apply([l.embedding({inputDim: 12, outputDim: 4}).apply(tokens), steps]);
  y = l.bidirectional({layer: l.gru({units: 3, returnSequences: true, ...plain}), mergeMode: 'concat'}).apply(y);
  y = l.lstm({units: 5, ...plain}).apply(l.layerNormalization({}).apply(y));
  const both = [l.dense({units: 2, activation: 'tanh', name: 'value'}).apply(y), l.prelu({name: 'slope'}).apply(y)];
  await write(L.model({inputs: [tokens, steps], outputs: both}), `${folder}/layers_sequence`,
              [drawn([2, 6], next, 12), drawn([2, 6, 3], next)]);
}

async function graph(folder) {
  const here = `${folder}/graph_fused`, json = JSON.parse(fs.readFileSync(`${here}/model.json`));
  const data = Buffer.concat(json.weightsManifest[0].paths.map(name => fs.readFileSync(`${here}/${name}`)));
  const model = await loadGraphModel({load: async () => ({
    modelTopology: json.modelTopology, weightSpecs: json.weightsManifest[0].weights, signature: json.signature,
    weightData: data.buffer.slice(data.byteOffset, data.byteOffset + data.length)})});
  const x = drawn([2, 8, 7, 3], random(5));
  const [picture, scores] = model.execute({x}, ['picture', 'scores']);
  fs.mkdirSync(`${here}/test`, {recursive: true});
  npy(`${here}/test/input_x.npy`, x);
  npy(`${here}/test/output_picture.npy`, picture);
  npy(`${here}/test/output_scores.npy`, scores);
}

tf.setBackend('cpu').then(() => ({layers, graph})[process.argv[2]](process.argv[3]));
