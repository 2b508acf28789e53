// Everyday calls, each with what it answers; `docs/src/plugins/calls.md` has the same table, and a test compares.

import { log, plugin, replaced, text } from './sesame.js';

const CALLS = String.raw`
console.log("seen", { sites: 2 })
console.error("seen")
console.warn(new Error("seen"))
log.info("seen")
new Date().toISOString()
String(new Date())
Date.now()
new Date("2026-04-01").getTime()
new Date(2026, 3, 1).toISOString()
Date.parse("1 Apr 2026")
new Date(0).getTimezoneOffset()
new Date(0).toLocaleDateString()
new Date("no date").getTime()
performance.now() < performance.now()
performance.now() < 1000
performance.timeOrigin
Math.random() < 1
Math.max(1, 2)
crypto.randomUUID()
setTimeout(() => {}, 10)
queueMicrotask(() => {})
structuredClone({})
fetch("http://localhost/")
new XMLHttpRequest()
new WebSocket("ws://localhost")
require("fs")
process.env
process.exit(1)
new TextDecoder()
new TextEncoder()
text({ payload: new Uint8Array([0xc3, 0xa4]) })
atob("aGk=")
btoa("hi")
new URL("http://example.org/")
Buffer.from("a")
JSON.parse("[1, 2]").length
JSON.parse("{")
JSON.stringify({ a: [1] })
BigInt(2) ** 64n
Intl.NumberFormat("en")
(1234.5).toLocaleString()
(0.1 + 0.2).toFixed(2)
parseInt("12 kB", 10)
"a".localeCompare("b")
"e\u0301".normalize("NFC").length
"\u00e4".toUpperCase()
"%C3%A4 b".split(" ").map(decodeURIComponent).join()
"Site: A".match(/^(?<key>\w+): (?<value>.*)$/).groups.value
/\p{Lu}/u.test("\u00c4")
"a-b-c".replaceAll("-", "")
[3, 1, 2].toSorted().join()
[1, 2].at(-1)
Object.keys(Object.groupBy([1, 2], (n) => (n % 2 ? "odd" : "even"))).join()
Object.entries({ a: 1 }).join()
new Map([["a", 1]]).get("a")
new Set([1, 1]).size
[...new Set("sesame")].join("")
new Uint8Array([1, 255]).toHex()
Uint8Array.fromBase64("aGk=").length
Symbol("a").description
typeof WebAssembly
eval("1 + 1")
undefinedName
null.property
`.trim().split('\n');

function answer(call) {
  try {
    return String(eval(call));
  } catch (failed) {
    return String(failed);
  }
}

function run(what) {
  if (what === 'fetch') fetch('http://localhost/');
  if (what === 'timer') setTimeout(() => {}, 10);
}

export const { lifecycle, transformer } = plugin({
  name: 'calls',
  version: '0.1.0',
  summary: 'Everyday calls.',
  transform(message) {
    const asked = text(message).trim();
    if (asked === 'chance') return replaced(`${Math.random()} ${Math.random()}\n`);
    if (asked.startsWith('run ')) run(asked.slice(4));
    return replaced(CALLS.map((call) => `${call}\t${answer(call)}\n`).join(''));
  },
});
// Kept in reach of the calls.
void log;
