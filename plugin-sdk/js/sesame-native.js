/**
 * Runs a plugin outside WebAssembly, by node:test, on the cases of `sesame plugin test`:
 *
 *     import { cases } from './sesame-native.js';
 *
 *     await cases('plugin.js');
 *
 * The program `sesame` reads a case, says which functions to call and compares the answer (`sesame plugin case`); it is
 * `$SESAME`, or found in `PATH`. Of a plugin in TypeScript esbuild makes one script first, `build/native.js`. Clock, files
 * and network are those of this machine here, and so is what node has beside the language.
 */

import assert from 'node:assert';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import * as modules from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

// The plugin's own are others, see `sesame.js`.
const { parse, stringify } = JSON;

const project = dirname(fileURLToPath(import.meta.url));
const program = process.env.SESAME || 'sesame';
const FUNCTIONS = { validate: 'validator', transform: 'transformer', route: 'router' };

const script = (text) => `data:text/javascript,${encodeURIComponent(text)}`;

// The tables of the case, by name and key, for the module below.
const tables = Symbol.for('sesame.tables');

// The host's modules are there in a component only: this is what a plugin uses of them.
const host = script(`
  export const write = (level, text) => process.stderr.write(level + ': ' + text + '\\n');
  const table = (name) => {
    const found = globalThis[Symbol.for('sesame.tables')]?.[name];
    if (!found) throw 'table ' + JSON.stringify(name) + ' is not granted';
    return found;
  };
  export const get = (name, key) => table(name)[key];
  export const contains = (name, key) => key in table(name);
`);
const resolve = (specifier, context, next) =>
  specifier.startsWith('sesame:') ? { url: host, shortCircuit: true } : next(specifier, context);
if (modules.registerHooks) modules.registerHooks({ resolve });
// Node before 22.15.
else modules.register(script(`const host = ${stringify(host)};\nexport const resolve = ${resolve};`));

// An error in TypeScript names the line of the source.
process.setSourceMapsEnabled(true);

/** Has a test for each folder of cases that holds a message. */
export async function cases(main, folder = 'cases') {
  const plugin = await import(pathToFileURL(main.endsWith('.ts') ? bundled(main) : join(project, main)));
  for (const name of readdirSync(join(project, folder)).sort()) {
    const one = join(project, folder, name);
    if (existsSync(join(one, 'message'))) test(name, () => check(plugin, one));
  }
}

/** As `sesame plugin build` has it done. */
function bundled(main) {
  const own = join(project, 'node_modules/.bin/esbuild');
  const made = join(project, 'build/native.js');
  const how = ['--bundle', '--format=esm', '--target=es2024', '--platform=neutral', '--main-fields=module,main'];
  const rest = ['--external:sesame:*', '--sourcemap', '--log-level=warning', `--outfile=${made}`];
  execFileSync(existsSync(own) ? own : 'esbuild', [main, ...how, ...rest], { cwd: project, stdio: 'inherit' });
  return made;
}

/** Fails with the difference if the plugin's answer to the case in this folder is not the expected one. */
export async function check(plugin, folder) {
  const asked = spawn(program, ['plugin', 'case', '--project', project, folder], { stdio: ['pipe', 'pipe', 'inherit'] });
  const missing = new Promise((_, fail) => {
    asked.on('error', () => fail(new Error(`cannot run ${program}: put sesame into PATH, or its path into SESAME`)));
  });
  await Promise.race([missing, converse(plugin, folder, asked)]);
}

async function converse(plugin, folder, asked) {
  for await (const line of createInterface({ input: asked.stdout })) {
    const question = parse(line);
    if (question.done) {
      assert.ok(question.done.length === 0, `\n${question.done.join('\n')}`);
      return;
    }
    asked.stdin.write(`${stringify(answer(plugin, question))}\n`);
  }
  throw new Error(`sesame plugin case ${folder} ended early, see what it wrote to standard error`);
}

function answer(plugin, question) {
  try {
    return { ok: ask(plugin, question) };
  } catch (failed) {
    return { error: failure(failed) };
  }
}

function ask(plugin, { call, config, message, tables: granted }) {
  if (call === 'describe') {
    const roles = Object.values(FUNCTIONS).filter((role) => plugin[role]);
    return { roles, config_schema: plugin.lifecycle.describe().configSchema };
  }
  if (call === 'init') {
    globalThis[tables] = lookedUp(granted);
    return plugin.lifecycle.init(config) ?? null;
  }
  const given = plugin[FUNCTIONS[call]][call](messageOf(message));
  if (call === 'validate') return given.map(finding);
  return call === 'transform' ? { verdict: verdict(given.verdict), findings: given.findings.map(finding) } : given;
}

// Without a prototype no key is there that the table lacks.
const lookedUp = (given) => Object.fromEntries(
  Object.entries(given).map(([name, rows]) => [name, Object.assign(Object.create(null), rows)]),
);

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const named = (record) => Object.fromEntries(Object.entries(record).map(([name, value]) => [camel(name), value]));

function messageOf({ context, payload }) {
  const made = named(context);
  if (made.signer) made.signer = { ...named(made.signer), certificate: Uint8Array.from(made.signer.certificate) };
  return { context: made, payload: Uint8Array.from(payload) };
}

const finding = ({ severity, code, text, recordNumber, field, value }) => ({
  severity, code, text, record_number: recordNumber ?? null, field: field ?? null, value: value ?? null,
});

const output = ({ payload, contentType, setHeaders }) => ({
  payload: [...payload], content_type: contentType, set_headers: setHeaders,
});

const part = ({ content, refused }) => ({ content: output(content), refused: refused ? refused.map(finding) : null });

function verdict({ tag, val }) {
  if (tag === 'replaced') return { replaced: output(val) };
  if (tag === 'split') return { split: val.map(part) };
  return tag === 'dropped' ? { dropped: finding(val) } : null;
}

function failure(failed) {
  if (failed?.tag === 'invalid') return { invalid: failed.val.map(finding) };
  if (failed?.tag) return { [failed.tag]: failed.val };
  if (typeof failed === 'string') return failed;
  throw failed;
}
