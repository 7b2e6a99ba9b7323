// The page works without this: it filters, shows times in the reader's zone, and sends files.
"use strict";

const PIECE = 8 * 1024 * 1024; // bytes of a request, so that a cut, or a refusal, is heard of early
const ATTEMPTS = 6;
const $ = (selector, root = document) => root.querySelector(selector);
document.documentElement.classList.add("js");

function localTimes() {
  const format = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short" });
  for (const time of document.querySelectorAll("time")) {
    time.title = time.textContent;
    time.textContent = format.format(new Date(time.dateTime));
  }
}

function applyFilter() {
  const wanted = $("#filter").value.toLowerCase();
  for (const row of document.querySelectorAll("tbody tr:not(.up)")) {
    row.hidden = !$("a", row).textContent.toLowerCase().includes(wanted);
  }
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return location.reload();
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  $("#list").replaceWith($("#list", page));
  $(".sum").replaceWith($(".sum", page));
  localTimes();
  applyFilter();
}

function units(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), 6);
  return `${(bytes / 1024 ** power).toFixed(1)} ${"KMGTPE"[power - 1]}iB`;
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const reason = async (answer) => (await answer.text()).split("\n")[0] || `status ${answer.status}`;

// The same file, unchanged, has the same name for its upload: so it goes on where it was cut, even after a reload.
function uploadId(file) {
  let hash = 0xcbf29ce484222325n; // FNV-1a
  for (const byte of new TextEncoder().encode(`${file.name}\0${file.size}\0${file.lastModified}`)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return `web-${hash.toString(16)}`;
}

function put(url, body, headers, onprogress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much has been sent
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onprogress(event.loaded);
    request.onload = () => resolve(request);
    request.onerror = () => reject(new Error("the connection was lost"));
    request.send(body);
  });
}

async function received(url) {
  const answer = await fetch(url, { method: "HEAD", cache: "no-store" });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return Number(answer.headers.get("Upload-Offset"));
}

async function send(file, condition, show) {
  const path = `./${encodeURIComponent(file.name)}`;
  const url = `${path}?upload=${uploadId(file)}`;
  let attempts = 0;
  let offset = -1;
  for (;;) {
    try {
      if (offset < 0) offset = file.size > PIECE ? await received(url) : 0;
      const end = Math.min(offset + PIECE, file.size);
      const headers = { ...condition };
      if (file.size > PIECE) headers["Content-Range"] = `bytes ${offset}-${end - 1}/${file.size}`;
      const body = file.slice(offset, end);
      const answer = await put(file.size > PIECE ? url : path, body, headers, (sent) => show(offset + sent));
      if (answer.status >= 500 && answer.status !== 507) throw new Error(answer.responseText.split("\n")[0]);
      if (answer.status === 409) offset = -1; // the server has another idea of how far we are
      else if (answer.status >= 400) return answer.responseText.split("\n")[0] || `status ${answer.status}`;
      else if (end === file.size) return null;
      else offset = end;
      attempts = answer.status === 409 ? attempts + 1 : 0;
      if (attempts >= ATTEMPTS) return "the server does not agree on how much it has";
    } catch (error) {
      if (++attempts >= ATTEMPTS) return error.message;
      offset = -1;
      show(null, `${error.message}; trying again`);
      await pause(Math.min(2 ** attempts, 30) * (0.5 + Math.random() / 2));
    }
  }
}

async function conditionFor(file) {
  const there = await fetch(`./${encodeURIComponent(file.name)}`, { method: "HEAD", cache: "no-store" });
  if (there.status === 404) return { "If-None-Match": "*" };
  const tag = there.headers.get("ETag");
  if (!there.ok || !tag) throw new Error("there is something of that name that is no file");
  return confirm(`Replace ${file.name}?`) ? { "If-Match": tag } : null;
}

async function transfer(file) {
  const item = document.createElement("li");
  const [name, bar, say] = ["span", "progress", "span"].map((tag) => item.appendChild(document.createElement(tag)));
  name.textContent = file.name;
  bar.max = file.size || 1;
  bar.value = 0;
  bar.setAttribute("aria-label", file.name);
  say.className = "say";
  $("#transfers").append(item);
  const started = performance.now();
  let first = null;
  const show = (sent, text) => {
    if (sent === null) return void (say.textContent = text);
    first ??= sent;
    bar.value = sent;
    const speed = (sent - first) / ((performance.now() - started) / 1000 || 1);
    const left = speed > 0 ? Math.ceil((file.size - sent) / speed) : null;
    say.textContent = `${units(sent)}, ${units(Math.round(speed))}/s${left === null ? "" : `, ${left} s left`}`;
  };
  let failure;
  try {
    const condition = await conditionFor(file);
    failure = condition === null ? "left as it was" : await send(file, condition, show);
  } catch (error) {
    failure = error.message;
  }
  item.className = failure === null ? "done" : "failed";
  if (failure === null) bar.value = bar.max;
  say.textContent = failure ?? `${units(file.size)} sent`;
  $("#status").textContent = `${file.name}: ${say.textContent}`;
}

let queue = Promise.resolve();
function enqueue(files) {
  queue = queue.then(async () => {
    for (const file of files) await transfer(file);
    await refresh();
  });
}

function filesOf(items) {
  const kinds = [...items].filter((item) => item.kind === "file");
  const folders = kinds.filter((item) => item.webkitGetAsEntry?.()?.isDirectory);
  if (folders.length) alert("A folder cannot be sent from here: python -m aionet put takes whole directories.");
  return kinds.filter((item) => !folders.includes(item)).map((item) => item.getAsFile());
}

async function change(method, path, question) {
  if (!question) return;
  const answer = await fetch(path, { method });
  if (!answer.ok) alert(await reason(answer));
  await refresh();
}

function acceptFiles(zone) {
  const picker = $("input", zone);
  picker.addEventListener("change", () => {
    enqueue([...picker.files]);
    picker.value = "";
  });
  let inside = 0; // dragenter and dragleave come for each element passed over
  const mark = (by) => zone.classList.toggle("over", (inside = Math.max(inside + by, 0)) > 0);
  addEventListener("dragenter", (event) => (event.preventDefault(), mark(1)));
  addEventListener("dragleave", () => mark(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    mark(-Infinity);
    enqueue(filesOf(event.dataTransfer.items));
  });
  $("#folder").addEventListener("click", () => {
    const name = prompt("Name of the new folder");
    change("MKCOL", `./${encodeURIComponent(name ?? "")}/`, name);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-delete]");
    if (button) change("DELETE", button.dataset.delete, confirm(`Delete ${button.title.slice(7)}?`));
  });
  for (const part of document.querySelectorAll(".tools button")) part.hidden = false;
}

$("#filter").hidden = false;
$("#filter").addEventListener("input", applyFilter);
localTimes();
if ($(".drop")) acceptFiles($(".drop"));
