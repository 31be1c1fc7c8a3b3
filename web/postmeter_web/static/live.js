// Keeps the figures of a page fresh: fetches the fragment behind data-live and swaps the sections that changed.

const EVERY = 2000; // milliseconds between two fetches
const SLOWEST = 30000; // the longest pause while the panel cannot be reached
const PATIENCE = 10000; // how long one answer may take

const root = document.querySelector("[data-live]");
const status = document.querySelector("[data-live-status]");
let pause = EVERY;
let timer = 0;
let lostAt = null;

function say(text) {
  if (status && status.textContent !== text) status.textContent = text;
}

/** Whether somebody is just selecting text in the section: then it is left alone until the next time. */
function isBeingRead(section) {
  const selection = document.getSelection();
  return !selection.isCollapsed && section.contains(selection.anchorNode);
}

/** What the visitor has opened stays open. */
function keepOpen(section, next) {
  const fresh = next.querySelectorAll("details");
  section.querySelectorAll("details").forEach((one, n) => fresh[n]?.toggleAttribute("open", one.open));
}

/** Load the pictures first, so that none is missing for a moment. */
async function complete(next) {
  document.adoptNode(next);
  await Promise.allSettled([...next.querySelectorAll("img")].map((picture) => picture.decode()));
}

async function swap(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const section of root.querySelectorAll("section[id]")) {
    const next = fresh.getElementById(section.id);
    if (next) keepOpen(section, next);
    if (!next || next.outerHTML === section.outerHTML || isBeingRead(section)) continue;
    await complete(next);
    const focus = section.contains(document.activeElement) ? place(section, document.activeElement) : null;
    section.replaceWith(next);
    if (focus) find(next, focus)?.focus({ preventScroll: true });
  }
}

/** Where an element is in its section: its id, or else its number among those that take the focus. */
const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";
const place = (section, element) => element.id || [...section.querySelectorAll(FOCUSABLE)].indexOf(element);
const find = (section, at) =>
  typeof at === "string" ? document.getElementById(at) : section.querySelectorAll(FOCUSABLE)[at];

async function refresh() {
  const answer = await fetch(root.dataset.live, {
    redirect: "manual",
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE),
  });
  if (answer.type === "opaqueredirect" || answer.status === 404) {
    location.reload(); // logged out, or the account is gone: the page itself says so
    return;
  }
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  await swap(await answer.text());
  lostAt = null;
  pause = EVERY;
  say(status?.dataset.liveSays);
}

function lost() {
  lostAt ??= new Date().toLocaleTimeString();
  pause = Math.min(pause * 2, SLOWEST);
  say(status?.dataset.lostSays.replace("{time}", lostAt));
}

async function tick() {
  clearTimeout(timer);
  if (document.hidden) return; // visibilitychange starts it again
  try {
    await refresh();
  } catch {
    lost();
  }
  status?.classList.toggle("lost", lostAt !== null);
  clearTimeout(timer);
  timer = setTimeout(tick, pause);
}

if (root) {
  document.addEventListener("visibilitychange", tick);
  timer = setTimeout(tick, EVERY);
}
