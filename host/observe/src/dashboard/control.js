// What an operator may do, where the configuration names a token: pause, resume, retry.

import { at, element, mark, write } from "./dom.js";
import { plain } from "./format.js";
import { ask, keptAs } from "./messages.js";

/** The token, in memory alone. */
let token = "";
/** Whether this Sesame takes actions. */
let possible = false;
/** The channels that an operator paused. */
let held = new Set();

/** Takes what Sesame says of actions: whether it takes them, and which channels are paused by one. */
export function allow(yes, channels) {
  possible = yes;
  held = new Set(channels);
  at("control").hidden = !yes;
}

/** Makes the form for the token work. */
export function startControl() {
  at("control-form").addEventListener("submit", (event) => {
    event.preventDefault();
    token = at("control-token").value;
    at("control-token").value = "";
    answer(token === "" ? "There is no token now." : "The token is used from now on.", null);
  });
}

function answer(text, state) {
  write(at("control-answer"), text);
  mark(at("control-answer"), "class", state);
}

/** Asks for an action; what came of it is shown beside the token. */
async function act(action) {
  if (token === "") {
    answer("Enter the token first.", "bad");
    at("control-token").focus();
    return;
  }
  const [done, error] = await ask("/api/control", {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify(action),
  });
  answer(error ?? plain(done.done), error ? "bad" : "good");
}

function button(text, unseen, action) {
  const label = element("span", {}, text);
  const node = element("button", { type: "button", class: "control" }, label, element("span", { class: "unseen" }, unseen));
  node.addEventListener("click", async () => {
    mark(node, "aria-busy", "true");
    await act(action());
    mark(node, "aria-busy", null);
  });
  return { node, label };
}

/** The buttons of channels and messages. */
export const control = {
  channel(name) {
    let paused = false;
    const made = button("Pause", ` ${plain(name, 200)}`, () => ({ action: paused ? "resume" : "pause", channel: name }));
    return {
      node: made.node,
      update() {
        paused = held.has(name);
        write(made.label, paused ? "Resume" : "Pause");
        made.node.hidden = !possible;
      },
    };
  },
  retry(event, name) {
    const made = button("Retry", ` ${name}`, () => ({ action: "retry", channel: event.channel, element: keptAs(event) }));
    made.node.hidden = !possible;
    return { node: made.node, update: () => { made.node.hidden = !possible; } };
  },
};
