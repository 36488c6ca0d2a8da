/**
 * The page's service worker: without a connection the page itself still opens, and says what is missing. Nothing of the
 * API is kept here; what people wrote and read stays on the server.
 *
 * The build writes in which files the page begins with, so each build has caches of its own.
 */
const BUILD = "__BUILD__";
const SHELL = `shell-${BUILD}`;
const FILES = ["./", ...JSON.parse('__FILES__')];

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(SHELL)
      .then((cache) => cache.addAll(FILES))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name !== SHELL).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const path = url.pathname.slice(new URL(self.registration.scope).pathname.length);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate") {
    if (!/^(api|langserve|langgraph|v1|docs|health|ready|metrics)(\/|$)/.test(path))
      event.respondWith(fetch(request).catch(() => caches.match("./")));
  } else if (path.startsWith("assets/")) {
    // Their names change with their content.
    event.respondWith(caches.match(request).then((known) => known ?? fetch(request).then((found) => keep(request, found))));
  }
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(self.clients.matchAll({ type: "window" }).then(([page]) => (page ? page.focus() : self.clients.openWindow("./"))));
});

async function keep(request, response) {
  if (response.ok) {
    const cache = await caches.open(SHELL);
    await cache.put(request, response.clone());
  }
  return response;
}
