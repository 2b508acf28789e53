// What is wrong with the page for those who use it by keyboard or screen reader, or see little. Returns a list of faults.
const faults = [];
const fault = (text, node) => faults.push(`${text}: ${node.outerHTML.slice(0, 200)}`);
const seen = (node) => node.getClientRects().length > 0 && getComputedStyle(node).visibility !== "hidden";

const named_by = (node) => (node.getAttribute("aria-labelledby") ?? "").split(/\s+/).filter(Boolean);
const name = (node) => [
  node.getAttribute("aria-label"),
  ...named_by(node).map((id) => document.getElementById(id)?.textContent),
  ...[...(node.labels ?? [])].map((label) => label.textContent),
  node.textContent,
].map((text) => (text ?? "").trim()).find((text) => text !== "");

for (const node of document.querySelectorAll("a[href], button, input, summary, svg, section, nav, article, table, [role=region], form")) {
  if (seen(node) && !name(node)) {
    fault("no name", node);
  }
}
for (const node of document.querySelectorAll("svg")) {
  if (node.getAttribute("role") !== "img" || !node.querySelector(":scope > title")?.textContent) {
    fault("a picture without role or title", node);
  }
}
for (const attribute of ["aria-labelledby", "aria-describedby", "for"]) {
  for (const node of document.querySelectorAll(`[${attribute}]`)) {
    for (const id of node.getAttribute(attribute).split(/\s+/)) {
      if (!document.getElementById(id)) {
        fault(`${attribute} names nothing`, node);
      }
    }
  }
}
const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
if (new Set(ids).size !== ids.length) {
  faults.push("an id is there twice");
}
const levels = [...document.querySelectorAll("h1, h2, h3, h4")].filter(seen).map((node) => Number(node.tagName[1]));
levels.forEach((level, place) => {
  if (place === 0 ? level !== 1 : level > levels[place - 1] + 1) {
    faults.push(`headings skip a level: ${levels.join(" ")}`);
  }
});
for (const [tag, number] of [["main", 1], ["header", 1], ["nav", 1], ["footer", 1], ["h1", 1]]) {
  if (document.querySelectorAll(tag).length !== number) {
    faults.push(`not one ${tag}`);
  }
}
if (document.documentElement.lang !== "en" || document.title === "") {
  faults.push("the page has no language or no title");
}
for (const node of document.querySelectorAll("th")) {
  if (!node.getAttribute("scope")) {
    fault("a heading of a table without scope", node);
  }
}

// Contrast of every text that is seen, as WCAG 2.2 computes it.
const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
const light = ([red, green, blue]) => {
  const [r, g, b] = [red, green, blue].map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (start) => {
  const box = start.closest("g.box");
  if (box) {
    return parts(getComputedStyle(box.querySelector("rect")).fill);
  }
  for (let node = start; node; node = node.parentElement) {
    const colour = parts(getComputedStyle(node).backgroundColor);
    if (colour[3] === undefined || colour[3] > 0) {
      return colour;
    }
  }
  return [255, 255, 255];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let texts = 0;
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (walker.currentNode.textContent.trim() === "" || !seen(node) || node.closest(".unseen, title, desc")) {
    continue;
  }
  texts += 1;
  const style = getComputedStyle(node);
  const [front, back] = [light(parts(node instanceof SVGElement ? style.fill : style.color)), light(behind(node))];
  const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
  if (contrast < 4.5) {
    fault(`contrast ${contrast.toFixed(2)}`, node);
  }
}
if (texts < 100) {
  faults.push(`only ${texts} texts are seen`);
}
return [...new Set(faults)];
