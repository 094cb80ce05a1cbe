// The page: settings → recipes → two networks of the engine, which take turns on one device → charts.
//
// All numbers come from the engine (engine.js, engine_bg.wasm); this only asks it for steps and draws. The address may
// set every field and more: ?seed=1&imbalance=50&images=300&size=32&epochs=8&lr=0.0001&batch=64&test=50&steps=20, where
// `steps` ends the run early.

import load, { Device, Data, Network } from './engine.js';
import { chart, classes, smooth, thin } from './draw.js';

const NORMS = ['bn', 'nbn'];
const DEFAULTS = { seed: 0, imbalance: 100, images: 1150, size: 32, epochs: 16, batch: 64, test: 100, lr: 0.1 };
// A processor that stands in for a GPU: what it can do in minutes.
const SOFTWARE = { ...DEFAULTS, imbalance: 20, images: 150, size: 16, epochs: 12, batch: 16, test: 20 };
// How long a network keeps the device before the page is drawn and the other one has its turn, ms.
const TURN = 120;
const $ = id => document.getElementById(id);
const given = new URLSearchParams(location.search);
const form = $('settings');
// For tests: what was computed so far.
const shown = globalThis.evenkeel = { state: 'loading', device: '', losses: {}, accuracies: {}, rate: 0 };

function state(text, kind = '') {
  $('state').textContent = text;
  $('state').className = kind;
}

function failed(error) {
  shown.state = 'failed';
  state(`It doesn't run here: ${error.message ?? error}`, 'bad');
}

/** What the engine calls a setting: section and key of a recipe, whose flags have the keys' names. */
const KEYS = {
  imbalance: ['data', 'imbalance'], images: ['data', 'train_per_class'], test: ['data', 'test_per_class'], size: ['data', 'image_size'],
  norm: ['model', 'norm'], lr: ['optim', 'lr'], epochs: ['train', 'epochs'], batch: ['train', 'batch_size'], seed: ['train', 'seed'],
  steps: ['train', 'max_steps'],
};

function recipe(s, norm) {
  const lines = {};
  for (const [name, value] of Object.entries({ ...s, norm })) {
    const [section, key] = KEYS[name];
    (lines[section] ??= []).push(`${key} = ${name === 'norm' ? `"${value}"` : value}`);
  }
  return Object.entries(lines).map(([section, keys]) => `[${section}]\n${keys.join('\n')}\n`).join('');
}

function command(s, norm) {
  const flags = Object.entries({ ...s, norm }).map(([name, value]) => `--${KEYS[name][1].replaceAll('_', '-')} ${value}`);
  return `evenkeel train ${flags.join(' ')}`;
}

const mean = values => values.reduce((a, v) => a + v, 0) / values.length;
const rarest = values => mean(values.slice(-Math.max(1, Math.floor(values.length / 3))));
const percent = v => `${(v * 100).toFixed(0)}\u00a0%`;

/** One run of both networks; another one ends it. */
class Run {
  constructor(device, s) {
    this.device = device;
    this.epochs = Number(s.epochs);
    this.data = Data.make(recipe(s, NORMS[0]));
    this.nets = NORMS.map(norm => ({
      norm, network: new Network(device, this.data, recipe(s, norm)), losses: [], tests: [], steps: 1,
    }));
    const steps = Array.from({ length: this.epochs }, (_, e) => this.nets[0].network.stepsIn(e)).reduce((a, v) => a + v, 0);
    this.most = Math.min(steps, Number(s.steps ?? Infinity));
    this.paused = this.ended = false;
    this.rates = [];
    this.bars = classes($('classes'), this.data.classes(), this.data.counts(), c => this.data.example(c), this.data.side(), NORMS);
    Object.assign(shown, { state: 'training', losses: {}, accuracies: {}, rate: 0 });
    for (const { norm, losses, tests } of this.nets) Object.assign(shown.losses, { [norm]: losses }), Object.assign(shown.accuracies, { [norm]: tests });
    this.draw();
  }

  /** Trains to the end, or until `end`. */
  async train() {
    let going = true;
    while (going && !this.ended) {
      while (this.paused && !this.ended) await new Promise(resume => { this.resume = resume; });
      going = false;
      for (const net of this.nets) {
        if (this.ended) break;
        going = await this.turn(net) || going;
      }
      this.draw();
      // The browser's own turn.
      await new Promise(next => setTimeout(next));
    }
    for (const { network } of this.nets) network.free();
    this.data.free();
    if (!this.ended) shown.state = 'done';
    this.ended = true;
    this.draw();
  }

  /** Some steps of one network; false when it had none left. At an epoch's end the test images. */
  async turn(net) {
    const began = performance.now(), epoch = net.network.epochs(), before = net.network.images();
    let taken = 0;
    while (taken < net.steps && net.network.epochs() === epoch && net.network.step()) taken++;
    if (!taken) return false;
    net.losses.push(...await net.network.losses());
    const time = performance.now() - began;
    // The first turn makes the kernels.
    if (before) this.rate(net.network.images() - before, time);
    net.steps = Math.max(1, Math.min(64, Math.round(net.steps * Math.max(0.5, Math.min(2, TURN / time)))));
    if (net.network.epochs() > epoch) net.tests.push([...await net.network.accuracies()]);
    return true;
  }

  rate(images, time) {
    this.rates.push([images, time]);
    if (this.rates.length > 40) this.rates.shift();
    const [all, spent] = this.rates.reduce(([a, b], [i, t]) => [a + i, b + t], [0, 0]);
    shown.rate = all / spent * 1000;
  }

  pause(paused) {
    this.paused = paused;
    this.resume?.();
  }

  end() {
    this.ended = true;
    this.resume?.();
  }

  draw() {
    const [bn] = this.nets, step = Math.min(...this.nets.map(n => n.losses.length)), epoch = bn.tests.length;
    const lines = this.nets.flatMap(({ norm, losses }) => {
      const points = values => thin(values.map((v, i) => [i + 1, v]));
      return [{ kind: `${norm} faint`, points: points(losses) }, { kind: norm, points: points(smooth(losses)) }];
    });
    const top = Math.max(0.5, ...this.nets.flatMap(n => n.losses));
    chart($('loss'), lines, { most: this.most, text: String }, { most: Math.min(top, 6), text: v => v.toFixed(1) }, 'loss of each step');
    const tests = this.nets.flatMap(({ norm, tests }) => [
      { kind: norm, points: tests.map((t, i) => [i + 1, mean(t)]) },
      { kind: `${norm} dashed`, points: tests.map((t, i) => [i + 1, rarest(t)]) },
    ]);
    chart($('accuracy'), tests, { most: this.epochs, text: String }, { most: 1, text: percent }, 'test accuracy after each epoch');
    this.bars(this.nets.map(n => n.tests.at(-1)));
    $('epoch').textContent = `${epoch} of ${this.epochs}`;
    $('step').textContent = `${step} of ${this.most}`;
    $('rate').textContent = shown.rate ? shown.rate.toFixed(shown.rate < 100 ? 1 : 0) : '–';
    const tested = this.nets.map(n => n.tests.at(-1)), said = this.nets.every(n => n.tests.length);
    const scores = said && `BN ${percent(mean(tested[0]))}, NBN ${percent(mean(tested[1]))} of the test images right; of the rarest third of the classes ${percent(rarest(tested[0]))} and ${percent(rarest(tested[1]))}`;
    const doing = shown.state === 'done' ? 'Done' : this.paused ? 'Paused' : 'Training';
    state(said ? `${doing}: ${scores}.` : step ? `${doing} …` : 'Making the kernels …');
  }
}

/** The device's name, or as much as the browser tells. */
async function named(device) {
  const info = (await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' }))?.info;
  return device.name() || [info?.vendor, info?.architecture].filter(Boolean).join(' ') || 'not told by the browser';
}

async function main() {
  if (!navigator.gpu) throw new Error('this browser has no WebGPU, or not for this address (it wants https or localhost). Chrome and Edge from 113, Safari from 26 and Firefox from 141 have it, on some systems only.');
  await load();
  const device = await Device.open();
  shown.device = await named(device);
  $('adapter').textContent = shown.device + (device.software() ? ' (no GPU, so small images at first)' : '');
  const start = { ...device.software() ? SOFTWARE : DEFAULTS };
  for (const [name, value] of given) if (name in KEYS && name !== 'norm') start[name] = value;
  for (const [name, value] of Object.entries(start)) if (form.elements[name]) form.elements[name].value = value;
  let run;
  const begin = async () => {
    run?.end();
    await run?.going?.catch(() => {});
    $('pause').textContent = 'Pause';
    const s = { ...start, ...Object.fromEntries(new FormData(form)) };
    $('command').textContent = command(s, 'nbn');
    state('Making the images …');
    await new Promise(next => setTimeout(next, 20));
    run = new Run(device, s);
    run.going = run.train();
    await run.going;
  };
  form.addEventListener('submit', event => {
    event.preventDefault();
    begin().catch(failed);
  });
  $('pause').addEventListener('click', () => {
    if (run.ended) return;
    run.pause(!run.paused);
    $('pause').textContent = run.paused ? 'Continue' : 'Pause';
    run.draw();
  });
  for (const id of ['restart', 'pause']) $(id).disabled = false;
  await begin();
}

main().catch(failed);
