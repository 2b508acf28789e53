// Messages that did not simply pass, and what one message went through.

import { at, element, keyed, mark, write } from "./dom.js";
import { count, counted, moment, plain, plainLines, size } from "./format.js";

/** Messages that are shown at once. */
const MOST = 50;
/** Fates that are nothing to look at. */
const PASSED = new Set(["prepared", "sent", "stored"]);

/** Shows the newest of `events`. */
export function showMessages(events, control) {
  const met = events.filter((event) => !PASSED.has(event.fate)).sort((one, other) => other.at - one.at);
  const shown = met.slice(0, MOST);
  write(at("rejected-summary"), shown.length === 0
    ? "None since the start of the program."
    : shown.length < met.length ? `The last ${MOST} of ${count(met.length)}.` : `The last ${counted(shown.length, "message", "messages")}.`);
  const key = (event) => JSON.stringify([event.at, event.channel, event.fate, event.id, event.element]);
  keyed(at("rejected-list"), shown, key, (event) => message(event, control));
}

function message(event, control) {
  const state = event.fate === "rejected" ? "bad" : "warn";
  const code = event.code ? `: ${plain(event.code, 200)}` : "";
  const content = element("div", { class: "content", "aria-live": "polite" });
  const name = plain(event.id ?? event.element ?? "message", 200);
  const buttons = element("div", { class: "buttons" });
  const term = event.id ?? event.element;
  if (term) {
    buttons.append(action("Trace", name, async () => {
      await trace(term);
      at("trace-id").focus();
    }));
  }
  const isKept = event.fate === "rejected" && keptAs(event);
  if (isKept) {
    const button = action("Findings and content", name, () => open(event, content, button));
    mark(button, "aria-expanded", "false");
    buttons.append(button);
  }
  const retry = isKept ? control.retry(event, name) : null;
  const node = element("li", { class: `card message ${state}` },
    element("p", { class: "head" }, element("span", { class: `badge ${state}` }, plain(event.fate, 100) + code),
      element("time", { datetime: new Date(event.at).toISOString() }, moment(event.at)),
      element("bdi", { class: "role" }, plain(event.channel, 200))),
    event.reason ? element("p", { class: "reason" }, plain(event.reason)) : null,
    facts([["Id", event.id], ["Signer", event.signer], ["Plugin", event.plugin], ["Element", event.element],
      ["Size", event.bytes === undefined ? null : size(event.bytes)],
      ["Answers", (event.verdicts ?? []).map((one) => `${one.plugin}: ${one.answer}`).join(", ")],
      ["Headers", (event.headers ?? []).map(([header, value]) => `${header}: ${value}`).join("\n")]]),
    buttons, retry?.node, content);
  return { node, update: () => retry?.update() };
}

/** What the reject queue knows the message by: a sender's by its id, for its element is another there. */
export const keptAs = (event) => (event.direction === "send" ? event.id : event.element);

/** Names and what they are; those without a value are left out. */
function facts(pairs) {
  const list = element("dl", {});
  for (const [name, value] of pairs) {
    if (value !== null && value !== undefined && value !== "") {
      const lines = String(value).split("\n").slice(0, 100);
      list.append(element("div", {}, element("dt", {}, name),
        ...lines.map((line) => element("dd", {}, element("bdi", {}, plain(line))))));
    }
  }
  return list;
}

function action(text, name, act) {
  const button = element("button", { type: "button" }, text, element("span", { class: "unseen" }, ` of ${name}`));
  button.addEventListener("click", act);
  return button;
}

/** Shows the findings of a rejected message, and its payload where the configuration allows it. */
async function open(event, content, button) {
  if (content.hasChildNodes()) {
    content.replaceChildren();
    mark(button, "aria-expanded", "false");
    return;
  }
  const query = new URLSearchParams({ channel: event.channel, element: keptAs(event) });
  const [found, error] = await ask(`/api/rejected?${query}`);
  mark(button, "aria-expanded", "true");
  if (error) {
    content.replaceChildren(element("p", { class: "bad" }, error));
    return;
  }
  const findings = found.findings.map((one) => element("li", {}, `${plain(one.severity)} ${plain(one.code)}: `,
    one["record-number"] ? `record ${one["record-number"]}, ` : "", one.field ? `${plain(one.field)}, ` : "",
    element("bdi", {}, plain(one.text)), one.value ? ` (${plain(one.value)})` : ""));
  content.replaceChildren(
    found.error ? element("p", {}, plain(found.error)) : "",
    findings.length > 0 ? element("ul", {}, ...findings) : element("p", { class: "note" }, "No findings of plugins."),
    payload(found));
}

function payload({ payload: shown, bytes, more }) {
  if (shown === null || shown === undefined) {
    return element("p", { class: "note" }, "The payload is not shown: [observe] show-payload is false.");
  }
  const heading = more ? `The beginning of ${size(bytes)}` : `Payload of ${size(bytes)}`;
  return element("figure", {}, element("figcaption", {}, heading),
    element("pre", { tabindex: "0", "aria-label": "Payload" }, plainLines(shown)));
}

/** What a path answers: its JSON, or else why there is none. */
export async function ask(path, options = {}) {
  try {
    const answer = await fetch(path, { ...options, cache: "no-store", signal: AbortSignal.timeout(10_000) });
    const text = await answer.text();
    if (!answer.ok) {
      return [null, plain(text.trim() || `HTTP status ${answer.status}`), answer.status];
    }
    return [JSON.parse(text), null, answer.status];
  } catch (error) {
    return [null, `Sesame did not answer: ${plain(error.message)}`, 0];
  }
}

/** Shows what a message went through. */
export async function trace(id) {
  at("trace-id").value = id;
  write(at("trace-answer"), "looking");
  const [steps, error] = await ask(`/api/trace?${new URLSearchParams({ id })}`);
  const found = Array.isArray(steps) ? steps : [];
  write(at("trace-answer"), error ?? (found.length === 0
    ? `Nothing is known of ${plain(id, 200)}.`
    : `${counted(found.length, "step", "steps")} of ${plain(id, 200)}.`));
  mark(at("trace-answer"), "class", error ? "bad" : null);
  at("trace-list").replaceChildren(...found.map(step));
  at("trace").scrollIntoView();
}

/** A step of a message. Names that this page does not know are shown too. */
function step(one) {
  const { at: when, fate, state, channel, ...rest } = one;
  const pairs = Object.entries(rest).map(([name, value]) => [plain(name, 100), words(value)]);
  return element("li", { class: "card message" },
    element("p", { class: "head" }, element("span", { class: fate === "rejected" ? "badge bad" : "badge" },
      plain(fate ?? state ?? "known", 100)),
      element("time", {}, typeof when === "number" ? moment(when) : plain(when, 100)),
      element("bdi", { class: "role" }, plain(channel, 200))),
    facts(pairs));
}

function words(value) {
  if (Array.isArray(value)) {
    return value.map(words).filter(Boolean).join("\n");
  }
  if (value !== null && typeof value === "object") {
    const shown = Object.entries(value).map(([name, inner]) => [name, words(inner)]).filter(([, inner]) => inner !== "");
    return shown.map(([name, inner]) => `${name} ${inner.replaceAll("\n", "; ")}`).join(", ");
  }
  return value === null || value === undefined ? "" : String(value);
}

/** Makes the form for a trace work. */
export function startTrace() {
  at("trace-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = at("trace-id").value.trim();
    if (id !== "") {
      trace(id);
    }
  });
}
