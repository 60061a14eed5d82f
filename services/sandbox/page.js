// Shows what the doubles accepted. Everything from a message is set as text; its HTML only ever runs in a sandboxed frame.
"use strict";

const $ = (id) => document.getElementById(id);
const SHOWN = 500;
const NOTHING = "Nothing has reached the world yet. Messages appear here as they are sent.";
let messages = [];
let chosen = null;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function time(text) {
  return new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

async function ask(path, options) {
  const answer = await fetch(path, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail || body.title || answer.statusText);
  return body;
}

async function refresh() {
  const filter = new URLSearchParams([...new FormData($("filter"))].filter(([, value]) => value.trim()));
  const [page, clock] = await Promise.all([ask(`/sandbox/messages?${filter}`), ask("/sandbox/clock")]);
  $("now").textContent = time(clock.now);
  const same = page.items.length === messages.length && page.items.at(-1)?.message_id === messages.at(-1)?.message_id;
  messages = page.items;
  if (!same || !$("count").textContent) list(page.next_cursor !== null);
}

function list(more) {
  const shown = messages.slice(-SHOWN).reverse();
  if (chosen === null) document.querySelector(".empty").textContent = messages.length ? "Choose a message to read it." : NOTHING;
  const part = shown.length < messages.length ? `, the latest ${SHOWN} shown` : "";
  $("count").textContent = `${messages.length}${more ? "+" : ""} message${messages.length === 1 ? "" : "s"}${part}`;
  $("messages").replaceChildren(...shown.map(entry));
}

function entry(message) {
  const about = [message.invoice_id, message.step, message.subject === null ? null : message.to].filter(Boolean).join(" · ");
  const button = element("button", { type: "button" },
    element("small", { className: "channel", textContent: message.channel }),
    element("span", { textContent: message.subject ?? message.to }),
    element("small", { textContent: time(message.sent_at) }),
    element("span", { className: "about", textContent: about || message.text.slice(0, 120) }));
  if (message.message_id === chosen) button.setAttribute("aria-current", "true");
  button.addEventListener("click", () => choose(message, button));
  return element("li", {}, button);
}

function choose(message, button) {
  chosen = message.message_id;
  document.querySelector("[aria-current]")?.removeAttribute("aria-current");
  button.setAttribute("aria-current", "true");
  const parts = [element("h2", { textContent: message.subject ?? `${message.channel} to ${message.to}` }), facts(message)];
  const body = element("div", { className: "body" });
  if (message.html !== null) parts.push(views(message, body));
  show(message, body, message.html !== null);
  $("message").replaceChildren(...parts, body);
}

function facts(message) {
  const files = message.attachments.map((file) => `${file.filename} (${file.media_type}, ${file.size.toLocaleString()} bytes)`);
  const rows = {
    To: message.to, Sent: time(message.sent_at), Invoice: message.invoice_id, Step: message.step,
    Status: message.status, Attached: files.join(", "), Carried: message.pictures.map((one) => one.filename).join(", "),
    Id: message.message_id,
  };
  const known = Object.entries(rows).filter(([, value]) => value);
  return element("dl", {}, ...known.flatMap(([name, value]) =>
    [element("dt", { textContent: name }), element("dd", { textContent: value })]));
}

function views(message, body) {
  const buttons = [["HTML", true], ["Text", false]].map(([name, html]) => {
    const button = element("button", { type: "button", textContent: name, ariaPressed: String(html) });
    button.addEventListener("click", () => {
      buttons.forEach((other) => { other.ariaPressed = String(other === button); });
      show(message, body, html);
    });
    return button;
  });
  return element("div", { className: "views" }, ...buttons);
}

function show(message, body, html) {
  if (!html) return body.replaceChildren(element("pre", { textContent: message.text }));
  const frame = element("iframe", { title: "The mail as HTML" });
  frame.setAttribute("sandbox", "");
  frame.src = `/sandbox/messages/${encodeURIComponent(message.message_id)}/html`;
  body.replaceChildren(frame);
}

async function advance(duration) {
  const buttons = document.querySelectorAll("#clock button");
  buttons.forEach((button) => { button.disabled = true; });
  notice("Moving time forward and waiting until everything due on the way has gone out …");
  try {
    const body = JSON.stringify({ advance: duration });
    await ask("/sandbox/clock", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    notice("");
  } catch (error) {
    notice(error.message);
  }
  buttons.forEach((button) => { button.disabled = false; });
  await refresh();
}

async function watch() {
  try {
    await refresh();
  } catch (error) {
    notice(`The sandbox does not answer: ${error.message}`);
  }
  setTimeout(watch, 2000);
}

document.querySelectorAll("[data-advance]").forEach((button) =>
  button.addEventListener("click", () => advance(button.dataset.advance)));
$("filter").addEventListener("submit", (event) => event.preventDefault());
$("filter").addEventListener("input", () => refresh().catch((error) => notice(error.message)));
watch();
